"""Putting a stream of events together into transactions, with the place where each one begins.

`streamed` gives each one while it is being read, whatever its size.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Protocol

from myha.binlog import events
from myha.binlog.errors import RewindRefusedError, TornTransactionError
from myha.binlog.events import GTIDS, EventType, RawEvent
from myha.core.values import value
from myha.database.flavours.base import Gtid

_BETWEEN = frozenset(
    {
        EventType.STOP,
        EventType.ROTATE,
        EventType.FORMAT_DESCRIPTION,
        EventType.HEARTBEAT,
        EventType.HEARTBEAT_V2,
        EventType.PREVIOUS_GTIDS,
        EventType.MARIADB_BINLOG_CHECKPOINT,
        EventType.MARIADB_GTID_LIST,
        EventType.MARIADB_START_ENCRYPTION,
    }
)
_ENDS = frozenset({EventType.XID, EventType.XA_PREPARE, EventType.TRANSACTION_PAYLOAD})
_END = re.compile(rb"\s*(COMMIT|ROLLBACK(?!\s+(WORK\s+)?TO\b)|XA\s+(COMMIT|ROLLBACK))\b", re.I)
_INTVAR, _RAND, _USER_VAR = 5, 13, 14
_BEFORE_A_STATEMENT = frozenset(
    {_INTVAR, _RAND, _USER_VAR, EventType.ROWS_QUERY, EventType.MARIADB_ANNOTATE_ROWS}
)


class Logged(Protocol):
    """One transaction of a binary log, its GTID event first among `events`."""

    @property
    def gtid(self) -> Gtid: ...

    @property
    def events(self) -> Iterable[RawEvent]: ...


@value(frozen=True, slots=True)
class StreamedTransaction:
    """One transaction while it is being read: `events` can be taken once, one after the other."""

    gtid: Gtid
    file: str
    offset: int  # bytes from the start of `file` to the GTID event
    format_event: RawEvent
    timestamp: int  # seconds since the epoch
    events: Iterator[RawEvent]


def streamed(stream: Iterable[RawEvent]) -> Iterator[StreamedTransaction]:
    """Each transaction of a dump; what of one is not taken is passed over when the next is asked.

    Raises RewindRefusedError for events that belong to no transaction with a GTID. Taking the
    events of one that the file cuts off raises TornTransactionError at their end.
    """
    return _Grouping(stream).transactions()


class _Grouping:
    """Cuts a stream of events at the GTID events and at what stands between transactions."""

    def __init__(self, stream: Iterable[RawEvent]) -> None:
        self._stream = iter(stream)
        self._file = ""
        self._format: RawEvent | None = None
        self._following: RawEvent | None = None  # the GTID event that ended the one before

    def transactions(self) -> Iterator[StreamedTransaction]:
        while (first := self._next_gtid()) is not None:
            if self._format is None:
                raise RewindRefusedError(f"{self._file} has no format description")
            rest = self._events(first)
            offset = first.log_pos - len(first.raw)
            yield StreamedTransaction(
                events.gtid(first), self._file, offset, self._format, first.timestamp, rest
            )
            with suppress(TornTransactionError):
                for _ in rest:
                    pass

    def _events(self, first: RawEvent) -> Iterator[RawEvent]:
        second = last = None
        file = self._file
        yield first
        for event in self._stream:
            if event.type in GTIDS:
                self._following = event
                break
            if event.type in _BETWEEN:
                self._between(event)
                break
            yield event
            second, last = second or event, event
        if not _is_whole(first, second, last):
            raise TornTransactionError(
                f"{events.gtid(first)} is torn: the binary log {file} ends in its middle"
            )

    def _next_gtid(self) -> RawEvent | None:
        if self._following is not None:
            first, self._following = self._following, None
            return first
        for event in self._stream:
            if event.type in GTIDS:
                return event
            if event.type not in _BETWEEN:
                raise RewindRefusedError(
                    f"{self._file} has an event of type {event.type} outside any transaction with"
                    " a GTID"
                )
            self._between(event)
        return None

    def _between(self, event: RawEvent) -> None:
        if event.type == EventType.ROTATE:
            self._file = events.rotate_target(event)[0]
        elif event.type == EventType.FORMAT_DESCRIPTION:
            self._format = event


def _is_whole(first: RawEvent, second: RawEvent | None, last: RawEvent | None) -> bool:
    """Whether a transaction that begins with these events is at its end with `last`."""
    if second is None or last is None:
        return False
    if last.type in _ENDS:
        return True
    if events.opens_group(first, second):
        if last.type == EventType.QUERY:
            return _END.match(events.query_text(last)) is not None
        return last.type == EventType.MARIADB_QUERY_COMPRESSED
    return last.type not in _BEFORE_A_STATEMENT
