"""For each verdict about a replica a view in which it is the one in force. r1 follows db1."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from myha.core.balancer import BalancerLook, BalancerView, ServerRoute
from myha.core.followers.record import FollowerRecord
from myha.core.followers.view import FollowerView
from myha.core.jobs import HealOutcome, Job, JobResult
from myha.core.node import (
    Contact,
    Events,
    NodeLook,
    NodeView,
    ReplicationThread,
    SemiSync,
    ThreadState,
)
from myha.core.policy import Mode
from myha.core.record import Cause, Heal, Membership, NodeRecord
from myha.core.settings import Difference, Kind
from myha.core.view import Incident, View
from tests.core.views import (
    CONNECTING,
    NOW,
    RUNNING,
    STOPPED,
    UUID,
    WALL,
    away,
    fenced,
    gtids,
    seen,
)
from tests.core.views import record as pair_record
from tests.core.views import view as pair_view

UUID_OF_R1 = "33333333-3333-3333-3333-333333333333"
ERRANT = gtids(f"{UUID}:1-10,{UUID_OF_R1}:1-2")
AHEAD = gtids(f"{UUID}:1-12")  # as the old writer had it, and the new one never got it
QUIET = {"receiver": STOPPED, "applier": STOPPED}
MEMBER = NodeRecord(Membership.MEMBER, boot_id="r1-1")
HEAL = Heal(3, ("rewind", "reseed"), Cause.ERRANT, "it has 2 errant transactions")
HEALING = NodeRecord(Membership.FENCED, Cause.HEALING, "it has 2 errant transactions", heal=HEAL)
JOB = Job("heal", "r1", "rewind", 3, NOW - 2, "read", text="read 40%")
POLICY: dict[str, Any] = {"followers": ("r1",), "delays": (0,), "heal": ("rewind", "reseed")}


def look(**changes: Any) -> NodeLook:
    base = NodeLook(
        at=NOW - 0.2,
        server_id=101,
        server_uuid=UUID_OF_R1,
        boot_id="r1-1",
        version="9.7.4",
        open=False,
        executed=gtids(f"{UUID}:1-10"),
        received=gtids(f"{UUID}:1-10"),
        receiver=RUNNING,
        applier=RUNNING,
        source="db1:3306",
        progress="7",
        semisync=SemiSync(),
        lag_seconds=0.0,
    )
    return replace(base, **changes)


def node(**changes: Any) -> NodeView:
    return NodeView(
        contact=Contact.ANSWERING,
        checked_at=NOW - 0.2,
        contact_since=10.0,
        answered_at=NOW - 0.2,
        look=look(**changes),
    )


def lost(contact: Contact, since: float = NOW - 5.0) -> NodeView:
    return replace(node(), contact=contact, contact_since=since, answered_at=since)


def balancer(*, reads: bool | None = True) -> BalancerView:
    """With r1 in the pool of readers or out; None: not there at all."""
    rows = [ServerRoute("writer", "db1", True), ServerRoute("reader", "db1", True)]
    if reads is not None:
        rows.append(ServerRoute("reader", "r1", reads))
    return BalancerView(True, NOW, "", BalancerLook(NOW, "lb1-1", tuple(rows)))


def view(
    r1: NodeView | None = None,
    entry: NodeRecord = MEMBER,
    *,
    pair: View | None = None,
    reads: bool | None = True,
    **changes: Any,
) -> FollowerView:
    """Both looks of r1 found the same, and db1 was looked at later."""
    policy = {**POLICY, **changes.pop("policy", {})}
    seen_pair = pair_view(lb1=balancer(reads=reads), **policy) if pair is None else pair
    one = node() if r1 is None else r1
    before = None if one.look is None else replace(one.look, at=NOW - 0.7)
    base = FollowerView(
        name="r1",
        policy=seen_pair.policy,
        at=NOW,
        wall=WALL,
        record=FollowerRecord(3, entry, "r1:3306"),
        pair=seen_pair,
        node=one,
        before=before,
        plan_ended_at=1.0,
    )
    return replace(base, **changes)


def taken_over(*, reads: bool = True, **changes: Any) -> View:
    """db2 has taken over from db1 and takes writes."""
    new = {"open": True, "semisync": SemiSync(), "receiver": STOPPED, **changes}
    replaced: dict[str, Any] = {
        "db2": NodeRecord(Membership.MEMBER, boot_id="db2-1"),
        "writer": "db2",
        "epoch": 3,
    }
    return pair_view(
        seen("db1", open=False),
        seen("db2", **new),
        pair_record(**replaced),
        balancer(reads=reads),
        **POLICY,
    )


FAILED = ReplicationThread(ThreadState.STOPPED, 1062, "duplicate entry")
UNREADABLE = ReplicationThread(ThreadState.STOPPED, 1594, "relay log read failure")
NO_DISK = ReplicationThread(ThreadState.STOPPED, 1114, "the table is full")
PURGED = ReplicationThread(ThreadState.STOPPED, 13114, "the source purged what is needed")
FILTER = Difference(Kind.FILTER, "replicate_do_db", "shop", "", rests=True)
DELAY = Difference(Kind.CHANNEL, "the delay", "0 s", "60 s", rests=True)
IMAGE = Difference(Kind.SETTING, "binlog_row_image", "MINIMAL", "FULL")
DENIED = replace(IMAGE, by_hand="SET PERSIST binlog_row_image = FULL")


def outcome(result: JobResult, attempts: int = 0, at: float = NOW - 1.0) -> HealOutcome:
    return HealOutcome("r1", 3, "rewind", result, "a reason", at, attempts)


def follow_failed(attempts: int) -> tuple[Incident, ...]:
    return (Incident("follow", "r1", NOW - 60.0, "no connection to the source", attempts),)


SITUATIONS: dict[str, FollowerView] = {
    "replica-healthy": view(),
    "replica-unreachable": view(lost(Contact.SILENT)),
    "replica-heal-unwanted": view(node(**QUIET), fenced(), jobs=(JOB,), reads=False),
    "replica-unquiet": view(node(), fenced(), reads=False),
    "replica-errant": view(node(executed=ERRANT)),
    "replica-healing": view(node(**QUIET), HEALING, jobs=(JOB,), reads=False),
    "replica-heal-done": view(
        node(**QUIET), HEALING, heals=(outcome(JobResult.DONE),), reads=False
    ),
    "replica-heal-refused": view(
        node(**QUIET), HEALING, heals=(outcome(JobResult.REFUSED),), reads=False
    ),
    "replica-heal-due": view(node(**QUIET), HEALING, reads=False),
    "replica-errant-fenced": view(
        node(**QUIET, executed=ERRANT), fenced(Cause.ERRANT), reads=False
    ),
    "replica-broken-fenced": view(node(**QUIET), fenced(Cause.BROKEN), reads=False),
    "replica-new": view(node(**QUIET, source=""), away(Cause.NEW), reads=False),
    "replica-open": view(node(open=True)),
    "replica-filtered": view(node(differs=(FILTER,))),
    "replica-broken": view(node(applier=FAILED)),
    "replica-restarted": view(node(**QUIET, boot_id="r1-2"), reads=False),
    "replica-returned": view(node(**QUIET), away(Cause.HEALED), reads=False),
    "replica-wrong-source": view(node(receiver=CONNECTING), pair=taken_over()),
    "replica-acknowledges": view(node(semisync=SemiSync(replica_enabled=True))),
    "replica-stopped": view(node(**QUIET)),
    "replica-settings-differ": view(node(differs=(IMAGE,))),
    "replica-events-on": view(node(events=Events(enabled=2))),
    "replica-routing-differs": view(reads=False),
    "replica-unrouted": view(reads=None),
    "replica-disconnected": view(
        replace(node(receiver=CONNECTING), unsourced_since=NOW - 9.0), reads=False
    ),
    "replica-lags": view(replace(node(lag_seconds=50.0), reader_ok=False), reads=False),
    "replica-fenced": view(node(**QUIET), fenced(), reads=False),
    "replica-away": view(
        node(**QUIET), away(Cause.HEALED), pair=taken_over(open=False, reads=False)
    ),
    "replica-suspect": view(NodeView(contact_since=NOW, checked_at=NOW)),
    "replica-waiting": view(node(receiver=CONNECTING, executed=AHEAD), pair=taken_over(open=False)),
}

# The same verdicts, otherwise met: what is decided there too is on record.
VARIANTS: dict[str, FollowerView] = {
    "dead": view(lost(Contact.REFUSING)),
    "hung for a moment": view(lost(Contact.SILENT, NOW - 0.5)),
    "taken over, ahead of the new writer": view(
        node(receiver=CONNECTING, executed=AHEAD), pair=taken_over()
    ),
    "taken over, nobody can tell yet": view(
        node(receiver=CONNECTING, executed=AHEAD, at=NOW + 0.1), pair=taken_over()
    ),
    "switched over": view(node(), pair=taken_over()),
    "taken over, the plan still runs": view(node(), pair=taken_over(), changing=True),
    "two writers, not all applied": view(
        node(executed=AHEAD),
        pair=replace(
            taken_over(applier=RUNNING, received=AHEAD),
            policy=replace(taken_over().policy, mode=Mode.DUAL_WRITER),
        ),
    ),
    "a copy of the writer": view(
        node(**QUIET, events=Events(enabled=1), differs=(FILTER, IMAGE)), away(Cause.HEALED)
    ),
    "from a stranger": view(node(source="db9:3306")),
    "open and away": view(node(open=True, **QUIET), away(Cause.BY_HAND)),
    "heal fails again and again": view(
        node(**QUIET), HEALING, heals=(outcome(JobResult.FAILED, 5),), reads=False
    ),
    "heal failed a moment ago": view(
        node(**QUIET), HEALING, heals=(outcome(JobResult.FAILED, 3),), reads=False
    ),
    "last method refused": view(
        node(**QUIET),
        replace(HEALING, heal=replace(HEAL, methods=("rewind",))),
        heals=(outcome(JobResult.REFUSED),),
        reads=False,
    ),
    "errant, only by hand": view(
        node(**QUIET, executed=ERRANT),
        fenced(Cause.ERRANT),
        policy={"heal": ("manual",)},
        reads=False,
    ),
    "broken, only by hand": view(node(applier=FAILED), policy={"heal": ("rewind", "manual")}),
    "broken, not by its data": view(node(applier=NO_DISK)),
    "broken, its relay log damaged": view(node(applier=UNREADABLE)),
    "purged": view(
        replace(node(receiver=PURGED), purged_since=NOW - 5.0),
        incidents=follow_failed(3),
        reads=False,
        policy={"heal": ("reseed",)},
    ),
    "new and down": view(NodeView(Contact.REFUSING, NOW, 10.0), away(Cause.NEW), reads=False),
    "a delay that differs": view(node(differs=(DELAY,))),
    "a setting that is denied": view(node(differs=(DENIED,))),
    "delayed beyond the limit": view(
        replace(node(lag_seconds=60.0), reader_ok=True), policy={"delays": (60,)}
    ),
    "maintenance": view(
        node(executed=ERRANT), pair=pair_view(on_record=pair_record(maintenance=True), **POLICY)
    ),
    "not looked at since the last plan": view(node(executed=ERRANT), plan_ended_at=NOW),
}
