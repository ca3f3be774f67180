"""What a rewind asks of a server and does to it. Errors are those of `myha.errors`."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import ClassVar, NamedTuple

from myha.binlog import stream
from myha.binlog.errors import LookAgainError, RewindRefusedError
from myha.binlog.events import MAGIC, Gtid, RawEvent
from myha.binlog.session import HealSession
from myha.binlog.torn_files import past_torn_ends
from myha.core.gtid import GtidSet
from myha.database.connection import NO_SUCH_DATABASE, NO_SUCH_TABLE
from myha.database.flavours.base import DumpRequest, Transaction
from myha.errors import ServerError, ServerGoneError, ServerSilentError

_LOCK_SECONDS = 10
_READER_SERVER_ID = 4_100_000_000  # as a replica, far from the ids that people choose


class Marker(NamedTuple):
    """An undo that is committed and whose GTID state is not known to be set."""

    id: int
    executed: str
    kept: str
    history: str
    transactions: int
    rows: int
    quarantine: str


class Node(HealSession):
    """A session on the node whose errant transactions are read."""

    subject: ClassVar[str] = "rewind"

    def unfinished(self) -> Marker | None:
        """The undo of this server that is committed and not known to be complete."""
        try:
            rows = self.query(
                "SELECT id, executed, kept, history, transactions, changed_rows, quarantine"
                " FROM myha.rewind WHERE finished_at IS NULL AND server_id = @@GLOBAL.server_id"
                " ORDER BY id DESC LIMIT 1"
            )
        except ServerError as error:
            if error.code in (NO_SUCH_TABLE, NO_SUCH_DATABASE):
                return None
            raise
        return Marker(*rows[0]) if rows else None

    # ---- acting

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

    # ---- reading the binary log, each on a connection of its own

    def events_after(self, kept: GtidSet) -> Iterable[RawEvent]:
        """All events of the transactions that are not in `kept`, oldest first."""
        return self._past_torn_ends(self._dump(self.flavour.dump_after(kept, self._reader_id())))

    def events_from(self, file: str, offset: int) -> Iterable[RawEvent]:
        """All events from a byte of a file on, to the end of the last file."""
        return self._past_torn_ends(self._events_of(file, offset))

    def _past_torn_ends(self, found: Iterable[RawEvent]) -> Iterable[RawEvent]:
        if not self.flavour.leaves_torn_files:
            return found
        return past_torn_ends(
            found, self._file_after, lambda file: self._events_of(file, len(MAGIC))
        )

    def _events_of(self, file: str, offset: int) -> Iterable[RawEvent]:
        return self._dump(self.flavour.dump_from(file, offset, self._reader_id()))

    def _dump(self, request: DumpRequest) -> Iterator[RawEvent]:
        connection = self._connect()
        try:
            yield from stream.dump(connection, request, self.left_seconds)
        finally:
            with suppress(Exception):
                connection.close()

    def _reader_id(self) -> int:
        return _READER_SERVER_ID + int(self.value("SELECT @@GLOBAL.server_id")) % 100_000_000

    def _file_after(self, file: str) -> str | None:
        files = [str(row[0]) for row in self.query("SHOW BINARY LOGS")]
        return next((two for one, two in pairwise(files) if one == file), None)

    # ---- its state

    def not_fenced(self) -> str | None:
        """Why this node is not fit to be rewound, None when it is."""
        if str(self.value("SELECT @@GLOBAL.read_only")) in {"0", "OFF"}:
            return "it is open for writes (read_only is OFF): fence it first"
        if any(threads != ("OFF", "OFF") for threads in self.flavour.threads(self).values()):
            return "its replication is running: stop it first"
        return None

    def holds(self, gtids: GtidSet, gtid: Gtid) -> bool:
        return self.flavour.holds(gtids, name_of(gtid))

    def missing(self, errant: GtidSet, found: Iterable[Gtid]) -> GtidSet:
        """What of `errant` was not found in the binary log."""
        return self.flavour.missing(errant, map(name_of, found))


def name_of(gtid: Gtid) -> Transaction:
    """An event's transaction, as a flavour takes it."""
    return Transaction(gtid.origin, gtid.server_id, gtid.number)
