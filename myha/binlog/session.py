"""One session on a server for a heal: a deadline on every call, and the questions that heals share.

Errors are those of `myha.errors`; `ServerError.code` is the server's number.
"""

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Literal, NamedTuple

import pymysql

from myha.database import statements
from myha.errors import ServerError, ServerGoneError, ServerSilentError

Connect = Callable[[], "pymysql.Connection[Any]"]

_GONE = frozenset({2006, 2013, 2014, 1053, 1927, 4031})
_LEAST_WAIT_SECONDS = 0.05


class TableFacts(NamedTuple):
    """What a binary log does not tell about a table."""

    engine: str
    kind: str


class Session:
    """A connection with the named statements of sql/<flavour>/<subject>.sql."""

    flavour: Literal["mysql", "mariadb"]
    subject: ClassVar[str]
    errand: ClassVar[str] = ""  # what its errors say was under way; by default the subject

    def __init__(self, connect: Connect, deadline_seconds: float) -> None:
        self._connect = connect
        self._ends = time.monotonic() + deadline_seconds
        self._deadline_seconds = deadline_seconds
        self._connection = connect()
        self._statements = statements.load(self.flavour, self.subject)

    def close(self) -> None:
        with suppress(Exception):
            self._connection.close()

    @property
    def left_seconds(self) -> float:
        return max(_LEAST_WAIT_SECONDS, self._ends - time.monotonic())

    # ---- asking

    def rows(self, sql: str, values: object = None) -> tuple[tuple[Any, ...], ...]:
        wire: Any = self._connection
        wire._read_timeout = self.left_seconds  # PyMySQL reads it anew at each packet
        try:
            with self._connection.cursor(pymysql.cursors.Cursor) as cursor:
                cursor.execute(sql, values)
                return tuple(cursor.fetchall())
        except pymysql.err.Error as error:
            raise self._error(error) from error

    def named_rows(self, sql: str) -> list[dict[str, Any]]:
        """The same with the columns' names, for SHOW statements."""
        wire: Any = self._connection
        wire._read_timeout = self.left_seconds
        try:
            with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        except pymysql.err.Error as error:
            raise self._error(error) from error

    def value(self, sql: str) -> Any:
        rows = self.rows(sql)
        return rows[0][0] if rows else None

    def variable(self, name: str) -> str | None:
        """A global variable as text, None where the server has none of that name."""
        rows = self.rows("SHOW GLOBAL VARIABLES WHERE Variable_name = %s", (name,))
        return str(rows[0][1]) if rows else None

    def _error(self, error: pymysql.err.Error) -> ServerError:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        text = " ".join(str(error.args[-1] if error.args else error).split())
        errand = self.errand or self.subject
        if time.monotonic() >= self._ends:
            return ServerSilentError(
                f"the {errand} was not finished within {self._deadline_seconds:g} s: run it again",
                code,
            )
        if code in _GONE or isinstance(error, pymysql.err.InterfaceError):
            return ServerGoneError(
                f"the connection broke in the {errand} ({text}): run it again", code
            )
        return ServerError(f"{text} (error {code})", code)

    def table_facts(self, name: str) -> TableFacts | None:
        """Engine and kind of a `schema.table`, None when this account cannot see it."""
        schema, _, table = name.partition(".")
        rows = self.rows(
            "SELECT engine, table_type FROM information_schema.tables"
            " WHERE table_schema = %s AND table_name = %s",
            (schema, table),
        )
        return TableFacts(str(rows[0][0]), str(rows[0][1])) if rows else None

    def cascades_from(self, name: str) -> tuple[str, ...]:
        """The foreign keys by which a change of this table changes another one."""
        schema, _, table = name.partition(".")
        rows = self.rows(
            "SELECT constraint_schema, table_name, constraint_name"
            " FROM information_schema.referential_constraints"
            " WHERE unique_constraint_schema = %s AND referenced_table_name = %s"
            " AND NOT (delete_rule IN ('NO ACTION', 'RESTRICT')"
            " AND update_rule IN ('NO ACTION', 'RESTRICT'))",
            (schema, table),
        )
        return tuple(".".join(map(str, row)) for row in rows)

    def cascading_columns(self, name: str) -> tuple[tuple[str, str], ...]:
        """The columns whose change, or whose row's end, reaches other rows; each with the key."""
        schema, _, table = name.partition(".")
        rows = self.rows(
            "SELECT k.referenced_column_name, c.constraint_schema, c.table_name, c.constraint_name"
            " FROM information_schema.referential_constraints c"
            " JOIN information_schema.key_column_usage k"
            " ON k.constraint_schema = c.constraint_schema AND k.table_name = c.table_name"
            " AND k.constraint_name = c.constraint_name"
            " WHERE c.unique_constraint_schema = %s AND c.referenced_table_name = %s"
            " AND NOT (c.delete_rule IN ('NO ACTION', 'RESTRICT')"
            " AND c.update_rule IN ('NO ACTION', 'RESTRICT'))",
            (schema, table),
        )
        return tuple((str(column), ".".join(map(str, key))) for column, *key in rows)

    # ---- acting

    def do(self, name: str, values: Mapping[str, object] | None = None) -> None:
        """A named block of the session's SQL file."""
        for sql in self._statements.all(name):
            self.rows(sql, values)

    def apply(self, steps: Iterable[bytes]) -> None:
        """Give events to the server; its `apply` block takes them."""
        for step in steps:
            self.do("apply", {"events": base64.b64encode(step).decode("ascii")})
