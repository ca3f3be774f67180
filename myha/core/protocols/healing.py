"""Heals: when one begins, with which methods, and what follows from how its job ended. Pure.

The work is a job beside the loop; the record says what it is for. A node that is being healed is
fenced with the cause HEALING, so that nothing else brings it back: no failover, no route, no
restart of its own or of the supervisor. When the supervisor dies, so does the job; the next one
finds the heal on record and begins the method again, which every method allows at any point.
"""

from __future__ import annotations

from dataclasses import replace

from myha.core.applier_errors import needs_other_data
from myha.core.jobs import HealOutcome, JobResult
from myha.core.node import NodeName
from myha.core.plans import (
    AwaitApplied,
    ChangeRecord,
    Plan,
    RecordChange,
    Refusal,
    StartJob,
    StopJob,
    StopReceiver,
)
from myha.core.protocols.answer import Answer, make, unknown
from myha.core.protocols.fencing import fence, quiet_steps
from myha.core.record import Cause, Heal, NodeRecord, away, fenced
from myha.core.situation import Situation

METHODS = ("merge", "rewind", "reseed")
STOP_DEADLINE_SECONDS = 20.0
START_DEADLINE_SECONDS = 10.0
# Not for long: nothing else is decided meanwhile, and the plan is tried again.
APPLIED_DEADLINE_SECONDS = 5.0


def _new(it: Situation, methods: tuple[str, ...], cause: Cause, reason: str) -> Heal:
    """Its id is the version that the record gets by it: no two heals have the same."""
    return Heal(it.record.version + 1, methods, cause, reason)


def _begin(
    it: Situation,
    methods: tuple[str, ...],
    cause: Cause,
    reason: str,
    *,
    accept_loss: bool = False,
) -> Plan:
    heal = replace(_new(it, methods, cause, reason), accept_loss=accept_loss)
    sentence = f"heal {it.standby} by {' or '.join(methods)}"
    if it.member:
        return replace(fence(it, Cause.HEALING, reason, heal), kind="heal", sentence=sentence)
    change = RecordChange(
        f"{it.standby} is being healed by {heal.method}",
        nodes=((it.standby, fenced(Cause.HEALING, reason, heal)),),
    )
    return make(it, "heal", it.standby, sentence, ChangeRecord(change=change))


def begin_for_errant(it: Situation) -> Answer:
    return _begin(it, it.heal_methods, Cause.ERRANT, it.s_entry.reason)


def begin_for_broken(it: Situation) -> Answer:
    """Nothing is errant there, so that only other data help."""
    return _begin(it, ("reseed",), Cause.BROKEN, it.s_entry.reason)


def fence_broken(it: Situation) -> Answer:
    """An applier that has met data that are not the writer's goes on nowhere by itself."""
    look = it.s.look
    if look is None:
        return None
    reason = f"its applier failed: {look.applier.error} (error {look.applier.errno})"
    override = f"myha heal {it.standby} --method reseed"
    if not needs_other_data(look.applier.errno):
        return Refusal(f"{it.standby}: {reason}; myha cannot repair that", override)
    if "reseed" not in it.heal_methods:
        return Refusal(
            f"{it.standby}: {reason}; it has no errant transactions to merge or rewind, and "
            "heal.policy does not let myha reseed it",
            override,
        )
    return fence(it, Cause.BROKEN, reason)


def left_fenced(it: Situation) -> Answer:
    """Where only other data help and the policy does not give them, a person is told."""
    if it.s_entry.cause is not Cause.BROKEN or it.s_entry.heal is not None:
        return None
    if "reseed" in it.heal_methods:
        return None  # begun as soon as both nodes are there
    return Refusal(
        f"{it.standby} stays fenced: {it.s_entry.reason}; heal.policy does not let myha replace "
        f"its data, and `myha unfence {it.standby}` is for somebody who knows that they are right",
        f"myha heal {it.standby} --method reseed",
    )


def start(it: Situation) -> Answer:
    """Begin the present method, or begin it again. The node is quiet for it, as far as it is there.

    The writer must not listen: what the heal takes away must not get there meanwhile. What it has
    received from the node it applies first: taken away there and applied here later, its names
    would be given once more by the node, to other transactions.
    """
    heal = it.heal
    if heal is None or it.heal_pauses:
        return None
    steps = quiet_steps(it) if it.s.answering else ()
    if heal.method == "reseed":  # whose node may be half replaced already
        steps = tuple(replace(step, best_effort=True) for step in steps)
    return make(
        it,
        "start-heal",
        it.standby,
        f"begin to heal {it.standby} by {heal.method}",
        *steps,
        StopReceiver(node=it.writer),
        AwaitApplied(node=it.writer, deadline_seconds=APPLIED_DEADLINE_SECONDS),
        StartJob(
            node=it.standby,
            method=heal.method,
            id=heal.id,
            writer=it.writer,
            epoch=it.record.epoch,
            accept_loss=heal.accept_loss,
            deadline_seconds=START_DEADLINE_SECONDS,
        ),
    )


