"""What is the same in the heal of a node of the pair and of a read replica. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from myha.core.jobs import HealOutcome, JobResult
from myha.core.plans import Plan, Refusal, StartJob, Step, StopJob
from myha.core.protocols.answer import Answer, make
from myha.core.record import Cause, Heal, NodeRecord, away, fenced
from myha.core.situation.subject import Subject

STOP_DEADLINE_SECONDS = 20.0
START_DEADLINE_SECONDS = 10.0

AnySubject: TypeAlias = Subject[Any]


def new_heal(
    it: AnySubject, methods: tuple[str, ...], cause: Cause, reason: str, *, accept_loss: bool
) -> Heal:
    """Its id is the version that the record gets by it: no two heals have the same."""
    return Heal(it.version + 1, methods, cause, reason, accept_loss=accept_loss)


def start_job(it: AnySubject, heal: Heal, writer: str) -> StartJob:
    return StartJob(
        node=it.name,
        method=heal.method,
        id=heal.id,
        writer=writer,
        epoch=it.epoch,
        accept_loss=heal.accept_loss,
        deadline_seconds=START_DEADLINE_SECONDS,
    )


def stop_job(it: AnySubject) -> StopJob:
    return StopJob(node=it.name, deadline_seconds=STOP_DEADLINE_SECONDS)


def finish(it: AnySubject) -> Answer:
    """From here it is a server that returns: quiet, compared once more, and resumed when clean."""
    outcome = it.heal_outcome
    if outcome is None:
        return None
    reason = f"healed by {outcome.method}: {outcome.reason}"
    record = it.record_as(f"{it.name} is {reason}", away(Cause.HEALED, reason))
    return make(it, "healed", it.name, f"{it.name} is healed by {outcome.method}", record)


def next_method(it: AnySubject) -> Answer:
    heal, outcome = it.heal, it.heal_outcome
    if heal is None or outcome is None:
        return None
    sentence, entry = _without_method(it.name, heal, outcome)
    return make(it, "next-heal", it.name, sentence, it.record_as(sentence, entry))


def _without_method(node: str, heal: Heal, outcome: HealOutcome) -> tuple[str, NodeRecord]:
    """What is done when the present method was given up, and the node's standing then."""
    how = "refused" if outcome.result is JobResult.REFUSED else f"failed {outcome.attempts} times"
    refused = (*heal.refused, f"{heal.method} {how}: {outcome.reason}")
    rest = replace(heal, methods=heal.methods[1:], refused=refused)
    if rest.methods:
        sentence = f"heal {node} by {rest.method}, since {refused[-1]}"
        return sentence, fenced(Cause.HEALING, heal.reason, rest)
    reason = f"{heal.reason}; not healed: {'; '.join(refused)}"
    return f"leave {node} fenced: {refused[-1]}", fenced(heal.cause, reason, rest)


def as_far_as_there(heal: Heal, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps before a heal: of a reseed its server may be half replaced already."""
    if heal.method != "reseed":
        return steps
    return tuple(replace(step, best_effort=True) for step in steps)


def not_replaced(it: AnySubject, reason: str, *, needed: bool, otherwise: str) -> Refusal | None:
    """Why the data of one that goes on nowhere are not replaced by itself. `needed`: nothing but
    other data help; `otherwise`: what is said of that where the policy does not let myha do it."""
    override = f"myha heal {it.name} --method reseed"
    if not needed:
        return Refusal(f"{it.name}: {reason}; myha cannot repair that", override)
    if "reseed" in it.heal_methods:
        return None
    text = f"{it.name}: {reason}; {otherwise}, and heal.policy does not let myha reseed it"
    return Refusal(text, override)


def stop_unwanted(it: AnySubject) -> Answer:
    sentence = f"stop a heal of {it.name} that is not on record"
    return make(it, "stop-heal", it.name, sentence, stop_job(it))


# -- by hand ---------------------------------------------------------------------------------------


def refused_now(it: AnySubject, writer: str, *, ready: bool) -> Refusal | None:
    """Why no heal can begin at this moment. `ready`: the writer takes writes."""
    if it.heal is not None:
        return Refusal(
            f"{it.name} is being healed by {it.heal.method} already; see `myha status`",
            f"myha fence {it.name}",
        )
    if it.heal_job is not None:
        return Refusal(f"a heal of {it.name} has not ended yet; try again in a moment")
    if not ready:
        return Refusal(
            f"the writer {writer} does not take writes; {it.name} can be healed when it does"
        )
    return None


def of_policy(it: AnySubject, *, other_data: bool, override: str) -> tuple[str, ...] | Refusal:
    """The methods that the policy names for it. `other_data`: nothing else helps."""
    methods = tuple(one for one in it.heal_methods if one == "reseed" or not other_data)
    if methods:
        return methods
    ways = ", ".join(it.policy.heal)
    return Refusal(f"heal.policy ({ways}) names no method that can heal {it.name}", override)


def begin_by_hand(
    it: AnySubject,
    methods: tuple[str, ...] | Refusal,
    begin: Callable[[tuple[str, ...], Cause, str], Plan],
) -> Answer:
    """By those of `methods` that can be used as it is now."""
    if isinstance(methods, Refusal):
        return methods
    if it.look is None:
        if "reseed" not in methods:
            return Refusal(
                f"{it.name} does not answer ({it.node.contact}), and only a reseed works without "
                "that",
                f"myha heal {it.name} --method reseed",
            )
        methods = ("reseed",)
    entry = it.entry
    if entry.heal is not None and not entry.heal.methods:
        return begin(methods, entry.heal.cause, entry.heal.reason)
    if it.fenced:
        return begin(methods, entry.cause, entry.reason)
    return begin(methods, Cause.BY_HAND, entry.reason or "healed by hand")


def stop_heal(it: AnySubject, reason: str) -> Plan:
    """Fenced by hand instead. The record first: a job asks it before it changes anything."""
    return make(
        it,
        "fence",
        it.name,
        f"stop the heal of {it.name} and leave it fenced: {reason}",
        it.record_as(f"{it.name} is fenced by hand", fenced(Cause.BY_HAND, reason)),
        stop_job(it),
    )


def unfence(it: AnySubject, doubtful: Cause) -> Answer:
    """Back to `away`: inspected like any server that returns, and fenced again if it diverged.

    Where its data was in doubt, being broken or for the cause `doubtful`, a person has answered for
    that.
    """
    if it.heal is not None or it.heal_job is not None:
        return Refusal(
            f"{it.name} is being healed, and its data is not verified yet", f"myha fence {it.name}"
        )
    doubted = it.entry.cause in (Cause.BROKEN, doubtful)
    cause = Cause.TRUSTED if doubted else Cause.BY_HAND
    entry = away(cause, "unfenced by hand; to be inspected")
    record = it.record_as(f"{it.name} is unfenced and away", entry)
    return make(it, "unfence", it.name, f"unfence {it.name}", record)
