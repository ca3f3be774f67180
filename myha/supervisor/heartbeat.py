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
        self._ending = threading.Event()
        self._began_at: float | None = None
        self._error = ""
        self._took_ms: float | None = None

    def stop(self) -> None:
        self._ending.set()

    def status(self) -> HeartbeatStatus:
        """For how long the write that is under way has not finished (0: none waits), and why."""
        began = self._began_at
        stalled_seconds = 0.0 if began is None else time.monotonic() - began
        return HeartbeatStatus(
            stalled_seconds=stalled_seconds, error=self._error, latency_ms=self._took_ms
        )

    def run(self) -> None:
        while not self._ending.wait(self._interval_seconds):
            if not self._wanted():
                self._began_at = self._took_ms = None
                continue
            self._began_at = time.monotonic() if self._began_at is None else self._began_at
            sent = time.monotonic()
            try:
                self._server.write_heartbeat(self._clock.wall(), self._deadline_seconds)
            except ServerError as error:
                # Not done: the next attempt goes on counting from the first one's beginning.
                self._error = str(error)
                continue
            self._took_ms = round((time.monotonic() - sent) * 1000, 2)
            self._began_at, self._error = None, ""
