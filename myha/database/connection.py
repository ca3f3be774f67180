"""Connections to a database server: a deadline on every call, every failure one of myha's errors.

Nothing here knows what is asked. A `Session` is a connection that is kept warm, since a failover
must not pay for connecting: after a failure it is dropped, and the next call makes a new one. A
call that was given up may still go on inside the server; whoever sends something that waits has to
see to it.
"""

from __future__ import annotations

import math
import select
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias

import pymysql
from pymysql.constants import COMMAND, CR, ER
from pymysql.err import InterfaceError, MySQLError

from myha.errors import ServerError, ServerGoneError, ServerSilentError

Tls: TypeAlias = Literal["auto", "require", "off"]
# A pymysql.Connection. Any, since sending apart from receiving, and a limit for each call, need
# parts of it that its stubs do not show.
Connection: TypeAlias = Any
Row: TypeAlias = tuple[Any, ...]
Arguments: TypeAlias = Mapping[str, object] | None

FOREIGN_PROTOCOL = -1  # `ServerError.code` when the port speaks something else
TOO_MANY_CONNECTIONS = ER.CON_COUNT_ERROR
ACCESS_DENIED = ER.ACCESS_DENIED_ERROR
OFFLINE_MODE = 3032
LEAST_SECONDS = 0.01  # of a call's limit; what is less is said in words
NO_SUCH_TABLE = ER.NO_SUCH_TABLE
NO_SUCH_DATABASE = ER.BAD_DB_ERROR
UNKNOWN_VARIABLE = ER.UNKNOWN_SYSTEM_VARIABLE

