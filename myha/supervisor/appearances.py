"""One thread for the whole process that glances at what balancers make anew when they come up.

A glance costs next to nothing. A thread of its own for each balancer costs a hundred times that,
since it is the waking that is dear.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GLANCE_SECONDS = 0.02

Glance = Callable[[], None]


class Appearances:
    """Calls every glance at that interval, for as long as there is one. Safe for several threads.

    A glance must not wait for anything, and not raise.
    """

    def __init__(self, interval_seconds: float = GLANCE_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._lock = threading.Lock()
        self._glances: tuple[Glance, ...] = ()
        self._running = False

    @contextmanager
    def watching(self, glance: Glance) -> Iterator[None]:
        """In the block it is called."""
        with self._lock:
            self._glances = (*self._glances, glance)
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="appearances", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._glances = tuple(one for one in self._glances if one is not glance)

    def _run(self) -> None:
        while True:
            with self._lock:
                glances = self._glances
                self._running = bool(glances)
            if not glances:
                return
            for glance in glances:
                glance()
            time.sleep(self._interval_seconds)


APPEARANCES = Appearances()
