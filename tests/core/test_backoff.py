"""The pause before what has failed is tried again."""

from __future__ import annotations

from myha.core.backoff import backoff_seconds


def test_it_doubles_with_each_failure_up_to_the_limit() -> None:
    assert [backoff_seconds(n, 0.5, 5.0) for n in range(1, 7)] == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]


def test_no_failure_yet_is_the_first_pause() -> None:
    assert backoff_seconds(0, 0.5, 5.0) == 0.5


def test_a_week_of_failures_overflows_nothing() -> None:
    assert backoff_seconds(100_000, 0.1, 5.0) == 5.0
