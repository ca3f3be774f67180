"""Heals of a replica: as those of a node of the pair, on the replica's own record. Pure.

The writer goes on as it is: nothing flows from a replica to it, and nothing there waits for one.
"""

from __future__ import annotations

from functools import partial

from myha.core.followers.protocols import quiet_steps
from myha.core.followers.situation import FollowerSituation
from myha.core.plans import Plan, Refusal
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.heals import (
    as_far_as_there,
    begin_by_hand,
    new_heal,
    of_policy,
    refused_now,
    start_job,
)
from myha.core.record import Cause, fenced


def _begin(
    it: FollowerSituation,
    methods: tuple[str, ...],
    cause: Cause,
    reason: str,
    *,
    accept_loss: bool = False,
) -> Plan:
    heal = new_heal(it, methods, cause, reason, accept_loss=accept_loss)
    entry = fenced(Cause.HEALING, reason, heal)
    record = it.record_as(f"{it.name} is being healed by {heal.method}", entry)
    sentence = f"heal {it.name} by {' or '.join(methods)}"
    return make(it, "heal", it.name, sentence, record, *quiet_steps(it))


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
    steps = as_far_as_there(heal, quiet_steps(it))
    sentence = f"begin to heal {it.name} by {heal.method}"
    return make(it, "start-heal", it.name, sentence, *steps, start_job(it, heal, it.writer))


# -- by hand ---------------------------------------------------------------------------------------


def heal_by_hand(it: FollowerSituation, method: str, *, accept_loss: bool = False) -> Answer:
    """An operator's heal: by one method, or by those that the policy names (`auto`)."""
    refusal = refused_now(it, it.writer, ready=it.writer_look is not None)
    begin = partial(_begin, it, accept_loss=accept_loss)
    return refusal or begin_by_hand(it, _methods(it, method), begin)


def _methods(it: FollowerSituation, method: str) -> tuple[str, ...] | Refusal:
    """Errant transactions are what a rewind deals with; anything else needs other data."""
    reseed = f"myha heal {it.name} --method reseed"
    if method != "auto":
        if method not in it.methods:
            known = ", ".join(it.methods)
            return Refusal(f"a replica is not healed by {method}, but by {known} or auto", reseed)
        if it.member and method != "reseed":
            return Refusal(f"{it.name} has no errant transactions to {method}", reseed)
        return (method,)
    if it.member and not it.broken_reason:
        return Refusal(f"{it.name} is a replica in good standing: there is nothing to heal", reseed)
    other_data = it.member or it.entry.cause in (Cause.BROKEN, Cause.NEW)
    return of_policy(it, other_data=other_data, override=reseed)
