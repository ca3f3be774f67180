"""The words that verdicts are made of: facts derived from one view, each a property of few lines.

A situation belongs to one view and lives as long as the decision about it.
"""

from __future__ import annotations

from myha.core.model import Cause, Heal, HealOutcome, Job, JobResult
from myha.core.observations import HEAL
from myha.core.plans import Step
from myha.core.routing import differences
from myha.core.situation.once import once
from myha.core.situation.replicating import Replicating

HEAL_ATTEMPTS = 5  # a method that failed so often is given up
HEAL_BACKOFF_FIRST_SECONDS = 1.0


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
    def writer_settled(self) -> bool:
        """The writer has been one for long enough not to be part of a loop."""
        held_seconds = self.view.wall - self.record.writer_since_wall
        return held_seconds >= self.policy.flap_settled_seconds

    @once
    def routing(self) -> tuple[Step, ...]:
        return differences(self.view)

    @once
    def heal_methods(self) -> tuple[str, ...]:
        """What the policy lets myha do about a diverged node by itself, in order."""
        methods = []
        for one in self.policy.heal:
            if one == "manual":
                break
            if one != "resume":
                methods.append(one)
        return tuple(methods)

    @once
    def heal(self) -> Heal | None:
        """The heal of the standby that is under way on record."""
        return self.s_entry.heal if self.s_entry.cause is Cause.HEALING else None

    @once
    def heal_job(self) -> Job | None:
        """The process that heals the standby now."""
        for job in self.view.jobs:
            if job.kind == HEAL and job.node == self.standby:
                return job
        return None

    @once
    def heal_outcome(self) -> HealOutcome | None:
        """How the present method of the present heal ended, when its job is over."""
        heal = self.heal
        if heal is None or self.heal_job is not None:
            return None
        for one in self.view.heals:
            if (one.node, one.id, one.method) == (self.standby, heal.id, heal.method):
                return one
        return None

    @once
    def heal_gives_up(self) -> bool:
        """The present method was refused, or has failed too often."""
        one = self.heal_outcome
        if one is None:
            return False
        failed = one.result is JobResult.FAILED and one.attempts >= HEAL_ATTEMPTS
        return failed or one.result is JobResult.REFUSED

    @once
    def heal_pauses(self) -> bool:
        """The last attempt failed a moment ago."""
        one = self.heal_outcome
        if one is None:
            return False
        return self.at < one.at + HEAL_BACKOFF_FIRST_SECONDS * 2.0 ** max(0, one.attempts - 1)
