"""One thread for the whole process that glances at what balancers make anew when they come up.

A glance costs next to nothing. A thread of its own for each balancer costs a hundred times that,
since it is the waking that is dear. And what hundreds of balancers make in one folder is glanced at
through that folder: it changes whenever any of them makes something.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

GLANCE_SECONDS = 0.02
# What changes twice within a tick of the file system's clock has the same time both times: a folder
# that has changed so lately may change once more without showing it.
LATELY_NS = 100_000_000

Glance = Callable[[], None]


class Folder:
    """Whether anything in it may have been made, moved or removed since the last time."""

    def __init__(self, path: str) -> None:
        """An empty path: of one that is not known that is so each time."""
        self._path = path
        self._seen: tuple[int, int] | None = None  # its number, and when it changed last

    def may_have_changed(self) -> bool:
        if not self._path:
            return True
        before, self._seen = self._seen, self._now()
        if self._seen is None or self._seen != before:
            return self._seen is not None
        return abs(time.time_ns() - self._seen[1]) < LATELY_NS

    def _now(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116  # many times a second
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


class Appearances:
    """Calls every glance at that interval, for as long as there is one, but for those whose folder
    has not changed. Safe for several threads.

    A glance must not wait for anything, and not raise.
    """

    def __init__(self, interval_seconds: float = GLANCE_SECONDS) -> None:
        self._interval_seconds = interval_seconds
        self._lock = threading.Lock()
        # By folder; replaced and never changed, since it is gone through without the lock.
        self._glances: dict[str, tuple[Glance, ...]] = {}
        self._running = False

    @contextmanager
    def watching(self, glance: Glance, folder: str = "") -> Iterator[None]:
        """In the block it is called."""
        with self._lock:
            self._have(folder, (*self._glances.get(folder, ()), glance))
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="appearances", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                left = tuple(one for one in self._glances[folder] if one is not glance)
                self._have(folder, left)

    def _have(self, folder: str, glances: tuple[Glance, ...]) -> None:
        others = {path: one for path, one in self._glances.items() if path != folder}
        self._glances = {**others, folder: glances} if glances else others

    def _run(self) -> None:
        folders: dict[str, Folder] = {}
        while True:
            with self._lock:
                glances = self._glances
                self._running = bool(glances)
            if not glances:
                return
            folders = {path: folders.get(path) or Folder(path) for path in glances}
            for path, all_there in glances.items():
                if folders[path].may_have_changed():
                    for glance in all_there:
                        glance()
            time.sleep(self._interval_seconds)


APPEARANCES = Appearances()
