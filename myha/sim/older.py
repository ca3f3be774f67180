"""A server that comes back with older data: what it lost by that, and who could know.

Who has seen what the older data lack, in two looks in a row while no commit waited, knows of it
when it comes back. Nobody else does (`docs/guarantees.md` says so): such a history is not judged
any further.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from myha.core.node import NodeName
from myha.sim.flavours import Transaction
from myha.sim.server import Data, SimServer


@dataclass(slots=True)
class Snapshot:
    """Taken of a server in one life, with one filling of data; who has seen what came later."""

    data: Data
    life: int
    fills: int
    seen_once: set[str] = field(default_factory=set)
    seen_twice: set[str] = field(default_factory=set)


class OlderData:
    """The snapshots of one history. `unforeseen`: nobody could know."""

    def __init__(self) -> None:
        self.unforeseen = False
        self.destroyed: set[int] = set()  # with the newer data, wherever else they may be
        self.newer: dict[NodeName, Data] = {}  # of those that run with older data
        self.had: set[NodeName] = set()  # older data, at some time
        self._snapshots: dict[NodeName, Snapshot] = {}
        self._knowing: dict[NodeName, set[str]] = {}

    def snapshot(self, server: SimServer) -> None:
        self._snapshots[server.name] = Snapshot(server.data(), server.life, server.fills)

    def looked(self, supervisor: str, server: SimServer) -> None:
        """`supervisor` has had a whole look at it."""
        taken = self._snapshots.get(server.name)
        if taken is None or server.life != taken.life or server.waiting:
            return
        if supervisor in taken.seen_once:
            taken.seen_twice.add(supervisor)
        elif len(server.binlog) > len(taken.data.binlog):
            taken.seen_once.add(supervisor)

    def put_back(self, server: SimServer) -> bool:
        """In the place of what it has, while it is down; False where that was no older any more."""
        taken = self._snapshots.pop(server.name, None)
        if taken is None or taken.life != server.life or taken.fills != server.fills:
            return False
        if server.emptied or not taken.seen_twice:
            return False
        newer = server.data()
        self.had.add(server.name)
        self.newer[server.name] = newer
        self._knowing[server.name] = taken.seen_twice
        server.put_back(taken.data)
        self.destroyed |= _serials(newer.binlog) - server.has
        return True

    def put_right(self, server: SimServer) -> None:
        """Its newer data again, which somebody has found."""
        newer = self.newer.pop(server.name)
        self.settled(server.name)
        server.put_back(newer)
        self.destroyed -= server.has

    def settled(self, node: NodeName) -> None:
        """What is to be done about it has been decided."""
        self._knowing.pop(node, None)

    def decided(self, supervisor: str) -> None:
        """A decision by one that was not there before, while it matters."""
        if any(supervisor not in knowing for knowing in self._knowing.values()):
            self.unforeseen = True


def _serials(ones: list[Transaction]) -> set[int]:
    return {one.serial for one in ones}
