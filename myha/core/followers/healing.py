"""Heals of a replica: as those of a node of the pair, on the replica's own record. Pure.

The writer goes on as it is: nothing flows from a replica to it, and nothing there waits for one.
"""

from __future__ import annotations

from dataclasses import replace

from myha.core.followers.protocols import change, make, quiet_steps
from myha.core.followers.situation import METHODS, FollowerSituation
from myha.core.plans import Plan, Refusal, StartJob, StopJob
from myha.core.protocols.answer import Answer
from myha.core.protocols.healing import (
    START_DEADLINE_SECONDS,
    STOP_DEADLINE_SECONDS,
    without_method,
)
from myha.core.record import Cause, Heal, away, fenced


def _begin(
    it: FollowerSituation,
    methods: tuple[str, ...],
    cause: Cause,
    reason: str,
    *,
    accept_loss: bool = False,
) -> Plan:
    """Its id is the version that the record gets by it: no two heals have the same."""
    heal = Heal(it.record.version + 1, methods, cause, reason, accept_loss=accept_loss)
    sentence = f"{it.name} is being healed by {heal.method}"
    record = change(it, sentence, fenced(Cause.HEALING, reason, heal))
    how = " or ".join(methods)
    return make(it, "heal", f"heal {it.name} by {how}", record, *quiet_steps(it))


def begin_for_errant(it: FollowerSituation) -> Answer:
    return _begin(it, it.heal_methods, Cause.ERRANT, it.entry.reason)


def begin_for_broken(it: FollowerSituation) -> Answer:
    return _begin(it, ("reseed",), Cause.BROKEN, it.entry.reason)


def seed(it: FollowerSituation) -> Answer:
    """A new replica gets the writer's data, whatever heal.policy says: setup was told to add it."""
    return _begin(it, ("reseed",), Cause.NEW, it.entry.reason or "new")


def start(it: FollowerSituation) -> Answer:
    """Begin the present method, or begin it again. It is quiet for that, as far as it is there."""
    heal = it.heal
    if heal is None or it.heal_pauses:
        return None
    steps = quiet_steps(it)
    if heal.method == "reseed":  # which may have been half replaced already
        steps = tuple(replace(step, best_effort=True) for step in steps)
    return make(
        it,
        "start-heal",
        f"begin to heal {it.name} by {heal.method}",
        *steps,
        StartJob(
            node=it.name,
            method=heal.method,
            id=heal.id,
            writer=it.writer,
            epoch=it.pair_record.epoch,
            accept_loss=heal.accept_loss,
            deadline_seconds=START_DEADLINE_SECONDS,
        ),
    )


def finish(it: FollowerSituation) -> Answer:
    outcome = it.heal_outcome
    if outcome is None:
        return None
    reason = f"healed by {outcome.method}: {outcome.reason}"
    record = change(it, f"{it.name} is {reason}", away(Cause.HEALED, reason))
    return make(it, "healed", f"{it.name} is healed by {outcome.method}", record)


def next_method(it: FollowerSituation) -> Answer:
    heal, outcome = it.heal, it.heal_outcome
    if heal is None or outcome is None:
        return None
    sentence, entry = without_method(it.name, heal, outcome)
    return make(it, "next-heal", sentence, change(it, sentence, entry))


def stop_unwanted(it: FollowerSituation) -> Answer:
    sentence = f"stop a heal of {it.name} that is not on record"
    step = StopJob(node=it.name, deadline_seconds=STOP_DEADLINE_SECONDS)
    return make(it, "stop-heal", sentence, step)


# -- by hand ---------------------------------------------------------------------------------------


def heal_by_hand(it: FollowerSituation, method: str, *, accept_loss: bool = False) -> Answer:
    """An operator's heal: by one method, or by those that the policy names (`auto`)."""
    if it.heal is not None:
        return Refusal(
            f"{it.name} is being healed by {it.heal.method} already; see `myha status`",
            f"myha fence {it.name}",
        )
    if it.heal_job is not None:
        return Refusal(f"a heal of {it.name} has not ended yet; try again in a moment")
    if it.writer_look is None:
        return Refusal(
            f"the writer {it.writer} does not take writes; {it.name} can be healed when it does"
        )
    methods = _methods(it, method)
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
        cause, reason = entry.heal.cause, entry.heal.reason
    elif it.fenced:
        cause, reason = entry.cause, entry.reason
    else:
        cause, reason = Cause.BY_HAND, entry.reason or "healed by hand"
    return _begin(it, methods, cause, reason, accept_loss=accept_loss)


def _methods(it: FollowerSituation, method: str) -> tuple[str, ...] | Refusal:
    """Errant transactions are what a rewind deals with; anything else needs other data."""
    reseed = f"myha heal {it.name} --method reseed"
    if method != "auto":
        if method not in METHODS:
            known = ", ".join(METHODS)
            return Refusal(f"a replica is not healed by {method}, but by {known} or auto", reseed)
        if it.member and method != "reseed":
            return Refusal(f"{it.name} has no errant transactions to {method}", reseed)
        return (method,)
    if it.member and not it.broken_reason:
        return Refusal(f"{it.name} is a replica in good standing: there is nothing to heal", reseed)
    other_data = it.member or it.entry.cause in (Cause.BROKEN, Cause.NEW)
    methods = tuple(one for one in it.heal_methods if one == "reseed" or not other_data)
    if not methods:
        ways = ", ".join(it.policy.heal)
        return Refusal(f"heal.policy ({ways}) names no method that can heal {it.name}", reseed)
    return methods


def stop_heal(it: FollowerSituation, reason: str) -> Plan:
    """Fenced by hand instead. The record first: a job asks it before it changes anything."""
    return make(
        it,
        "fence",
        f"stop the heal of {it.name} and leave it fenced: {reason}",
        change(it, f"{it.name} is fenced by hand", fenced(Cause.BY_HAND, reason)),
        StopJob(node=it.name, deadline_seconds=STOP_DEADLINE_SECONDS),
    )
