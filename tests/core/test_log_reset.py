"""A member's binary log that has less than before is noticed, and nothing else is taken for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from myha.core.followers.planning import decide
from myha.core.followers.situation import FollowerSituation
from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.core.node import ReplicationThread
from myha.core.observations import NodeLooked, NodeMissed, fold
from myha.core.plans import ForgetReceived, Plan
from myha.core.protocols.history import fence_reset
from myha.core.record import Cause, Record, Sync
from myha.core.situation import Situation
from myha.core.verdicts import assess
from myha.core.view import View
from tests.core import views
from tests.core.follower_situations import follow_failed
from tests.core.follower_situations import node as replica_node
from tests.core.follower_situations import view as replica_view
from tests.core.situations import GONE, JOINED, REFUSING, RESET, SITUATIONS, VARIANTS

U = views.UUID


def mysql(text: str) -> MysqlGtidSet:
    return MysqlGtidSet.parse(text)


def mariadb(text: str) -> MariadbGtidSet:
    return MariadbGtidSet.parse(text)


@pytest.mark.parametrize(
    ("before", "now", "forgotten"),
    [
        (mysql(f"{U}:1-9"), mysql(f"{U}:1-9"), False),
        (mysql(f"{U}:1-9"), mysql(f"{U}:1-12"), False),
        (mysql(f"{U}:1-9"), mysql(""), True),
        (mysql(f"{U}:1-9"), mysql(f"{U}:1-3"), True),
        (mariadb("1-1-9,2-2-4"), mariadb("1-1-12,2-2-4"), False),
        (mariadb("1-1-9,2-2-4"), mariadb("1-1-9"), True),
        (mariadb("1-1-9"), mariadb("1-1-3"), True),
        (mariadb("1-1-9"), mariadb(""), True),
        # Two servers write in one domain, which setup does not leave so: nothing can be told.
        (mariadb("0-1-9"), mariadb("0-2-7"), False),
    ],
)
def test_a_log_forgets(before: GtidSet, now: GtidSet, *, forgotten: bool) -> None:
    assert now.has_forgotten(before) is forgotten


def after(*looks: str, record: Record | None = None, boots: tuple[str, ...] = ()) -> View:
    """The view after looks at the standby that found these transactions in its log."""
    state = views.view(on_record=record)
    for number, text in enumerate(looks):
        boot = boots[number] if boots else "db2-1"
        at = views.NOW + 1 + number
        look = views.look("db2", at=at, logged=mysql(text), boot_id=boot)
        state = fold(state, NodeLooked("db2", look))
    return state


def reset_on(state: View) -> str:
    assert state.record is not None
    return Situation(state, state.record).log_reset_on


def test_a_member_that_forgets_is_seen_at_once_and_stays_seen() -> None:
    assert reset_on(after(f"{U}:1-9", f"{U}:1-12")) == ""
    assert reset_on(after(f"{U}:1-9", "")) == "db2"
    assert reset_on(after(f"{U}:1-9", f"{U}:1", f"{U}:1-99")) == "db2"


def test_what_a_heal_or_a_restart_does_is_no_reset() -> None:
    """A heal is of one that is no member; what a crash has taken a server's own recovery knows."""
    away = views.record(views.away(Cause.HEALED), Sync.SOLO)
    healed = after(f"{U}:1-9", "", record=away)
    joined = fold(
        replace(healed, record=views.record()),
        NodeLooked("db2", views.look("db2", at=views.NOW + 9, logged=mysql(f"{U}:1"))),
    )
    assert reset_on(joined) == ""
    assert reset_on(after(f"{U}:1-9", f"{U}:1-5", boots=("db2-1", "db2-2"))) == ""


def test_who_is_lost_meanwhile_is_still_seen() -> None:
    state = after(f"{U}:1-9", "")
    contact = views.lost("db2", REFUSING).contact
    assert reset_on(fold(state, NodeMissed("db2", views.NOW + 5, contact))) == "db2"


