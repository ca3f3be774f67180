"""An administrator's session for a reseed, and the few questions that every method asks."""

from __future__ import annotations

from typing import ClassVar

from myha.config import Config
from myha.core.gtid import GtidSet
from myha.database.codes import (
    MAY_NOT_LIST_XIDS,
    NO_REPLICATION,
    NO_SUCH_XID,
    UNKNOWN_VARIABLE,
    in_known_words,
    tolerated,
)
from myha.database.connection import Values
from myha.database.flavours import Flavour
from myha.operations.setup.session import AdminSession


class ReseedSession(AdminSession):
    """One connection with the statements of sql/<flavour>/reseed.sql. Errors as `AdminSession`."""

    subject: ClassVar[str] = "reseed"

    def __init__(self, config: Config, name: str, *, local_files: bool = False) -> None:
        super().__init__(config, name, config.accounts.admin(), local_files=local_files)
        self.do("session")

    def do(self, block: str, values: Values = None, **words: str) -> None:
        """The named statements. ServerError when the server says no."""
        words = {word: text.replace("%", "%%") for word, text in words.items()}
        super().do(block, {} if values is None else values, **words)

    def do_as_old(self, block: str, values: Values | None = None, **words: str) -> None:
        """The same, in the words of older servers where this one does not know the new ones."""
        in_known_words(lambda name: self.do(name, values, **words), block, self._sql.names())

    # --- prepared XA transactions

    def prepared(self) -> tuple[str, ...]:
        """Their names; none where this account may not list them."""
        with tolerated(MAY_NOT_LIST_XIDS):
            return self.flavour.prepared(self)
        return ()

    def roll_back_prepared(self) -> None:
        """No session holds the locks of such a transaction, and no restart lets go of them."""
        for xid in self.prepared():
            with tolerated(NO_SUCH_XID):
                self.do("roll_back_prepared", xid=xid)

    # --- history

    def set_history(self, history: GtidSet, state: str) -> None:
        """Make this the server's whole past: what it has and will never send.

        `state` is the flavour's `history` of it, as the server that it is copied from had it.
        """
        self.do_as_old("set_history", {"history": state, "position": str(history)})

    def mark(self) -> None:
        """From here on the node's data is nobody's, and its history says so."""
        self.set_history(self.flavour.reseeding, str(self.flavour.reseeding))

    def free_table_definitions(self) -> None:
        """Take definitions that were made under other rules, as far as this server has such."""
        for sql in self._sql.all("free_table_definitions"):
            with tolerated(UNKNOWN_VARIABLE):
                self.query(sql, {})

    def stop_replication(self) -> None:
        with tolerated(*NO_REPLICATION):
            self.do("stop_replication")

    def forget_replication(self) -> None:
        for sql in self._sql.all("forget_replication"):
            with tolerated(*NO_REPLICATION):
                self.query(sql, {})


def without_mark(flavour: Flavour, gtids: GtidSet) -> GtidSet:
    return gtids.minus(flavour.reseeding)