# A session of a supervisor that has died ends by itself, and nothing of ours waits behind a
# metadata or row lock for the server's defaults of a year and 50 s.
SESSION_IDLE_SECONDS = 60
LOCK_WAIT_SECONDS = 2
_SESSION_START = (
    f"SET SESSION autocommit = 1, wait_timeout = {SESSION_IDLE_SECONDS},"
    f" lock_wait_timeout = {LOCK_WAIT_SECONDS}, innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS},"
    " time_zone = '+00:00', group_concat_max_len = 1048576"
)
_GONE = {CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR, CR.CR_CONNECTION_ERROR}
_SHUTTING_DOWN = {ER.SERVER_SHUTDOWN, ER.NORMAL_SHUTDOWN, 4031}  # 4031: idle for too long
_HINTS = {
    TOO_MANY_CONNECTIONS: "too many connections: the server is full",
    ACCESS_DENIED: "access denied: check the account and its password",
    OFFLINE_MODE: "the server is in offline mode and the account lacks CONNECTION_ADMIN",
    1129: "the server has blocked this host: FLUSH HOSTS there, or raise max_connect_errors",
    1130: "the server allows no login from this host",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Secret(Protocol):
    def get_secret_value(self) -> str: ...


class Login(Protocol):
    """An account as `myha.config.Account` has it."""

    @property
    def user(self) -> str: ...

    @property
    def password(self) -> Secret: ...


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


def connect(
    endpoint: Endpoint,
    account: Login,
    *,
    connect_timeout_seconds: float,
    read_timeout_seconds: float,
    tls: Tls = "auto",
    local_files: bool = False,
) -> Connection:
    """Log in. Raises ServerGoneError, ServerSilentError, or ServerError with the server's code.

    TLS encrypts and does not verify: the servers' certificates are their own by default.
    `local_files`: this connection may send what LOAD DATA LOCAL asks for.
    """
    options: dict[str, Any] = {"ssl": _unverified()} if tls == "require" else {"ssl_disabled": True}
    connection: Connection = pymysql.Connection(
        host=endpoint.host,
        port=endpoint.port,
        user=account.user,
        password=account.password.get_secret_value(),
        charset="utf8mb4",
        autocommit=None,
        connect_timeout=connect_timeout_seconds,
        read_timeout=read_timeout_seconds,
        write_timeout=read_timeout_seconds,
        init_command=_SESSION_START,
        program_name="myha",
        local_infile=local_files,
        defer_connect=True,
        **options,
    )
    if tls == "auto":
        # As PyMySQL does it by itself, which however reads all of the machine's certificate
        # authorities at each connection: 25 ms that a failover would pay for.
        connection.ssl, connection._ssl_required, connection.ctx = True, False, _unverified()
    try:
        connection.connect()
    except MySQLError as error:
        seconds = max(connect_timeout_seconds, read_timeout_seconds)
        raise translate(error, endpoint, seconds, connecting=True) from None
    except (ValueError, IndexError, AssertionError, struct.error, TypeError, KeyError):
        # What pymysql meets when it takes another protocol's bytes for a server's greeting.
        raise _foreign(endpoint) from None
    return connection


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _foreign(endpoint: Endpoint) -> ServerError:
    return ServerError(
        f"{endpoint} does not speak the MySQL protocol: check host and port", FOREIGN_PROTOCOL
    )


def translate(
    error: MySQLError, endpoint: Endpoint, seconds: float, *, connecting: bool = False
) -> ServerError:
    """The error of myha's family for one of pymysql's; `seconds` was the limit of the call."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = " ".join(str(error.args[1] if len(error.args) > 1 else error).split())
    cause = getattr(error, "original_exception", None) or error.__context__
    if isinstance(cause, TimeoutError):
        what = "no greeting or login: hung, or no database server" if connecting else "no answer"
        limit = f"within {seconds:.2g} s" if seconds >= LEAST_SECONDS else "in the time left for it"
        return ServerSilentError(f"{endpoint}: {what} {limit}", code)
    if connecting and type(error) is pymysql.err.InternalError and code == 0:
        return _foreign(endpoint)
    if isinstance(error, InterfaceError) and code == 0:
        return ServerGoneError(f"{endpoint}: the connection is broken", CR.CR_SERVER_GONE_ERROR)
    if code in _GONE or code in _SHUTTING_DOWN:
        reason = (getattr(cause, "strerror", None) or text) if cause is not None else text
        return ServerGoneError(f"{endpoint}: {reason}", code)
    return ServerError(f"{endpoint}: {_HINTS.get(code, text)} (error {code})", code)


class Session:
    """A connection kept warm, for one thread at a time. Every call has a deadline of its own."""

    def __init__(
        self,
        endpoint: Endpoint,
        account: Login,
        *,
        connect_timeout_seconds: float,
        tls: Tls = "auto",
    ) -> None:
        self.endpoint = endpoint
        self._account = account
        self._connect_timeout_seconds = connect_timeout_seconds
        self._tls = tls
        self._connection: Connection | None = None
        self._sent = False  # a statement is on its way whose result has not been read
        self._names: list[str] = []  # columns of the last result
        self.used_at = -math.inf  # monotonic
        self.lives = 0  # how many connections this session has had

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def connection_id(self) -> int:
        """The server's id of this connection, for KILL; 0 without one."""
        return int(self._connection.thread_id()) if self._connection else 0

    def ensure(self, deadline_seconds: float) -> Connection:
        """The connection, made anew if there is none or the old one has hung up while idle."""
        if self._connection is not None and not self._sent and _readable(self._connection, 0.0):
            self.close()  # the server said something unasked: a good-bye
        if self._connection is None:
            seconds = max(0.05, min(self._connect_timeout_seconds, deadline_seconds))
            self._connection = connect(
                self.endpoint,
                self._account,
                connect_timeout_seconds=seconds,
                read_timeout_seconds=seconds,
                tls=self._tls,
            )
            self.lives += 1
        return self._connection

    def query(self, sql: str, arguments: Arguments = None, *, deadline_seconds: float) -> list[Row]:
        """Run one statement and return its rows. A broken or late call drops the session."""
        self.send(sql, arguments, deadline_seconds=deadline_seconds)
        return self._read(deadline_seconds)

    def query_named(self, sql: str, *, deadline_seconds: float) -> list[dict[str, Any]]:
        """The same with the columns' names, for SHOW statements."""
        rows = self.query(sql, deadline_seconds=deadline_seconds)
        names = self._names
        return [dict(zip(names, row, strict=True)) for row in rows]

    def send(self, sql: str, arguments: Arguments = None, *, deadline_seconds: float) -> None:
        """Send a statement that may wait inside the server; `receive` fetches its result."""
        if self._sent:
            self.close()  # never mix two results up
        connection = self.ensure(deadline_seconds)
        self._limit(connection, deadline_seconds)
        try:
            text = sql if arguments is None else connection.cursor().mogrify(sql, arguments)
            connection._execute_command(COMMAND.COM_QUERY, text)
        except (MySQLError, OSError) as error:
            raise self._dropped(error, deadline_seconds) from None
        self._sent = True

    def receive(self, wait_seconds: float, read_seconds: float = 1.0) -> list[Row] | None:
        """The rows of what was sent, or None if it is not done within `wait_seconds`."""
        connection = self._connection
        if connection is None or not self._sent:
            raise ServerGoneError(f"{self.endpoint}: the connection is broken")
        if not _readable(connection, wait_seconds):
            return None
        return self._read(read_seconds)

    @property
    def waiting(self) -> bool:
        """Whether a statement that was sent has not been answered yet."""
        return self._sent and self._connection is not None

    def close(self) -> None:
        """Drop the connection without a word to the server: it may be one that hangs."""
        connection, self._connection, self._sent = self._connection, None, False
        if connection is not None:
            with suppress(Exception):
                connection._force_close()

    def fileno(self) -> int:
        """The socket, for polling; -1 without a connection."""
        sock = getattr(self._connection, "_sock", None)
        return -1 if sock is None else int(sock.fileno())

    def _read(self, deadline_seconds: float) -> list[Row]:
        connection = self._connection
        if connection is None:
            raise ServerGoneError(f"{self.endpoint}: the connection is broken")
        self._limit(connection, deadline_seconds)
        try:
            connection._read_query_result()
        except (MySQLError, OSError) as error:
            raise self._dropped(error, deadline_seconds) from None
        self._sent = False
        self.used_at = time.monotonic()
        result = connection._result
        if result is None or result.rows is None:
            return []
        self._names = [field.name for field in result.fields]
        return list(result.rows)

    def _limit(self, connection: Connection, seconds: float) -> None:
        limit = max(LEAST_SECONDS, seconds)
        connection._read_timeout = limit
        connection._write_timeout = limit

    def _dropped(self, error: Exception, seconds: float) -> ServerError:
        """Translate, and drop the connection unless it is the server that said no."""
        if not isinstance(error, MySQLError):
            self.close()
            return ServerGoneError(f"{self.endpoint}: {error}")
        translated = translate(error, self.endpoint, seconds)
        self._sent = False
        if isinstance(translated, ServerGoneError | ServerSilentError):
            self.close()
        return translated


class SessionPool:
    """One warm session, and fresh ones for whoever finds it in use: no hung call is in the way."""

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make = make
        self._warm = make()
        self._lock = threading.Lock()

    @contextmanager
    def borrow(self) -> Iterator[Session]:
        """A session for one thread; the warm one if it is free."""
        if self._lock.acquire(blocking=False):
            try:
                yield self._warm
            finally:
                self._lock.release()
            return
        with self.fresh() as session:
            yield session

    @contextmanager
    def fresh(self) -> Iterator[Session]:
        """A session of its own, closed at the end."""
        session = self._make()
        try:
            yield session
        finally:
            session.close()

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
