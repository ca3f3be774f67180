"""The supervisor's loop by itself: what follows from events, without a thread or a clock."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import pytest

from myha.core.node import Contact, ReplicationThread
from myha.core.observations import BalancerLooked, NodeLooked, NodeMissed, Tick
from myha.core.policy import Mode
from myha.core.view import View
from myha.supervisor.base_loop import (
    IDLE_SECONDS,
    QUIET_SECONDS,
    Answer,
    Begin,
    Effect,
    LookNow,
    Note,
    PlanResult,
    Stop,
)
from myha.supervisor.loop import PRESS_SECONDS, STOP_DEADLINE_SECONDS, Loop
from myha.supervisor.requests import Reply, Request
from tests.core.views import (
    NOW,
    UUID,
    WALL,
    away,
    gtids,
    look,
    lost,
    record,
    routes,
    seen,
    unsourced,
    view,
    waits,
)

T = TypeVar("T")


def loop_at(start: View) -> Loop:
    loop = Loop(start.policy, start.at, start.wall, start.record)
    loop.view = start
    return loop


def tick(loop: Loop, at: float) -> None:
    assert loop.take(Tick(at, WALL + at - NOW)) == ()


def only(kind: type[T], effects: tuple[Effect, ...]) -> list[T]:
    return [one for one in effects if isinstance(one, kind)]


def everybody_looks(loop: Loop, at: float) -> None:
    for name in ("db1", "db2"):
        loop.take(NodeLooked(name, look(name, at=at)))


WRITER_DEAD = view(db1=lost("db1", Contact.REFUSING), db2=unsourced())
WRITER_REFUSES = view(db1=lost("db1", Contact.REFUSING, NOW - 0.1))


def test_a_verdict_is_noted_once_at_every_change() -> None:
    loop = loop_at(view())
    turn = loop.decide()
    assert [(one.kind, one.fields) for one in only(Note, turn.effects)] == [
        ("verdict", {"verdict": "healthy"})
    ]
    assert (turn.wait_seconds, turn.leave) == (QUIET_SECONDS, False)
    assert loop.decide().effects == ()


def test_a_contact_that_changes_makes_everybody_look() -> None:
    loop = loop_at(view())
    missed = NodeMissed("db1", NOW, Contact.SILENT)
    assert loop.take(missed) == (LookNow(("db1", "db2")),)
    assert loop.take(replace(missed, at=NOW + 1)) == ()
    assert loop.take(NodeMissed("db1", NOW + 2, Contact.REFUSING)) == (LookNow(("db1", "db2")),)


def test_the_standby_is_pressed_for_proof_until_the_dead_time() -> None:
    loop = loop_at(WRITER_REFUSES)
    turn = loop.decide()
    assert only(LookNow, turn.effects) == [LookNow(("db2",))]
    assert turn.wait_seconds == PRESS_SECONDS
    tick(loop, NOW + loop.view.policy.deadtime_seconds)
    turn = loop.decide()
    assert only(LookNow, turn.effects) == []
    assert turn.wait_seconds == IDLE_SECONDS


def test_the_writer_is_asked_once_more_before_its_standby_is_taken_for_lost() -> None:
    """Who is cut off from both hears of it from one first, and must not take that one for lost."""
    old = replace(
        seen("db1", at=NOW - 4.0, semisync=waits(waiting_sessions=3)), answered_at=NOW - 4
    )
    loop = loop_at(view(db1=old, db2=lost("db2", Contact.SILENT)))
    turn = loop.decide()
    assert only(LookNow, turn.effects) == [LookNow(("db1",))]
    assert only(Begin, turn.effects) == []
    loop.take(NodeMissed("db1", NOW, Contact.SILENT))
    turn = loop.decide()
    assert loop.decision.verdicts[0].name == "isolated"
    assert (only(LookNow, turn.effects), only(Begin, turn.effects)) == ([], [])
    waiting = look("db1", at=NOW + 0.1, semisync=waits(waiting_sessions=3))
    loop.take(NodeLooked("db1", waiting))
    (begin,) = only(Begin, loop.decide().effects)
    assert begin.plan.kind == "release"


def test_one_plan_at_a_time_and_everybody_is_looked_at_after_it() -> None:
    loop = loop_at(WRITER_DEAD)
    (begin,) = only(Begin, loop.decide().effects)
    assert begin.plan.kind == "failover"
    assert loop.running is begin.plan
    assert only(Begin, loop.decide().effects) == []
    tick(loop, NOW + 1)
    failed, looks = loop.take(PlanResult("no", record()))
    assert isinstance(failed, Note)
    assert (failed.kind, failed.text) == ("plan-failed", f"{begin.plan.sentence}: no")
    assert looks == LookNow(("db1", "db2"), ("lb1",))
    loop.take(NodeLooked("db2", look("db2", at=NOW + 2)))
    loop.decide()
    assert not loop.decision.fresh
    loop.take(NodeMissed("db1", NOW + 2, Contact.REFUSING))
    loop.decide()
    assert loop.decision.fresh


def test_a_request_is_replied_to_when_its_plan_has_ended() -> None:
    loop = loop_at(view())
    request, second = Request("maintenance", {"state": "on"}), Request("switchover", {})
    (begin,) = loop.take(request)
    assert isinstance(begin, Begin)
    (busy,) = loop.take(second)
    assert isinstance(busy, Answer)
    assert (busy.request, busy.reply.ok) == (second, False)
    assert busy.reply.text.startswith("busy: ")
    effects = loop.take(PlanResult("", record(maintenance=True)))
    done = Reply(ok=True, text=f"done: {begin.plan.sentence}")
    assert only(Answer, effects) == [Answer(request, done)]
    refused = Reply(False, "maintenance is on", "myha maintenance off")
    assert loop.take(second) == (Answer(second, refused),)


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("switchover", {"max_outage": "soon"}, "a number of seconds above 0, and is 'soon'"),
        ("switchover", {"max_outage": "nan"}, "a number of seconds above 0, and is 'nan'"),
        ("switchover", {"max_outage": "-1"}, "a number of seconds above 0, and is '-1'"),
        ("fence", {}, "there is no node ''; the nodes are db1 and db2"),
        ("unfence", {}, "there is no node ''; the nodes are db1 and db2"),
        ("heal", {}, "there is no node ''; the nodes are db1 and db2"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused_and_ends_nothing(
    name: str, arguments: dict[str, str], text: str
) -> None:
    """Whatever comes over the socket: the loop is what fails over."""
    (answer,) = only(Answer, loop_at(view()).take(Request(name, arguments)))
    assert not answer.reply.ok
    assert text in answer.reply.text


def test_a_request_that_may_succeed_later_says_so() -> None:
    loop = loop_at(view())
    loop.take(Request("switchover", {}))
    effects = loop.take(PlanResult("too far behind", None, ask_again=True))
    (answer,) = only(Answer, effects)
    assert (answer.reply.ok, answer.reply.ask_again) == (False, True)


def test_a_stopped_loop_leaves_when_nothing_is_left_half_done() -> None:
    loop = loop_at(view())
    loop.take(Stop())
    assert loop.decide().leave
    request = Request("switchover", {})
    refused = Reply(False, "the supervisor is stopping")
    assert loop.take(request) == (Answer(request, refused),)


def test_a_stopped_loop_waits_for_its_plan_and_for_a_look_after_it() -> None:
    loop = loop_at(view())
    loop.take(Request("maintenance", {"state": "on"}))
    loop.take(Stop())
    assert not loop.decide().leave
    tick(loop, NOW + 1)
    loop.take(PlanResult("", record(maintenance=True)))
    assert not loop.decide().leave
    everybody_looks(loop, NOW + 2)
    assert loop.decide().leave


def test_a_stopped_loop_begins_only_what_must_not_be_left_half_done() -> None:
    differs = loop_at(view(lb1=routes(reader_db2=False)))
    differs.take(Stop())
    turn = differs.decide()
    assert (only(Begin, turn.effects), turn.leave) == ([], True)
    closed = loop_at(view(db1=seen("db1", open=False), on_record=record(db2=away())))
    closed.take(Stop())
    turn = closed.decide()
    assert closed.decision.verdicts[0].name == "writer-closed"
    assert (len(only(Begin, turn.effects)), turn.leave) == (1, False)


def test_a_stopped_loop_does_not_wait_for_ever() -> None:
    loop = loop_at(replace(view(), plan_ended_at=NOW + 1, acted_at=NOW + 1))
    loop.take(Stop())
    assert not loop.decide().leave
    tick(loop, NOW + STOP_DEADLINE_SECONDS + 1)
    assert loop.decide().leave


def test_the_heartbeat_is_written_where_clients_may_write() -> None:
    single = loop_at(view(db2=seen("db2", open=True)))
    assert [single.writes_heartbeat(name) for name in ("db1", "db2")] == [True, False]
    closed = loop_at(view(db1=seen("db1", open=False)))
    assert not closed.writes_heartbeat("db1")
    both = loop_at(view(db2=seen("db2", open=True), mode=Mode.DUAL_WRITER))
    assert [both.writes_heartbeat(name) for name in ("db1", "db2")] == [True, True]


def test_a_balancer_that_is_seen_needs_nothing_else_to_look() -> None:
    loop = loop_at(view())
    seen_now = view().balancer("lb1").look
    assert seen_now is not None
    assert loop.take(BalancerLooked("lb1", replace(seen_now, at=NOW + 1))) == ()


def test_only_what_was_not_known_before_is_news() -> None:
    """And nothing is old where all is not well: there every look may be what is waited for."""
    loop = loop_at(view())
    same = NodeLooked("db2", look("db2", at=NOW + 1))
    assert loop.is_news(same)  # nothing was decided yet
    loop.decide()
    assert not loop.is_news(same)
    more = gtids(f"{UUID}:1-11")
    moved = replace(
        same.look, lag_seconds=0.3, sessions=7, progress="more", executed=more, logged=more
    )
    assert not loop.is_news(replace(same, look=moved))
    late = replace(same.look, lag_seconds=loop.view.policy.lag_out_seconds + 0.1)
    assert loop.is_news(replace(same, look=late)), "it must not take reads any more"
    less = gtids(f"{UUID}:1-9")
    for reset in (replace(same.look, executed=less), replace(same.look, logged=less)):
        assert loop.is_news(replace(same, look=reset))
    for changed in ({"open": True}, {"receiver": ReplicationThread()}, {"boot_id": "other"}):
        assert loop.is_news(replace(same, look=replace(same.look, **changed)))
    assert loop.is_news(NodeMissed("db2", NOW + 1, Contact.SILENT))
    assert loop.is_news(Stop())
    (name, known), *_ = loop.view.balancers
    assert known.look is not None
    routes = known.look.routes
    busy = replace(known.look, routes=tuple(replace(one, sessions=9) for one in routes))
    assert not loop.is_news(BalancerLooked(name, busy))
    failing = replace(known.look, routes=tuple(replace(one, errors=1) for one in routes))
    assert loop.is_news(BalancerLooked(name, failing))
    out = replace(known.look, routes=tuple(replace(one, takes_traffic=False) for one in routes))
    assert loop.is_news(BalancerLooked(name, out))
    loop.take(NodeMissed("db2", NOW + 1, Contact.SILENT))
    loop.decide()
    assert loop.is_news(NodeLooked("db1", look("db1", at=NOW + 2)))
