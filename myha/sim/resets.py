"""What has to follow when somebody resets a server's binary log, and who could know of it.

A look shows a reset to whoever has looked at the same life of the server before, and saw a name
that is gone now. Where nobody has, or the node's part changed in between, nothing shows it:
`docs/guarantees.md` says so, and the history is not judged any further.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from myha.core.node import NodeName
from myha.core.policy import Policy
from myha.core.record import Membership, Record
from myha.core.view import View
from myha.sim.process import ServerProcess

REASON = "reset the binary log"  # for which a node is fenced
DECISIONS = 3  # a record that somebody else changed meanwhile costs one


@dataclass(slots=True)
class Reset:
    """One that nothing has followed upon yet."""

    life: int
    had_both: set[str]  # supervisors that had looked at both nodes as members
    shown_to: set[str] = field(default_factory=set)
    decisions: int = 0  # made with that knowledge, while both nodes answered


class LogResets:
    """`broken` is told what is wrong; `unforeseen`: nobody could know."""

    def __init__(
        self,
        policy: Policy,
        servers: Mapping[NodeName, ServerProcess],
        record: Record,
        broken: Callable[[str, str], None],
    ) -> None:
        self.unforeseen = False
        self._policy = policy
        self._broken = broken
        self._open: dict[NodeName, Reset] = {}
        self._looks: dict[tuple[str, NodeName], tuple[int, dict[int, int]]] = {}
        self._decider = ""  # who has decided last
        self._doubtful: dict[NodeName, int] = {}  # fenced for it; how often it had been filled then
        self._servers = servers
        self._record = record

    def reset(self, server: ServerProcess) -> None:
        had_both = {
            who
            for who, _ in self._looks
            if all((who, name) in self._looks for name in self._servers)
        }
        self._open[server.name] = Reset(server.life, had_both)

    def looked(self, supervisor: str, server: ServerProcess) -> None:
        """`supervisor` has had a whole look at it."""
        key = (supervisor, server.name)
        hidden = () if server.flavour.counts_waiting else server.waiting
        done = [one for one in server.binlog if one.serial not in hidden]
        numbers = {one.origin: one.number for one in done}
        before = self._looks.pop(key, None)
        if self._record.node(server.name).membership is Membership.MEMBER:
            self._looks[key] = server.life, numbers
        reset = self._open.get(server.name)
        if reset is None or supervisor in reset.shown_to:
            return
        life, seen = before or (0, {})
        less = any(numbers.get(origin, 0) < last for origin, last in seen.items())
        same_life = life == server.life == reset.life
        if less and same_life and supervisor in reset.had_both:
            reset.shown_to.add(supervisor)
        else:
            self.unforeseen = True

    def decided(self, supervisor: str, view: View) -> None:
        """A fresh decision on the record as it is."""
        self._decider = supervisor
        standby = self._policy.peer(self._record.writer)
        member = self._record.node(standby).membership is Membership.MEMBER
        if not member or not all(node.answering for _, node in view.nodes):
            return
        for name, reset in self._open.items():
            if supervisor in reset.shown_to:
                reset.decisions += 1
                if reset.decisions > DECISIONS:
                    self._broken(
                        "names-reused",
                        f"the log of {name} was reset, and its peer is still a member",
                    )

    def record_changed(self, old: Record, new: Record) -> None:
        self._record = new
        standby = self._policy.peer(old.writer)
        entry = new.node(standby)
        if self._open and entry.membership is Membership.FENCED and REASON in entry.reason:
            self._doubtful[standby] = self._servers[standby].fills
            self._open.clear()
        elif self._open and (new.writer != old.writer or entry.membership is Membership.FENCED):
            self.unforeseen = True
        elif self._open and entry.membership is not Membership.MEMBER:
            # Lost before it was fenced: who has seen the reset goes on to know of it.
            self.unforeseen |= not all(reset.shown_to for reset in self._open.values())
        elif self._open and old.node(standby).membership is not Membership.MEMBER:
            self._rejoined(standby)
        for name, fills in list(self._doubtful.items()):
            if new.node(name).membership is Membership.MEMBER:
                del self._doubtful[name]
                if self._servers[name].fills == fills:
                    self._broken("names-reused", f"{name} is a member again with its own data")

    def _rejoined(self, standby: NodeName) -> None:
        if all(self._decider in reset.shown_to for reset in self._open.values()):
            self._broken("names-reused", f"{standby} is a member again, and was never fenced")
        else:
            self.unforeseen = True

    def skipped(self, server: ServerProcess) -> None:
        """It takes something for what it has already, by its name."""
        if not self._open and self._record.node(server.name).membership is Membership.MEMBER:
            self._broken(
                "names-reused", f"{server.name} has left out what bears a name that it knows"
            )
