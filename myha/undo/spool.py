"""Transactions in a file as the server wrote them, to be read again in either direction.

The file is a binary log that the servers' own tools read. Memory does not grow with the size of a
transaction: what is held is one event, and the place of each transaction.
"""

import hashlib
import os
import struct
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from myha.binlog import events, row_events
from myha.binlog.events import EventType, RawEvent
from myha.binlog.row_events import RowChanges
from myha.binlog.transactions import StreamedTransaction
from myha.core.values import value
from myha.database.flavours.base import Gtid
from myha.errors import MyhaError
from myha.files import write_all
from myha.undo.inverse import changes

_CHUNK_BYTES = 1 << 18
_EVENT_BYTES = 1 << 14  # enough for most: servers begin a new row event at 8 KB
_SIZE_AT = 9  # of the event's length in its header
_PLACE = struct.Struct("<QQ")
_PLACES_AT_ONCE = 4096


@value(frozen=True, slots=True)
class SpooledTransaction:
    """One transaction in a spool; `events` may be taken again and again."""

    gtid: Gtid
    file: str  # the server's binary log that it came from; empty where that is not known
    offset: int  # bytes, in that file
    timestamp: int  # seconds since the epoch
    format_event: RawEvent
    begin: int  # bytes, in the spool
    end: int
    digest: str  # SHA-256 of its events, as they are in the spool
    spool: "Spool"

    @property
    def events(self) -> Iterator[RawEvent]:
        return (event for _, event in self.spool.with_offsets(self))

    @property
    def size_bytes(self) -> int:
        return self.end - self.begin

    @property
    def has_checksum(self) -> bool:
        return events.format_has_checksum(self.format_event.raw)


