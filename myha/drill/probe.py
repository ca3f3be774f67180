"""New connections through an address, one every few milliseconds: when they were served.

An application that connects anew is served when the database's greeting has come. A probe that has
it leaves again without logging in, so that a hundred of them in a second cost the servers little.
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

EVERY_SECONDS = 0.01
GIVEN_UP_SECONDS = 3.0
POLL_SECONDS = 0.002


@dataclass(slots=True)
class _Attempt:
    began: float
    connection: socket.socket
    connected: bool = False


@dataclass
class AddressProbe:
    """A thread on the host of whoever starts it. As a context manager, not beyond its block."""

    address: tuple[str, int]
    # When each one that was served began, and when its greeting came, by the monotonic clock.
    served: list[tuple[float, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ending = threading.Event()
        self._waiting = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name="probe", daemon=True)

    def __enter__(self) -> AddressProbe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def served_after(self, at: float) -> float | None:
        """When the first one was served that began after that; None before there is one.

        What began sooner may have been answered before a fault, and arrive after it.
        """
        return min((served for began, served in tuple(self.served) if began > at), default=None)

    def _run(self) -> None:
        next_at = time.monotonic()
        try:
            while not self._ending.is_set():
                now = time.monotonic()
                if now >= next_at:
                    self._begin(now)
                    next_at = max(next_at + EVERY_SECONDS, now)
                for key, _ in self._waiting.select(POLL_SECONDS):
                    self._step(key.data)
                self._give_up(time.monotonic() - GIVEN_UP_SECONDS)
        finally:
            for key in list(self._waiting.get_map().values()):
                self._end(key.data)
            self._waiting.close()

    def _begin(self, now: float) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        with suppress(BlockingIOError):
            try:
                connection.connect(self.address)
            except BlockingIOError:
                raise
            except OSError:
                connection.close()
                return
        self._waiting.register(connection, selectors.EVENT_WRITE, _Attempt(now, connection))

    def _step(self, attempt: _Attempt) -> None:
        connection = attempt.connection
        try:
            if not attempt.connected:
                attempt.connected = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
                if attempt.connected:
                    self._waiting.modify(connection, selectors.EVENT_READ, attempt)
                    return
            elif connection.recv(64):
                self.served.append((attempt.began, time.monotonic()))
        except BlockingIOError:
            return
        except OSError:
            pass  # refused or reset: an attempt that was not served
        self._end(attempt)

    def _give_up(self, before: float) -> None:
        for key in list(self._waiting.get_map().values()):
            if key.data.began < before:
                self._end(key.data)

    def _end(self, attempt: _Attempt) -> None:
        self._waiting.unregister(attempt.connection)
        attempt.connection.close()
