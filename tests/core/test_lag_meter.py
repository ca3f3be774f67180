"""Lag from heartbeats: one clock, no server."""

import pytest

from myha.servers.lag import KEEP_HEARTBEATS, QUIET_SECONDS, LagMeter, stamp, unstamp

WALL = 1_700_000_000.0


def test_a_stamp_is_read_back_to_the_microsecond() -> None:
    wall = WALL + 0.123456
    assert stamp(wall) == "2023-11-14T22:13:20.123456"
    assert unstamp(stamp(wall)) == wall
    assert unstamp("no time") is None


def test_nobody_can_say_before_the_first_heartbeat_and_after_a_long_silence() -> None:
    meter = LagMeter()
    assert meter.lag_seconds(WALL, 10.0, WALL) is None
    meter.committed(WALL, 10.0)
    assert meter.lag_seconds(None, 10.0, WALL) is None
    assert meter.lag_seconds(WALL, 10.0 + QUIET_SECONDS + 0.1, WALL) is None


def test_lag_is_the_age_of_the_oldest_heartbeat_not_seen() -> None:
    meter = LagMeter()
    for second in range(4):
        meter.committed(WALL + second, 10.0 + second)
    assert meter.lag_seconds(WALL + 3, 13.5, WALL + 3.5) == 0.0
    assert meter.lag_seconds(WALL + 1, 13.5, WALL + 3.5) == 1.5  # lacks the one of second 12


def test_a_stamp_from_before_the_first_heartbeat_counts_by_its_own_age() -> None:
    meter = LagMeter()
    meter.committed(WALL, 10.0)
    assert meter.lag_seconds(WALL - 100, 10.5, WALL + 0.5) == 100.5


def test_heartbeats_that_are_too_old_are_let_go_of() -> None:
    meter = LagMeter()
    for number in range(5 * KEEP_HEARTBEATS):
        meter.committed(WALL + number, float(number))
    assert KEEP_HEARTBEATS <= len(meter._stamps) < 2 * KEEP_HEARTBEATS
    last = 5.0 * KEEP_HEARTBEATS - 1
    assert meter.lag_seconds(WALL + last, last, WALL + last) == 0.0
    assert meter.lag_seconds(WALL + last - 9, last, WALL + last) == 8.0


@pytest.mark.parametrize("step", [3600.0, -3600.0])
def test_a_clock_that_is_stepped_neither_hides_lag_nor_makes_any(step: float) -> None:
    """There and back: the order of the heartbeats counts, not what they say."""
    meter = LagMeter()
    stamps = [WALL, WALL + 1, WALL + 2 + step, WALL + 3 + step, WALL + 4, WALL + 5]
    for second, stamped in enumerate(stamps):
        at = 10.0 + second
        meter.committed(stamped, at)
        assert meter.lag_seconds(stamped, at + 0.5, stamped + 0.5) == 0.0
        for behind in range(second):
            lag = meter.lag_seconds(stamps[behind], at + 0.5, stamped + 0.5)
            assert lag == second - behind - 0.5


def test_a_stamp_of_another_supervisor_counts_by_what_it_says() -> None:
    meter = LagMeter()
    for second in range(4):
        meter.committed(WALL + second, 10.0 + second)
    assert meter.lag_seconds(WALL + 1.5, 13.5, WALL + 3.5) == 1.5
    assert meter.lag_seconds(WALL + 3.5, 13.5, WALL + 3.5) == 0.0


def test_a_heartbeat_that_nobody_has_noted_yet_is_no_lag() -> None:
    meter = LagMeter()
    meter.committed(WALL, 10.0)
    meter.committed(WALL - 3600, 11.0)
    assert meter.lag_seconds(WALL - 3599, 12.0, WALL - 3599) == 0.0


def test_what_is_committed_while_a_replica_is_asked_is_nothing_that_it_lacks() -> None:
    """A supervisor's first heartbeat was: the reader was a whole pause of supervision behind."""
    meter = LagMeter()
    meter.committed(WALL, 10.0)
    assert meter.lag_seconds(WALL - 100, 10.2, WALL + 0.2, began=9.9) is None
    assert meter.lag_seconds(WALL - 100, 10.7, WALL + 0.7, began=10.5) == pytest.approx(100.7)
    meter.committed(WALL + 1, 11.0)
    assert meter.lag_seconds(WALL, 11.1, WALL + 1.1, began=10.9) == 0.0
    assert meter.lag_seconds(WALL, 11.6, WALL + 1.6, began=11.5) == pytest.approx(0.6)
    assert meter.lag_seconds(WALL + 1, 11.6, WALL + 1.6, began=10.9) == 0.0  # newer than asked for
    assert meter.lag_seconds(WALL + 0.5, 11.6, WALL + 1.6, began=10.9) == 0.0  # none of ours
