"""Errant transactions are told whatever the order of the looks, and never from looks too early."""

from __future__ import annotations

import pytest

from myha.core.observations import NodeLooked, fold
from myha.core.record import Sync
from myha.core.situation import Situation
from tests.core import views
from tests.core.situations import CLEAN, ERRANT

ROUNDS = 5


def errant_after(rounds: list[tuple[float, float]]) -> list[bool | None]:
    """What is known after each round of looks, (writer's, standby's) by their beginnings."""
    state = views.view(on_record=views.record(views.away(), sync=Sync.SOLO))
    known: list[bool | None] = []
    for writer_at, standby_at in rounds:
        looks = [
            NodeLooked("db2", views.look("db2", at=standby_at, executed=ERRANT, **CLEAN)),
            NodeLooked("db1", views.look("db1", at=writer_at)),
        ]
        for one in looks:  # both are taken in before anything is decided
            state = fold(state, one)
        assert state.record is not None
        errant = Situation(state, state.record).errant
        known.append(None if errant is None else not errant.is_empty())
    return known


@pytest.mark.parametrize("lead", [0.0001, 0.0, -0.0001])
def test_watchers_in_step_still_tell(lead: float) -> None:
    """The writer's look always begins a moment before (or after) the standby's, and ends after."""
    rounds = [(views.NOW + 1 + 0.25 * n - lead, views.NOW + 1 + 0.25 * n) for n in range(ROUNDS)]
    known = errant_after(rounds)
    assert known[0] is None
    assert known[-1] is True


def test_a_look_at_the_writer_from_before_tells_nothing() -> None:
    later = views.NOW + 10
    assert errant_after([(views.NOW + 1, later + n) for n in range(ROUNDS)]) == [None] * ROUNDS