def test_a_standby_that_was_lost_before_it_was_fenced_is_fenced_when_it_is_back() -> None:
    seen = after(f"{U}:1-9", "")
    lost = replace(seen, record=views.record(views.away(Cause.LOST), Sync.SOLO))
    back = fold(lost, NodeLooked("db2", views.look("db2", at=views.NOW + 9, logged=mysql(""))))
    assert reset_on(back) == "db2"
    healed = replace(back, record=views.record(views.away(Cause.HEALED), Sync.SOLO))
    assert reset_on(healed) == ""
    joined = replace(back, record=views.record())
    look = views.look("db2", at=views.NOW + 12, logged=mysql(f"{U}:1"))
    assert reset_on(fold(joined, NodeLooked("db2", look))) == ""


def test_the_standby_is_fenced_for_other_data_and_joins_anew_in_peace() -> None:
    situation = Situation(SITUATIONS["log-reset"], views.record())
    plan = fence_reset(situation)
    assert isinstance(plan, Plan)
    assert plan.node == "db2"
    assert isinstance(plan.steps[0], ForgetReceived)
    assert plan.steps[0].node == "db1"
    anew = views.view(RESET, replace(JOINED, joined_at=views.NOW))
    assert [row.name for row in assess(Situation(anew, views.record()))] == ["healthy"]


def test_what_a_second_writer_took_is_left_for_a_person() -> None:
    state = VARIANTS["log-reset, of the second writer"]
    assert state.record is not None
    plan = fence_reset(Situation(state, state.record))
    assert isinstance(plan, Plan)
    (record, *_) = plan.steps
    assert "compare them" in str(record)
    assert not any(isinstance(step, ForgetReceived) for step in plan.steps)


def test_a_receiver_that_runs_for_a_moment_has_still_found_its_source_purged() -> None:
    running = views.look("db2").receiver
    state = views.view()

    def since(*receivers: ReplicationThread) -> float | None:
        seen = state
        for number, one in enumerate(receivers):
            at = views.NOW + number
            seen = fold(seen, NodeLooked("db2", views.look("db2", at=at, receiver=one)))
        return seen.node("db2").purged_since

    assert since(GONE) == since(GONE, running, GONE) == views.NOW
    assert since(GONE, running) == views.NOW
    assert since(GONE, running, running) is None
    torn = replace(GONE, error="binlog truncated in the middle of event")
    assert since(torn) is None


def test_a_replica_of_a_reset_writer_needs_other_data() -> None:
    joined = replace(replica_node(), joined_at=views.NOW - 60)
    pair = replace(
        replica_view().pair,
        nodes=(("db1", RESET), ("db2", views.seen("db2"))),
    )
    view = replica_view(joined, pair=pair)
    assert view.record is not None
    one = FollowerSituation(view, view.record, views.record())
    assert one.log_reset_on == "db1"
    assert one.wanted is False
    assert one.needs_other_data
    assert "reset the binary log of db1" in one.broken_reason


def test_a_replica_that_was_away_meanwhile_is_asked_the_same_when_it_is_back() -> None:
    joined = replace(replica_node(), joined_at=views.NOW - 60)
    pair = replace(replica_view().pair, nodes=(("db1", RESET), ("db2", views.seen("db2"))))
    for cause, verdict in ((Cause.LOST, "replica-broken"), (Cause.HEALED, "replica-returned")):
        view = replica_view(joined, pair=pair, entry=views.away(cause))
        assert decide(view).verdicts[0].name == verdict


def test_a_replica_that_was_away_when_its_writer_purged_has_to_have_tried() -> None:
    """The error of its receiver may be from before it was lost."""
    outdated = replace(replica_node(receiver=GONE), purged_since=views.NOW - 5.0)
    for incidents, verdict in (((), "replica-returned"), (follow_failed(1), "replica-broken")):
        for cause in (Cause.LOST, Cause.HEALED):
            view = replica_view(outdated, entry=views.away(cause), incidents=incidents)
            assert decide(view).verdicts[0].name == verdict