class Spool:
    """A file of transactions. Writing raises OSError; `close` it."""

    def __init__(self, path: Path) -> None:
        """Begin a new file with mode 0600; FileExistsError when there is one."""
        self.path = path
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._pending = bytearray()
        self._digest = hashlib.sha256()
        self._size_bytes = 0
        self._format = b""
        self.transactions: list[SpooledTransaction] = []
        self._write(events.MAGIC)

    @classmethod
    def of_file(cls, path: Path) -> "Spool":
        """A finished spool, to be read only; raises MyhaError when it cannot be understood."""
        spool = cls.__new__(cls)
        spool.path = path
        try:
            spool._descriptor = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise MyhaError(f"cannot read {path}: {error.strerror}") from error
        spool._size_bytes = os.fstat(spool._descriptor).st_size
        spool.transactions = []
        spool._find_transactions()
        return spool

    def close(self) -> None:
        with suppress(OSError):
            if self._descriptor >= 0:
                os.close(self._descriptor)
        self._descriptor = -1

    # ---- writing

    def add(self, transaction: StreamedTransaction) -> SpooledTransaction:
        """Append a transaction while it is being read. Raises OSError when it cannot be written."""
        if transaction.format_event.raw != self._format:
            self._format = transaction.format_event.raw
            self._write(self._format)
        begin = self._size_bytes
        digest = hashlib.sha256()
        for event in transaction.events:
            digest.update(event.raw)
            self._write(event.raw)
        self._flush()
        spooled = SpooledTransaction(
            transaction.gtid,
            transaction.file,
            transaction.offset,
            transaction.timestamp,
            transaction.format_event,
            begin,
            self._size_bytes,
            digest.hexdigest(),
            self,
        )
        self.transactions.append(spooled)
        return spooled

    def finish(self) -> str:
        """All is on disk: the file's SHA-256."""
        self._flush()
        os.fsync(self._descriptor)
        return self._digest.hexdigest()

    def _write(self, data: bytes) -> None:
        self._pending += data
        self._digest.update(data)
        self._size_bytes += len(data)
        if len(self._pending) >= _CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        write_all(self._descriptor, self._pending)

    # ---- reading

    def with_offsets(self, transaction: SpooledTransaction) -> Iterator[tuple[int, RawEvent]]:
        """Its events, each with the place where it begins in the file."""
        checksum = transaction.has_checksum
        for at, raw in self._raw(transaction.begin, transaction.end):
            yield at, events.parse(raw, checksum=checksum)

    def event_at(self, at: int, *, checksum: bool) -> RawEvent:
        """The event that begins at this byte."""
        data = os.pread(self._descriptor, _EVENT_BYTES, at)
        size = int.from_bytes(data[_SIZE_AT : _SIZE_AT + 4], "little")
        if size > len(data):
            data = os.pread(self._descriptor, size, at)
        return events.parse(data[:size], checksum=checksum)

    def _raw(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        data, base, at = b"", begin, begin
        while at < end:
            if len(data) < at - base + events.HEADER_BYTES:
                data, base = os.pread(self._descriptor, _CHUNK_BYTES, at), at
            sizes = at - base + _SIZE_AT
            size = int.from_bytes(data[sizes : sizes + 4], "little")
            if len(data) < at - base + size:
                data, base = os.pread(self._descriptor, max(size, _CHUNK_BYTES), at), at
            raw = data[at - base : at - base + size]
            if len(raw) != size or size < events.HEADER_BYTES:
                raise MyhaError(f"{self.path} is cut short at byte {at}")
            yield at, raw
            at += size

    def _find_transactions(self) -> None:
        format_event: RawEvent | None = None
        first: RawEvent | None = None
        begin, digest = 0, hashlib.sha256()
        for at, raw in self._raw(len(events.MAGIC), self._size_bytes):
            kind = raw[4]
            if kind == EventType.FORMAT_DESCRIPTION or kind in events.GTIDS:
                self._found(first, format_event, begin, at, digest.hexdigest())
                first, digest = None, hashlib.sha256()
            if kind == EventType.FORMAT_DESCRIPTION:
                format_event = events.parse(raw, checksum=True)
            elif format_event is None:
                raise MyhaError(f"{self.path} does not begin with a format description")
            elif kind in events.GTIDS:
                begin = at
                first = events.parse(raw, checksum=events.format_has_checksum(format_event.raw))
            digest.update(raw)
        self._found(first, format_event, begin, self._size_bytes, digest.hexdigest())

    def _found(
        self, first: RawEvent | None, described: RawEvent | None, begin: int, end: int, digest: str
    ) -> None:
        if first is None or described is None:
            return
        gtid = events.gtid(first)
        self.transactions.append(
            SpooledTransaction(gtid, "", 0, first.timestamp, described, begin, end, digest, self)
        )


class ChangePlaces:
    """Where the row events of a spool are, so that they can be taken last one first.

    Kept in a file without a name below `directory`. Writing raises OSError.
    """

    def __init__(self, spool: Spool, directory: Path) -> None:
        self._spool = spool
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115
        self._count = 0
        self._transactions: list[tuple[int, SpooledTransaction]] = []

    def close(self) -> None:
        self._file.close()

    def changes(self, transaction: SpooledTransaction) -> Iterator[RowChanges]:
        """Its row events, oldest first, each noted. Call it once for each, in their order."""
        self._transactions.append((self._count, transaction))
        reading = _Reading(transaction)
        for rows in changes(reading):
            table_at = reading.tables_at[row_events.rows_table_id(rows.event)]
            self._file.write(_PLACE.pack(table_at, reading.at))
            self._count += 1
            yield rows

    def backwards(self) -> Iterator[RowChanges]:
        """All that was noted, the last one first."""
        upper = self._count
        for first, transaction in reversed(self._transactions):
            for table_at, rows_at in self._places_backwards(first, upper):
                yield self._rows(transaction, table_at, rows_at)
            upper = first

    def _rows(self, transaction: SpooledTransaction, table_at: int, rows_at: int) -> RowChanges:
        checksum = transaction.has_checksum
        table = row_events.table_map(self._spool.event_at(table_at, checksum=checksum))
        rows = self._spool.event_at(rows_at, checksum=checksum)
        return row_events.row_changes(rows, table)

    def _places_backwards(self, first: int, upper: int) -> Iterator[tuple[int, int]]:
        self._file.flush()
        while upper > first:
            lower = max(first, upper - _PLACES_AT_ONCE)
            wanted = (upper - lower) * _PLACE.size
            data = os.pread(self._file.fileno(), wanted, lower * _PLACE.size)
            if len(data) != wanted:
                raise MyhaError("the list of changes is not what was written to disk")
            yield from reversed(list(_PLACE.iter_unpack(data)))
            upper = lower


class _Reading:
    """A transaction whose events are read one by one, with the places of what was read last."""

    def __init__(self, transaction: SpooledTransaction) -> None:
        self._transaction = transaction
        self.at = 0
        self.tables_at: dict[int, int] = {}

    @property
    def gtid(self) -> Gtid:
        return self._transaction.gtid

    @property
    def events(self) -> Iterator[RawEvent]:
        for at, event in self._transaction.spool.with_offsets(self._transaction):
            self.at = at
            if event.type == EventType.TABLE_MAP:
                self.tables_at[row_events.rows_table_id(event)] = at
            yield event
