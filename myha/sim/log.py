"""What a simulated server has: its binary log, relay log, and data."""

from __future__ import annotations

from collections.abc import Iterable

from myha.core.gtid import GtidSet
from myha.sim.flavours import SimulatedFlavour, Transaction


class ServerLog:
    """Transactions by what they are (serials), and by their names, which a log can give anew."""

    def __init__(self, flavour: SimulatedFlavour) -> None:
        self.flavour = flavour
        self.binlog: list[Transaction] = []
        self.relay: list[Transaction] = []
        self.has: set[int] = set()  # serials of all in its data and in the relay log
        self.number = 0  # of its last own transaction
        self.resets = 0  # how often somebody has reset its binary log
        self.forgotten: list[Transaction] = []  # in its data; its log has forgotten their names
        self.purged: set[int] = set()  # in its data; its log names them and cannot send them
        self.fills = 0  # how often its data was replaced
        self._executed: GtidSet = flavour.empty
        self._unfolded: list[Transaction] = []
        self._received: tuple[GtidSet, int, GtidSet] | None = None

    def executed_now(self) -> GtidSet:
        if self._unfolded:
            gtids, add = self._executed, self.flavour.add
            for one in self._unfolded:
                gtids = add(gtids, one)
            self._executed, self._unfolded = gtids, []
        return self._executed

    def received_now(self) -> GtidSet:
        executed = self.executed_now()
        if not self.relay:
            return executed
        known = self._received
        if known is not None and known[0] is executed and known[1] == self.relay[-1].serial:
            return known[2]
        gtids = executed
        for one in self.relay:
            gtids = self.flavour.add(gtids, one)
        self._received = (executed, self.relay[-1].serial, gtids)
        return gtids

    def reset_log(self) -> None:
        """RESET MASTER: the data stays, and names begin anew."""
        self.forgotten += self.binlog
        self.binlog = []
        self.number = 0
        self.resets += 1
        if not self.flavour.keeps_position:
            self._executed, self._unfolded = self.flavour.empty, []

    def purge_log(self) -> None:
        """PURGE BINARY LOGS, of all that is in them."""
        self.purged.update(self.has)

    def logged_now(self) -> GtidSet | None:
        """What the log itself names, where that is less than what is executed."""
        if not (self.forgotten and self.flavour.keeps_position):
            return None
        return self.named(self.binlog)

    def named(self, ones: Iterable[Transaction]) -> GtidSet:
        gtids = self.flavour.empty
        for one in ones:
            gtids = self.flavour.add(gtids, one)
        return gtids

    def not_known_by_name(self, ones: list[Transaction]) -> list[Transaction]:
        """What of these a source sends whose names began anew: it is asked by name."""
        known, has = self.received_now(), self.flavour.has
        return [one for one in ones if not has(known, one)]
