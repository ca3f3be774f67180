"""Waiting in tests: for a condition, with a deadline that a busy machine keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from myha.waiting import wait_until

DEADLINE_SECONDS = 120.0
POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.15  # what is asked works for its answer, on the machine that is waited for


def until(condition: Callable[[], Any], what: str, seconds: float = DEADLINE_SECONDS) -> Any:
    """The condition's first true value; the test fails when there is none before the deadline."""
    found = wait_until(condition, seconds, POLL_SECONDS, LONGEST_POLL_SECONDS)
    assert found, f"not within {seconds:g} s: {what}"
    return found
