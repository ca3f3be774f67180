"""The protocols: in which order the steps of a failover, a release, a rejoin stand, and why. Pure.

The order *is* the protocol; why each step stands where it does is said beside it. Every plan may be
cut short at any step, and what is then seen leads to a plan that goes on from there: an interrupted
failover is found as `writer-closed`, an interrupted release as `stalled-solo`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from myha.core.acknowledgement import standby_of
from myha.core.model import Cause, Contact, Durability, Heal, NodeRecord, Sync
from myha.core.plans import (
    AwaitApplied,
    AwaitCaughtUp,
    AwaitNear,
    AwaitReceived,
    ChangeRecord,
    CloseGently,
    DisableWaiting,
    Drain,
    EnableWaiting,
    Fence,
    FenceOutside,
    KillClients,
    MakeSchema,
    Open,
    PlaceEvents,
    Plan,
    ProveWrite,
    PutIn,
    RecordChange,
    Refusal,
    RequireNoErrant,
    RequireOnlyWithStandby,
    RestoreSettings,
    RestoreSource,
    StartReplication,
    Step,
    StopReceiver,
    StopReplication,
    TakeOut,
    away,
    fenced,
    member,
)
from myha.core.settings import Kind
from myha.core.situation import Situation

FENCE_OUTSIDE_DEADLINE_SECONDS = 30.0
BESIDE_DEADLINE_SECONDS = 1.0
NEAR_SLICE_SECONDS = 2.0  # no longer at a time: nothing else is decided meanwhile
NEAR_SHARE = 8  # of the outage agreed to, for the backlog that is left when the writer closes
CLOSING_SHARE, CATCHING_UP_SHARE = 0.4, 0.5  # of the outage agreed to
CLOSING_NOW_SECONDS = 3.0
PLACE_EVENTS_DEADLINE_SECONDS = 10.0  # there may be thousands
LOGINS_SECONDS = 0.03  # all clients log in at once; our own work beside it cost them 3 to 6 ms
GRACE_SECONDS = 0.5  # for a transaction that holds up the closing
MAX_LAG_SECONDS_FOR_SWITCHOVER = 5.0

Answer: TypeAlias = Plan | Refusal | None


def make(it: Situation, kind: str, node: str, sentence: str, *steps: Step | None) -> Plan:
    kept = tuple(step for step in steps if step is not None)
    return Plan(kind, node, sentence, it.record.epoch, it.record.version, kept)


# -- the writer ----------------------------------------------------------------------------------


def promotable(it: Situation) -> Refusal | None:
    """Whether the standby may become the writer; the reason if not."""
    override = f"myha failover --to {it.standby} --accept-loss"
    look = it.s.look
    if it.heal is not None:
        reason = f"{it.standby} is being healed by {it.heal.method}: {it.heal.reason}"
        return Refusal(reason, f"myha fence {it.standby}")
    if it.fenced:
        return Refusal(f"{it.standby} is fenced: {it.s_entry.reason}", f"myha unfence {it.standby}")
    if not it.member_present or look is None:
        return Refusal(
            f"{it.standby} is not known to have all of {it.writer}'s transactions", override
        )
    if look.applier.errno:
        return Refusal(f"the applier of {it.standby} has failed: {look.applier.error}", None)
    if it.filters:
        names = ", ".join(one.name for one in it.filters)
        reason = f"{it.standby} replicates with a filter ({names}): it may lack changes"
        return Refusal(reason, override)
    if it.lossless and not it.armed:
        reason = (
            f"the record says solo: {it.standby} may lack writes that {it.writer} has acknowledged"
        )
        return Refusal(reason, override)
    if it.lossless and it.stray_when_last_seen:
        reason = (
            f"when {it.writer} was last seen a replica outside the pair could acknowledge its "
            f"commits: {it.standby} may lack writes"
        )
        return Refusal(reason, override)
    return None


def failover_for_death(it: Situation) -> Answer:
    return promotable(it) or _flapping(it, death_proven=True) or failover(it)


def failover_for_closing(it: Situation) -> Answer:
    """Armed: its last commits need the standby, which stops acknowledging. Else wait."""
    if not (it.armed or it.dual):
        return None
    return promotable(it) or _flapping(it) or failover(it)


def failover_for_silence(it: Situation) -> Answer:
    refusal = promotable(it) or _flapping(it)
    if refusal is not None:
        return refusal
    if it.dual or it.armed:
        # Armed: whatever the writer may still do, it cannot acknowledge without the standby.
        # Dual: its peer takes writes anyway, and all that changes is where clients go.
        return failover(it)
    if it.writer in it.policy.fence_commands:
        deadline = FENCE_OUTSIDE_DEADLINE_SECONDS
        return failover(it, FenceOutside(node=it.writer, deadline_seconds=deadline))
    return Refusal(
        f"{it.writer} is silent, not proven dead, and could still acknowledge writes: without "
        "lossless durability a failover needs a fence_command",
        f"myha failover --to {it.standby} --accept-loss",
    )


def _flapping(it: Situation, *, death_proven: bool = False) -> Refusal | None:
    """Too many failovers in a row are refused, since the next one may be brought about by the last.

    Not where that would help nobody: the writer is proven dead, it was no part of a quick loop,
    and the standby is proven to hold everything.
    """
    if not it.flaps or (death_proven and it.armed and it.writer_settled):
        return None
    reason = (
        f"{it.recent_failovers} failovers in the last {it.policy.flap_window_seconds:.0f} s: "
        "the writer role is flapping, and a person must find the cause"
    )
    return Refusal(reason, f"myha failover --to {it.standby}")


def failover(it: Situation, outside: Step | None = None, *, unattended: bool = True) -> Plan:
    """The standby takes over. The record first: from then on this is the only truth to go on from.

    After the receiver has stopped no write on the old writer can be acknowledged; only what it has
    received up to there must be applied before the new writer opens.
    """
    old, new, names = it.writer, it.standby, it.policy.balancers
    nodes: tuple[tuple[str, NodeRecord], ...] = (
        (old, away(Cause.REPLACED, f"{new} took over from it")),
    )
    if not it.member_present and it.s.look is not None:
        # Forced: whatever the new writer has is the pair's history from now on.
        nodes = (*nodes, (new, member(it.s.look.boot_id)))
    change = RecordChange(
        f"{new} is the writer, solo; {old} is away",
        writer=new,
        new_epoch=True,
        sync=Sync.SOLO,
        nodes=nodes,
        unattended=unattended,
    )
    reachable = it.w.contact is not Contact.REFUSING
    fence = Fence(node=old, beside=True, best_effort=True, deadline_seconds=BESIDE_DEADLINE_SECONDS)
    return make(
        it,
        "failover",
        new,
        f"fail over from {old} to {new}",
        outside,
        # Where the new writer is open already, nothing may flow to it from a node that is away.
        StopReceiver(node=new) if it.dual else None,
        ChangeRecord(change=change),
        # Its clients write all the time, and would wait for the one that is gone.
        DisableWaiting(node=new, best_effort=True) if it.dual and _standby_waits(it) else None,
        fence if reachable else None,
        StopReceiver(node=new) if not it.dual else None,
        TakeOut(node=old, balancers=names, best_effort=True),
        *_install_steps(it, new, is_open=it.dual and it.s.look is not None and it.s.look.open),
    )


def _standby_waits(it: Situation) -> bool:
    return it.s.look is not None and it.s.look.semisync.source_enabled


def _install_steps(it: Situation, node: str, *, is_open: bool = False) -> tuple[Step, ...]:
    """What was received is applied before clients write. With two writers they do already, and
    nothing waits for it; but the applier has to run, so that it will be."""
    deadline = it.policy.applied_deadline_seconds
    applied = AwaitApplied(node=node, deadline_seconds=deadline)
    routed = PutIn(node=node, pool="writer", balancers=it.policy.balancers, best_effort=True)
    proved = _prove_routed(node)
    # The last of all, and beside: no client waits for an event.
    events = _run_events(node)
    if is_open:
        late = replace(applied, deadline_seconds=min(1.0, deadline), best_effort=True)
        return routed, proved, late, events
    return applied, Open(node=node), routed, proved, events


def _prove_routed(node: str) -> ProveWrite:
    return ProveWrite(node=node, best_effort=True, after_seconds=LOGINS_SECONDS)


def _run_events(node: str) -> PlaceEvents:
    deadline = PLACE_EVENTS_DEADLINE_SECONDS
    return PlaceEvents(node=node, beside=True, best_effort=True, deadline_seconds=deadline)


def _no_events(node: str) -> PlaceEvents:
    """What cannot be changed is found by the looks, and is in the way of nothing."""
    return PlaceEvents(node=node, run=False, best_effort=True)


def install(it: Situation) -> Answer:
    """The writer on record is closed: finish what a change of writer had begun, or undo it."""
    peer, names = it.standby, it.policy.balancers
    reachable = it.s.contact is not Contact.REFUSING
    fence = Fence(
        node=peer, beside=True, best_effort=True, deadline_seconds=BESIDE_DEADLINE_SECONDS
    )
    return make(
        it,
        "install",
        it.writer,
        f"open the writer on record, {it.writer}",
        fence if reachable and not it.member and not it.dual else None,
        StopReceiver(node=it.writer) if it.away else None,
        TakeOut(node=peer, pools=("writer",), balancers=names, best_effort=True)
        if not it.dual
        else None,
        *_install_steps(it, it.writer),
    )


def reinstate(it: Situation) -> Answer:
    """The writer restarted before anyone took over: its history is the truth, if it is whole."""
    look = it.w.look
    if look is None:
        return None
    if it.standby_ahead and (it.away or promotable(it) is None):
        # A dual-writer's peer went on taking writes, or the restart lost what the peer has.
        return failover(it)
    reason = f"the writer {it.writer} restarted"
    nodes: tuple[tuple[str, NodeRecord], ...] = ((it.writer, member(look.boot_id)),)
    if it.member:
        nodes = (*nodes, (it.standby, away(Cause.RESTARTED, reason)))
    check = None
    if it.member and it.s.answering and not it.diverged:
        # A standby that is seen to have diverged waits for its own look, being away from here.
        check = RequireNoErrant(node=it.standby, reference=it.writer)
    change = RecordChange(f"{it.writer} has restarted, solo", sync=Sync.SOLO, nodes=nodes)
    return make(
        it,
        "reinstate",
        it.writer,
        f"open {it.writer} again after its restart",
        check,
        ChangeRecord(change=change),
        StopReplication(node=it.writer),
        *_install_steps(it, it.writer),
    )


# -- the standby ---------------------------------------------------------------------------------


def release(cause: Cause, why: str) -> Callable[[Situation], Answer]:
    def plan(it: Situation) -> Answer:
        """Record `solo` before the writer stops waiting: the record never claims too much."""
        reason = why.format(standby=it.standby)
        change = RecordChange(
            f"solo; {it.standby} is away",
            sync=Sync.SOLO,
            nodes=((it.standby, away(cause, reason)),),
        )
        return make(
            it,
            "release",
            it.writer,
            f"let {it.writer} go on without {it.standby}",
            # The returning node must not leak what only it has into the pair; where it took
            # writes itself, it has such from the first moment.
            StopReceiver(node=it.writer, best_effort=True) if it.dual else None,
            ChangeRecord(change=change),
            DisableWaiting(node=it.writer),
            StopReceiver(node=it.writer, best_effort=True) if not it.dual else None,
            TakeOut(node=it.standby, balancers=it.policy.balancers, best_effort=True),
        )

    return plan


def correct_record(it: Situation) -> Answer:
    change = RecordChange("solo: the writer does not wait for acknowledgements", sync=Sync.SOLO)
    sentence = "correct the record to solo"
    return make(it, "correct-record", it.writer, sentence, ChangeRecord(change=change))


def stop_waiting(kind: str) -> Callable[[Situation], Answer]:
    def plan(it: Situation) -> Answer:
        sentence = f"stop waiting for acknowledgements on {it.writer}"
        return make(it, kind, it.writer, sentence, DisableWaiting(node=it.writer))

    return plan


def standby_stops_waiting(it: Situation) -> Answer:
    sentence = f"stop waiting for acknowledgements on the standby {it.standby}"
    return make(it, "quiet-standby", it.standby, sentence, DisableWaiting(node=it.standby))


def close_standby(it: Situation) -> Answer:
    return make(
        it,
        "close-standby",
        it.standby,
        f"close {it.standby}, which takes writes without being the writer",
        TakeOut(
            node=it.standby, pools=("writer",), balancers=it.policy.balancers, best_effort=True
        ),
        CloseGently(node=it.standby),
        KillClients(node=it.standby, best_effort=True),
    )


def fence_changed(it: Situation) -> Answer:
    source = it.s.look.source if it.s.look is not None else ""
    return fence(it, Cause.STRANGER, f"it replicates from {source}, which is not its peer")


def fence(it: Situation, cause: Cause, reason: str, heal: Heal | None = None) -> Plan:
    """Take the standby out for good: on record, out of traffic, read-only, not replicating."""
    change = RecordChange(
        f"{it.standby} is fenced: {reason}",
        sync=Sync.SOLO,
        nodes=((it.standby, fenced(cause, reason, heal)),),
    )
    return make(
        it,
        "fence",
        it.standby,
        f"fence {it.standby}: {reason}",
        ChangeRecord(change=change),
        DisableWaiting(node=it.writer),
        StopReceiver(node=it.writer, best_effort=True),
        *(quiet_steps(it) if it.s.answering else _out_steps(it)),
    )


def _out_steps(it: Situation) -> tuple[Step, ...]:
    return (TakeOut(node=it.standby, balancers=it.policy.balancers, best_effort=True),)


def quiet_steps(it: Situation) -> tuple[Step, ...]:
    return (
        *_out_steps(it),
        Fence(node=it.standby, deadline_seconds=5.0),
        StopReplication(node=it.standby, deadline_seconds=5.0),
    )


def isolate(it: Situation) -> Answer:
    sentence = f"fence {it.standby} and stop its replication to inspect it"
    return make(
        it,
        "isolate",
        it.standby,
        sentence,
        *quiet_steps(it),
        # Whatever it holds must not flow to the writer before it has been looked at.
        StopReceiver(node=it.writer),
        # On MariaDB read-only does not bind an event whose definer may write all the same.
        _no_events(it.standby),
    )


def stop_listening(it: Situation) -> Answer:
    sentence = f"stop the receiver of {it.writer} until {it.standby} has been inspected"
    return make(it, "stop-listening", it.writer, sentence, StopReceiver(node=it.writer))


def fence_errant(it: Situation) -> Answer:
    if it.errant is None:
        return None
    reason = f"it has {it.errant.count()} errant transactions: {it.errant}"
    change = RecordChange(
        f"{it.standby} is fenced: {reason}",
        nodes=((it.standby, fenced(Cause.ERRANT, reason)),),
    )
    sentence = f"fence {it.standby}: {reason}"
    return make(it, "fence-errant", it.standby, sentence, ChangeRecord(change=change))


def rejoin(it: Situation) -> Answer:
    look = it.s.look
    if look is None or _rejoin_blocked(it) or it.heal_job is not None:
        return None
    change = RecordChange(
        f"{it.standby} is a member again", nodes=((it.standby, member(look.boot_id)),)
    )
    return make(
        it,
        "rejoin",
        it.standby,
        f"resume replication between {it.writer} and {it.standby}",
        RequireNoErrant(node=it.standby, reference=it.writer),
        *_restore_steps(it),
        RestoreSource(node=it.writer) if it.writer_sourceless else None,
        # Those of a former writer, or of a copy of the writer, are enabled still.
        _no_events(it.standby),
        StartReplication(node=it.standby, deadline_seconds=5.0),
        StartReplication(node=it.writer, deadline_seconds=5.0),
        ChangeRecord(change=change),
    )


def _rejoin_blocked(it: Situation) -> bool:
    """It replicates from a stranger, and nobody has answered for its data since."""
    return not (it.standby_source_is_peer or it.standby_judged)


def _restore_steps(it: Situation) -> tuple[Step, ...]:
    """What of the standby is not as setup made it, before it replicates; its threads rest."""
    look = it.s.look
    if look is None:
        return ()
    kinds = {one.kind for one in look.differs if not one.by_hand}
    steps: tuple[Step, ...] = ()
    if kinds & {Kind.SETTING, Kind.AT_BOOT}:
        # One that may not be set is told when the node is a member again.
        set_ = RestoreSettings(
            node=it.standby, resting=True, best_effort=True, deadline_seconds=5.0
        )
        steps = (set_,)
    if kinds & {Kind.CHANNEL, Kind.FILTER} or not look.source or not it.standby_source_is_peer:
        clears = it.standby_judged
        restore = RestoreSource(node=it.standby, clears_filters=clears, deadline_seconds=5.0)
        steps = (*steps, restore)
    return steps


def solo_first(it: Situation, node: str, sentence: str) -> ChangeRecord | None:
    """Before anything that may cost an armed standby what it has received; None where it is not."""
    if not it.armed or node != it.standby:
        return None
    return ChangeRecord(change=RecordChange(sentence, sync=Sync.SOLO))


def restart_standby_replication(it: Situation) -> Answer:
    """Where both threads were stopped, a start may throw away what was received and not applied.

    (MariaDB does, with GTID.) It is received again, but until then the record must not say armed.
    So too where one of them still ran: whoever stopped the other may stop that before the start.
    """
    sentence = f"start replication on {it.standby}"
    solo = solo_first(it, it.standby, f"solo while {it.standby} starts again")
    step = StartReplication(node=it.standby)
    return make(it, "restart-replication", it.standby, sentence, solo, step)


def restore_source(it: Situation) -> Answer:
    """What was received went with the source: it is received again, and until then it is solo."""
    node = it.standby if it.standby_sourceless else it.writer
    solo = solo_first(it, node, f"solo: {node} has lost its source")
    sentence = f"set up replication on {node} again"
    return make(
        it,
        "restore-source",
        node,
        sentence,
        solo,
        RestoreSource(node=node),
        StartReplication(node=node, deadline_seconds=5.0),
    )


def restart_writer_replication(it: Situation) -> Answer:
    sentence = f"start replication on {it.writer}"
    step = StartReplication(node=it.writer)
    return make(it, "restart-replication", it.writer, sentence, step)


def arm(it: Situation) -> Answer:
    """Recorded after it is seen to wait. A bounded wait may end by itself and is not recorded.

    Our own write says that commits get through; what the standby has received is asked of itself,
    up to that write, so that it also has all that was committed before without waiting. Who gave
    the acknowledgement, a count cannot tell: so the connections are looked at last.
    """
    prove: tuple[Step, ...] = ()
    if it.policy.durability is Durability.LOSSLESS:
        change = RecordChange(f"armed: {it.writer} waits for {it.standby}", sync=Sync.ARMED)
        prove = (
            ProveWrite(node=it.writer),
            AwaitReceived(node=it.standby, source=it.writer),
            RequireOnlyWithStandby(
                node=it.writer,
                standby=it.standby,
                identities=standby_of(it.s.look).identities,
            ),
            ChangeRecord(change=change),
        )
    sentence = f"make {it.writer} wait for {it.standby}"
    return make(it, "arm", it.writer, sentence, _wait(it), *prove)


def _wait(it: Situation) -> EnableWaiting:
    """For the standby; and for each stray, where the standby must be among those waited for."""
    count = 1 + it.stray_count if it.waits_for_all else 1
    return EnableWaiting(node=it.writer, acknowledgements=count)


def distrust(it: Situation) -> Answer:
    """An acknowledgement may be a stray's: the record says so before anything else is done."""
    if it.armed:
        why = f"solo: {it.stray_names} can acknowledge in place of {it.standby}"
        change = RecordChange(why, sync=Sync.SOLO)
        return make(it, "distrust", it.writer, f"record {why}", ChangeRecord(change=change))
    if it.waits_for_all:
        # Lossless: arming counts them in, once the standby is near.
        return None if it.lossless else match_acknowledgements(it)
    return Refusal(
        f"{it.writer} is not armed while {it.stray_names} can acknowledge its commits. There: SET "
        "GLOBAL rpl_semi_sync_replica_enabled = OFF (MariaDB: rpl_semi_sync_slave_enabled), then "
        "stop and start the receiver; and set the same in its option file"
    )


