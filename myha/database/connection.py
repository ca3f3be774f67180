"""Logging in to a database server, and its errors as myha's."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Protocol, TypeAlias

import pymysql
from pymysql.constants import CR, ER
from pymysql.err import InterfaceError, MySQLError

from myha.core.values import value
from myha.database.codes import ACCESS_DENIED, OFFLINE_MODE, TOO_MANY_CONNECTIONS
from myha.database.results import ReadingConnection
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.words import one_line

Tls: TypeAlias = Literal["auto", "require", "off"]
# A pymysql.Connection. Any, since sending apart from receiving, and a limit for each call, need
# parts of it that its stubs do not show.
Connection: TypeAlias = Any
Connect: TypeAlias = Callable[[], Connection]
Row: TypeAlias = tuple[Any, ...]
Values: TypeAlias = Mapping[str, object] | Sequence[object] | None

FOREIGN_PROTOCOL = -1  # `ServerError.code` when the port speaks something else
LEAST_SECONDS = 0.01  # of a call's limit; what is less is said in words

# A session of a supervisor that has died ends by itself, and nothing of ours waits behind a
# metadata or row lock for the server's defaults of a year and 50 s.
SESSION_IDLE_SECONDS = 60
LOCK_WAIT_SECONDS = 2
_SESSION_START = (
    f"SET SESSION autocommit = 1, wait_timeout = {SESSION_IDLE_SECONDS},"
    f" lock_wait_timeout = {LOCK_WAIT_SECONDS}, innodb_lock_wait_timeout = {LOCK_WAIT_SECONDS},"
    " time_zone = '+00:00', group_concat_max_len = 1048576"
)
_GONE = frozenset(
    {
        *(CR.CR_SERVER_GONE_ERROR, CR.CR_SERVER_LOST, CR.CR_CONN_HOST_ERROR),
        *(CR.CR_CONNECTION_ERROR, CR.CR_COMMANDS_OUT_OF_SYNC),
        *(ER.SERVER_SHUTDOWN, ER.NORMAL_SHUTDOWN),
        *(1927, 4031),  # killed (MariaDB), idle for too long
    }
)
_HINTS = {
    TOO_MANY_CONNECTIONS: "too many connections: the server is full",
    ACCESS_DENIED: "access denied: check the account and its password",
    OFFLINE_MODE: "the server is in offline mode and the account lacks CONNECTION_ADMIN",
    1129: "the server has blocked this host: FLUSH HOSTS there, or raise max_connect_errors",
    1130: "the server allows no login from this host",
}


@value(frozen=True, slots=True)
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
    connection: Connection = ReadingConnection(
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
        raise translate(error, str(endpoint), seconds, connecting=True) from None
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


def _foreign(where: object) -> ServerError:
    return ServerError(
        f"{where} does not speak the MySQL protocol: check host and port", FOREIGN_PROTOCOL
    )


def error_code(error: Exception) -> int:
    """The server's or the driver's number of an error of pymysql, 0 where it has none."""
    return error.args[0] if error.args and isinstance(error.args[0], int) else 0


def translate(
    error: Exception, where: str, seconds: float, *, connecting: bool = False
) -> ServerError:
    """The error of myha's family for one of pymysql's or of a socket.

    `where` is what its text begins with, `seconds` was the limit of the call.
    """
    code = error_code(error) if isinstance(error, MySQLError) else 0
    text = one_line(error.args[1] if len(error.args) > 1 else error)
    prefix = f"{where}: " if where else ""
    cause = getattr(error, "original_exception", None) or error.__context__
    if isinstance(error, TimeoutError) or isinstance(cause, TimeoutError):
        what = "no greeting or login: hung, or no database server" if connecting else "no answer"
        shown = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
        limit = f"within {shown} s" if seconds >= LEAST_SECONDS else "in the time left for it"
        return ServerSilentError(f"{prefix}{what} {limit}", code)
    if not isinstance(error, MySQLError):
        return ServerGoneError(f"{prefix}{error}")
    if connecting and type(error) is pymysql.err.InternalError and code == 0:
        return _foreign(where)
    if isinstance(error, InterfaceError) and code == 0:
        return ServerGoneError(f"{prefix}the connection is broken", CR.CR_SERVER_GONE_ERROR)
    if code in _GONE:
        reason = (getattr(cause, "strerror", None) or text) if cause is not None else text
        return ServerGoneError(f"{prefix}{reason}", code)
    return ServerError(f"{prefix}{_HINTS.get(code, text)} (error {code})", code)
