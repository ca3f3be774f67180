"""The heartbeat row: written on whoever takes writes, on a thread that may wait for the answer.

A commit can wait for an acknowledgement that does not come, so nothing else is done on this thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from myha.errors import ServerError
from myha.ports import Clock, WatchedServer
from myha.supervisor.status import HeartbeatStatus

# What is not wanted is asked about so often; the loop says at once that it is.
ASK_SECONDS = 5.0


class HeartbeatWriter(threading.Thread):
    """Writes one node's heartbeat row at an interval while `wanted` says so."""

    def __init__(
        self,
        server: WatchedServer,
        clock: Clock,
        interval_seconds: float,
        deadline_seconds: float,
        wanted: Callable[[], bool],
    ) -> None:
        super().__init__(name=f"heartbeat-{server.name}", daemon=True)
        self._server = server
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._deadline_seconds = deadline_seconds
        self._wanted = wanted
        self._ending = False
        self._resting = False
        self._wakes = threading.Event()
        self._began_at: float | None = None
        self._error = ""
        self._took_ms: float | None = None

    def stop(self) -> None:
        self._ending = True
        self._wakes.set()

    def wake(self) -> None:
        """It may be wanted now. Returns at once."""
        if self._resting and self._wanted():
            self._wakes.set()

    def status(self) -> HeartbeatStatus:
        """For how long the write that is under way has not finished (0: none waits), and why."""
        began = self._began_at
        stalled_seconds = 0.0 if began is None else time.monotonic() - began
        return HeartbeatStatus(
            stalled_seconds=stalled_seconds, error=self._error, latency_ms=self._took_ms
        )

    def run(self) -> None:
        while True:
            self._wakes.wait(ASK_SECONDS if self._resting else self._interval_seconds)
            self._wakes.clear()
            if self._ending:
                return
            self._resting = not self._wanted()
            if self._resting:
                self._began_at = self._took_ms = None
            else:
                self._write()

    def _write(self) -> None:
        self._began_at = time.monotonic() if self._began_at is None else self._began_at
        sent = time.monotonic()
        try:
            self._server.write_heartbeat(self._clock.wall(), self._deadline_seconds)
        except ServerError as error:
            # Not done: the next attempt goes on counting from the first one's beginning.
            self._error = str(error)
            return
        self._took_ms = round((time.monotonic() - sent) * 1000, 2)
        self._began_at, self._error = None, ""
