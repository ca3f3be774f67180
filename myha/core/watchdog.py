"""How long the watchdog inside a server may take to close it, and how long its parts are. Pure.

A supervisor that reaches the writer no more counts from the last moment at which a renewal of the
lease can have reached it. From then on the server waits for `fuse_seconds` of its own kernel's
clock, then closes. All that may come on top is in `total_seconds`; docs/watchdog.md has the sum.
"""

from __future__ import annotations

import math

from myha.core.values import value

# Two clocks that are both being slewed, one each way: chrony does that by up to 8.3 % by default.
CLOCK_RATE = 0.2
# From the end of the fuse until no client hears an answer any more; and a renewal may have been on
# its way through the network when it was given up.
CLOSING_SECONDS = 1.0
LEAST_TOTAL_SECONDS = 5


@value(frozen=True, slots=True)
class Watchdog:
    """The durations of one pair's watchdog, in seconds.

    A writer is certain to have closed itself `total_seconds` after the last renewal that can have
    reached it.
    """

    total_seconds: float
    closing_seconds: float = CLOSING_SECONDS

    @property
    def allowed_seconds(self) -> float:
        """What is left of the total for the server's own wait."""
        return (self.total_seconds - self.closing_seconds) / (1 + CLOCK_RATE)

    @property
    def fuse_seconds(self) -> int:
        """For how long a server goes on that hears nothing; servers count whole seconds."""
        return math.floor(self.allowed_seconds)

    @property
    def grace_seconds(self) -> int:
        """For how long it goes on when the supervisor's sessions have ended: one may come back."""
        return self.fuse_seconds // 2

    @property
    def lease_seconds(self) -> int:
        """The lease ends before the fuse, so that the server tells silence from an end.

        With the grace it is as long as the fuse: taking one for the other makes nothing later.
        """
        return self.fuse_seconds - self.grace_seconds
