"""For each verdict a situation in which it is the one in force."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from myha.core.balancer import FAILING_LOOKS, AddressLook, BalancerLook, Reach
from myha.core.jobs import HealOutcome, Job, JobResult
from myha.core.node import (
    Acknowledger,
    Contact,
    Events,
    Lease,
    NodeView,
    ReplicationThread,
    SemiSync,
    ThreadState,
)
from myha.core.policy import AddressPolicy, Durability, Mode, StrayRule
from myha.core.record import Cause, Heal, NodeRecord, Sync
from myha.core.settings import Difference, Kind
from myha.core.view import Incident, View
from myha.core.watchdog import Watchdog
from tests.core.views import (
    NOW,
    STOPPED,
    UUID,
    UUID_2,
    WALL,
    away,
    fenced,
    gtids,
    lost,
    record,
    routes,
    seen,
    unsourced,
    view,
    waits,
)

OUT = routes(reader_db2=False)
UNANSWERING = replace(OUT, answering=False, look=BalancerLook(NOW - 6.0, "lb2-1", ()))
SILENT, REFUSING = Contact.SILENT, Contact.REFUSING
CLEAN = {"receiver": STOPPED, "applier": STOPPED}
ERRANT = gtids(f"{UUID}:1-10,{UUID_2}:1-2")
DUAL = {"mode": Mode.DUAL_WRITER, "durability": Durability.BOUNDED}
WAITS = waits()
IDLE = waits(source_enabled=False, source_waits=False)
REPORTS = Acknowledger(31, "report", "db9", "33333333-3333-3333-3333-333333333333")
NAMELESS = (Acknowledger(20, "myha_repl", "db2"), Acknowledger(31, "report", "db9"))
HOLDS = AddressLook(holds=True, told=True, preferred=False)
WATCHED: dict[str, Any] = {"durability": Durability.ASYNC, "watchdog": Watchdog(6.0)}
SEVERAL = {"source_may_wait_for_several": True}


def addressed(*looks: AddressLook | None) -> View:
    """Balancers with a shared address, each seen so for twenty seconds."""
    known = []
    for number, look in enumerate(looks, 1):
        one = routes()
        assert one.look is not None
        held = look is not None and look.holds
        since, at = (NOW - 20.0, NOW) if held else (None, NOW - 20.0)
        seen_so = replace(one, look=replace(one.look, address=look), held_at=at, held_since=since)
        known.append((f"lb{number}", seen_so))
    return replace(view(address=AddressPolicy()), balancers=tuple(known))


def leased(node: NodeView, *, armed: bool = True, heard_until: float = NOW - 8.0) -> NodeView:
    """A node whose watchdog waits for this supervisor's lease, as far as is known."""
    return replace(node, lease=Lease(armed, heard_until, 20.0))


def solo_view(db2: NodeView, entry: object = None, **policy: object) -> View:
    """db1 alone, not waiting, its receiver stopped; db2 is back."""
    db1 = seen("db1", receiver=STOPPED, semisync=IDLE)
    # A look at the writer that is newer than the one at what came back.
    db1 = replace(db1, look=replace(db1.look, at=NOW + 0.1)) if db1.look else db1
    on_record = record(entry or away(), Sync.SOLO)  # type: ignore[arg-type]
    return view(db1, db2, on_record, OUT, **policy)


UNREADABLE = ReplicationThread(ThreadState.STOPPED, 13121, "relay log read failure")
BROKEN = ReplicationThread(ThreadState.STOPPED, 1062, "duplicate key")
HEAL = Heal(5, ("rewind", "reseed"), Cause.ERRANT, "it has 2 errant transactions")
JOB = Job("heal", "db2", "rewind", 5, NOW - 3.0, "read", 40.0, 5.0, "read 40%, 5 s left")


def healing(heal: Heal = HEAL) -> NodeRecord:
    return replace(fenced(Cause.HEALING), reason=heal.reason, heal=heal)


def heal_view(
    result: JobResult | None = None,
    *,
    reason: str = "",
    attempts: int = 0,
    at: float = NOW - 1.0,
    job: Job | None = None,
    entry: NodeRecord | None = None,
    db2: NodeView | None = None,
    **policy: object,
) -> View:
    """db2 on record as being healed; the last job of the heal ended as said."""
    errant = seen("db2", executed=ERRANT, received=ERRANT, **CLEAN)
    base = solo_view(db2 or errant, entry or healing(), **policy)
    outcome: tuple[HealOutcome, ...] = ()
    if result is not None:
        outcome = (HealOutcome("db2", 5, HEAL.method, result, reason, at, attempts),)
    return replace(base, jobs=() if job is None else (job,), heals=outcome)


