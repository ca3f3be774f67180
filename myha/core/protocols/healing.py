"""Heals: when one begins, with which methods, and what follows from how its job ended. Pure.

The work is a job beside the loop; the record says what it is for. A node that is being healed is
fenced with the cause HEALING, so that nothing else brings it back: no failover, no route, no
restart of its own or of the supervisor. When the supervisor dies, so does the job; the next one
finds the heal on record and begins the method again, which every method allows at any point.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from myha.core.applier_errors import needs_other_data, relay_log_is_damaged
from myha.core.plans import AwaitApplied, ForgetReceived, Plan, Refusal, Step, StopReceiver
from myha.core.protocols.answer import Answer, make, unknown
from myha.core.protocols.fencing import fence, quiet_steps
from myha.core.protocols.heals import (
    as_far_as_there,
    begin_by_hand,
    new_heal,
    not_replaced,
    of_policy,
    refused_now,
    start_job,
)
from myha.core.protocols.replication import receive_again
from myha.core.record import Cause, fenced
from myha.core.situation import Situation

METHODS = Situation.methods
# Not for long: nothing else is decided meanwhile, and the plan is tried again.
APPLIED_DEADLINE_SECONDS = 5.0


def _begin(
    it: Situation,
    methods: tuple[str, ...],
    cause: Cause,
    reason: str,
    *,
    accept_loss: bool = False,
) -> Plan:
    heal = new_heal(it, methods, cause, reason, accept_loss=accept_loss)
    sentence = f"heal {it.standby} by {' or '.join(methods)}"
    if it.member:
        return replace(fence(it, Cause.HEALING, reason, heal), kind="heal", sentence=sentence)
    entry = fenced(Cause.HEALING, reason, heal)
    record = it.record_as(f"{it.standby} is being healed by {heal.method}", entry)
    return make(it, "heal", it.standby, sentence, record)


def begin_for_errant(it: Situation) -> Answer:
    return _begin(it, it.heal_methods, Cause.ERRANT, it.entry.reason)


def begin_for_broken(it: Situation) -> Answer:
    """Nothing is errant there, so that only other data help."""
    return _begin(it, ("reseed",), Cause.BROKEN, it.entry.reason)


def fence_broken(it: Situation) -> Answer:
    """An applier that has met data that are not the writer's goes on nowhere by itself; one that
    cannot read what was received is given it again."""
    look = it.s.look
    if look is None:
        return None
    if it.relay_log_is_damaged and it.writer_installed:
        return receive_again(it, it.standby)
    reason = f"its applier failed: {look.applier.error} (error {look.applier.errno})"
    needed = needs_other_data(look.applier.errno)
    otherwise = "it has no errant transactions to merge or rewind"
    refusal = not_replaced(it, reason, needed=needed, otherwise=otherwise)
    return refusal or fence(it, Cause.BROKEN, reason)


def left_fenced(it: Situation) -> Answer:
    """Where only other data help and the policy does not give them, a person is told."""
    if it.entry.cause is not Cause.BROKEN or it.entry.heal is not None:
        return None
    if "reseed" in it.heal_methods:
        return None  # begun as soon as both nodes are there
    return Refusal(
        f"{it.standby} stays fenced: {it.entry.reason}; heal.policy does not let myha replace "
        f"its data, and `myha unfence {it.standby}` is for somebody who knows that they are right",
        f"myha heal {it.standby} --method reseed",
    )


def start(it: Situation) -> Answer:
    """Begin the present method, or begin it again. The node is quiet for it, as far as it is there.

    The writer must not listen: what the heal takes away must not get there meanwhile. What it has
    received from the node it applies first: taken away there and applied here later, its names
    would be given once more by the node, to other transactions. What it cannot read it forgets.
    """
    heal = it.heal
    if heal is None or it.heal_pauses:
        return None
    steps = quiet_steps(it) if it.s.answering else ()
    return make(
        it,
        "start-heal",
        it.standby,
        f"begin to heal {it.standby} by {heal.method}",
        *as_far_as_there(heal, steps),
        StopReceiver(node=it.writer),
        _settled(it),
        start_job(it, heal, it.writer),
    )


def _settled(it: Situation) -> Step:
    """Nothing that came from the node is left to be applied on the writer."""
    look = it.w.look
    if look is not None and relay_log_is_damaged(look.applier.errno):
        return ForgetReceived(node=it.writer, deadline_seconds=APPLIED_DEADLINE_SECONDS)
    return AwaitApplied(node=it.writer, deadline_seconds=APPLIED_DEADLINE_SECONDS)


# -- by hand ---------------------------------------------------------------------------------------


def heal_node(it: Situation, node: str, method: str, *, accept_loss: bool = False) -> Answer:
    """An operator's heal: by one method, or by those that the policy names (`auto`)."""
    if (refusal := unknown(it, node)) is not None:
        return refusal
    if node == it.writer:
        return Refusal(
            f"{node} is the writer: its data is the pair's data",
            f"myha switchover --to {it.standby}",
        )
    refusal = refused_now(it, it.writer, ready=it.writer_installed)
    begin = partial(_begin, it, accept_loss=accept_loss)
    return refusal or begin_by_hand(it, _methods(it, method), begin)


def _methods(it: Situation, method: str) -> tuple[str, ...] | Refusal:
    """Errant transactions are what merge and rewind deal with; anything else needs other data."""
    look = it.s.look
    broken = look is not None and look.applier.errno != 0
    other_data = it.member or it.entry.cause is Cause.BROKEN
    if method != "auto":
        if method not in METHODS:
            return Refusal(
                f"there is no method {method}; the methods are {', '.join(METHODS)}, auto"
            )
        if it.member and method != "reseed":
            return Refusal(
                f"{it.standby} is a member: it has no errant transactions to {method}",
                f"myha heal {it.standby} --method reseed",
            )
        return (method,)
    if it.member and not broken:
        return Refusal(
            f"{it.standby} is a member in good standing: there is nothing to heal",
            f"myha heal {it.standby} --method reseed",
        )
    override = f"myha heal {it.standby} --method {'reseed' if other_data else 'rewind'}"
    return of_policy(it, other_data=other_data, override=override)
