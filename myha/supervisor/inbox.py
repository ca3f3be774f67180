"""What comes for a pair's loop: brought by many threads, taken by one.

Each waking of a thread costs more than most of what it is woken for. So the loop can wait for more
of its kind without being woken for every one: only by what is news to it.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Callable
from typing import Any

IsNews = Callable[[Any], bool]


class Inbox:
    """Safe for many threads that bring; `wait`, `gather` and `all` are for the one that takes.

    `limit`: of what `put_nowait` brings. `put` never waits either, and brings it all the same.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._items: deque[Any] = deque()
        self._wakes: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._wakes_for: IsNews | None = None  # None: for everything

    def put(self, item: Any) -> None:
        self._items.append(item)
        # After that: who gathers stops to before it looks for the last time what there is.
        wakes_for = self._wakes_for
        if wakes_for is None or wakes_for(item):
            self._wakes.put(None)

    def put_nowait(self, item: Any) -> None:
        """Raises queue.Full."""
        if self._limit is not None and len(self._items) >= self._limit:
            raise queue.Full
        self.put(item)

    def wait(self, seconds: float) -> list[Any]:
        """All that there is, at once or as soon as something comes; nothing after `seconds`."""
        ends = time.monotonic() + seconds
        while not self._items and self._woken(ends - time.monotonic()):
            pass  # for what has been taken before
        return self.all()

    def gather(self, seconds: float, is_news: IsNews) -> bool:
        """For so long, or until something comes that is news: whether that has come. Other threads
        ask `is_news` too."""
        while self._woken(0.0):
            pass  # for what has been taken, or is taken now
        self._wakes_for = is_news
        try:
            return any(is_news(one) for one in tuple(self._items)) or self._woken(seconds)
        finally:
            self._wakes_for = None

    def all(self) -> list[Any]:
        """What there is, in the order in which it came."""
        found = []
        while self._items:
            found.append(self._items.popleft())
        return found

    def _woken(self, seconds: float) -> bool:
        try:
            if seconds <= 0:
                self._wakes.get_nowait()
            else:
                self._wakes.get(timeout=seconds)
        except queue.Empty:
            return False
        return True
