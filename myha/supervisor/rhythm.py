"""When the next looks at a pair will be there: a loop to which none brings news rests until then.

The looks at a pair are taken at the same time and at an interval. To be woken costs a loop more
than most of what it is woken for, so where all is well it wakes by itself once for all of them.
"""

from __future__ import annotations


class Rhythm:
    """Times are of the monotonic clock. For one thread."""

    def __init__(self, interval_seconds: float) -> None:
        """The interval of the looks."""
        self._interval_seconds = interval_seconds
        self._due_at: float | None = None  # None: nobody knows

    def rest_seconds(self, now: float) -> float | None:
        """How long it is until the next looks are there; None where that is not known."""
        if self._due_at is not None and self._due_at <= now:
            self._due_at = None
        return None if self._due_at is None else self._due_at - now

    def found(self, at: float) -> None:
        """All looks of one time were there then: those of the next are, an interval later."""
        self._due_at = at + self._interval_seconds

    def lost(self) -> None:
        """Something else than looks has come, or a look that was asked for."""
        self._due_at = None

    def rested(self, now: float, *, looks: bool) -> None:
        """A rest is over; whether looks have come in it. It need not have been a whole one."""
        if self._due_at is not None and self._due_at <= now:
            self._due_at = self._due_at + self._interval_seconds if looks else None
