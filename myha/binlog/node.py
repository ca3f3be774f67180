"""A session on a node whose binary log is read. Errors are those of `myha.errors`."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import pairwise
from typing import ClassVar

from myha.binlog import stream
from myha.binlog.events import MAGIC, RawEvent
from myha.binlog.session import HealSession
from myha.binlog.torn_files import past_torn_ends
from myha.core.gtid import GtidSet
from myha.database.flavours.base import DumpRequest

_READER_SERVER_ID = 4_100_000_000  # as a replica, far from the ids that people choose


class Node(HealSession):
    """Reads the binary log, each time on a connection of its own."""

    subject: ClassVar[str] = "rewind"

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
