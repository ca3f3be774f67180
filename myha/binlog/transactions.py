"""Putting a stream of events together into transactions, with the place where each one begins."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from myha.binlog import events
from myha.binlog.errors import RewindRefusedError
from myha.binlog.events import GTIDS, EventType, Gtid, RawEvent

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


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction as it stands in the binary log, its GTID event first."""

    gtid: Gtid
    file: str
    offset: int  # bytes from the start of `file` to the GTID event
    format_event: RawEvent
    events: tuple[RawEvent, ...]

    @property
    def timestamp(self) -> int:
        return self.events[0].timestamp

    @property
    def size_bytes(self) -> int:
        return sum(len(event.raw) for event in self.events)


def transactions(stream: Iterable[RawEvent], *, max_bytes: int) -> Iterator[Transaction]:
    """Group a dump's events; raises RewindRefusedError for one larger than `max_bytes`."""
    file = ""
    format_event: RawEvent | None = None
    begun: list[RawEvent] = []
    held_bytes = 0
    for event in stream:
        if event.type in _BETWEEN or event.type in GTIDS:
            if begun and format_event is not None:
                yield _transaction(begun, file, format_event)
            begun, held_bytes = [event] if event.type in GTIDS else [], 0
            if event.type == EventType.ROTATE:
                file = events.rotate_target(event)[0]
            elif event.type == EventType.FORMAT_DESCRIPTION:
                format_event = event
            continue
        held_bytes += len(event.raw)
        _check_held(event, begun, held_bytes, max_bytes, file)
        begun.append(event)
    if begun and format_event is not None:
        yield _transaction(begun, file, format_event)


def _check_held(
    event: RawEvent, begun: list[RawEvent], held_bytes: int, max_bytes: int, file: str
) -> None:
    if held_bytes > max_bytes:
        raise RewindRefusedError(
            f"a transaction in {file} is larger than the {max_bytes} bytes that are held"
        )
    if not begun:
        raise RewindRefusedError(
            f"{file} has an event of type {event.type} outside any transaction with a GTID"
        )


def _transaction(begun: list[RawEvent], file: str, format_event: RawEvent) -> Transaction:
    first = begun[0]
    offset = first.log_pos - len(first.raw)
    return Transaction(events.gtid(first), file, offset, format_event, tuple(begun))
