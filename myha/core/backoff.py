"""How long to wait before what has failed is tried again. Pure."""

from __future__ import annotations

MOST_DOUBLINGS = 20  # no limit is further away, and no count of failures may overflow a float


def backoff_seconds(failures: int, first_seconds: float, limit_seconds: float) -> float:
    """After so many failures in a row: at first so long, then twice as long each time."""
    doublings = min(max(0, failures - 1), MOST_DOUBLINGS)
    return min(limit_seconds, first_seconds * 2.0**doublings)
