"""From what was seen of a replica to one plan, or the refusals met on the way to none. Pure."""

from __future__ import annotations

from typing import TypeAlias

from myha.core.followers.situation import FollowerSituation
from myha.core.followers.verdicts import assess, situation_of
from myha.core.followers.view import FollowerView
from myha.core.planning import Decision, conclude

FollowerDecision: TypeAlias = Decision[FollowerSituation]


def decide(view: FollowerView) -> FollowerDecision:
    """What to do now. Nothing until it has been looked at since its own last plan ended."""
    it = situation_of(view)
    if it is None:
        return Decision((), fresh=False)
    fresh = view.node.checked_at > view.plan_ended_at
    return conclude(it, assess(it), fresh=fresh, maintenance=it.pair_record.maintenance)
