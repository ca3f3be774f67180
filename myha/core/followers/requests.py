"""What an operator asks of a replica: each request becomes a plan or a refusal. Pure."""

from __future__ import annotations

from myha.core.followers.healing import stop_heal
from myha.core.followers.protocols import change, fence, make
from myha.core.followers.situation import FollowerSituation
from myha.core.plans import Refusal
from myha.core.protocols.answer import Answer
from myha.core.record import Cause, away


def fence_by_hand(it: FollowerSituation, reason: str) -> Answer:
    if it.heal is not None:
        return stop_heal(it, reason)
    if it.fenced:
        return Refusal(f"{it.name} is fenced already: {it.entry.reason}")
    return fence(it, Cause.BY_HAND, reason)


def unfence(it: FollowerSituation) -> Answer:
    """Back to `away`: inspected before it follows, and fenced again if it diverged."""
    if not it.fenced:
        return Refusal(f"{it.name} is not fenced")
    if it.heal is not None or it.heal_job is not None:
        return Refusal(
            f"{it.name} is being healed, and its data is not verified yet", f"myha fence {it.name}"
        )
    doubted = it.entry.cause in (Cause.BROKEN, Cause.NEW)
    cause = Cause.TRUSTED if doubted else Cause.BY_HAND
    entry = away(cause, "unfenced by hand; to be inspected")
    sentence = f"unfence {it.name}"
    return make(it, "unfence", sentence, change(it, f"{it.name} is unfenced and away", entry))
