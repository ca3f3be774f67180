"""A session that knows its server's flavour and the statements of one subject."""

from __future__ import annotations

from typing import ClassVar

from myha.core.gtid import GtidSet
from myha.database.connection import Connection, Values
from myha.database.flavours import Flavour
from myha.database.session import Deadline, Session


class FlavouredSession(Session):
    """One connection with the named statements of sql/<flavour>/<subject>.sql."""

    subject: ClassVar[str]

    def __init__(
        self, connection: Connection, flavour: Flavour, limit: float | Deadline, *, where: str = ""
    ) -> None:
        super().__init__(connection, limit, where=where)
        self.flavour = flavour
        self._sql = flavour.statements(self.subject)

    def do(self, block: str, values: Values = None, **words: str) -> None:
        """A named block; `words` fill `{words}` in, `values` `%(parameters)s`."""
        self.run(self._sql.all(block, **words), values)

    def executed(self) -> GtidSet:
        """Every transaction that the server has committed."""
        return self.flavour.executed(self)
