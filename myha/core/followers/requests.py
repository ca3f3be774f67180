"""What an operator asks of a replica: each request becomes a plan or a refusal. Pure."""

from __future__ import annotations

from myha.core.followers.protocols import fence
from myha.core.followers.situation import FollowerSituation
from myha.core.plans import Refusal
from myha.core.protocols import heals
from myha.core.protocols.answer import Answer
from myha.core.record import Cause


def fence_by_hand(it: FollowerSituation, reason: str) -> Answer:
    if it.heal is not None:
        return heals.stop_heal(it, reason)
    if it.fenced:
        return Refusal(f"{it.name} is fenced already: {it.entry.reason}")
    return fence(it, Cause.BY_HAND, reason)


def unfence(it: FollowerSituation) -> Answer:
    return heals.unfence(it, Cause.NEW) if it.fenced else Refusal(f"{it.name} is not fenced")
