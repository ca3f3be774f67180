"""Sessions on a database server: a limit on every call, every failure one of myha's errors.

A `Session` is one connection; what was set in it holds until it is closed. A `WarmSession` is kept
connected, since a failover must not pay for connecting: after a failure its connection is dropped,
and the next call makes a new one. A call that was given up may still go on inside the server;
whoever sends something that waits has to see to it.
"""

from __future__ import annotations

import math
import select
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Self

from pymysql.constants import COMMAND
from pymysql.err import MySQLError

from myha.database.codes import NO_SUCH_DATABASE, NO_SUCH_TABLE
from myha.database.connection import (
    LEAST_SECONDS,
    Connection,
    Endpoint,
    Login,
    Row,
    Tls,
    Values,
    connect,
    translate,
)
from myha.errors import ServerError, ServerGoneError, ServerSilentError

LIMIT_TOLERANCE = 0.01  # of a call's limit
READ_SECONDS = 1.0  # of an answer that has begun
# A connection that said nothing unasked so long ago is not asked about that again.
CHECKED_SECONDS = 0.02


class Deadline:
    """The time left of a step, on the monotonic clock."""

    __slots__ = ("_ends", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._ends = time.monotonic() + seconds

    @property
    def left_seconds(self) -> float:
        """What is left; never negative."""
        return max(0.0, self._ends - time.monotonic())

    @property
    def passed(self) -> bool:
        return time.monotonic() >= self._ends


class Session:
    """One connection, for one thread at a time.

    `limit`: the seconds that each call may take, or the deadline of all of them. `where`: what the
    errors begin with. Each call raises ServerGoneError, ServerSilentError or ServerError, with one
    line; the first two leave no connection.
    """

    def __init__(
        self, connection: Connection | None, limit: float | Deadline, *, where: str = ""
    ) -> None:
        self.where = where
        self.limit = limit
        self._connection = connection
        self._names: list[str] = []  # columns of the last result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def left_seconds(self) -> float:
        """What the next call may take."""
        limit = self.limit
        return limit.left_seconds if isinstance(limit, Deadline) else limit

    @property
    def deadline(self) -> Deadline:
        """The deadline of all calls; that of one call where each has its own limit."""
        limit = self.limit
        return limit if isinstance(limit, Deadline) else Deadline(limit)

    @contextmanager
    def limited(self, limit: float | Deadline) -> Iterator[None]:
        """Another limit for the calls in the block."""
        before, self.limit = self.limit, limit
        try:
            yield
        finally:
            self.limit = before

    @property
    def connection_id(self) -> int:
        """The server's id of this connection, for KILL; 0 without one."""
        return int(self._connection.thread_id()) if self._connection else 0

    def query(
        self, sql: str, values: Values = None, *, deadline_seconds: float | None = None
    ) -> list[Row]:
        """Run one statement and return its rows; `deadline_seconds` in place of the limit."""
        seconds = self.left_seconds if deadline_seconds is None else deadline_seconds
        connection = self._ready(seconds)
        try:
            connection.query(_text(connection, sql, values))
        except (MySQLError, OSError) as error:
            raise self._dropped(error, seconds) from None
        return self._taken(connection)

    def query_named(self, sql: str, values: Values = None) -> list[dict[str, Any]]:
        """The same with the columns' names, as SHOW statements need it."""
        rows = self.query(sql, values)
        names = self._names
        return [dict(zip(names, row, strict=True)) for row in rows]

    def text(self, sql: str, values: Values) -> str:
        """A statement with its values in it, for a `query` that is made often."""
        return _text(self._ready(self.left_seconds), sql, values)

    def value(self, sql: str, values: Values = None) -> Any:
        """The first column of the first row, None when there is none."""
        rows = self.query(sql, values)
        return rows[0][0] if rows else None

    def rows_if_there(self, sql: str, values: Values = None) -> list[Row] | None:
        """The rows of a query, None where its table is not there."""
        try:
            return self.query(sql, values)
        except ServerError as error:
            if error.code in (NO_SUCH_TABLE, NO_SUCH_DATABASE):
                return None
            raise

    def variable(self, name: str) -> str | None:
        """A global variable as text, None where the server has none of that name."""
        rows = self.query("SHOW GLOBAL VARIABLES WHERE Variable_name = %s", (name,))
        return str(rows[0][1]) if rows else None

    def run(self, statements: tuple[str, ...], values: Values = None) -> None:
        """Carry out statements whose rows are of no interest."""
        for sql in statements:
            self.query(sql, values)

    def fileno(self) -> int:
        """The socket, for polling; -1 without a connection."""
        sock = getattr(self._connection, "_sock", None)
        return -1 if sock is None else int(sock.fileno())

    @property
    def wire(self) -> Connection:
        """The connection itself, for what passes through as bytes."""
        return self._ready(self.left_seconds)

    def close(self) -> None:
        """Say good-bye, where the connection is one still."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def drop(self) -> None:
        """Drop the connection without a word to the server: it may be one that hangs."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection._force_close()

    def _ready(self, seconds: float) -> Connection:
        """The connection, its calls limited."""
        connection = self._connection
        if connection is None:
            raise ServerGoneError(f"{self.where}: the connection is broken".removeprefix(": "))
        limit = max(LEAST_SECONDS, seconds)
        # To set a socket's time-out is a system call, twice for each statement.
        present = connection._read_timeout  # None: it waits for ever
        if present is None or abs(present - limit) > LIMIT_TOLERANCE * limit:
            connection._read_timeout = connection._write_timeout = limit
        return connection

    def _taken(self, connection: Connection) -> list[Row]:
        """The rows of the result that has been read."""
        result = connection._result
        if result is None or result.rows is None:
            return []
        self._names = [field.name for field in result.fields]
        return list(result.rows)

    def _dropped(self, error: Exception, seconds: float) -> ServerError:
        """Translate, and drop the connection unless it is the server that said no."""
        translated = translate(error, self.where, seconds)
        if isinstance(translated, ServerGoneError | ServerSilentError):
            self.drop()
        return translated


def _text(connection: Connection, sql: str, values: Values) -> str:
    text: str = sql if values is None else connection.cursor().mogrify(sql, values)
    return text


class WarmSession(Session):
    """A session that connects when it is used. Every call has a deadline of its own.

    `on_connect` is called with each new connection, and what it raises ends that connection.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        account: Login,
        *,
        connect_timeout_seconds: float,
        tls: Tls = "auto",
        on_connect: Callable[[WarmSession], None] | None = None,
    ) -> None:
        super().__init__(None, connect_timeout_seconds, where=str(endpoint))
        self.endpoint = endpoint
        self._account = account
        self._connect_timeout_seconds = connect_timeout_seconds
        self._tls = tls
        self._sent = False  # a statement is on its way whose result has not been read
        self.used_at = -math.inf  # monotonic
        self._checked_at = -math.inf  # when it had said nothing unasked
        self.lives = 0  # how many connections this session has had
        self._on_connect = on_connect
        self._greeting = False

    def ensure(self, deadline_seconds: float) -> Connection:
        """The connection, made anew if there is none or the old one has hung up while idle."""
        if self._connection is not None and not self._sent and _readable(self._connection, 0.0):
            self.close()  # the server said something unasked: a good-bye
        self._checked_at = time.monotonic()
        if self._connection is None:
            if self._greeting:  # it is the one connection that is to be found fit
                raise ServerGoneError(f"{self.endpoint}: the connection broke at once")
            seconds = max(0.05, min(self._connect_timeout_seconds, deadline_seconds))
            self._connection = connect(
                self.endpoint,
                self._account,
                connect_timeout_seconds=seconds,
                read_timeout_seconds=seconds,
                tls=self._tls,
            )
            self.lives += 1
            if self._on_connect is not None:
                self._greet(self._on_connect, deadline_seconds)
        return self._connection

    def _greet(self, on_connect: Callable[[WarmSession], None], deadline_seconds: float) -> None:
        self._greeting = True
        try:
            with self.limited(Deadline(deadline_seconds)):
                on_connect(self)
        except BaseException:
            self.close()
            raise
        finally:
            self._greeting = False

    def send(
        self, sql: str, values: Values = None, *, deadline_seconds: float | None = None
    ) -> None:
        """Send a statement that may wait inside the server; `receive` fetches its result."""
        seconds = self.left_seconds if deadline_seconds is None else deadline_seconds
        connection = self._ready(seconds)
        try:
            connection._execute_command(COMMAND.COM_QUERY, _text(connection, sql, values))
        except (MySQLError, OSError) as error:
            raise self._dropped(error, seconds) from None
        self._sent = True

    def receive(self, wait_seconds: float) -> list[Row] | None:
        """The rows of what was sent, or None if it is not done within `wait_seconds`."""
        if self._connection is None or not self._sent:
            raise ServerGoneError(f"{self.endpoint}: the connection is broken")
        if not _readable(self._connection, wait_seconds):
            return None
        connection = super()._ready(READ_SECONDS)
        try:
            connection._read_query_result()
        except (MySQLError, OSError) as error:
            raise self._dropped(error, READ_SECONDS) from None
        return self._taken(connection)

    @property
    def waiting(self) -> bool:
        """Whether a statement that was sent has not been answered yet."""
        return self._sent and self._connection is not None

    def close(self) -> None:
        """Drop the connection without a word to the server: it may be one that hangs."""
        self._sent = False
        self.drop()

    def _ready(self, seconds: float) -> Connection:
        if self._sent:
            self.close()  # never mix two results up
        known_at = max(self._checked_at, self.used_at)
        if self._connection is None or time.monotonic() - known_at > CHECKED_SECONDS:
            self.ensure(seconds)
        return super()._ready(seconds)

    def _taken(self, connection: Connection) -> list[Row]:
        self._sent = False
        self.used_at = time.monotonic()
        return super()._taken(connection)

    def _dropped(self, error: Exception, seconds: float) -> ServerError:
        self._sent = False
        return super()._dropped(error, seconds)


class SessionPool:
    """One warm session, and fresh ones for whoever finds it in use: no hung call is in the way."""

    def __init__(self, make: Callable[[], WarmSession]) -> None:
        self._make = make
        self._warm = make()
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self, limit: Deadline) -> Iterator[WarmSession]:
        """A session for one thread; the warm one if it is free."""
        if self._lock.acquire(blocking=False):
            try:
                self._warm.limit = limit
                yield self._warm
            finally:
                self._lock.release()
            return
        with self.fresh(limit) as session:
            yield session

    @contextmanager
    def fresh(self, limit: Deadline) -> Iterator[WarmSession]:
        """A session of its own, closed at the end."""
        with self._make() as session:
            session.limit = limit
            yield session

    def keep_warm(self, idle_seconds: float, deadline_seconds: float) -> None:
        """Connect the warm session, or say a word on it after `idle_seconds` without one."""
        if not self._lock.acquire(blocking=False):
            return
        try:
            if time.monotonic() - self._warm.used_at >= idle_seconds:
                self._warm.query("SELECT 1", deadline_seconds=deadline_seconds)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Drop the warm session, unless somebody is using it: its user drops it at the deadline."""
        if self._lock.acquire(blocking=False):
            try:
                self._warm.close()
            finally:
                self._lock.release()


def _readable(connection: Connection, wait_seconds: float) -> bool:
    """Whether bytes, or the end, have arrived on the connection within the time."""
    sock = getattr(connection, "_sock", None)
    if sock is None:
        return True
    if isinstance(sock, ssl.SSLSocket) and sock.pending():
        return True
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLHUP | select.POLLRDHUP)
    return bool(poll.poll(max(0, math.ceil(wait_seconds * 1000))))
