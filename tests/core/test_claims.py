"""A standby that takes for its own what the writer has yet to write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from myha.core.node import NodeView
from myha.core.situation import Situation
from tests.core import views

U, U2, NOW = views.UUID, views.UUID_2, views.NOW
LONG_AGO = NOW - 10.0


def claimed(standby: str, *, known_at: float = LONG_AGO, writer: NodeView | None = None) -> str:
    """What is found where the writer has ten transactions, with a look at it later than that."""
    has = views.gtids(standby)
    node: NodeView = replace(
        views.seen("db2", executed=has, received=has), kept=has, executed_known_at=known_at
    )
    record = views.record()
    view = views.view(writer or views.seen("db1", at=NOW), node, record)
    found = Situation(view, record).claimed
    return "" if found is None else str(found)


def test_more_than_there_are_sessions_to_write_it_are_claimed() -> None:
    assert claimed(f"{U}:1-200", known_at=-1.0) == f"{U}:11-200"


def test_as_many_as_sessions_may_be_in_flight() -> None:
    assert claimed(f"{U}:1-60", known_at=-1.0) == ""
    assert claimed(f"{U}:1-100", known_at=-1.0, writer=views.seen("db1", sessions=100)) == ""


def test_few_are_claimed_once_both_have_rested() -> None:
    assert claimed(f"{U}:1-12") == f"{U}:11-12"
    assert claimed(f"{U}:1-12", known_at=NOW - 1.0) == ""


@pytest.mark.parametrize(
    "writer",
    [
        views.seen("db1", semisync=views.waits(waiting_sessions=1)),
        views.seen("db1", commits_stuck_seconds=0.5),
    ],
)
def test_few_may_be_commits_that_do_not_end(writer: NodeView) -> None:
    assert claimed(f"{U}:1-12", writer=writer) == ""


def test_what_the_standby_wrote_itself_is_none_of_it() -> None:
    assert claimed(f"{U}:1-10,{U2}:1-500") == ""
    assert claimed(f"{U}:1-8") == ""


def test_what_was_looked_at_before_tells_nothing() -> None:
    has = views.gtids(f"{U}:1-200")
    standby = replace(views.seen("db2", executed=has, received=has, at=NOW), kept=has)
    record = views.record()
    view = views.view(views.seen("db1", at=NOW - 0.1), standby, record)
    assert Situation(view, record).claimed is None
