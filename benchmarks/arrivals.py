"""When bytes arrived in this process's kernel, whenever it then got a core to read them with.

The kernel's own stamps (SO_TIMESTAMPNS) do not tell: TCP joins what waits in a socket and keeps the
last stamp, so a reader that comes late would look punctual. Here it is the earliest moment at which
they can have arrived, which is never in the reader's favour: a socket that was empty in a poll was
still empty when that poll woke up, and it woke up as long before it returned as the kernel says
that the thread waited for a core (`schedstat`, the second number).
"""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterable
from pathlib import Path
from typing import TypeVar

Socket = TypeVar("Socket", bound=Hashable)


class Schedule:
    """How long a thread has run and has waited for a core, both in seconds since it began."""

    def __init__(self, pid: int, thread: int) -> None:
        self._file = os.open(Path(f"/proc/{pid}/task/{thread}/schedstat"), os.O_RDONLY)

    def seconds(self) -> tuple[float, float]:
        ran, waited, _ = os.pread(self._file, 100, 0).split()
        return int(ran) / 1e9, int(waited) / 1e9

    def close(self) -> None:
        os.close(self._file)


class Arrivals:
    """For one thread that polls sockets and reads them until they are empty."""

    def __init__(self) -> None:
        self._schedule = Schedule(os.getpid(), threading.get_native_id())
        self._empty_at: dict[Hashable, float] = {}

    def poll(self, poll: Callable[[], list[Socket]], polled: Iterable[Socket]) -> list[Socket]:
        """Poll these sockets by `poll`, which returns those that have something to read."""
        waited, slept = self._schedule.seconds()[1], _sleeps()
        ready = poll()
        woken = time.monotonic() - (self._schedule.seconds()[1] - waited)
        if _sleeps() > slept:  # else there was something before this poll
            self._note(polled, woken)
        self._note((one for one in polled if one not in ready), woken)
        return ready

    def emptied(self, socket: Hashable, at: float) -> None:
        """All that was in it has been read by then."""
        self._note((socket,), at)

    def earliest(self, socket: Hashable) -> float:
        """When what is in this socket, or was read last, can have arrived at the earliest."""
        return self._empty_at.get(socket, 0.0)

    def _note(self, sockets: Iterable[Hashable], at: float) -> None:
        for one in sockets:
            self._empty_at[one] = max(at, self._empty_at.get(one, 0.0))


def _sleeps() -> int:
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def quantiles(values: Collection[float]) -> dict[str, float]:
    """Median, 99 % and maximum of seconds, in ms."""
    ordered = sorted(values)
    picked = {
        "median_ms": ordered[len(ordered) // 2],
        "p99_ms": ordered[int(len(ordered) * 0.99)],
        "max_ms": ordered[-1],
    }
    return {name: round(seconds * 1000, 1) for name, seconds in picked.items()}
