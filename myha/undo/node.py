"""What an undo asks of the server that it is made on, and does to it, besides the rows."""

from contextlib import suppress
from typing import NamedTuple

from myha.binlog.errors import LookAgainError, RewindRefusedError
from myha.binlog.node import Node
from myha.errors import ServerGoneError, ServerSilentError

_LOCK_SECONDS = 10


class Marker(NamedTuple):
    """An undo that is committed and whose GTID state is not known to be set."""

    id: int
    executed: str
    kept: str
    history: str
    transactions: int
    rows: int
    quarantine: str


class UndoNode(Node):
    """A session on the node whose errant transactions are read and undone."""

    def unfinished(self) -> Marker | None:
        """The undo of this server that is committed and not known to be complete."""
        rows = self.rows_if_there(
            "SELECT id, executed, kept, history, transactions, changed_rows, quarantine"
            " FROM myha.rewind WHERE finished_at IS NULL AND server_id = @@GLOBAL.server_id"
            " ORDER BY id DESC LIMIT 1"
        )
        return Marker(*rows[0]) if rows else None

    def not_fenced(self) -> str | None:
        """Why this node is not fit to be rewound, None when it is."""
        if str(self.value("SELECT @@GLOBAL.read_only")) in {"0", "OFF"}:
            return "it is open for writes (read_only is OFF): fence it first"
        if any(threads != ("OFF", "OFF") for threads in self.flavour.threads(self).values()):
            return "its replication is running: stop it first"
        return None

    def prepare(self) -> None:
        """Take the lock that keeps rewinds apart, and keep this session out of the binary log."""
        # One that was killed may have a statement in the server still.
        if self.value(f"SELECT GET_LOCK('myha.rewind', {_LOCK_SECONDS})") != 1:
            raise LookAgainError("another rewind is running on this server")
        self.do("session")
        if self.value("SELECT @@SESSION.sql_log_bin") != 0:
            raise RewindRefusedError("sql_log_bin could not be turned off for this session")

    def close_for_writes(self) -> None:
        """Close the node again, on a new connection if this one broke; silent if it is gone."""
        try:
            self.do("close")
        except (ServerGoneError, ServerSilentError):
            with (
                suppress(Exception),
                type(self)(self._connect, self.flavour, self.left_seconds) as again,
            ):
                again.do("close")

    def make_marker_table(self) -> None:
        if not self.query(
            "SELECT 1 FROM information_schema.tables"
            " WHERE table_schema = 'myha' AND table_name = 'rewind'"
        ):
            self.do("make_marker_table")
