"""Wall clocks that are an hour apart: what supervisors make of a record by another one's clock.

Deciding goes by the monotonic clock; wall clocks only count failovers that follow each other. (What
a node's clock is to lag: `test_lag_meter.py`; real clocks that are wrong: `myha drill clock`.)
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from myha.core.node import Contact
from myha.core.planning import decide
from myha.core.plans import Plan, RecordChange, Refusal
from myha.core.record import Record
from tests.core.views import WALL, lost, record, unsourced, view

HOUR = 3600.0
TAKEOVER = RecordChange("another supervisor takes over")


def crashed(given: Record, wall: float, contact: Contact = Contact.REFUSING) -> Plan | Refusal:
    """What is decided when the writer has died, by a supervisor with this clock."""
    seen = view(lost("db1", contact), unsourced(), given)
    found = decide(replace(seen, wall=wall))
    if found.plan is not None and found.plan.kind == "failover":
        return found.plan
    return found.refusals[0][1]


@pytest.mark.parametrize("apart", [-HOUR, HOUR])
def test_a_failover_is_the_same_by_any_clock(apart: float) -> None:
    there = record(writer_since_wall=WALL - 100.0, failover_walls=(WALL - 100.0,))
    same, other = crashed(there, WALL), crashed(there, WALL + apart)
    assert isinstance(same, Plan)
    assert same == other


def flapping(by: float) -> Record:
    """Three failovers within a minute, by a clock that is so far ahead."""
    return record(
        writer_since_wall=WALL + by - 10.0,
        failover_walls=tuple(WALL + by - ago for ago in (50.0, 30.0, 10.0)),
    )


@pytest.mark.parametrize("ahead", [0.0, HOUR])
def test_a_loop_of_failovers_is_held_back_as_long_whoever_counted(ahead: float) -> None:
    """And not for another hour, until the clock of who takes over has got there."""
    taken = TAKEOVER.apply(flapping(ahead), WALL)
    window = view().policy.flap_window_seconds
    refused = crashed(taken, WALL + 1.0, Contact.SILENT)
    assert isinstance(refused, Refusal)
    assert "flapping" in refused.reason
    assert isinstance(crashed(taken, WALL + window + 1.0, Contact.SILENT), Plan)


def test_one_whose_clock_is_behind_the_last_ones_keeps_the_order_of_what_was() -> None:
    taken = TAKEOVER.apply(flapping(HOUR), WALL)
    assert taken.failover_walls == (WALL,) * 3
    assert taken.writer_since_wall == WALL
    again = RecordChange("fail over", writer="db2", unattended=True).apply(taken, WALL + 5.0)
    assert again.failover_walls == (WALL, WALL, WALL, WALL + 5.0)


def test_what_is_in_the_past_stays() -> None:
    there = flapping(0.0)
    taken = TAKEOVER.apply(there, WALL)
    assert taken == replace(there, version=there.version + 1)
