"""The words that verdicts are made of: facts derived from one view, each a property of few lines.

A situation belongs to one view and lives as long as the decision about it.
"""

from __future__ import annotations

from myha.core.jobs import HealOutcome, Job
from myha.core.plans import Step
from myha.core.record import Cause, Heal
from myha.core.routing import differences
from myha.core.situation import heals
from myha.core.situation.once import once
from myha.core.situation.replicating import Replicating


class Situation(Replicating):
    """One view with its record: what the verdicts and the protocols go by."""

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
    def heal_methods(self) -> tuple[str, ...]:
        """What the policy lets myha do about a diverged node by itself, in order."""
        return heals.methods_of(self.policy)

    @once
    def heal(self) -> Heal | None:
        """The heal of the standby that is under way on record."""
        return self.s_entry.heal if self.s_entry.cause is Cause.HEALING else None

    @once
    def heal_job(self) -> Job | None:
        """The process that heals the standby now."""
        return heals.job_on(self.view.jobs, self.standby)

    @once
    def heal_outcome(self) -> HealOutcome | None:
        """How the present method of the present heal ended, when its job is over."""
        if self.heal is None or self.heal_job is not None:
            return None
        return heals.outcome_of(self.view.heals, self.standby, self.heal)

    @once
    def heal_gives_up(self) -> bool:
        """The present method was refused, or has failed too often."""
        return heals.gives_up(self.heal_outcome)

    @once
    def heal_pauses(self) -> bool:
        """The last attempt failed a moment ago."""
        return heals.pauses(self.heal_outcome, self.at)
