"""How many pairs of a process begin at a time: a closed loop, where the next one waits for a place.

Each pair that begins logs in a dozen times. Hundreds at once would take each other the time that a
login has, and so would those begun at a fixed pace on a machine too slow for it. A pair has its
place until it has looked at all of its nodes once, cannot begin, or stands in line for its lease;
one whose servers answer nothing, for a few seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

AT_ONCE = 8  # enough for servers far away: most of a login is then waiting for them
HOLD_SECONDS = 2.0  # hundreds whose servers are out of reach must not keep the others out for long


class Admission:
    """Safe for several threads. Who wants in brings an event, which is set when it may begin: in
    the order in which they came."""

    def __init__(
        self,
        at_once: int = AT_ONCE,
        *,
        hold_seconds: float = HOLD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        on_empty: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_empty` is called when nobody begins or waits any more; it must not wait."""
        self._at_once = at_once
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._on_empty = on_empty
        self._lock = threading.Lock()
        # Dictionaries for their order. By when each began.
        self._inside: dict[threading.Event, float] = {}
        self._line: dict[threading.Event, None] = {}

    def enter(self, begins: threading.Event) -> None:
        """Have it set as soon as there is a place."""
        with self._lock:
            self._line[begins] = None
            self._admit()

    def leave(self, begins: threading.Event) -> None:
        """Its place, or the one in line, is for others; nothing where it has none."""
        with self._lock:
            had = self._inside.pop(begins, None) is not None
            had = begins in self._line or had
            self._line.pop(begins, None)
            self._admit()
            empty = had and not self._inside and not self._line
        if empty:
            self._on_empty()

    def expire(self) -> None:
        """Take the places of those that have had theirs for too long. For whoever waits to call
        now and then."""
        ended = self._clock() - self._hold_seconds
        with self._lock:
            late = [one for one, began in self._inside.items() if began <= ended]
        for one in late:
            self.leave(one)

    def _admit(self) -> None:
        while self._line and len(self._inside) < self._at_once:
            first = next(iter(self._line))
            del self._line[first]
            self._inside[first] = self._clock()
            first.set()
