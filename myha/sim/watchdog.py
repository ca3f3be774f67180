"""The watchdog in a simulated server.

What a real one was seen to do (docs/watchdog.md): nothing is heard for the fuse's time, by a clock
that may be as slow as the margin allows, and then it takes up to as long to close as the margin
allows. A good-bye begins a grace instead, which goes by the server's clock: one that is stepped
back while it passes makes it last.
"""

from __future__ import annotations

from collections.abc import Callable

from myha.core.watchdog import CLOCK_RATE, Watchdog
from myha.sim.process import ServerProcess

ARMS_SECONDS = 0.05  # the watchdog is begun, and has seen the lease held for so long


class SimWatchdog:
    """One server's."""

    def __init__(
        self, server: ServerProcess, watchdog: Watchdog, close: Callable[[], None]
    ) -> None:
        rng = server.world.rng
        self.server = server
        self.watchdog = watchdog
        self.close = close
        self.slow = 1 + rng.choice((0.0, CLOCK_RATE))
        self.late_seconds = rng.choice((0.0, 0.5, 1.0)) * watchdog.closing_seconds
        self._grace = 0  # the number of the wait that is one
        self.reset()

    def reset(self) -> None:
        """The server has come up, or was opened: none runs yet."""
        self.holder = ""
        self.armed_at: float | None = None
        self.server.unwatched_by_hand = False
        self._waits = getattr(self, "_waits", 0) + 1

    @property
    def armed(self) -> bool:
        return self.armed_at is not None and self.server.world.now >= self.armed_at

    def begin(self) -> None:
        """By a supervisor that holds the lease; it sees that a moment later."""
        self.reset()
        self.armed_at = self.server.world.now + ARMS_SECONDS

    def renewed(self, by: str) -> bool:
        """Somebody holds the lease and says so; whether the watchdog waits for that."""
        self.holder = by
        self._wait(self.watchdog.allowed_seconds * self.slow)
        return self.armed

    def let_go(self, by: str) -> None:
        """The holder's sessions have ended."""
        if self.holder == by:
            self.holder = ""
            self._wait(self.watchdog.allowed_seconds / 2)
            self._grace = self._waits

    def clock_steps_back(self) -> None:
        """A grace that passes lasts for as long as that takes; one that begins later does not."""
        if self._grace == self._waits:
            self._waits += 1

    def killed(self) -> None:
        """By somebody, on the server. The next renewal tells, and another one is begun."""
        self.server.unwatched_by_hand = self.armed
        self.armed_at = None
        self._waits += 1

    def _wait(self, seconds: float) -> None:
        self._waits += 1
        self.server.world.after(seconds, self._lapsed, self._waits, 0)

    def _lapsed(self, number: int, closing: int) -> None:
        server = self.server
        if number != self._waits or not server.up or not server.open or not self.armed:
            return
        if server.frozen:
            server.overslept = True
            server.inbox.append(lambda: self._lapsed(number, closing))
        elif not closing:
            server.world.after(self.late_seconds, self._lapsed, number, 1)
        else:
            server.world.note(f"{server.name} closes itself")
            self.close()
