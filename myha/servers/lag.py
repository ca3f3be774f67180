"""Lag on one clock: when a heartbeat was committed at its writer, and which a replica shows."""

from __future__ import annotations

import threading
from array import array
from bisect import bisect_left
from datetime import UTC, datetime

# At two a second, half an hour; up to twice as many are there. An older one counts as the oldest.
KEEP_HEARTBEATS = 4096
QUIET_SECONDS = 5.0  # a writer that has sent none for so long says nothing about lag


def stamp(wall: float) -> str:
    """The text that pt-heartbeat --utc writes: UTC with microseconds."""
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")


def unstamp(text: str) -> float | None:
    """Seconds since the epoch of a stamp in UTC, with or without a fraction; None if it is none."""
    try:
        return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


class LagMeter:
    """The heartbeats of one writer. Threads may share it. Times are of our own monotonic clock.

    The replica's and the writer's own clocks play no part: a heartbeat is known by its stamp. Two
    arrays, since a supervisor may have hundreds of these.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps = array("d")
        self._ats = array("d")  # when each was committed
        self._last_at = float("-inf")

    def committed(self, wall: float, at: float) -> None:
        """The heartbeat with the stamp `wall` was seen to be committed at the writer at `at`."""
        with self._lock:
            self._stamps.append(_rounded(wall))
            self._ats.append(at)
            if len(self._stamps) >= 2 * KEEP_HEARTBEATS:
                del self._stamps[:KEEP_HEARTBEATS], self._ats[:KEEP_HEARTBEATS]
            self._last_at = at

    def lag_seconds(
        self, seen_wall: float | None, at: float, wall: float, *, began: float | None = None
    ) -> float | None:
        """How far behind a replica is that shows the one of `seen_wall`; None when nobody can say.

        0 when it shows the newest that is committed, else the age of the oldest one it lacks. When
        it shows one from before this supervisor's first, the stamp's own age is the only measure.
        `began`: when it was asked; it cannot lack what was committed later.
        """
        with self._lock:
            quiet = at - self._last_at > QUIET_SECONDS
            count = len(self._ats) if began is None else bisect_left(self._ats, began)
            if quiet or not count or seen_wall is None:
                return None
            seen = _rounded(seen_wall)
            number = self._number_of(seen)
            if number is None:
                return self._by_its_time(seen, at, wall, count)
            return 0.0 if number + 1 >= count else max(0.0, at - self._ats[number + 1])

    def _number_of(self, seen: float) -> int | None:
        """Which of ours it is: the order in which they were committed counts, not what they say,
        since the clock that they are from may be stepped. Mostly it is one of the last."""
        stamps = self._stamps
        return next((n for n in range(len(stamps) - 1, -1, -1) if stamps[n] == seen), None)

    def _by_its_time(self, seen: float, at: float, wall: float, count: int) -> float:
        """Of one that is none of ours, another supervisor's, or ours that is not noted yet; it may
        lack the first `count` of ours."""
        if seen > self._stamps[count - 1]:
            return 0.0
        missing = next(n for n, stamped in enumerate(self._stamps) if stamped > seen)
        lag = max(0.0, at - self._ats[missing])
        return max(lag, wall - seen) if seen < self._stamps[0] else lag


def _rounded(wall: float) -> float:
    """As the stamp's microseconds keep it."""
    return round(wall, 6)
