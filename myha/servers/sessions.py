"""The connections to one server.

Four kinds, so that none is in another's way: the watcher's, which is looked through and polled for
a hang-up; the warm one for steps, with fresh ones beside it, all of which the server's claim has to
allow (see `claim`); that of proofs; and the heartbeat's, which may wait for an acknowledgement for
as long as commits do.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import ClassVar
from weakref import WeakSet

from myha.database.connection import Connection, Endpoint, Login, Tls, Values, connect
from myha.database.flavours import Flavour
from myha.database.session import Deadline, Session, SessionPool, WarmSession
from myha.errors import ServerError
from myha.waiting import wait_until

CLOCK = "SELECT UNIX_TIMESTAMP(SYSDATE(6))"  # of now, where NOW() is the statement's beginning
POLL_FIRST_SECONDS, POLL_LAST_SECONDS = 0.002, 0.05


class ServerSessions(ABC):
    """A server's connections, and what steps do through them."""

    flavour: ClassVar[Flavour]

    def __init__(
        self, name: str, endpoint: Endpoint, account: Login, call_deadline_seconds: float, tls: Tls
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.account = account
        self.call_deadline_seconds = call_deadline_seconds
        self._tls = tls
        self._made: WeakSet[WarmSession] = WeakSet()
        self._made_lock = threading.Lock()
        self._sql = self.flavour.statements("control")
        self._watch = self._session()
        self._watch_life = 0  # of which connection the watcher knows what holds for it
        self._control = SessionPool(self.new_session)
        self._proofs = SessionPool(self._session)
        self._heartbeat = self._session()
        self._heartbeat_lock = threading.Lock()

    def hangup_fds(self) -> tuple[int, ...]:
        """The watch connection's descriptor, while there is one."""
        fd = self._watch.fileno()
        return () if fd < 0 else (fd,)

    def leave_watch(self) -> None:
        self._watch.close()

    def disconnect(self) -> None:
        """Drop the connections for steps and heartbeats; the watch connection is the watcher's."""
        self._control.close()
        self._proofs.close()
        if self._heartbeat_lock.acquire(blocking=False):
            try:
                self._heartbeat.close()
            finally:
                self._heartbeat_lock.release()

    def _connector(self, deadline: Deadline) -> Callable[[], Connection]:
        """Makes connections of their own, each of whose calls may take what is left."""

        def connect_anew() -> Connection:
            connection = connect(
                self.endpoint,
                self.account,
                connect_timeout_seconds=self.call_deadline_seconds,
                read_timeout_seconds=max(self.call_deadline_seconds, deadline.left_seconds),
                tls=self._tls,
            )
            self._require_ours(Session(connection, self.call_deadline_seconds))
            return connection

        return connect_anew

    def new_session(self) -> WarmSession:
        """A session of its own, for steps; it connects when it is used."""
        return self._session(self._verify)

    def _session(self, on_connect: Callable[[WarmSession], None] | None = None) -> WarmSession:
        session = WarmSession(
            self.endpoint,
            self.account,
            connect_timeout_seconds=self.call_deadline_seconds,
            tls=self._tls,
            on_connect=on_connect,
        )
        with self._made_lock:
            self._made.add(session)
        return session

    def connection_ids(self) -> set[int]:
        """The server's ids of the connections that are open through this adapter."""
        with self._made_lock:
            sessions = list(self._made)
        return {one.connection_id for one in sessions}

    @abstractmethod
    def _require_ours(self, session: Session) -> None:
        """The same of a connection beside, when the server has been claimed before."""

    @abstractmethod
    def _verify(self, session: WarmSession) -> None:
        """Called with each new session of a step. Raises when it may do nothing here."""

    def _words(self, session: WarmSession) -> dict[str, str]:  # noqa: ARG002
        """The words of this server's own variable names."""
        return {}

    def _run(self, session: WarmSession, block: str, arguments: Values = None) -> None:
        """Carry out one block of control.sql."""
        words = self._words(session)
        session.run(self._sql.all(block, **words), arguments)

    def _run_in_time(self, session: WarmSession, block: str) -> None:
        """Carry out a block that the server ignores if it comes to it after the deadline only."""
        now = float(session.value(CLOCK))
        self._run(session, block, {"until": now + session.left_seconds})

    def _until(self, reached: Callable[[], bool], deadline: Deadline, what: str) -> None:
        """Poll until so; ServerError saying `what` is not so at the deadline."""
        if not wait_until(reached, deadline.left_seconds, POLL_FIRST_SECONDS, POLL_LAST_SECONDS):
            raise ServerError(f"{self.name}: {what} after {deadline.seconds:.2g} s")

    @contextlib.contextmanager
    def _step(self, deadline_seconds: float) -> Iterator[WarmSession]:
        """A session with the deadline of one step, connected."""
        with self._control.borrow(Deadline(deadline_seconds)) as session:
            session.ensure(session.left_seconds)
            yield session
