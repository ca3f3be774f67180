"""The drill's judgement over the ticks of its events: each way to be wrong, one test."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from myha.core.journal_line import Line
from myha.database.flavours import MYSQL
from myha.drill.ticks import RESTS, TICKS, Change, Tick, Ticking, changes, wrong_ticks
from myha.errors import ServerError

A, B = 1, 2
CHANGED = [Change(B, 100.0)]
GOOD = [*(Tick(TICKS, A, 95.0 + n) for n in range(5)), *(Tick(TICKS, B, 102.0 + n) for n in (0, 1))]


def test_ticks_that_follow_the_writer_are_good() -> None:
    assert list(wrong_ticks(GOOD, A, CHANGED)) == []
    assert list(wrong_ticks([], A, [])) == []


@pytest.mark.parametrize(
    "wrong",
    [Tick(TICKS, A, 103.0), Tick(TICKS, B, 97.0)],
    ids=["the old writer goes on", "the standby runs it too"],
)
def test_a_tick_on_the_wrong_node_is_a_problem(wrong: Tick) -> None:
    (problem,) = wrong_ticks([*GOOD, wrong], A, CHANGED)
    assert problem.startswith("1 ticks of the event on a node that was not the writer then")
    assert f"such as one on server {wrong.origin} at" in problem


def test_what_a_merge_took_over_is_none() -> None:
    assert list(wrong_ticks([*GOOD, Tick(TICKS, A, 103.0)], A, CHANGED, merged=A)) == []


def test_the_disabled_event_must_not_run_anywhere() -> None:
    (problem,) = wrong_ticks([*GOOD, Tick(RESTS, B, 103.0)], A, CHANGED)
    assert problem == "the disabled event ran 1 times, on server 2"


def test_changes_are_those_on_record() -> None:
    def line(plan: str, step: str, node: str = "b", kind: str = "step") -> Line:
        return Line(0, 0.0, 100.0, kind, "", {"plan": plan, "step": step, "node": node})

    events = [
        line("failover", "record"),
        line("failover", "open"),
        line("release", "record"),
        line("switchover", "record", "a"),
        line("switchover", "record", "a", "step-failed"),
    ]
    assert changes(events, {"a": A, "b": B}) == [Change(B, 100.0), Change(A, 100.0)]


class Denies:
    """A target whose account may do anything but make events."""

    flavour = MYSQL
    account = SimpleNamespace(user="app")

    @contextmanager
    def node_session(self, _: str) -> Iterator[FakeSession]:
        yield FakeSession()


class FakeSession:
    def query(self, sql: str) -> list[tuple[str]]:
        if sql.startswith("CREATE EVENT"):
            raise ServerError("Access denied for user 'app' to database 'app'", 1044)
        return [("ON",)]

    def run(self, statements: Iterable[str]) -> None:
        for sql in statements:
            self.query(sql)


def test_an_account_that_may_make_no_events_plays_without() -> None:
    said: list[str] = []
    ticking = Ticking(Denies(), said.append)  # type: ignore[arg-type]  # what it uses of one
    assert ticking.begin("a", 7) == ""
    assert said == ["'app' may not make events there (EVENT): played without an event"]
    ticking.end()  # asks nothing
    assert ticking.await_tick("a") == ""
    assert ticking.problems("a", [], "a", "") == ticking.differ(["a", "b"]) == []
