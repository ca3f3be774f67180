"""A comparison after a heal ends at its limit, and no other reason to stop is taken for that."""

from __future__ import annotations

import time

import pytest

from myha.core.events import Kind
from myha.operations.heal.limit import Limit
from myha.permit import CancelledError
from tests.reporters import ListReporter


def compare(limit: Limit, seconds: float) -> bool:
    """As a comparison does: ask in every round; True when it came to its end."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        limit.permit.require()
        time.sleep(0.001)
    return True


def test_a_comparison_within_the_limit_comes_to_its_end() -> None:
    with Limit(ListReporter(), 30.0) as limit:
        assert compare(limit, 0.01)
    assert not limit.over


def test_at_the_limit_it_ends_and_what_differed_is_counted() -> None:
    with Limit(ListReporter(), 0.05) as limit:
        limit.event(Kind.DIFFERENCE, "app.t: id = 1: different")
        limit.event(Kind.HEAL, "something else")
        compare(limit, 30.0)
    assert limit.over
    assert limit.differences == 1


def test_without_a_limit_it_goes_on() -> None:
    with Limit(ListReporter(), 0.0) as limit:
        assert compare(limit, 0.05)
    assert not limit.over


def test_stopped_on_request_is_not_the_limit() -> None:
    reporter = ListReporter()
    reporter.permit.withdraw("by the supervisor")
    stopped = pytest.raises(CancelledError, match="stopped by the supervisor")
    with stopped, Limit(reporter, 30.0) as limit:
        compare(limit, 30.0)
    assert not limit.over
