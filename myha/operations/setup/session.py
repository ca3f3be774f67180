"""An administrator's session on one server, for setup only.

Nothing that setup changes goes into the binary log unless it is asked for: both nodes are changed
alike, and neither may get an errant transaction from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import pymysql
from pymysql.constants import ER
from pymysql.err import MySQLError

from myha.config import Account, Config
from myha.database import statements
from myha.database.connection import Connection, Endpoint, connect, translate
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.operations.setup.facts import Flavour, is_on

CONNECT_DEADLINE_SECONDS = 5.0
STATEMENT_DEADLINE_SECONDS = 60.0
SUBJECTS = ("setup", "setup_schema", "setup_grants")

Row = dict[str, Any]
Values = Mapping[str, object]


def named(flavour: Flavour, block: str, **words: str) -> tuple[str, ...]:
    """The statements of one block of sql/<flavour>/setup*.sql. KeyError when there is none."""
    for subject in SUBJECTS:
        found = statements.load(flavour.value, subject)
        if block in found.names():
            return found.all(block, **words)
    raise KeyError(block)


def log_in(config: Config, name: str, account: Account, *, local_files: bool = False) -> Connection:
    """A connection to one node; the error names the node and tells what to correct."""
    node = config.nodes[name]
    try:
        return connect(
            Endpoint(node.host, node.port),
            account,
            connect_timeout_seconds=CONNECT_DEADLINE_SECONDS,
            read_timeout_seconds=CONNECT_DEADLINE_SECONDS,
            tls=config.accounts.tls,
            local_files=local_files,
        )
    except ServerError as error:
        raise _explained(name, account.user, error) from None


def _explained(name: str, user: str, error: ServerError) -> ServerError:
    text = f"{name}: {error}"
    if error.code == ER.ACCESS_DENIED_ERROR:
        text = f"{name}: {error} of {user!r}"
    elif isinstance(error, ServerGoneError | ServerSilentError):
        text += f"; check nodes.{name}.host and port, and that the server runs"
    return type(error)(text, error.code)


class AdminSession:
    """One connection. Raises ServerGoneError, ServerSilentError or ServerError, each one line."""

    def __init__(
        self, config: Config, name: str, account: Account, *, local_files: bool = False
    ) -> None:
        self.name = name
        self._endpoint = Endpoint(config.nodes[name].host, config.nodes[name].port)
        self._connection = log_in(config, name, account, local_files=local_files)
        limits: Any = self._connection  # its stubs hide the attribute
        limits._read_timeout = STATEMENT_DEADLINE_SECONDS
        self.version = str(self.value("SELECT VERSION()"))
        mariadb = "mariadb" in self.version.lower()
        self.flavour = Flavour.MARIADB if mariadb else Flavour.MYSQL
        try:
            self.run("session")
        except ServerError as error:
            raise ServerError(
                f"{error}; accounts.admin_user needs all privileges with GRANT OPTION there",
                error.code,
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with suppress(Exception):
            self._connection.close()

    def rows(self, sql: str, values: Values | None = None) -> list[Row]:
        """The result of one statement that changes nothing."""
        return list(self._execute(sql, values))

    def value(self, sql: str, values: Values | None = None) -> Any:
        """The first column of the first row, None when there is none."""
        rows = self.rows(sql, values)
        return next(iter(rows[0].values())) if rows else None

    def run(self, block: str, values: Values | None = None, **words: str) -> None:
        """The named statements of sql/; `words` fill `{words}` in, `values` `%(parameters)s`."""
        for sql in named(self.flavour, block, **words):
            self._execute(sql, values if values is not None else {})

    def _execute(self, sql: str, values: Values | None) -> Any:
        try:
            with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall()
        except MySQLError as error:
            found = translate(error, str(self._endpoint), STATEMENT_DEADLINE_SECONDS)
            raise type(found)(f"{self.name}: {found}", found.code) from None
        except OSError as error:
            raise ServerGoneError(f"{self.name}: {self._endpoint}: {error}") from None

    @contextmanager
    def writable(self) -> Iterator[None]:
        """Let this session write on a fenced server, while clients stay locked out by read_only."""
        if self.flavour is Flavour.MYSQL and is_on(str(self.value("SELECT @@super_read_only"))):
            self.run("super_read_only_off")
            try:
                yield
            finally:
                self.run("super_read_only_on")
        else:
            yield

    @contextmanager
    def logged(self) -> Iterator[None]:
        """What this session writes now goes into the binary log, and so to the peer."""
        self.run("session_logged")
        try:
            yield
        finally:
            self.run("session")
