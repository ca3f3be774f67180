"""When an idle connection to the struck server hangs up: the kernel's part of an outage.

A killed process's memory is freed before its sockets are closed; nobody who waits for a sign from
the server itself can know of its death before that.
"""

from __future__ import annotations

import select
import threading
import time
from contextlib import suppress

from myha.drill.target import Target
from myha.errors import ServerError

GIVE_UP_SECONDS = 120.0
_EVENTS = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLRDHUP


class HangUp:
    """Watches one node from the start of the block; `at` is the hang-up's time, None before it."""

    def __init__(self, target: Target, node: str) -> None:
        self._target = target
        self._node = target.config.nodes[node]
        self._connected = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="hang-up", daemon=True)
        self.at: float | None = None

    def __enter__(self) -> HangUp:
        self._thread.start()
        self._connected.wait(5.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(2.0)

    def _watch(self) -> None:
        # Without this observer the drill lacks one number, and no more.
        with (
            suppress(ServerError),
            self._target.session(self._node.host, self._node.port) as session,
        ):
            poll = select.poll()
            poll.register(session.fileno(), _EVENTS)
            self._connected.set()
            ends = time.monotonic() + GIVE_UP_SECONDS
            while not self._over.is_set() and time.monotonic() < ends:
                if poll.poll(200):
                    self.at = time.monotonic()
                    return