def match_acknowledgements(it: Situation) -> Answer:
    """Where fewer are waited for from now on, one that has gone may have been the first to
    acknowledge what the standby lacks: solo, until the standby is seen to have all."""
    solo = None
    if it.armed:
        change = RecordChange(
            "solo while the writer waits for fewer acknowledgements", sync=Sync.SOLO
        )
        solo = ChangeRecord(change=change)
    sentence = f"make {it.writer} wait for as many acknowledgements as its replicas can give"
    return make(it, "match-acknowledgements", it.writer, sentence, solo, _wait(it))


def open_second(it: Situation) -> Answer:
    return make(
        it,
        "open-second",
        it.standby,
        f"open {it.standby} for writes, as well as {it.writer}",
        # Not for long: if the source is lost meanwhile, there is more urgent work to do.
        AwaitCaughtUp(node=it.standby, source=it.writer, deadline_seconds=1.0),
        Open(node=it.standby),
    )


def arm_second(it: Situation) -> Answer:
    sentence = f"make {it.standby} wait for {it.writer}"
    return make(it, "arm", it.standby, sentence, EnableWaiting(node=it.standby))


def make_schema(it: Situation) -> Answer:
    sentence = f"recreate the schema myha on {it.writer}"
    return make(it, "make-schema", it.writer, sentence, MakeSchema(node=it.writer))