IMAGE = Difference(Kind.SETTING, "binlog_row_image", "MINIMAL", "FULL")
THREADS = Difference(Kind.SETTING, "slave_parallel_threads", "0", "8", rests=True)
DELAY = Difference(Kind.CHANNEL, "the delay", "60 s", "0 s", rests=True)
FILTER = Difference(Kind.FILTER, "replicate_ignore_db", "shop", "", rests=True)
OFFSET = Difference(
    Kind.SETTING,
    "auto_increment_offset",
    "7",
    "2",
    by_hand="SET GLOBAL auto_increment_offset = 2",
)

BLANK = {
    "boot_id": "new-1",
    "server_uuid": "33333333-3333-3333-3333-333333333333",
    "executed": gtids(""),
    "received": gtids(""),
    "receiver": STOPPED,
    "applier": STOPPED,
    "source": "",
    "semisync": SemiSync(False, False, 0, True),
    "schema": False,
}
JOINED = replace(seen("db2"), joined_at=NOW - 60.0)
RESET = replace(seen("db1"), joined_at=NOW - 60.0, forgot_at=NOW - 0.1)

GONE = ReplicationThread(ThreadState.STOPPED, 1236, "fatal error: logs have been purged")
OUTDATED = replace(seen("db2", receiver=GONE), purged_since=NOW - 5.0)

# A writer that was seen to have ten transactions, and has six of them in its new life.
OLDER = replace(
    seen("db1", boot_id="db1-2", open=False, executed=gtids(f"{UUID}:1-6"), semisync=IDLE),
    kept=gtids(f"{UUID}:1-10"),
)
# db1 is the writer by now, and has three transactions that db2 wrote before that and lacks.
WENT_ON = seen("db1", executed=gtids(f"{UUID}:1-10,{UUID_2}:1-7"))
INCOMPLETE = replace(
    seen(
        "db2",
        executed=gtids(f"{UUID}:1-10,{UUID_2}:1-4"),
        received=gtids(f"{UUID}:1-10,{UUID_2}:1-4"),
    ),
    joined_at=NOW - 60.0,
)

# db1 has ten transactions, and db2 says that it has all up to 200 of those.
CLAIMS = gtids(f"{UUID}:1-200")
CLAIMING = replace(seen("db2", executed=CLAIMS, received=CLAIMS), kept=CLAIMS)

