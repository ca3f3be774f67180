"""An administrator's session for a reseed, and the few questions that every method asks."""

from __future__ import annotations

from typing import Any

from myha.config import Config
from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.database import statements
from myha.database.connection import UNKNOWN_VARIABLE
from myha.errors import ServerError
from myha.operations.setup.facts import Flavour
from myha.operations.setup.gather import executed
from myha.operations.setup.session import AdminSession, Values

SYNTAX_ERROR = 1064
# What stands in a node's history while its data is nobody's: a reseed has begun and not ended.
MYSQL_MARK = "72657365-6564-0000-0000-000000000000:1"
MARIADB_MARK = "4294967295-1-1"
_NO_REPLICATION = {1200, 1617, 3074}  # no such channel, or none configured


class ReseedSession(AdminSession):
    """One connection with the statements of sql/<flavour>/reseed.sql. Errors as `AdminSession`."""

    def __init__(self, config: Config, name: str, *, local_files: bool = False) -> None:
        super().__init__(config, name, config.accounts.admin(), local_files=local_files)
        self.do("session")

    def limit(self, seconds: float) -> None:
        """How long one answer may take from now on."""
        limits: Any = self._connection
        limits._read_timeout = limits._write_timeout = seconds

    @property
    def wire(self) -> Any:
        """The connection itself, for rows that pass through as bytes."""
        return self._connection

    def do(self, block: str, values: Values | None = None, **words: str) -> None:
        """The named statements. ServerError when the server says no."""
        words = {word: text.replace("%", "%%") for word, text in words.items()}
        for sql in statements.load(self.flavour.value, "reseed").all(block, **words):
            self._execute(sql, values if values is not None else {})

    def do_as_old(self, block: str, values: Values | None = None, **words: str) -> None:
        """The same, in the words of older servers where this one does not know the new ones."""
        try:
            self.do(block, values, **words)
        except ServerError as error:
            if error.code != SYNTAX_ERROR:
                raise
            self.do(f"{block}_older_servers", values, **words)

    def perform(self, sql: str) -> None:
        """A statement that was made from the donor's own definitions."""
        self._execute(sql, None)

    # --- history

    def executed(self) -> GtidSet:
        return executed(self)

    def set_history(self, history: GtidSet, *, earlier: str = "") -> None:
        """Make this the server's whole past: what it has and will never send.

        `earlier` (MariaDB): further entries of a binary log's state, of other server ids.
        """
        if self.flavour is Flavour.MYSQL:
            self.do_as_old("set_history", {"history": str(history)})
            return
        position = str(history)
        state = ",".join(part for part in (earlier, position) if part)
        self.do("set_history", {"history": state, "position": position})

    def mark(self) -> None:
        """From here on the node's data is nobody's, and its history says so."""
        self.set_history(mark_of(self.flavour))

    def free_table_definitions(self) -> None:
        """Take definitions that were made under other rules, as far as this server has such."""
        for sql in statements.load(self.flavour.value, "reseed").all("free_table_definitions"):
            try:
                self._execute(sql, {})
            except ServerError as error:
                if error.code != UNKNOWN_VARIABLE:
                    raise

    def stop_replication(self) -> None:
        try:
            self.do("stop_replication")
        except ServerError as error:
            if error.code not in _NO_REPLICATION:
                raise

    def forget_replication(self) -> None:
        for sql in statements.load(self.flavour.value, "reseed").all("forget_replication"):
            try:
                self._execute(sql, {})
            except ServerError as error:
                if error.code not in _NO_REPLICATION:
                    raise


def mark_of(flavour: Flavour) -> GtidSet:
    """The history of a node whose reseed has not ended."""
    if flavour is Flavour.MYSQL:
        return MysqlGtidSet.parse(MYSQL_MARK)
    return MariadbGtidSet.parse(MARIADB_MARK)


def without_mark(flavour: Flavour, gtids: GtidSet) -> GtidSet:
    return gtids.minus(mark_of(flavour))


def quoted(*parts: str) -> str:
    """`schema`.`table`, as SQL takes it."""
    return ".".join(f"`{part.replace('`', '``')}`" for part in parts)
