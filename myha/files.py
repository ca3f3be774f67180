"""Files that several processes share: locked by one at a time, replaced whole or not at all."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from myha.waiting import wait_until

LOCK_POLL_SECONDS = 0.05


@contextmanager
def locked(
    path: Path, *, wait_seconds: float = 0.0, stop: Callable[[], bool] = lambda: False
) -> Iterator[int]:
    """Hold the lock of a file or directory; yields its descriptor, for children to hold it too.

    A file that is missing is made, for its owner only. The kernel releases the lock when the last
    process that holds the descriptor has ended. Raises BlockingIOError when another one still holds
    it after `wait_seconds`, or when `stop` says so, and OSError when it cannot be opened.
    """
    how = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, how | os.O_CLOEXEC, 0o600)
    try:
        wait_until(lambda: _try_lock(descriptor) or stop(), wait_seconds, LOCK_POLL_SECONDS)
        if not _try_lock(descriptor):
            raise BlockingIOError(f"{path} is locked by another process")
        yield descriptor
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Whether this process holds the lock now, from before or since this call."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A new file that is on disk and in the place of `path` when the block ends without an error.

    After an error, `path` is as it was. Raises OSError.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    partial = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, in a folder that may be new. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.encode())


def write_all(descriptor: int, pending: bytearray) -> None:
    """Write it, however many calls that takes; what is written is taken out of `pending`."""
    while pending:
        written = os.write(descriptor, pending)
        del pending[:written]


def sync_directory(path: Path) -> None:
    """What was made, renamed or removed in the directory is on disk when this returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