SITUATIONS: dict[str, View] = {
    "nodes-mixed-up": view(seen("db2"), seen("db1")),
    "isolated": view(lost("db1", SILENT), lost("db2", SILENT)),
    "both-lost": view(lost("db1", REFUSING), lost("db2", REFUSING)),
    "cut-off": view(lost("db1", SILENT)),
    "writer-dead": view(lost("db1", REFUSING), unsourced()),
    "writer-closing": view(lost("db1", REFUSING, closing_at=NOW - 1.0)),
    "writer-hung": view(lost("db1", SILENT), unsourced()),
    "writer-stalled": view(
        lost("db1", SILENT, NOW - 12.0, connects=True),
        replace(seen("db2"), received_known_at=NOW - 11.0),
    ),
    "writer-refuses-us": view(lost("db1", Contact.FULL)),
    "writer-suspect": view(lost("db1", SILENT, since=NOW - 0.2)),
    "writer-blank": view(seen("db1", **BLANK), lost("db2", REFUSING)),
    "writer-older": view(OLDER, lost("db2", REFUSING), record(away(), Sync.SOLO), OUT),
    "writer-restarted": view(seen("db1", boot_id="db1-2", open=False, semisync=IDLE)),
    "standby-dead": view(db2=lost("db2", REFUSING)),
    "standby-hung": view(seen("db1", semisync=waits(waiting_sessions=3)), lost("db2", SILENT)),
    "standby-restarted": view(db2=seen("db2", boot_id="db2-2", **CLEAN)),
    "log-reset": view(RESET, JOINED),
    "standby-claims": view(db2=CLAIMING),
    "standby-incomplete": view(WENT_ON, INCOMPLETE),
    "standby-outdated": view(db2=OUTDATED),
    "record-claims-too-much": view(seen("db1", semisync=IDLE)),
    "stray-acknowledger": view(seen("db1", semisync=waits(REPORTS))),
    "waits-for-absent": view(seen("db1", semisync=waits(source_wait_count=2, **SEVERAL))),
    "standby-disconnected": view(db2=unsourced()),
    "standby-stalled": view(
        seen("db1", semisync=waits(waiting_sessions=3), writes_stalled_seconds=11.0),
        replace(seen("db2"), received_known_at=NOW - 11.0),
    ),
    "stalled-solo": view(
        seen("db1", receiver=STOPPED), lost("db2", REFUSING), record(away(), Sync.SOLO), OUT
    ),
    "writer-closed": view(seen("db1", open=False)),
    "standby-open": view(db2=seen("db2", open=True)),
    "replication-changed": view(db2=seen("db2", source="elsewhere:3306")),
    "replication-filtered": view(db2=seen("db2", differs=(FILTER,))),
    "settings-differ": view(db2=seen("db2", differs=(IMAGE, OFFSET))),
    "waiting-unwanted": view(durability=Durability.ASYNC),
    "standby-waits": view(db2=seen("db2", semisync=WAITS)),
    "writer-listens": view(
        seen("db1", semisync=IDLE), seen("db2", **CLEAN), record(away(), Sync.SOLO), OUT
    ),
    "heal-unwanted": heal_view(job=JOB, entry=fenced(), db2=seen("db2", **CLEAN)),
    "returned-unquiet": solo_view(seen("db2", open=True)),
    "returned-errant": solo_view(seen("db2", executed=ERRANT, received=ERRANT, **CLEAN)),
    "returned-elsewhere": solo_view(seen("db2", source="elsewhere:3306", **CLEAN)),
    "returned-blank": view(
        seen("db1", semisync=SemiSync(False, False, 0, True), receiver=STOPPED),
        seen("db2", **BLANK | {"open": False}),
        record(away(), Sync.SOLO),
        OUT,
    ),
    "returned-clean": solo_view(seen("db2", **CLEAN)),
    "healing": heal_view(job=JOB, db2=seen("db2")),
    "heal-done": heal_view(JobResult.DONE, reason="2 transactions undone"),
    "heal-refused": heal_view(JobResult.REFUSED, reason="it has DDL"),
    "heal-due": heal_view(),
    "errant-fenced": solo_view(
        seen("db2", executed=ERRANT, received=ERRANT, **CLEAN),
        fenced(Cause.ERRANT),
        heal=("resume", "rewind"),
    ),
    "broken-fenced": solo_view(
        seen("db2", applier=BROKEN, receiver=STOPPED),
        fenced(Cause.BROKEN),
        heal=("resume", "rewind", "reseed"),
    ),
    "replication-broken": view(db2=seen("db2", applier=BROKEN)),
    "reverse-broken": view(
        seen("db1", applier=BROKEN),
        **DUAL | {"db2": seen("db2", open=True)},  # type: ignore[arg-type]
    ),
    "replication-stopped": view(db2=seen("db2", **CLEAN)),
    "reverse-stopped": view(seen("db1", receiver=STOPPED)),
    "second-closed": view(**DUAL),  # type: ignore[arg-type]
    "second-unprotected": view(
        db2=seen("db2", open=True),
        lb1=routes(writer_db2=True),
        **DUAL,  # type: ignore[arg-type]
    ),
    "source-missing": view(db2=seen("db2", source="", **CLEAN)),
    "schema-missing": view(seen("db1", schema=False)),
    "lag-unknown": view(db2=replace(seen("db2", lag_seconds=None), lag_unknown_since=NOW - 9.0)),
    "unprotected": view(seen("db1", semisync=IDLE), on_record=record(sync=Sync.SOLO)),
    "routing-differs": view(lb1=routes(reader_db2=False)),
    "writer-events-off": view(seen("db1", events=Events(left=3))),
    "standby-events-on": view(db2=seen("db2", events=Events(enabled=1, left=2))),
    "events-unnoted": view(seen("db1", events=Events(enabled=2, noted=False))),
    "unwatched": view(seen("db1", semisync=IDLE), **WATCHED),
    "events-unseen": view(seen("db1", events=Events(visible=False))),
    "address-unheld": addressed(AddressLook(holds=False, told=True, preferred=False)),
    "address-twice": addressed(HOLDS, HOLDS),
    "address-unasked": addressed(HOLDS, None),
    "failback-due": view(auto_failback=True, preferred="db2", failback_after_seconds=60.0),
    "writes-stalled": view(seen("db1", writes_stalled_seconds=9.0)),
    "balancer-cut-off": view(
        lb1=replace(routes(), reach=Reach(("lb1-1", "db1"), 7, 90, FAILING_LOOKS, NOW))
    ),
    "standby-unreachable": view(db2=lost("db2", SILENT), lb1=OUT),
    "standby-refuses-us": view(db2=lost("db2", Contact.DENIED), lb1=OUT),
    "flapping": view(
        on_record=record(failover_walls=(WALL - 99, WALL - 95, WALL - 92, WALL - 9)),
    ),
    "lagging": view(db2=replace(seen("db2", lag_seconds=30.0), reader_ok=False), lb1=OUT),
    "standby-fenced": solo_view(seen("db2", **CLEAN), fenced()),
    "standby-away": solo_view(lost("db2", REFUSING)),
    "solo": view(
        seen("db1", semisync=SemiSync(False, False, 0, True)), on_record=record(sync=Sync.SOLO)
    ),
    "healthy": view(),
}

