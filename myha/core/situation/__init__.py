"""The words that verdicts are made of: facts derived from one view, each a property of few lines.

A situation belongs to one view and lives as long as the decision about it.
"""

from __future__ import annotations

from myha.core.plans import Refusal, Step
from myha.core.routing import apart, differences
from myha.core.situation.once import once
from myha.core.situation.replicating import Replicating


class Situation(Replicating):
    """One view with its record: what the verdicts and the protocols go by."""

    @once
    def mixed_up(self) -> Refusal | None:
        """Why nothing can be done where a server, by the life that it is in, is the other node on
        record. Another supervisor had them right, and has put on record who is the writer.

        Two MariaDB servers of one machine that start in one second are in one life by its name.
        """
        asked = (
            (self.writer, self.w, self.w_entry, self.entry),
            (self.standby, self.s, self.entry, self.w_entry),
        )
        for name, node, own, others in asked:
            look = node.look if node.answering else None
            if look is None or look.boot_id == own.boot_id:
                continue
            if others.boot_id and look.boot_id == others.boot_id:
                return Refusal(
                    f"nodes.{name} leads to the server that is {self.policy.peer(name)} on record: "
                    "correct the addresses in this supervisor's configuration"
                )
        return None

    @once
    def recent_failovers(self) -> int:
        window = self.policy.flap_window_seconds
        return sum(self.view.wall - wall < window for wall in self.record.failover_walls)

    @once
    def flaps(self) -> bool:
        return self.recent_failovers >= self.policy.flap_limit

    @once
    def flaps_all_the_same(self) -> bool:
        """More unattended failovers than the limit: only a proven death brings that about."""
        return self.recent_failovers > self.policy.flap_limit

    @once
    def writer_held_role_long(self) -> bool:
        """The writer has been one for long enough not to be part of a loop."""
        held_seconds = self.view.wall - self.record.writer_since_wall
        return held_seconds >= self.policy.flap_settled_seconds

    @once
    def routing(self) -> tuple[Step, ...]:
        return differences(self.view)

    @once
    def balancers_without_writer(self) -> tuple[str, ...]:
        """Those that cannot connect to the writer for their clients, although it takes writes and
        answers us."""
        if not self.writer_installed:
            return ()
        seen = self.view.balancers
        return tuple(name for name, one in seen if one.answering and one.reach.failing)

    @once
    def apart_routing(self) -> tuple[Step, ...]:
        """What of it the record alone asks for."""
        return apart(self.view)
