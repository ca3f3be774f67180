"""A node that is back with less than it had: an older copy of its data, in the same place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.core.node import Contact, NodeView
from myha.core.observations import NodeLooked, NodeMissed, fold
from myha.core.planning import decide
from myha.core.plans import ChangeRecord, Plan, Refusal
from myha.core.record import Cause, Membership, Record, Sync
from myha.core.requests import forced_failover
from myha.core.situation import Situation
from myha.core.view import View
from tests.core import views
from tests.core.situations import INCOMPLETE, OUT, SITUATIONS, WENT_ON

U, U2 = views.UUID, views.UUID_2
SOLO = views.record(views.away(), Sync.SOLO)
LATER = views.NOW + 1.0


def looked(state: View, at: float, executed: str, **changes: object) -> View:
    """The view after a look at the writer that found these transactions."""
    found = views.gtids(executed)
    return fold(state, NodeLooked("db1", views.look("db1", at=at, executed=found, **changes)))


def kept_by(state: View) -> str:
    kept = state.node("db1").kept
    return "" if kept is None else str(kept)


def test_what_was_there_a_look_ago_is_there_for_good() -> None:
    state = looked(views.view(), LATER, f"{U}:1-12")
    assert kept_by(state) == f"{U}:1-10"
    assert kept_by(looked(state, LATER + 1, f"{U}:1-20")) == f"{U}:1-12"


def test_what_may_still_wait_for_an_acknowledgement_is_not() -> None:
    """MariaDB's binary log has it by then, and takes it out again where it was never given."""
    waiting = views.waits(waiting_sessions=1)
    state = looked(views.view(), LATER, f"{U}:1-12", semisync=waiting)
    assert kept_by(state) == ""


def test_what_a_reset_of_the_log_takes_is_not_taken_by_a_restart() -> None:
    state = looked(looked(views.view(), LATER, f"{U}:1-12"), LATER + 1, f"{U}:1-3")
    assert kept_by(state) == f"{U}:1-3"


def test_in_a_new_life_what_it_had_stays_known_until_that_life_is_on_record() -> None:
    state = looked(views.view(on_record=SOLO), LATER, f"{U}:1-12")
    anew = {"boot_id": "db1-2", "open": False}
    for step in range(3):
        state = looked(state, LATER + 1 + step, f"{U}:1-4", **anew)
        assert kept_by(state) == f"{U}:1-10"
    there = SOLO.node("db1")
    accepted = replace(SOLO, nodes=(("db1", replace(there, boot_id="db1-2")), SOLO.nodes[1]))
    state = looked(replace(state, record=accepted), LATER + 9, f"{U}:1-5", boot_id="db1-2")
    assert kept_by(state) == f"{U}:1-4"


def test_of_one_that_is_no_member_nothing_is_known() -> None:
    """A heal may take out of it what it had."""
    state = looked(views.view(), LATER, f"{U}:1-12")
    out = replace(
        state, record=views.record(writer="db2", nodes=(("db1", views.away()), SOLO.nodes[1]))
    )
    assert kept_by(looked(out, LATER + 1, f"{U}:1-3")) == ""


def back(executed: str, standby: NodeView, on_record: Record) -> View:
    """The writer, seen with twelve transactions, is back with these."""
    state = looked(views.view(None, standby, on_record, OUT), LATER, f"{U}:1-12")
    state = looked(state, LATER + 0.5, f"{U}:1-12")
    state = fold(state, NodeMissed("db1", LATER + 1, Contact.REFUSING, hung_up=True))
    return looked(state, LATER + 2, executed, boot_id="db1-2", open=False)


def test_a_writer_with_older_data_is_not_opened_where_it_is_alone() -> None:
    gone = views.lost("db2", Contact.REFUSING)
    found = decide(back(f"{U}:1-5", gone, SOLO))
    assert found.verdicts[0].name == "writer-older"
    assert found.plan is None or found.plan.kind == "route"
    (refusal,) = [one for row, one in found.refusals if row == "writer-older"]
    assert f"{U}:6-12" in refusal.reason
    assert refusal.override == "myha failover --to db1 --accept-loss"
    whole = decide(back(f"{U}:1-12", gone, SOLO))
    assert whole.plan is not None
    assert whole.plan.kind == "reinstate"


def test_a_standby_that_has_everything_takes_over_from_it() -> None:
    has_all = views.seen(
        "db2", executed=views.gtids(f"{U}:1-12"), received=views.gtids(f"{U}:1-12")
    )
    found = decide(back(f"{U}:1-5", has_all, views.record()))
    assert found.plan is not None
    assert found.plan.kind == "failover"


@pytest.mark.parametrize("on_record", [views.record(sync=Sync.SOLO), SOLO])
def test_opened_all_the_same_its_standby_gets_other_data(on_record: Record) -> None:
    """What that one has bears names that are given anew."""
    state = back(f"{U}:1-5", views.lost("db2", Contact.REFUSING), on_record)
    assert state.record is not None
    it = Situation(state, state.record)
    assert isinstance(forced_failover(it, "db1", accept_loss=False), Refusal)
    plan = forced_failover(it, "db1", accept_loss=True)
    assert isinstance(plan, Plan)
    (record,) = [step.change for step in plan.steps if isinstance(step, ChangeRecord)]
    entries = dict(record.nodes)
    assert entries["db1"].boot_id == "db1-2"
    assert (entries["db2"].membership, entries["db2"].cause) == (Membership.FENCED, Cause.BROKEN)
    assert "open db1 again" in plan.sentence


def test_a_writer_that_has_all_is_not_opened_by_that_word() -> None:
    state = SITUATIONS["writer-restarted"]
    assert state.record is not None
    assert isinstance(
        forced_failover(Situation(state, state.record), "db1", accept_loss=True), Refusal
    )


def incomplete(writer: NodeView, standby: NodeView) -> bool:
    on_record = views.record()
    return Situation(views.view(writer, standby, on_record), on_record).left_out is not None


def test_only_what_comes_before_the_writers_own_is_left_out() -> None:
    def standby(text: str, **changes: object) -> NodeView:
        has = views.gtids(text)
        return replace(views.seen("db2", executed=has, received=has, **changes), joined_at=50.0)

    assert incomplete(WENT_ON, INCOMPLETE)
    assert incomplete(WENT_ON, standby(f"{U}:1-10"))
    assert not incomplete(WENT_ON, standby(f"{U}:1-9,{U2}:1-4")), "it has yet to receive more"
    assert not incomplete(WENT_ON, standby(f"{U}:1-9,{U2}:1-7")), "it is behind"
    assert not incomplete(WENT_ON, standby(f"{U}:1-10,{U2}:1-4", receiver=views.STOPPED))
    assert not incomplete(WENT_ON, standby(f"{U}:1-10,{U2}:1-4", at=views.NOW - 0.1)), "see below"
    # With two writers what the standby wrote after that look at it has reached the writer since.


@pytest.mark.parametrize(
    ("gtids", "server", "rest"),
    [
        (MysqlGtidSet.parse(f"{U}:1-9,{U2}:3"), (U, 1), f"{U2}:3"),
        (MysqlGtidSet.parse(f"{U}:load:1-9,{U2}:3"), (U.upper(), 1), f"{U2}:3"),
        (MariadbGtidSet.parse("1-1-9,2-2-4"), ("", 1), "2-2-4"),
        (MariadbGtidSet.parse("1-1-3..9,2-?-1..4"), ("", 1), ""),
    ],
)
def test_what_others_wrote(gtids: GtidSet, server: tuple[str, int], rest: str) -> None:
    assert str(gtids.of_others(*server)) == rest