def finish(it: Situation) -> Answer:
    """From here it is a node that returns: quiet, compared once more, and resumed when clean."""
    outcome = it.heal_outcome
    if outcome is None:
        return None
    reason = f"healed by {outcome.method}: {outcome.reason}"
    change = RecordChange(
        f"{it.standby} is {reason}", nodes=((it.standby, away(Cause.HEALED, reason)),)
    )
    sentence = f"{it.standby} is healed by {outcome.method}"
    return make(it, "healed", it.standby, sentence, ChangeRecord(change=change))


def without_method(node: NodeName, heal: Heal, outcome: HealOutcome) -> tuple[str, NodeRecord]:
    """What is done when the present method was given up, and the node's standing then."""
    how = "refused" if outcome.result is JobResult.REFUSED else f"failed {outcome.attempts} times"
    refused = (*heal.refused, f"{heal.method} {how}: {outcome.reason}")
    rest = replace(heal, methods=heal.methods[1:], refused=refused)
    if rest.methods:
        sentence = f"heal {node} by {rest.method}, since {refused[-1]}"
        entry = fenced(Cause.HEALING, heal.reason, rest)
    else:
        sentence = f"leave {node} fenced: {refused[-1]}"
        entry = fenced(heal.cause, f"{heal.reason}; not healed: {'; '.join(refused)}", rest)
    return sentence, entry


def next_method(it: Situation) -> Answer:
    heal, outcome = it.heal, it.heal_outcome
    if heal is None or outcome is None:
        return None
    sentence, entry = without_method(it.standby, heal, outcome)
    change = RecordChange(sentence, nodes=((it.standby, entry),))
    return make(it, "next-heal", it.standby, sentence, ChangeRecord(change=change))


def stop_unwanted(it: Situation) -> Answer:
    sentence = f"stop a heal of {it.standby} that is not on record"
    step = StopJob(node=it.standby, deadline_seconds=STOP_DEADLINE_SECONDS)
    return make(it, "stop-heal", it.standby, sentence, step)


# -- by hand ---------------------------------------------------------------------------------------


def heal_node(it: Situation, node: str, method: str, *, accept_loss: bool = False) -> Answer:
    """An operator's heal: by one method, or by those that the policy names (`auto`)."""
    refusal = _not_to_be_healed(it, node)
    if refusal is not None:
        return refusal
    methods = _methods(it, method)
    if isinstance(methods, Refusal):
        return methods
    if not it.s.answering and "reseed" not in methods:
        return Refusal(
            f"{node} does not answer ({it.s.contact}), and only a reseed works without that",
            f"myha heal {node} --method reseed",
        )
    entry = it.s_entry
    if entry.heal is not None and not entry.heal.methods:
        cause, reason = entry.heal.cause, entry.heal.reason
    elif it.fenced:
        cause, reason = entry.cause, entry.reason
    else:
        cause, reason = Cause.BY_HAND, entry.reason or "healed by hand"
    if not it.s.answering:
        methods = ("reseed",)
    return _begin(it, methods, cause, reason, accept_loss=accept_loss)


def _not_to_be_healed(it: Situation, node: str) -> Refusal | None:
    if (refusal := unknown(it, node)) is not None:
        return refusal
    if node == it.writer:
        return Refusal(
            f"{node} is the writer: its data is the pair's data",
            f"myha switchover --to {it.standby}",
        )
    if it.heal is not None:
        return Refusal(
            f"{node} is being healed by {it.heal.method} already; see `myha status`",
            f"myha fence {node}",
        )
    if it.heal_job is not None:
        return Refusal(f"a heal of {node} has not ended yet; try again in a moment")
    if not it.writer_installed:
        return Refusal(
            f"the writer {it.writer} does not take writes; {node} can be healed when it does"
        )
    return None


def _methods(it: Situation, method: str) -> tuple[str, ...] | Refusal:
    """Errant transactions are what merge and rewind deal with; anything else needs other data."""
    look = it.s.look
    broken = look is not None and look.applier.errno != 0
    other_data = it.member or it.s_entry.cause is Cause.BROKEN
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
    methods = tuple(one for one in it.heal_methods if one == "reseed" or not other_data)
    if not methods:
        ways = ", ".join(it.policy.heal)
        return Refusal(
            f"heal.policy ({ways}) names no method that can heal {it.standby}",
            f"myha heal {it.standby} --method {'reseed' if other_data else 'rewind'}",
        )
    return methods


def stop_heal(it: Situation, reason: str) -> Plan:
    """Fenced by hand instead. The record first: a job asks it before it changes the writer."""
    entry = fenced(Cause.BY_HAND, reason)
    change = RecordChange(f"{it.standby} is fenced by hand", nodes=((it.standby, entry),))
    return make(
        it,
        "fence",
        it.standby,
        f"stop the heal of {it.standby} and leave it fenced: {reason}",
        ChangeRecord(change=change),
        StopJob(node=it.standby, deadline_seconds=STOP_DEADLINE_SECONDS),
    )
