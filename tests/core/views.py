"""A healthy pair as the core sees it, and ways to say what is different about it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from myha.core.balancer import BalancerLook, BalancerView, ServerRoute
from myha.core.gtid import GtidSet, MysqlGtidSet
from myha.core.node import (
    Acknowledger,
    Contact,
    NodeLook,
    NodeView,
    ReplicationThread,
    SemiSync,
    ThreadState,
)
from myha.core.policy import Durability, Policy
from myha.core.record import Cause, Membership, NodeRecord, Record, Sync
from myha.core.view import View

NOW = 100.0
WALL = 1_700_000_000.0
RUNNING = ReplicationThread(ThreadState.RUNNING)
CONNECTING = ReplicationThread(ThreadState.CONNECTING)
STOPPED = ReplicationThread(ThreadState.STOPPED)
UUID = "11111111-1111-1111-1111-111111111111"
UUID_2 = "22222222-2222-2222-2222-222222222222"


def gtids(text: str) -> GtidSet:
    return MysqlGtidSet.parse(text)


def waits(*others: Acknowledger, **changes: Any) -> SemiSync:
    """A node that waits for its standby, with other replicas that can acknowledge beside."""
    replicas = (Acknowledger(20, "myha_repl", "db2", UUID_2), *others)
    base = SemiSync(True, True, len(replicas), True, acknowledgers=replicas)
    return replace(base, **changes)


def look(name: str, **changes: Any) -> NodeLook:
    """db1 is the open, waiting writer, db2 its closed standby; both hold the same."""
    writer = name == "db1"
    base = NodeLook(
        at=NOW,
        server_id=1 if writer else 2,
        server_uuid=UUID if writer else UUID_2,
        boot_id=f"{name}-1",
        version="9.7.4",
        open=writer,
        executed=gtids(f"{UUID}:1-10"),
        received=gtids(f"{UUID}:1-10"),
        receiver=RUNNING,
        applier=RUNNING,
        source="db2:3306" if writer else "db1:3306",
        progress="7",
        semisync=waits() if writer else SemiSync(False, False, 1, True, replica_acknowledges=True),
        lag_seconds=0.0,
    )
    return replace(base, **changes)


def seen(name: str, **changes: Any) -> NodeView:
    """An answering node with the given differences in its look."""
    return NodeView(
        contact=Contact.ANSWERING,
        checked_at=NOW,
        contact_since=10.0,
        answered_at=NOW,
        heard_source_at=NOW,
        executed_known_at=NOW - 1.0,
        look=look(name, **changes),
    )


def lost(name: str, contact: Contact, since: float = NOW - 5.0, **changes: Any) -> NodeView:
    """A node that was there until `since` and does not answer now."""
    gone = replace(
        seen(name),
        contact=contact,
        contact_since=since,
        answered_at=since,
        hung_up_at=since if contact is Contact.REFUSING else -1.0,
    )
    return replace(gone, **changes)


def unsourced(name: str = "db2", since: float = NOW - 5.0) -> NodeView:
    """A node whose receiver has lost its source."""
    return replace(seen(name, receiver=CONNECTING), heard_source_at=since, unsourced_since=since)


def routes(**changes: bool) -> BalancerView:
    """As they should be for a healthy single-writer pair; `writer_db1=False` changes one."""
    wanted = {"writer_db1": True, "writer_db2": False, "reader_db1": True, "reader_db2": True}
    wanted.update(changes)
    rows = tuple(
        ServerRoute(pool, node, on) for key, on in wanted.items() for pool, node in [key.split("_")]
    )
    return BalancerView(True, NOW, "", BalancerLook(NOW, "lb1-1", rows))


def record(
    db2: NodeRecord | None = None, sync: Sync = Sync.ARMED, writer: str = "db1", **changes: Any
) -> Record:
    member = NodeRecord(Membership.MEMBER, boot_id="db1-1")
    standby = db2 or NodeRecord(Membership.MEMBER, boot_id="db2-1")
    nodes = (("db1", member), ("db2", standby))
    base = Record(version=5, epoch=2, writer=writer, sync=sync, nodes=nodes)
    return replace(base, **changes)


def away(cause: Cause = Cause.LOST) -> NodeRecord:
    return NodeRecord(Membership.AWAY, cause, "it was lost")


def fenced(cause: Cause = Cause.BY_HAND) -> NodeRecord:
    return NodeRecord(Membership.FENCED, cause, "for a reason")


def view(
    db1: NodeView | None = None,
    db2: NodeView | None = None,
    on_record: Record | None = None,
    lb1: BalancerView | None = None,
    **policy: Any,
) -> View:
    base = Policy(nodes=("db1", "db2"), sources=("db1:3306", "db2:3306"), balancers=("lb1",))
    if policy.get("durability", Durability.LOSSLESS) is not Durability.LOSSLESS:
        on_record = on_record or record(sync=Sync.SOLO)
    return View(
        policy=replace(base, **policy),
        at=NOW,
        wall=WALL,
        record=on_record or record(),
        nodes=(("db1", db1 or seen("db1")), ("db2", db2 or seen("db2"))),
        balancers=(("lb1", lb1 or routes()),),
        plan_ended_at=1.0,
        acted_at=1.0,
    )
