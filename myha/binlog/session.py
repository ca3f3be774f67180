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


class Storage(NamedTuple):
    """What a binary log does not tell about a table."""

    engine: str
    kind: str

    @property
    def can_be_undone(self) -> bool:
        """Whether its changes are transactions, and nothing but rows."""
        return self.engine == "InnoDB" and self.kind == "BASE TABLE"


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
            text = f"the {errand} was not finished within {self.deadline.seconds:g} s: run it again"
            return ServerSilentError(text, found.code)
        if isinstance(found, ServerGoneError | ServerSilentError):
            text = f"the connection broke in the {errand} ({found}): run it again"
            return ServerGoneError(text, found.code)
        return found

    def storage(self, name: str) -> Storage | None:
        """Engine and kind of a `schema.table`, None when this account cannot see it."""
        schema, _, table = name.partition(".")
        rows = self.query(
            "SELECT engine, table_type FROM information_schema.tables"
            " WHERE table_schema = %s AND table_name = %s",
            (schema, table),
        )
        return Storage(str(rows[0][0]), str(rows[0][1])) if rows else None

    def apply(self, steps: Iterable[bytes]) -> None:
        """Give events to the server; its `apply` block takes them."""
        for step in steps:
            self.do("apply", {"events": base64.b64encode(step).decode("ascii")})
