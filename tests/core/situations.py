"""For each verdict a situation in which it is the one in force."""

from __future__ import annotations

from dataclasses import replace

from myha.core.model import (
    Cause,
    Contact,
    Durability,
    Mode,
    NodeView,
    ReplicationThread,
    SemiSync,
    Sync,
    ThreadState,
    View,
)
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
)

OUT = routes(reader_db2=False)
SILENT, REFUSING = Contact.SILENT, Contact.REFUSING
CLEAN = {"receiver": STOPPED, "applier": STOPPED}
ERRANT = gtids(f"{UUID}:1-10,{UUID_2}:1-2")
DUAL = {"mode": Mode.DUAL_WRITER, "durability": Durability.BOUNDED}
WAITS = SemiSync(True, True, 1, True)
IDLE = SemiSync(False, False, 1, True)


def solo_view(db2: NodeView, entry: object = None, **policy: object) -> View:
    """db1 alone, not waiting, its receiver stopped; db2 is back."""
    db1 = seen("db1", receiver=STOPPED, semisync=IDLE)
    # A look at the writer that is newer than the one at what came back.
    db1 = replace(db1, look=replace(db1.look, at=NOW + 0.1)) if db1.look else db1
    on_record = record(entry or away(), Sync.SOLO)  # type: ignore[arg-type]
    return view(db1, db2, on_record, OUT, **policy)


BROKEN = ReplicationThread(ThreadState.STOPPED, 1062, "duplicate key")

SITUATIONS: dict[str, View] = {
    "isolated": view(lost("db1", SILENT), lost("db2", SILENT)),
    "both-lost": view(lost("db1", REFUSING), lost("db2", REFUSING)),
    "cut-off": view(lost("db1", SILENT)),
    "writer-dead": view(lost("db1", REFUSING), unsourced()),
    "writer-closing": view(lost("db1", REFUSING, closing_at=NOW - 1.0)),
    "writer-hung": view(lost("db1", SILENT), unsourced()),
    "writer-refuses-us": view(lost("db1", Contact.FULL)),
    "writer-suspect": view(lost("db1", SILENT, since=NOW - 0.2)),
    "writer-restarted": view(seen("db1", boot_id="db1-2", open=False, semisync=IDLE)),
    "standby-dead": view(db2=lost("db2", REFUSING)),
    "standby-hung": view(
        seen("db1", semisync=SemiSync(True, True, 1, True, 3)), lost("db2", SILENT)
    ),
    "standby-restarted": view(db2=seen("db2", boot_id="db2-2", **CLEAN)),
    "record-claims-too-much": view(seen("db1", semisync=IDLE)),
    "standby-disconnected": view(db2=unsourced()),
    "stalled-solo": view(
        seen("db1", receiver=STOPPED), lost("db2", REFUSING), record(away(), Sync.SOLO), OUT
    ),
    "writer-closed": view(seen("db1", open=False)),
    "standby-open": view(db2=seen("db2", open=True)),
    "replication-changed": view(db2=seen("db2", source="elsewhere:3306")),
    "waiting-unwanted": view(durability=Durability.ASYNC),
    "standby-waits": view(db2=seen("db2", semisync=WAITS)),
    "writer-listens": view(
        seen("db1", semisync=IDLE), seen("db2", **CLEAN), record(away(), Sync.SOLO), OUT
    ),
    "returned-unquiet": solo_view(seen("db2", open=True)),
    "returned-errant": solo_view(seen("db2", executed=ERRANT, received=ERRANT, **CLEAN)),
    "returned-clean": solo_view(seen("db2", **CLEAN)),
    "errant-fenced": solo_view(
        seen("db2", executed=ERRANT, received=ERRANT, **CLEAN),
        fenced(Cause.ERRANT),
        heal=("resume", "rewind"),
    ),
    "replication-broken": view(db2=seen("db2", applier=BROKEN)),
    "replication-stopped": view(db2=seen("db2", **CLEAN)),
    "reverse-stopped": view(seen("db1", receiver=STOPPED)),
    "second-closed": view(**DUAL),  # type: ignore[arg-type]
    "second-unprotected": view(
        db2=seen("db2", open=True),
        lb1=routes(writer_db2=True),
        **DUAL,  # type: ignore[arg-type]
    ),
    "unprotected": view(seen("db1", semisync=IDLE), on_record=record(sync=Sync.SOLO)),
    "routing-differs": view(lb1=routes(reader_db2=False)),
    "failback-due": view(auto_failback=True, preferred="db2", failback_after_seconds=60.0),
    "writes-stalled": view(seen("db1", writes_stalled_seconds=9.0)),
    "standby-unreachable": view(db2=lost("db2", SILENT), lb1=OUT),
    "standby-refuses-us": view(db2=lost("db2", Contact.DENIED), lb1=OUT),
    "lagging": view(db2=replace(seen("db2", lag_seconds=30.0), reader_ok=False), lb1=OUT),
    "standby-fenced": solo_view(seen("db2", **CLEAN), fenced()),
    "standby-away": solo_view(lost("db2", REFUSING)),
    "solo": view(
        seen("db1", semisync=SemiSync(False, False, 0, True)), on_record=record(sync=Sync.SOLO)
    ),
    "healthy": view(),
}

# Where what to do depends on more than the verdict: these are recorded too.
VARIANTS: dict[str, View] = {
    "writer-dead, solo": view(lost("db1", REFUSING), unsourced(), record(sync=Sync.SOLO)),
    "writer-dead, standby fenced": view(
        lost("db1", REFUSING), unsourced(), record(fenced(), Sync.SOLO)
    ),
    "writer-dead, async": view(lost("db1", REFUSING), unsourced(), durability=Durability.ASYNC),
    "writer-dead, flapping": view(
        lost("db1", REFUSING), unsourced(), record(failover_walls=(WALL - 9, WALL - 5, WALL - 2))
    ),
    "writer-dead, maintenance": view(lost("db1", REFUSING), unsourced(), record(maintenance=True)),
    "writer-dead, applier broken": view(
        lost("db1", REFUSING),
        replace(unsourced(), look=seen("db2", applier=BROKEN, receiver=STOPPED).look),
    ),
    "writer-hung, async": view(lost("db1", SILENT), unsourced(), durability=Durability.ASYNC),
    "writer-hung, async with a fence command": view(
        lost("db1", SILENT), unsourced(), durability=Durability.ASYNC, fence_commands=("db1",)
    ),
    "writer-hung, dual-writer": view(
        lost("db1", SILENT),
        replace(unsourced(), look=seen("db2", open=True, receiver=STOPPED).look),
        **DUAL,  # type: ignore[arg-type]
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
    "replication-stopped, receiver only": view(db2=seen("db2", receiver=STOPPED)),
}
