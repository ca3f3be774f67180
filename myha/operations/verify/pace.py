"""How fast a comparison goes: the size of a chunk, the rest after it, and lag that slows it down.

Lag is measured with nothing but the two sessions: a mark is what the source had committed at a
moment of our clock, and the lag is the age of the oldest mark that the replica has not reached.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from myha.core.gtid import GtidSet
from myha.errors import MyhaError
from myha.operations.verify.compared_node import ComparedNode
from myha.progress import Progress, Reporter

MARK_EVERY_SECONDS = 0.2
MARKS_KEPT = 600
SLICE_SECONDS = 0.1
FIRST_ROWS = 1000
# Fewer would not make a chunk shorter where it is the way to the server that takes the time.
LEAST_ROWS = 500
MOST_ROWS = 2_000_000
MOST_GROWTH = 4.0
GROWING = 0.25  # of the limit: from here on a lag that grows slows us down
MOST_BRAKE = 16.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """`busy_percent` of one session's time at most, 1 to 100. Chunks are made to last about
    `chunk_seconds`. Above `lag_limit_seconds` nothing is asked until the lag is below again; a
    pause of more than `pause_limit_seconds` on end is an error."""

    busy_percent: float = 100.0
    chunk_seconds: float = 0.1
    lag_limit_seconds: float = 1.0
    pause_limit_seconds: float = 900.0


class Lag:
    """How far a replica is behind its source, by marks."""

    def __init__(self, source: ComparedNode, replica: ComparedNode) -> None:
        self._source = source
        self._replica = replica
        self._marks: deque[tuple[float, GtidSet]] = deque(maxlen=MARKS_KEPT)
        self._marked_at = float("-inf")

    def seconds(self) -> float:
        """Now; 0 when everything marked has arrived. Asks both servers, at most every 0.2 s."""
        now = time.monotonic()
        if now - self._marked_at >= MARK_EVERY_SECONDS:
            self._marks.append((now, self._source.history()))
            self._marked_at = now
        while self._marks and self._replica.has(self._marks[0][1]):
            self._marks.popleft()
        return time.monotonic() - self._marks[0][0] if self._marks else 0.0


class Pace:
    """Decides after each chunk how many rows the next one has, and rests before it."""

    def __init__(self, throttle: Throttle, lags: tuple[Lag, ...], reporter: Reporter) -> None:
        self._throttle = throttle
        self._lags = lags
        self._reporter = reporter
        self._brake = 1.0
        self._lag_before = 0.0
        self.rows = FIRST_ROWS
        self.paused_seconds = 0.0
        self.backed_off = 0  # how often a chunk was made smaller or put off because of lag

    def fresh_table(self) -> None:
        """Begin small: nothing is known of the rows yet."""
        self.rows = FIRST_ROWS

    def took(self, rows: int, seconds: float) -> None:
        """A chunk of so many rows took so long: set the next one's size."""
        target = self._throttle.chunk_seconds / self._brake
        if rows <= 0:
            return
        fitting = rows * target / max(seconds, 1e-4)
        self.rows = int(max(LEAST_ROWS, min(MOST_ROWS, rows * MOST_GROWTH, fitting)))

    def rest(self, busy_seconds: float) -> str:
        """Sleep as the throttle and the lag want it; what to tell about it.

        Raises CancelledError, or MyhaError when the lag stays above its limit for too long.
        """
        throttle = self._throttle
        lag = self._lag()
        if lag > throttle.lag_limit_seconds:
            self._pause()
            self._brake = min(MOST_BRAKE, self._brake * 2)
            return f"slowed down: lag was {lag:.1f} s"
        growing = lag > self._lag_before and lag > GROWING * throttle.lag_limit_seconds
        self._lag_before = lag
        if growing:
            self._brake = min(MOST_BRAKE, self._brake * 2)
            self.backed_off += 1
        else:
            self._brake = max(1.0, self._brake / 1.5)
        share = 100.0 / throttle.busy_percent - 1.0 + (self._brake - 1.0)
        self._sleep(busy_seconds * share)
        return f"slowed down: lag grows ({lag:.1f} s)" if growing else ""

    def before_locks(self, catch_up: Callable[[], float]) -> None:
        """Catch up with `catch_up`, which gives the seconds that took, until the lag is small.

        Rows that are locked while an applier is far behind make it later still, and the other
        node's answer cannot come within the hold. Raises what `rest` raises.
        """
        limit = self._throttle.lag_limit_seconds
        began = time.monotonic()
        took = catch_up()
        if took <= limit:
            return
        self.backed_off += 1
        while took > limit / 2:
            self._not_too_long(began, took)
            took = catch_up()
        self.paused_seconds += time.monotonic() - began

    def _lag(self) -> float:
        return max(lag.seconds() for lag in self._lags)

    def _pause(self) -> None:
        """Until the lag is well below its limit."""
        self.backed_off += 1
        began = time.monotonic()
        limit = self._throttle.lag_limit_seconds
        while (lag := self._lag()) > limit / 2:
            waited = self._not_too_long(began, lag)
            why = f"lag {lag:.1f} s is above the limit of {limit:g} s"
            self._reporter.progress(Progress("waiting", waited, text=why))
            self._sleep(SLICE_SECONDS)
        self.paused_seconds += time.monotonic() - began
        self._lag_before = 0.0

    def _not_too_long(self, began: float, lag: float) -> float:
        """How long a pause has lasted; MyhaError when that is beyond the limit."""
        waited = time.monotonic() - began
        if waited > self._throttle.pause_limit_seconds:
            raise MyhaError(
                f"the lag has stayed above {self._throttle.lag_limit_seconds:g} s for "
                f"{waited:.0f} s (now {lag:.0f} s): "
                "see why with `myha explain`, then go on with `myha verify`"
            )
        return waited

    def _sleep(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while True:
            self._reporter.permit.require()
            left = ends - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE_SECONDS))
