"""What systemd is told of a service: that it is ready, lives, reloads and ends.

The protocol is a datagram of KEY=VALUE lines to the socket that $NOTIFY_SOCKET names, as
sd_notify(3) has it; a name that begins with `@` is in the abstract namespace (unix(7)).
$WATCHDOG_USEC, see sd_watchdog_enabled(3), is how long systemd waits for the next sign of life
before it ends the process and starts it again; one is sent every quarter of that. Where nobody
listens, nothing is sent.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress

_STATUS_LIMIT_CHARS = 400
_MICROSECONDS = 1_000_000


class ServiceManager:
    """Never waits and never fails: whoever calls it has better to do. Safe for several threads."""

    def __init__(self) -> None:
        """Takes its variables out of the environment, so that no child speaks for this process."""
        address = os.environ.pop("NOTIFY_SOCKET", "")
        limit_usec = os.environ.pop("WATCHDOG_USEC", "")
        whose = os.environ.pop("WATCHDOG_PID", "")
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = _datagrams() if address[:1] in {"/", "@"} else None
        mine = whose in {"", str(os.getpid())}
        self._every_seconds = (
            int(limit_usec) / _MICROSECONDS / 4 if limit_usec.isdecimal() and mine else None
        )
        self._lock = threading.Lock()
        self._ready = self._ending = self._reloading = False
        self._status = ""
        self._fed_at = float("-inf")

    def alive(self, status: str) -> None:
        """Called again and again by what the process is there for; the first time says `ready`.

        `status` is a sentence for `systemctl status`.
        """
        if self._socket is None:
            return
        with self._lock:
            lines = []
            now = time.monotonic()
            if not (self._ready or self._ending or self._reloading):
                self._ready = True
                lines.append("READY=1")
            if status != self._status:
                self._status = status
                lines.append(f"STATUS={' '.join(status.split())[:_STATUS_LIMIT_CHARS]}")
            if self._every_seconds is not None and now - self._fed_at >= self._every_seconds:
                self._fed_at = now
                lines.append("WATCHDOG=1")
            self._send(lines)

    def reloading(self) -> None:
        """A new configuration is being read; `reloaded` has to follow."""
        with self._lock:
            if self._ready and not self._ending:
                self._reloading = True
                now_usec = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
                self._send(["RELOADING=1", f"MONOTONIC_USEC={now_usec}"])

    def reloaded(self) -> None:
        with self._lock:
            if self._reloading and not self._ending:
                self._send(["READY=1"])
            self._reloading = False

    def ending(self, why: str) -> None:
        with self._lock:
            self._ending = True
            self._status = f"stopping: {why}"
            self._send(["STOPPING=1", f"STATUS={self._status}"])

    def _send(self, lines: list[str]) -> None:
        if self._socket is not None and lines:
            with suppress(OSError):  # nobody reads it any more: no affair of ours
                self._socket.sendto("\n".join(lines).encode(), self._address)


def _datagrams() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    made.setblocking(False)  # a reader that is full costs a word, never time
    return made
