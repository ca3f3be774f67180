"""Which supervisor may act: a lock in the state directory, held for as long as its process lives.

The file holds the process id, and its time is the last sign of life.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from myha.core.values import value
from myha.errors import LeaseHeldError, MyhaError
from myha.files import locked
from myha.stores.local.sqlite import explained

LOCK_FILE = "supervisor.lock"


@value(frozen=True, slots=True)
class Holder:
    """Who has the lease, or had it last; `renewed_wall` in seconds since the epoch."""

    pid: int
    renewed_wall: float


def holder_of(directory: Path) -> Holder | None:
    """None when there never was one, or when it cannot be read."""
    path = directory / LOCK_FILE
    with suppress(OSError, ValueError):
        return Holder(int(path.read_text()), path.stat().st_mtime)
    return None


def _require_owner(directory: Path) -> None:
    """Raises MyhaError when root would leave files in the folder of a service's own user."""
    owner = directory.stat().st_uid
    if os.geteuid() != 0 or owner == 0:
        return
    try:
        name = pwd.getpwuid(owner).pw_name
    except KeyError:
        name = f"#{owner}"
    raise MyhaError(
        f"{directory} belongs to {name}, who could not change what root leaves there: run this as "
        f"that user, with `sudo -u {name}`"
    )


class LocalLease:
    """Implements `myha.ports.Lease`."""

    waits = False

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOCK_FILE
        self._held = ExitStack()
        self._holds = False
        self.lost = False
        self.on_lost: Callable[[], None] = lambda: None
        self.on_trouble: Callable[[str], None] = lambda _text: None

    def acquire(self) -> None:
        directory = self._path.parent
        with explained(directory):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            _require_owner(directory)
            try:
                descriptor = self._held.enter_context(locked(self._path))
            except BlockingIOError:
                holder = holder_of(directory)
                raise LeaseHeldError(
                    f"another supervisor (process {holder.pid if holder else 'unknown'}) runs this "
                    f"cluster: {self._path} is locked; stop it first, or ask it with `myha status`"
                ) from None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
        self._holds = True

    def taken(self) -> bool:
        """Nobody stands in line for it."""
        return False

    def await_free(self, seconds: float) -> None:  # a port
        """Nobody stands in line for a lock."""

    def holds(self) -> bool:
        """The kernel takes it from no process that lives."""
        return self._holds

    def renew(self) -> None:
        with suppress(OSError):
            os.utime(self._path)

    def release(self) -> None:
        self._holds = False
        self._held.close()
