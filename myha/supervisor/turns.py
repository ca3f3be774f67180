"""How long the turns of a pair's loop take: a failover waits for what keeps it busy."""

from __future__ import annotations

import time
from bisect import bisect_left

from myha.supervisor.status import LoopStatus

# Upper bounds of the buckets, in seconds; the last bucket has none.
BOUNDS_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)


class Turns:
    """Counted by the loop's thread, read by any."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_SECONDS) + 1)
        self._busy_seconds = 0.0
        self._began = self._waited = 0.0
        self.begun = 0

    def begin(self) -> None:
        self.begun += 1
        self._began, self._waited = time.perf_counter(), 0.0

    def waited(self, seconds: float) -> None:
        """So long of it was waiting for events."""
        self._waited += seconds

    def end(self) -> None:
        took = max(0.0, time.perf_counter() - self._began - self._waited)
        self._counts[bisect_left(BOUNDS_SECONDS, took)] += 1
        self._busy_seconds += took

    def status(self) -> LoopStatus:
        counts = tuple(self._counts)
        return LoopStatus(
            turns=sum(counts), busy_seconds=round(self._busy_seconds, 4), by_length=counts
        )