# Where what to do depends on more than the verdict: these are recorded too.
STALLED = lost("db1", SILENT, NOW - 12.0, connects=True)
STUCK = replace(
    seen("db1", commits_stuck_seconds=11.0, writes_stalled_seconds=11.0),
    executed_known_at=NOW - 11.0,
)
ONLY_HEARTBEATS = replace(seen("db2"), received_known_at=NOW - 11.0)

VARIANTS: dict[str, View] = {
    "writer-stalled, async": view(STALLED, ONLY_HEARTBEATS, durability=Durability.ASYNC),
    "writer-stalled, solo": view(STALLED, ONLY_HEARTBEATS, record(sync=Sync.SOLO)),
    "writer-stalled, but its port does not accept": view(
        replace(STALLED, connects=False), ONLY_HEARTBEATS
    ),
    "writer-stalled, but transactions arrive": view(
        STALLED, replace(ONLY_HEARTBEATS, received_known_at=NOW - 0.5)
    ),
    "writer-stalled, and it answers": view(STUCK, seen("db2")),
    "commits stuck, but for the standby": view(
        replace(STUCK, look=replace(STUCK.look, semisync=waits(waiting_sessions=1)))
        if STUCK.look
        else STUCK
    ),
    "commits stuck, but others end": view(replace(STUCK, executed_known_at=NOW - 0.5)),
    "standby-stalled, but it receives": view(
        seen("db1", semisync=waits(waiting_sessions=3), writes_stalled_seconds=11.0),
        replace(seen("db2"), received_known_at=NOW - 0.5),
    ),
    "writer-stalled, not for long enough": view(STALLED, ONLY_HEARTBEATS, stalled_seconds=20.0),
    "writer-stalled, never replaced": view(STALLED, ONLY_HEARTBEATS, stalled_seconds=0.0),
    "writer-dead, solo": view(lost("db1", REFUSING), unsourced(), record(sync=Sync.SOLO)),
    "writer-dead, standby fenced": view(
        lost("db1", REFUSING), unsourced(), record(fenced(), Sync.SOLO)
    ),
    "writer-hung not yet, the standby's looks are late": view(
        lost("db1", SILENT),
        replace(seen("db2", at=NOW - 2.0), heard_source_at=NOW - 2.0),
    ),
    "writer-dead, a balancer was silent before": replace(
        view(lost("db1", REFUSING), unsourced(), balancers=("lb1", "lb2")),
        balancers=(("lb1", routes()), ("lb2", replace(UNANSWERING, misses=3))),
    ),
    "writer-hung, a balancer is silent with it": replace(
        view(lost("db1", SILENT), unsourced(), balancers=("lb1", "lb2")),
        balancers=(("lb1", routes()), ("lb2", UNANSWERING)),
    ),
    "writer-older, and the standby has everything": view(
        replace(OLDER, kept=gtids(f"{UUID}:1-10")),
    ),
    "writer-older, and the standby lacks some": view(OLDER, seen("db2"), record(sync=Sync.SOLO)),
    "writer-older, two writers": view(
        OLDER, seen("db2", open=True), mode=Mode.DUAL_WRITER, durability=Durability.BOUNDED
    ),
    "standby-incomplete not yet": view(WENT_ON, replace(INCOMPLETE, joined_at=NOW - 1.0)),
    "log-reset, the standby's": view(db2=replace(JOINED, forgot_at=NOW - 0.1)),
    "log-reset, of the second writer": view(
        db2=replace(seen("db2", open=True), joined_at=NOW - 60.0, forgot_at=NOW - 0.1),
        mode=Mode.DUAL_WRITER,
        durability=Durability.BOUNDED,
    ),
    "standby-outdated, to be reseeded": view(db2=OUTDATED, heal=("reseed",)),
    "standby-outdated not yet": view(db2=replace(OUTDATED, purged_since=NOW - 0.5)),
    "standby-outdated, back": replace(
        solo_view(replace(seen("db2", receiver=GONE, applier=STOPPED), purged_since=NOW - 5.0)),
        incidents=(Incident("rejoin", "db2", NOW - 3.0, "its source is purged", 2),),
    ),
    "standby-outdated, back and not tried": solo_view(
        replace(seen("db2", receiver=GONE, applier=STOPPED), purged_since=NOW - 5.0)
    ),
    "log-reset before it joined": view(RESET, replace(JOINED, joined_at=NOW)),
    "standby-disconnected, a silent link": view(
        seen("db1", semisync=waits(waiting_sessions=3)),
        replace(seen("db2"), heard_source_at=NOW - 5.0),
    ),
    "standby-disconnected not yet, a silent link": view(
        seen("db1", semisync=waits(waiting_sessions=3)),
        replace(seen("db2"), heard_source_at=NOW - 1.0),
    ),
    "writer-closing, async": view(
        lost("db1", REFUSING, closing_at=NOW - 1.0),
        on_record=record(sync=Sync.SOLO),
        durability=Durability.ASYNC,
    ),
    "writer-dead, async": view(lost("db1", REFUSING), unsourced(), durability=Durability.ASYNC),
    "writer-dead, flapping": view(
        lost("db1", REFUSING),
        unsourced(),
        record(failover_walls=(WALL - 9, WALL - 5, WALL - 2), writer_since_wall=WALL - 2),
    ),
    "writer-dead, many failovers and settled since": view(
        lost("db1", REFUSING),
        unsourced(),
        record(failover_walls=(WALL - 99, WALL - 95, WALL - 92), writer_since_wall=WALL - 92),
    ),
    "writer-hung, many failovers and settled since": view(
        lost("db1", SILENT),
        unsourced(),
        record(failover_walls=(WALL - 99, WALL - 95, WALL - 92), writer_since_wall=WALL - 92),
    ),
    "writer-dead, maintenance": view(lost("db1", REFUSING), unsourced(), record(maintenance=True)),
    "writer-dead, applier broken": view(
        lost("db1", REFUSING),
        replace(unsourced(), look=seen("db2", applier=BROKEN, receiver=STOPPED).look),
    ),
    "writer-hung, and the routing was corrected since it was looked at": replace(
        view(lost("db1", SILENT), unsourced()), plan_ended_at=NOW + 1.0
    ),
    "writer-hung, async": view(lost("db1", SILENT), unsourced(), durability=Durability.ASYNC),
    "writer-hung, async with a fence command": view(
        lost("db1", SILENT), unsourced(), durability=Durability.ASYNC, fence_commands=("db1",)
    ),
    "writer-hung, its watchdog has closed it": view(
        leased(lost("db1", SILENT, since=NOW - 9.0), heard_until=NOW - 6.0), unsourced(), **WATCHED
    ),
    "writer-hung, its watchdog may not have closed it yet": view(
        leased(lost("db1", SILENT), heard_until=NOW - 5.9), unsourced(), **WATCHED
    ),
    "writer-hung, its watchdog was not armed": view(
        leased(lost("db1", SILENT, since=NOW - 9.0), armed=False), unsourced(), **WATCHED
    ),
    "writer-hung, its watchdog has not closed it and there is a fence command": view(
        leased(lost("db1", SILENT), heard_until=NOW - 5.9),
        unsourced(),
        fence_commands=("db1",),
        **WATCHED,
    ),
    "cut-off, its watchdog has closed it": view(
        leased(lost("db1", SILENT, since=NOW - 9.0), heard_until=NOW - 7.0), **WATCHED
    ),
    "cut-off, its watchdog may not have closed it yet": view(
        leased(lost("db1", SILENT), heard_until=NOW - 5.0), **WATCHED
    ),
    "writer-hung, dual-writer": view(
        lost("db1", SILENT),
        replace(unsourced(), look=seen("db2", open=True, receiver=STOPPED).look),
        **DUAL,  # type: ignore[arg-type]
    ),
    "isolated, and the standby is away on record but still routed to": view(
        lost("db1", SILENT), lost("db2", SILENT), record(away(), Sync.SOLO)
    ),
    "standby-hung not yet, the writer has not been asked since": view(
        replace(seen("db1", at=NOW - 3.6, semisync=waits(waiting_sessions=3))),
        lost("db2", SILENT),
    ),
    "writer-closed, and somebody has opened the standby": view(
        seen("db1", open=False), seen("db2", open=True)
    ),
    "writer-closed, and somebody has opened the standby, which it does not hear": view(
        seen("db1", open=False, receiver=STOPPED), seen("db2", open=True)
    ),
    "writer-restarted, standby ahead": view(
        seen("db1", boot_id="db1-2", open=False, semisync=IDLE, executed=gtids(f"{UUID}:1-8")),
    ),
    "writer-restarted, standby diverged": view(
        seen("db1", boot_id="db1-2", open=False, semisync=IDLE, executed=gtids(f"{UUID}:1-12")),
        seen("db2", executed=ERRANT, received=ERRANT),
    ),
    "writer-restarted, the one that it replaced is ahead": view(
        seen("db1", boot_id="db1-2", open=False, semisync=IDLE, executed=gtids(f"{UUID}:1-8")),
        seen("db2", **CLEAN),
        record(away(Cause.REPLACED), Sync.SOLO),
    ),
    "standby-dead, dual-writer": view(db2=lost("db2", REFUSING), **DUAL),  # type: ignore[arg-type]
    "writer-dead, standby being healed": view(
        lost("db1", REFUSING), unsourced(), record(healing(), Sync.SOLO)
    ),
    "returned-unquiet, opened in a heal": heal_view(job=JOB, db2=seen("db2", open=True)),
    "heal-unwanted, an older heal's": heal_view(job=replace(JOB, id=4)),
    "heal-refused, the last method": heal_view(
        JobResult.FAILED,
        reason="a connection broke",
        attempts=5,
        entry=healing(replace(HEAL, methods=("rewind",), refused=("merge refused: gone",))),
    ),
    "heal-due, it failed a moment ago": heal_view(JobResult.FAILED, attempts=2),
    "heal-due, it failed a while ago": heal_view(JobResult.FAILED, attempts=2, at=NOW - 9.0),
    "heal-due, the outcome is an older heal's": replace(
        heal_view(), heals=(HealOutcome("db2", 4, "rewind", JobResult.DONE, "", NOW - 1.0),)
    ),
    "heal-due by reseed, no answer": heal_view(
        entry=healing(replace(HEAL, methods=("reseed",))), db2=lost("db2", REFUSING)
    ),
    "heal-due by rewind, no answer": heal_view(db2=lost("db2", REFUSING)),
    "standby-fenced, healed in vain": heal_view(
        entry=replace(fenced(Cause.ERRANT), heal=replace(HEAL, methods=()))
    ),
    "errant-fenced, all ways": solo_view(
        seen("db2", executed=ERRANT, received=ERRANT, **CLEAN),
        fenced(Cause.ERRANT),
        heal=("resume", "merge", "rewind", "reseed", "manual"),
    ),
    "errant-fenced, none allowed": solo_view(
        seen("db2", executed=ERRANT, received=ERRANT, **CLEAN),
        fenced(Cause.ERRANT),
        heal=("resume", "manual"),
    ),
    "reverse-broken, one writer": view(seen("db1", applier=BROKEN)),
    "reverse-broken, relay log damaged": view(seen("db1", applier=UNREADABLE)),
    "replication-broken, relay log damaged": view(db2=seen("db2", applier=UNREADABLE)),
    "replication-broken, reseed allowed": view(
        db2=seen("db2", applier=BROKEN), heal=("resume", "rewind", "reseed", "manual")
    ),
    "replication-broken, by what may pass": view(
        db2=seen("db2", applier=ReplicationThread(ThreadState.STOPPED, 1205, "lock wait timeout")),
        heal=("resume", "rewind", "reseed", "manual"),
    ),
    "writer-dead, a stray when it was last seen": view(
        lost("db1", REFUSING, look=seen("db1", semisync=waits(REPORTS)).look), unsourced()
    ),
    "source-missing on the writer": view(seen("db1", source="", **CLEAN)),
    "returned-clean, without a source": solo_view(seen("db2", source="", **CLEAN)),
    "replication-filtered, the writer is dead": view(
        lost("db1", REFUSING),
        replace(unsourced(), look=seen("db2", differs=(FILTER,), receiver=STOPPED).look),
    ),
    "replication-filtered, it has returned so": solo_view(seen("db2", differs=(FILTER,), **CLEAN)),
    "returned-clean, healed, with a filter": solo_view(
        seen("db2", differs=(IMAGE, FILTER), **CLEAN), away(Cause.HEALED)
    ),
    "returned-clean, unfenced, from another source": solo_view(
        seen("db2", source="elsewhere:3306", **CLEAN), away(Cause.TRUSTED)
    ),
    "replication-filtered on one of two writers": view(
        seen("db1", differs=(FILTER,)),
        seen("db2", open=True),
        lb1=routes(writer_db2=True),
        **DUAL,  # type: ignore[arg-type]
    ),
    "replication-filtered on both writers": view(
        seen("db1", differs=(FILTER,)),
        solo_view(seen("db2", **CLEAN)).node("db2"),
        record(fenced(Cause.BROKEN), Sync.SOLO),
        OUT,
        **DUAL,
    ),
    "standby-fenced, its data in doubt and no reseed allowed": solo_view(
        seen("db2", **CLEAN), fenced(Cause.BROKEN)
    ),
    "settings-differ, a filter on the only writer": view(seen("db1", differs=(FILTER,))),
    "settings-differ, replication has to rest": view(db2=seen("db2", differs=(THREADS, DELAY))),
    "settings-differ on the writer, which runs alone": view(
        seen("db1", differs=(DELAY,), receiver=STOPPED, semisync=IDLE),
        lost("db2", REFUSING),
        record(away(), Sync.SOLO),
        OUT,
    ),
    "settings-differ on the writer": view(seen("db1", differs=(DELAY,))),
    "settings-differ, one plan failed": replace(
        view(seen("db1", differs=(IMAGE,)), seen("db2", differs=(IMAGE,))),
        incidents=(Incident("restore-settings", "db2", NOW - 1.0, "denied"),),
    ),
    "settings-differ, the plan has failed too often": replace(
        view(db2=seen("db2", differs=(DELAY,))),
        incidents=(Incident("restore-replication", "db2", NOW - 90.0, "denied", 5),),
    ),
    "settings-differ, what is left is an administrator's": view(seen("db1", differs=(OFFSET,))),
    "stray-acknowledger, solo already": view(
        seen("db1", semisync=waits(REPORTS)), on_record=record(sync=Sync.SOLO)
    ),
    "stray-acknowledger, waited for as well": view(
        seen("db1", semisync=waits(REPORTS, source_wait_count=2, **SEVERAL)),
        stray_replicas=StrayRule.WAIT_FOR_ALL,
    ),
    "stray-acknowledger, to be waited for": view(
        seen("db1", semisync=waits(REPORTS, **SEVERAL)),
        on_record=record(sync=Sync.SOLO),
        stray_replicas=StrayRule.WAIT_FOR_ALL,
    ),
    "stray-acknowledger, which of two is not told": view(
        seen("db1", semisync=waits(replace(REPORTS, identity=""), acknowledgers=NAMELESS)),
        replication_user="myha_repl",
    ),
    "stray-acknowledger, one of two nameless and the standby says it is": view(
        seen("db1", semisync=waits(source_clients=1, acknowledgers=NAMELESS)),
    ),
    "stray-acknowledger, one of two nameless and the standby is silent": view(
        seen("db1", semisync=waits(source_clients=1, acknowledgers=NAMELESS)),
        lost("db2", SILENT),
    ),
    "standby-hung, a stray acknowledges": view(
        seen("db1", semisync=waits(acknowledgers=(REPORTS,))), lost("db2", SILENT), lb1=OUT
    ),
    "replication-stopped, receiver only": view(db2=seen("db2", receiver=STOPPED)),
}