# -- the application's events --------------------------------------------------------------------


def run_writers_events(it: Situation) -> Answer:
    """With two writers the application may have disabled one on the other node, just now."""
    ask = it.standby if it.dual and it.s.answering else ""
    step = PlaceEvents(node=it.writer, ask=ask, deadline_seconds=PLACE_EVENTS_DEADLINE_SECONDS)
    sentence = f"run the events on {it.writer} that are not disabled"
    return make(it, "place-events", it.writer, sentence, step)


def run_no_events_on_standby(it: Situation) -> Answer:
    deadline = PLACE_EVENTS_DEADLINE_SECONDS
    step = PlaceEvents(node=it.standby, run=False, deadline_seconds=deadline)
    sentence = f"leave the events on {it.standby} to {it.writer}"
    return make(it, "place-events", it.standby, sentence, step)


# -- the rest ------------------------------------------------------------------------------------


def route(it: Situation) -> Answer:
    return make(it, "route", it.writer, "correct the routing of the balancers", *it.routing)


# -- planned change of writer ---------------------------------------------------------------------


def switchover(
    it: Situation, to: str, *, max_outage_seconds: float | None = None, now: bool = False
) -> Answer:
    """Planned change of writer, or why not. Nothing is closed before all of this is so.

    `max_outage_seconds` is what may be taken from the clients, None: as configured; `now`: however
    long it takes.
    """
    if it.dual:
        return Refusal("both nodes take writes: there is no writer role to move; use `myha fence`")
    if to not in it.policy.nodes:
        return Refusal(f"there is no node {to}; the nodes are {' and '.join(it.policy.nodes)}")
    if to == it.writer:
        return Refusal(f"{to} is the writer already")
    if not it.writer_installed:
        return Refusal(f"the writer {it.writer} does not take writes", f"myha failover --to {to}")
    look = it.s.look
    if not it.standby_replicates or look is None:
        return Refusal(f"{to} does not replicate from {it.writer}; see `myha explain`")
    if it.filters:
        return Refusal(f"{to} replicates with a filter and may lack changes; see `myha explain`")
    behind = look.lag_seconds or 0.0
    if behind > MAX_LAG_SECONDS_FOR_SWITCHOVER and not now:
        override = f"myha switchover --to {to} --now"
        return Refusal(f"{to} is {behind:.1f} s behind; wait until it has caught up", override)
    if now:
        return _switchover(it, None)
    limit = it.policy.max_outage_seconds if max_outage_seconds is None else max_outage_seconds
    return _switchover(it, limit)


