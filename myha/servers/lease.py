"""The lease by which a writer stays open, as a supervisor holds it: two sessions, each with a lock.

The server ends a session from which it has heard nothing for its `wait_timeout`, and lets go of its
lock; the watchdog there (sql/<flavour>/watchdog.sql) waits for these locks. So to renew the lease
is to say anything at all. Nothing is written, and no clock is read: the server's wait is one of
its kernel, for a duration.

What was sent and not answered may have been heard. So a session that does not answer in time is
broken off with a reset: nothing of it is sent again from then on, and `heard_until` says when that
was.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from myha.core.watchdog import Watchdog
from myha.database.codes import NO_SUCH_THREAD, tolerated
from myha.database.session import Deadline, WarmSession
from myha.errors import ServerError, ServerGoneError
from myha.servers.sessions import ServerSessions
from myha.waiting import wait_until

LEASE, FUSE = "myha.lease", "myha.fuse"
RUNNING, DISMISSED = "myha.watchdog", "myha.dismissed"
BEGINS_SECONDS = 3.0  # a watchdog that was begun and is not there after so long is begun anew
_POLL_SECONDS = 0.02
_NO_LINGER = struct.pack("ii", 1, 0)


class ServerLease:
    """The lease of one server's watchdog. For one thread at a time."""

    def __init__(self, server: ServerSessions, watchdog: Watchdog) -> None:
        self.name = server.name
        self._watchdog = watchdog
        self._sql = server.flavour.statements("watchdog")
        self._lease, self._fuse = server.new_session(), server.new_session()
        self._taken = {LEASE: 0, FUSE: 0}  # by which of the session's connections
        # One that was begun with another grace is none of ours.
        self._armed_lock = f"myha.armed.{watchdog.grace_seconds}"
        self._begun_at = 0.0
        self.heard_until = -1.0  # no renewal has reached the server later; monotonic, -1: none has

    @property
    def held(self) -> bool:
        """Whether both sessions have their locks, as far as we know."""
        return all(
            session.fileno() >= 0 and self._taken[lock] == session.lives
            for lock, session, _ in self._sessions()
        )

    def connect(self, deadline_seconds: float) -> None:
        """Connect the sessions that are not. That renews nothing."""
        deadline = Deadline(deadline_seconds)
        for _, session, idle_seconds in self._sessions():
            session.limit = deadline
            if session.fileno() < 0:
                session.ensure(deadline.left_seconds)
                _end_with_reset(session)
                session.run(self._sql.all("lease_session"), {"idle_seconds": idle_seconds})

    def take(self, deadline_seconds: float) -> bool:
        """Take what is not held, from whoever has it; whether the watchdog waits for the lease.

        The lease before the fuse: a watchdog that waits for the fuse then finds the lease held.
        With a new lease a new watchdog is begun: the last one may be about to end.
        """
        deadline = Deadline(deadline_seconds)
        with self._heard():
            new = self._taken[LEASE] != self._lease.lives
            for lock, session, _ in self._sessions():
                session.limit = deadline
                if self._taken[lock] != session.lives:
                    self._take(session, lock)
                    self._taken[lock] = session.lives
            if new:
                self._begin(self._fuse)
            return self._armed()

    def renew(self, deadline_seconds: float) -> bool:
        """Say something in both sessions; whether the watchdog waits for the lease.

        The fuse first, so that it is never the older one.
        """
        self._lease.limit = self._fuse.limit = Deadline(deadline_seconds)
        with self._heard():
            self._holder(self._fuse, self._armed_lock)
            return self._armed()

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """What is sent here may reach the server until it is answered, or given up.

        A session that the server has ended can be taken again while the other one is kept.
        """
        try:
            yield
        except ServerGoneError:
            raise
        except ServerError:
            self.drop()
            raise
        finally:
            self.heard_until = time.monotonic()

    def drop(self) -> None:
        """Break both sessions off: what the server has not heard by now it never will."""
        for session in (self._lease, self._fuse):
            session.drop()

    def dismiss(self, deadline_seconds: float) -> None:
        """End the watchdog, then let go of the lease: nothing closes the server any more."""
        deadline = Deadline(deadline_seconds)
        self._lease.limit = self._fuse.limit = deadline
        try:
            self._fuse.value(self._sql.one("take"), {"lock": DISMISSED, "wait_seconds": 0})
            self._lease.value(self._sql.one("release"), {"lock": LEASE})
            ended = partial(self._is_free, self._fuse, RUNNING)
            self._until(ended, deadline, "the watchdog has not ended")
        finally:
            self.drop()

    def _sessions(self) -> tuple[tuple[str, WarmSession, int], ...]:
        """Each lock, its session, and how long that may be idle."""
        watchdog = self._watchdog
        return (
            (LEASE, self._lease, watchdog.lease_seconds),
            (FUSE, self._fuse, watchdog.fuse_seconds),
        )

    def _take(self, session: WarmSession, lock: str) -> None:
        """From an earlier session of ours, too, that the server does not know to be dead."""
        values = {"lock": lock, "wait_seconds": 0}

        def taken() -> bool:
            if session.value(self._sql.one("take"), values) == 1:
                return True
            holder = self._holder(session, lock)
            if holder and holder != self._holder(session, RUNNING):
                self._kill(session, holder)
            return False

        self._until(taken, session.deadline, f"the lock {lock} is not to be had")

    def _until(self, reached: Callable[[], bool], deadline: Deadline, failure: str) -> None:
        if not wait_until(reached, deadline.left_seconds, _POLL_SECONDS):
            raise ServerError(f"{self.name}: {failure}")

    def _kill(self, session: WarmSession, holder: int) -> None:
        with tolerated(NO_SUCH_THREAD):
            session.run(self._sql.all("kill_session"), {"id": holder})

    def _holder(self, session: WarmSession, lock: str) -> int:
        """The connection that holds a lock, 0 without one."""
        return int(session.value(self._sql.one("holder"), {"lock": lock}) or 0)

    def _is_free(self, session: WarmSession, lock: str) -> bool:
        return not self._holder(session, lock)

    def _armed(self) -> bool:
        """Whether the watchdog says so; one that is not there is begun."""
        if self._holder(self._lease, self._armed_lock):
            return True
        if time.monotonic() - self._begun_at >= BEGINS_SECONDS:
            self._begin(self._fuse)
        return False

    def _begin(self, session: WarmSession) -> None:
        """As an event, which runs at once. It stays in the catalogue until the next one."""

        def gone() -> bool:
            if another := self._holder(session, RUNNING):
                self._kill(session, another)
            return not another

        self._until(gone, session.deadline, "an earlier watchdog does not end")
        session.run(self._sql.all("unlogged_session"))
        session.run(self._sql.all("remove_watchdog"))
        session.run(self._sql.all("begin_watchdog", grace=str(self._watchdog.grace_seconds)))
        self._begun_at = time.monotonic()


def _end_with_reset(session: WarmSession) -> None:
    """However the connection is closed, the kernel then throws away what it has not sent yet."""
    with socket.socket(fileno=os.dup(session.fileno())) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
