"""From what was seen of a replica to one plan, or the refusals met on the way to none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from myha.core.followers.verdicts import FollowerVerdict, assess, situation_of
from myha.core.followers.view import FollowerView
from myha.core.planning import IN_MAINTENANCE, Refusals, first_plan, held_back
from myha.core.plans import Plan


@dataclass(frozen=True, slots=True)
class FollowerDecision:
    """As `Decision`, of one replica."""

    verdicts: tuple[FollowerVerdict, ...]
    plan: Plan | None = None
    refusals: Refusals = ()
    fresh: bool = True


def decide(view: FollowerView) -> FollowerDecision:
    """What to do now. Nothing until it has been looked at since its own last plan ended."""
    it = situation_of(view)
    if it is None:
        return FollowerDecision((), fresh=False)
    verdicts = assess(it)
    if view.node.checked_at <= view.plan_ended_at:
        return FollowerDecision(verdicts, fresh=False)
    if it.pair_record.maintenance:
        return FollowerDecision(verdicts, None, (IN_MAINTENANCE,))
    plan, refusals = first_plan(it, verdicts, lambda one: held_back(view.incidents, view.at, one))
    return FollowerDecision(verdicts, plan, refusals)