def _switchover(it: Situation, max_outage_seconds: float | None) -> Plan:
    """The old writer is closed and its last write is on the new one before anything is recorded.

    Cut short before the record changes, it is undone: the writer on record is closed, so it is
    opened. Cut short after, it is finished. Waiting is switched off on the old writer only when
    the new one has caught up, since the other order delays the catching up.

    From where the old writer begins to close its clients wait. So that is begun only when the new
    one is near, and given up after the share of `max_outage_seconds` that each step has: a closing
    that is given up is taken back at once, and one that has succeeded is undone by `install`.
    """
    old, new, names = it.writer, it.standby, it.policy.balancers
    limit = max_outage_seconds
    near = None
    close = CloseGently(node=old, grace_seconds=GRACE_SECONDS, deadline_seconds=CLOSING_NOW_SECONDS)
    caught_up = AwaitCaughtUp(
        node=new, source=old, deadline_seconds=it.policy.applied_deadline_seconds
    )
    if limit is not None:
        # A backlog on the new writer is waited for while the old one still takes writes: what is
        # left of it when the old one closes is time that clients wait.
        within = max(0.01, limit / NEAR_SHARE)
        near = AwaitNear(
            node=new, source=old, within_seconds=within, deadline_seconds=NEAR_SLICE_SECONDS
        )
        closing = limit * CLOSING_SHARE
        close = replace(close, grace_seconds=closing / 2, deadline_seconds=closing)
        caught_up = replace(caught_up, deadline_seconds=limit * CATCHING_UP_SHARE)
    change = RecordChange(
        f"{new} is the writer, solo until it waits for acknowledgements",
        writer=new,
        new_epoch=True,
        sync=Sync.SOLO,
    )
    arm = EnableWaiting(node=new, best_effort=True) if it.lossless else None
    return make(
        it,
        "switchover",
        new,
        f"switch over from {old} to {new}",
        near,
        # While it is open: later read-only would have to be lifted for it. Undone by `install`.
        _no_events(old),
        Drain(node=old, pool="writer", balancers=names, best_effort=True),
        close,
        caught_up,
        ChangeRecord(change=change),
        # Beside: it takes half a second to return, and nobody writes on the old writer any more.
        DisableWaiting(node=old, best_effort=True, beside=True, deadline_seconds=3.0),
        arm,
        TakeOut(node=old, pools=("writer",), balancers=names, best_effort=True),
        Open(node=new),
        PutIn(node=new, pool="writer", balancers=names, best_effort=True),
        _prove_routed(new),
        _run_events(new),
    )
