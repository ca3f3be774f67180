"""What follows when the binary log of a node was reset, or has been purged too early. Pure.

Replication by GTID asks for what it lacks by name. After a reset the node gives names anew, and its
peer leaves out, without an error, what bears one that it knows. Only other data help the standby.
"""

from __future__ import annotations

from dataclasses import replace

from myha.core.plans import ForgetReceived, Refusal
from myha.core.protocols.answer import Answer
from myha.core.protocols.fencing import fence
from myha.core.protocols.heals import new_heal
from myha.core.record import Cause
from myha.core.situation import Situation

FORGET_DEADLINE_SECONDS = 5.0


def fence_reset(it: Situation) -> Answer:
    """The writer's data are the pair's data, whoever's log it was."""
    node = it.log_reset_on
    if not node:
        return None
    reason = f"somebody has reset the binary log of {node}"
    if node == it.writer:
        plan = fence(it, Cause.BROKEN, f"{reason}, from which it replicates")
        forget = ForgetReceived(node=node, deadline_seconds=FORGET_DEADLINE_SECONDS)
        # First: only this supervisor has seen the log before. If it dies after this, the next one
        # sees that the standby has what the writer lacks; on MariaDB the standby would else be
        # given, with the writer's data, the names that are to be given anew.
        return replace(plan, steps=(forget, *plan.steps))
    if not it.dual:
        return fence(it, Cause.BROKEN, reason)
    # It took writes itself, and which of them the writer lacks no comparison of names tells any
    # more: a person has to look, so that no method is left.
    reason = f"{reason} while it took writes, of which {it.writer} may lack some: compare them"
    by_hand = new_heal(it, (), Cause.BROKEN, reason, accept_loss=False)
    return fence(it, Cause.BROKEN, reason, by_hand)


def fence_incomplete(it: Situation) -> Answer:
    """Its data are wrong, whatever the policy lets myha do about that."""
    if it.left_out is None:
        return None
    reason = (
        f"replication does not bring it {it.left_out.count()} transactions that {it.writer} has: "
        f"{it.left_out}"
    )
    return fence(it, Cause.BROKEN, reason)


def fence_claiming(it: Situation) -> Answer:
    """What bears these names will not come to it, and it acknowledges that unseen."""
    if it.claimed is None:
        return None
    reason = (
        f"it takes {it.claimed.count()} transactions for its own that {it.writer} has not written "
        f"yet: {it.claimed}"
    )
    return fence(it, Cause.BROKEN, reason)


def fence_outdated(it: Situation) -> Answer:
    look = it.s.look
    if look is None:
        return None
    reason = f"{it.writer} has purged what it lacks: {look.receiver.error}"
    if "reseed" not in it.heal_methods:
        return Refusal(
            f"{it.standby} cannot catch up, and heal.policy does not let myha reseed it: {reason}",
            f"myha heal {it.standby} --method reseed",
        )
    return fence(it, Cause.BROKEN, reason)
