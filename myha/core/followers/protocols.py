"""What is done about a replica, each in the order that keeps every beginning of it safe. Pure.

A plan that is cut short is not resumed: what it left is seen and decided upon. Every step is done
only while the pair's epoch and the replica's own record are those that the plan was made under.
"""

from __future__ import annotations

from collections.abc import Iterable

from myha.core.followers.plans import ChangeFollower, Follow, StopAcknowledging
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
from myha.core.protocols.answer import Answer
from myha.core.record import Cause, NodeRecord, fenced, member
from myha.core.settings import Difference, Kind

STOP_SECONDS = START_SECONDS = SET_SECONDS = FENCE_SECONDS = 5.0
EVENTS_SECONDS = 10.0
SETTINGS_ATTEMPTS = 5  # then not before the incident is forgotten


def make(it: FollowerSituation, kind: str, sentence: str, *steps: Step | None) -> Plan:
    """Under the pair's epoch, and the version of the replica's own record."""
    kept = tuple(step for step in steps if step is not None)
    return Plan(kind, it.name, sentence, it.pair_record.epoch, it.record.version, kept)


def change(it: FollowerSituation, sentence: str, entry: NodeRecord) -> ChangeFollower:
    return ChangeFollower(node=it.name, sentence=sentence, entry=entry)


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
        joins = change(it, f"{it.name} follows {it.writer}", member(look.boot_id))
    return make(
        it,
        "follow",
        f"let {it.name} follow {it.writer}",
        _out(it) if it.doubtful else None,
        StopReplication(node=it.name, deadline_seconds=STOP_SECONDS),
        RequireNoErrant(node=it.name, reference=it.writer),
        *_restored(it),
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


def _restored(it: FollowerSituation) -> tuple[Step, ...]:
    """The settings for which replication has to rest, while it does."""
    look = it.look
    kinds = {one.kind for one in look.differs if not one.by_hand} if look is not None else set()
    if not kinds & {Kind.SETTING, Kind.AT_BOOT}:
        return ()
    # One that may not be set is told later.
    step = RestoreSettings(
        node=it.name, resting=True, best_effort=True, deadline_seconds=SET_SECONDS
    )
    return (step,)


def _no_events(it: FollowerSituation, *, best_effort: bool = False) -> Step:
    return PlaceEvents(
        node=it.name, run=False, best_effort=best_effort, deadline_seconds=EVENTS_SECONDS
    )


def run_no_events(it: FollowerSituation) -> Answer:
    sentence = f"leave the events on {it.name} to {it.writer}"
    return make(it, "place-events", sentence, _no_events(it))


def stop_acknowledging(it: FollowerSituation) -> Answer:
    sentence = f"have {it.name} acknowledge nothing any more"
    return make(
        it,
        "stop-acknowledging",
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
        plan = make(it, "restore-settings", sentence, step)
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


def listed(differs: Iterable[Difference]) -> str:
    return ", ".join(str(one) for one in differs)


def route(it: FollowerSituation) -> Answer:
    return make(it, "route", f"correct the routing of reads to {it.name}", *it.routing)


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
    record = change(it, f"{it.name} is fenced: {reason}", fenced(cause, reason))
    return make(it, "fence", f"fence {it.name}: {reason}", record, *quiet_steps(it))


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
    override = f"myha heal {it.name} --method reseed"
    if not it.needs_other_data:
        return Refusal(f"{it.name}: {it.broken_reason}; myha cannot repair that", override)
    if "reseed" not in it.heal_methods:
        return Refusal(
            f"{it.name}: {it.broken_reason}; only other data help, and heal.policy does not let "
            "myha reseed it",
            override,
        )
    return fence(it, Cause.BROKEN, it.broken_reason)


def isolate(it: FollowerSituation) -> Answer:
    sentence = f"close {it.name}, which is fenced, and stop its replication"
    return make(it, "isolate", sentence, *quiet_steps(it))


def close(it: FollowerSituation) -> Answer:
    return make(
        it,
        "close",
        f"close {it.name}, which takes writes although it is a replica",
        _out(it),
        CloseGently(node=it.name),
        KillClients(node=it.name, best_effort=True),
    )
