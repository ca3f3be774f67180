"""Waiting for a condition by asking again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

GROWTH = 1.5
POLL_SECONDS = 0.05  # where nobody needs to know sooner, and it costs little to ask

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T],
    deadline_seconds: float,
    poll_seconds: float = POLL_SECONDS,
    longest_poll_seconds: float = 0.0,
) -> T:
    """What `condition` returned last: something true, or what it returned at the deadline.

    It is asked at least once, and for the last time when the deadline (`math.inf`: none) has
    passed. Whatever it raises ends the wait. With a longest pause it is asked less often by and by.
    """
    ends = time.monotonic() + deadline_seconds
    while not (found := condition()):
        left_seconds = ends - time.monotonic()
        if left_seconds <= 0:
            break
        time.sleep(min(poll_seconds, left_seconds))
        poll_seconds = max(poll_seconds, min(longest_poll_seconds, poll_seconds * GROWTH))
    return found
