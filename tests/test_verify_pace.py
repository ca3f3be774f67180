"""When a comparison takes no locks: the waiting alone, without servers."""

from __future__ import annotations

import pytest

from myha.errors import MyhaError
from myha.operations.verify.pace import Pace, Throttle
from myha.progress import Reporter
from tests.reporters import ListReporter


def pace(reporter: Reporter, **options: float) -> Pace:
    return Pace(Throttle(lag_limit_seconds=1.0, **options), (), reporter)


@pytest.mark.parametrize(
    ("took", "waits"),
    [
        ((0.0,), 1),
        ((1.0,), 1),
        ((1.1, 0.6, 0.5), 3),  # above the limit: until half of it
        ((30.0, 4.0, 0.1), 3),
    ],
)
def test_locks_wait_until_a_standby_catches_up_quickly(took: tuple[float, ...], waits: int) -> None:
    one, answers, asked = pace(ListReporter()), iter(took), []

    def catch_up() -> float:
        asked.append(next(answers))
        return asked[-1]

    one.before_locks(catch_up)
    assert len(asked) == waits
    assert one.backed_off == (1 if waits > 1 else 0)


def test_a_lag_that_stays_ends_the_run_and_says_what_to_do() -> None:
    one = pace(ListReporter(), pause_limit_seconds=-1.0)
    with pytest.raises(MyhaError, match=r"stayed above 1 s .*now 7 s.*myha explain"):
        one.before_locks(lambda: 7.0)
