"""What an operator asks of a replica, as a plan or a refusal of the core. Pure."""

from __future__ import annotations

from myha.core.followers.healing import heal_by_hand
from myha.core.followers.requests import fence_by_hand, unfence
from myha.core.followers.situation import FollowerSituation
from myha.core.plans import Refusal
from myha.core.protocols.answer import Answer
from myha.supervisor.requests import NOT_IN_MAINTENANCE, Request

OF_A_REPLICA = frozenset({"fence", "unfence", "heal"})


def plan_for_request(it: FollowerSituation, request: Request) -> Answer:
    """A plan, a refusal, or None when there is nothing to do."""
    name, arguments = request.name, request.arguments
    if it.pair_record.maintenance and name in NOT_IN_MAINTENANCE:
        return Refusal("maintenance is on", "myha maintenance off")
    if name == "fence":
        return fence_by_hand(it, arguments.get("reason") or "by hand")
    if name == "unfence":
        return unfence(it)
    if name == "heal":
        accept_loss = arguments.get("accept_loss") == "yes"
        return heal_by_hand(it, arguments.get("method") or "auto", accept_loss=accept_loss)
    return Refusal(f"{it.name} is a read replica: there is no {name} of it")
