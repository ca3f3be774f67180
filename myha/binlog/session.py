"""One session on a server for a heal: one deadline for all of it, and what heals ask in common."""

import base64
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from myha.database.connection import Connect
from myha.database.flavoured import FlavouredSession
from myha.database.flavours import Flavour
from myha.database.session import Deadline, Session
from myha.errors import ServerError, ServerGoneError, ServerSilentError

_LEAST_WAIT_SECONDS = 0.05


class TableFacts(NamedTuple):
    """What a binary log does not tell about a table."""

    engine: str
    kind: str


def logs_cascades(session: Session) -> bool:
    """Whether a foreign key's cascade is in the binary log as row changes of its own."""
    return session.variable("innodb_native_foreign_keys") == "OFF"


class HealSession(FlavouredSession):
    """One connection for all of a heal; its errors say what was under way."""

    errand: ClassVar[str] = ""  # what its errors say was under way; by default the subject

    def __init__(self, connect: Connect, flavour: Flavour, deadline_seconds: float) -> None:
        super().__init__(connect(), flavour, Deadline(deadline_seconds))
        self._connect = connect

    @property
    def left_seconds(self) -> float:
        return max(_LEAST_WAIT_SECONDS, self.deadline.left_seconds)

    def _dropped(self, error: Exception, seconds: float) -> ServerError:
        found = super()._dropped(error, seconds)
        errand = self.errand or self.subject
        if self.deadline.passed:
            self.drop()
            told = f"the {errand} was not finished within {self.deadline.seconds:g} s: run it again"
            return ServerSilentError(told, found.code)
        if isinstance(found, ServerGoneError | ServerSilentError):
            told = f"the connection broke in the {errand} ({found}): run it again"
            return ServerGoneError(told, found.code)
        return found

    def table_facts(self, name: str) -> TableFacts | None:
        """Engine and kind of a `schema.table`, None when this account cannot see it."""
        schema, _, table = name.partition(".")
        rows = self.query(
            "SELECT engine, table_type FROM information_schema.tables"
            " WHERE table_schema = %s AND table_name = %s",
            (schema, table),
        )
        return TableFacts(str(rows[0][0]), str(rows[0][1])) if rows else None

    def cascades_from(self, name: str) -> tuple[str, ...]:
        """The foreign keys by which a change of this table changes another one."""
        schema, _, table = name.partition(".")
        rows = self.query(
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
        rows = self.query(
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

    def apply(self, steps: Iterable[bytes]) -> None:
        """Give events to the server; its `apply` block takes them."""
        for step in steps:
            self.do("apply", {"events": base64.b64encode(step).decode("ascii")})
