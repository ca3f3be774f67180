"""What is done about a replica, each in the order that keeps every beginning of it safe. Pure.

A plan that is cut short is not resumed: what it left is seen and decided upon. Every step is done
only while the pair's epoch and the replica's own record are those that the plan was made under.
"""

from __future__ import annotations

from myha.core.followers.plans import Follow, StopAcknowledging
from myha.core.followers.situation import FollowerSituation
from myha.core.plans import (
    CloseGently,
    Fence,
    KillClients,
    PlaceEvents,
    Plan,
    Refusal,
    RequireNoErrant,
    RestoreSettings,
    StartReplication,
    Step,
    StopReplication,
    TakeOut,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.heals import not_replaced
from myha.core.protocols.settings import set_while_resting
from myha.core.record import Cause, fenced, member
from myha.core.settings import Kind, listed

STOP_SECONDS = START_SECONDS = SET_SECONDS = FENCE_SECONDS = 5.0
EVENTS_SECONDS = 10.0
SETTINGS_ATTEMPTS = 5  # then not before the incident is forgotten


# -- following -------------------------------------------------------------------------------------


def follow(it: FollowerSituation) -> Answer:
    """Replicate from the writer on record, once it is sure that nothing there is lacking in it.

    After the death of a writer a replica may have what the new one never got: until that is ruled
    out it takes no reads. Its own history is read first, when it stands still, and the writer's
    second, so that it is never falsely found errant. What it has received and not applied goes
    with the old channel, and comes again if it is part of the writer's history.
    """
    look = it.look
    if look is None or not it.writer_ready or it.heal_job is not None:
        return None
    as_on_record = it.member_look is not None
    joins = None
    if not as_on_record:
        joins = it.record_as(f"{it.name} follows {it.writer}", member(look.boot_id))
    return make(
        it,
        "follow",
        it.name,
        f"let {it.name} follow {it.writer}",
        _out(it) if it.doubtful else None,
        StopReplication(node=it.name, deadline_seconds=STOP_SECONDS),
        RequireNoErrant(node=it.name, reference=it.writer),
        *set_while_resting(it.name, look.differs, best_effort=True),
        Follow(
            node=it.name,
            source=it.writer,
            clears_filters=it.judged,
            deadline_seconds=SET_SECONDS,
        ),
        # A copy of the writer has the writer's events.
        None if as_on_record else _no_events(it, best_effort=True),
        StartReplication(node=it.name, deadline_seconds=START_SECONDS),
        joins,
    )


def _out(it: FollowerSituation) -> Step:
    return TakeOut(node=it.name, pools=("reader",), balancers=it.policy.balancers, best_effort=True)


def _no_events(it: FollowerSituation, *, best_effort: bool = False) -> Step:
    return PlaceEvents(
        node=it.name, run=False, best_effort=best_effort, deadline_seconds=EVENTS_SECONDS
    )


def run_no_events(it: FollowerSituation) -> Answer:
    sentence = f"leave the events on {it.name} to {it.writer}"
    return make(it, "place-events", it.name, sentence, _no_events(it))


def stop_acknowledging(it: FollowerSituation) -> Answer:
    sentence = f"have {it.name} acknowledge nothing any more"
    return make(
        it,
        "stop-acknowledging",
        it.name,
        sentence,
        StopAcknowledging(node=it.name, deadline_seconds=STOP_SECONDS),
    )


def restore_settings(it: FollowerSituation) -> Answer:
    """What needs no rest of replication at once; else with the channel, by `follow`."""
    look = it.member_look
    if look is None:
        return None
    ours = [one for one in look.differs if not one.by_hand and one.kind is not Kind.FILTER]
    plan: Plan | None = None
    if any(not one.rests for one in ours):
        sentence = f"set on {it.name} what differs from setup: {listed(ours)}"
        step = RestoreSettings(node=it.name, deadline_seconds=SET_SECONDS)
        plan = make(it, "restore-settings", it.name, sentence, step)
    elif ours:
        answer = follow(it)
        plan = answer if isinstance(answer, Plan) else None
    if plan is not None:
        failed = {one.plan: one.attempts for one in it.view.incidents}
        if failed.get(plan.kind, 0) < SETTINGS_ATTEMPTS:
            return plan
        return Refusal(f"{plan.sentence}: has failed {SETTINGS_ATTEMPTS} times, tried again later")
    by_hand = [f"{one}: {one.by_hand}" for one in look.differs if one.by_hand]
    if not by_hand:
        return None
    return Refusal(f"the supervisor may not or cannot set this on {it.name}; {'; '.join(by_hand)}")


def route(it: FollowerSituation) -> Answer:
    return make(it, "route", it.name, f"correct the routing of reads to {it.name}", *it.routing)


# -- out of service --------------------------------------------------------------------------------


def quiet_steps(it: FollowerSituation) -> tuple[Step, ...]:
    """No reads, read-only, not replicating; as much of that as a server that is away allows."""
    if it.look is None:
        return (_out(it),)
    return (
        _out(it),
        Fence(node=it.name, deadline_seconds=FENCE_SECONDS),
        StopReplication(node=it.name, deadline_seconds=STOP_SECONDS),
    )


def fence(it: FollowerSituation, cause: Cause, reason: str) -> Plan:
    """The record first: whatever is cut short afterwards is found and gone on with."""
    record = it.record_as(f"{it.name} is fenced: {reason}", fenced(cause, reason))
    return make(it, "fence", it.name, f"fence {it.name}: {reason}", record, *quiet_steps(it))


def fence_errant(it: FollowerSituation) -> Answer:
    if it.errant is None:
        return None
    count = it.errant.count()
    return fence(it, Cause.ERRANT, f"it has {count} errant transactions: {it.errant}")


def fence_filtered(it: FollowerSituation) -> Answer:
    why = "a replication filter was in force, so changes may be missing"
    return fence(it, Cause.BROKEN, f"{why} ({listed(it.filters)})")


def fence_broken(it: FollowerSituation) -> Answer:
    """What will fail again goes on nowhere by itself; a heal is for it, or a person."""
    if it.relay_log_is_damaged and (again := follow(it)) is not None:
        return again
    reason, otherwise = it.broken_reason, "only other data help"
    refusal = not_replaced(it, reason, needed=it.needs_other_data, otherwise=otherwise)
    return refusal or fence(it, Cause.BROKEN, reason)


def isolate(it: FollowerSituation) -> Answer:
    sentence = f"close {it.name}, which is fenced, and stop its replication"
    return make(it, "isolate", it.name, sentence, *quiet_steps(it))


def close(it: FollowerSituation) -> Answer:
    return make(
        it,
        "close",
        it.name,
        f"close {it.name}, which takes writes although it is a replica",
        _out(it),
        CloseGently(node=it.name),
        KillClients(node=it.name, best_effort=True),
    )
