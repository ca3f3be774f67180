"""One node's binary log as it comes over the wire: packets to events, events to the detector.

This is the hot path. Events of other origins are stepped over by their length; of the node's own
transactions only table maps and row events are looked into, and those by compiled functions.
Nothing here waits or asks; whoever has the connection feeds the bytes in.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Protocol

from myha.binlog import events, row_events
from myha.binlog.errors import DecodeError, RewindRefusedError
from myha.binlog.events import EventType, RawEvent
from myha.binlog.row_events import TableMap
from myha.binlog.stream import refused
from myha.conflicts.extract import Table
from myha.core.conflicts import Detector, Id, Transaction
from myha.database.flavours.base import Identity, Position
from myha.errors import ServerError
from myha.words import one_line

# Length of the packet (3 bytes) and its number, whether it is an event, and which kind.
_PACKET = struct.Struct("<IB4xB")
_LEAST_BYTES = _PACKET.size
_WHOLE_PACKET = 0xFFFFFF
_HEADER_BYTES = events.HEADER_BYTES
_SKIPPED = frozenset(
    {16, 19, 23, 24, 25, 29, 30, 31, 32, 38, 39, 40, 160, *range(166, 172)}
)  # what lies within a transaction, as numbers: looked at for every event
_SKIPPED_IN_OWN = frozenset({16, 29, 160})
_ROWS = frozenset(map(int, events.ROWS))
_TABLE_MAP = int(EventType.TABLE_MAP)
_GTIDS = frozenset(map(int, events.GTIDS))
_NOT_READ = {39: "partial_image", 40: "compressed", **dict.fromkeys(range(166, 172), "compressed")}
_QUERY, _COMPRESSED_QUERY = int(EventType.QUERY), 165
_DATA_WORDS = frozenset(
    {b"INSERT", b"UPDATE", b"DELETE", b"REPLACE", b"LOAD", b"WITH", b"CALL", b"DO", b"SELECT"}
)
_FRAME_WORDS = frozenset({b"BEGIN", b"COMMIT", b"ROLLBACK", b"SAVEPOINT", b"RELEASE"})
_BEGIN = b"\0BEGIN"  # as a whole statement: a zero ends the schema's name before it
_BEGIN_BYTES = len(_BEGIN)
_NAMED_BYTES = 200
_MAPS_KEPT = 10_000


class Surroundings(Protocol):
    """What a reader needs from whoever drives it."""

    def table(self, side: int, table_map: TableMap) -> Table | None:
        """The functions for a table; None when its rows are to be left out."""

    def out_of_reach(self, reason: str, table: str, changes: int) -> None:
        """Changes that cannot be compared, and why."""

    def schema_changed(self) -> None:
        """A statement went by that may change tables: what is known of them is to be forgotten."""


class Reader:
    """The state of one stream. Counts are since the start."""

    def __init__(
        self, side: int, detector: Detector, surroundings: Surroundings, position: Position
    ) -> None:
        self.side = side
        self.position = position
        self.rows = 0  # changes of the node's own transactions
        self.transactions = 0  # the node's own
        self.copies = 0
        self.foreign = 0  # of neither node
        self.bytes = 0
        self.file = ""
        self.log_pos = 0
        self.timestamp = 0  # of the last event, seconds since the epoch by the server's clock
        self._detector = detector
        self._surroundings = surroundings
        self._own = self._peer = Identity(0, "", 0)
        self._own_sid = self._peer_sid = b""
        self._rest = b""
        self._large: list[bytes] = []
        self._checksum_bytes = 0
        self._transaction: Transaction | None = None
        self._skipped = _SKIPPED
        self._maps: dict[bytes, Table | None] = {}
        self._tables: dict[bytes, Table | None] = {}
        self._gtid: dict[int, Callable[[bytes, int, int], None]] = {
            int(EventType.GTID): self._mysql_gtid,
            int(EventType.GTID_TAGGED): self._tagged_gtid,
            int(EventType.MARIADB_GTID): self._mariadb_gtid,
        }

    def identify(self, own: Identity, peer: Identity | None) -> None:
        """Whose transactions are the node's own, and whose its peer's."""
        self._own = own
        self._own_sid = bytes.fromhex(own.uuid.replace("-", ""))
        self._peer = peer or Identity(0, "", 0)
        self._peer_sid = bytes.fromhex(self._peer.uuid.replace("-", ""))

    def restart(self, position: Position | None = None) -> None:
        """A new connection begins: what was half read is thrown away, and comes again."""
        if position is not None:
            self.position = position
        self._rest, self._large, self._transaction = b"", [], None
        self._skipped = _SKIPPED
        self._tables.clear()

    def forget_tables(self) -> None:
        """Ask anew at the next table map; rows whose map went by already are as it says."""
        self._maps.clear()

    def feed(self, chunk: bytes) -> None:
        """Take in bytes of the stream. Raises ServerError when the server ended it."""
        self.bytes += len(chunk)
        data = self._rest + chunk if self._rest else chunk
        end = len(data)
        at = last = 0
        header, skipped = _PACKET.unpack_from, self._skipped
        frame = _BEGIN_BYTES + self._checksum_bytes
        while end - at >= _LEAST_BYTES:
            length, status, kind = header(data, at)
            length &= _WHOLE_PACKET
            stop = at + 4 + length
            if stop > end:
                break
            if length == _WHOLE_PACKET or self._large:
                self._assemble(data[at + 4 : stop], length)
                at, skipped = stop, self._skipped
                continue
            if status:
                raise _ended(data[at + 4 : stop])
            last = at + 5
            if kind not in skipped and not (
                kind == _QUERY and data.startswith(_BEGIN, stop - frame)
            ):
                self._event(kind, data, last, stop)
                skipped, frame = self._skipped, _BEGIN_BYTES + self._checksum_bytes
            at = stop
        self._rest = data[at:]
        if last:
            self._remember_position(data, last)

    def _remember_position(self, data: bytes, start: int) -> None:
        timestamp, _, _, _, log_pos, _ = events.HEADER.unpack_from(data, start)
        if log_pos:
            self.log_pos = log_pos
        if timestamp:
            self.timestamp = timestamp

    def _assemble(self, part: bytes, length: int) -> None:
        """An event of 16 MiB or more comes in several packets."""
        self._large.append(part)
        if length == _WHOLE_PACKET:
            return
        data, self._large = b"".join(self._large), []
        if data[0]:
            raise _ended(data)
        kind = data[5]
        if kind not in self._skipped:
            self._event(kind, data, 1, len(data))
        self._remember_position(data, 1)

    def _event(self, kind: int, data: bytes, start: int, stop: int) -> None:
        if kind in _ROWS:
            self._row_event(kind, data[start + _HEADER_BYTES : stop - self._checksum_bytes])
        elif kind == _TABLE_MAP:
            self._table_map(data[start + _HEADER_BYTES : stop - self._checksum_bytes])
        elif kind in _GTIDS:
            self._gtid[kind](data, start, stop)
        elif kind == _QUERY:
            self._query(data, start, stop)
        else:
            self._rare_event(kind, data, start, stop)

    def _rare_event(self, kind: int, data: bytes, start: int, stop: int) -> None:
        if kind == EventType.ROTATE:
            raw = data[start:stop]
            self.file, self.log_pos = events.rotate_target(RawEvent(kind, 0, 0, 0, 0, b"", raw))
        elif kind == EventType.FORMAT_DESCRIPTION:
            self._checksum_bytes = 4 if events.format_has_checksum(data[start:stop]) else 0
            self._tables.clear()
        elif kind == _COMPRESSED_QUERY:
            self._surroundings.schema_changed()
            if self._transaction is not None:
                self._surroundings.out_of_reach("compressed", "", 1)
        elif kind in _NOT_READ and self._transaction is not None:
            self._not_read(kind, data[start + _HEADER_BYTES : stop])

    # ---- transactions

    def _mysql_gtid(self, data: bytes, start: int, stop: int) -> None:
        at = start + 20
        sid = data[at : at + 16]
        number = int.from_bytes(data[at + 16 : at + 24], "little")
        self.position.begin(sid, number, 0)
        if sid == self._own_sid:
            self._own_begins(number, data[start:stop])
        else:
            self._other_begins(number, sid == self._peer_sid)

    def _tagged_gtid(self, data: bytes, start: int, stop: int) -> None:
        raw = data[start:stop]
        timestamp, kind, server_id, _, log_pos, flags = events.HEADER.unpack_from(raw)
        body = raw[_HEADER_BYTES : len(raw) - self._checksum_bytes]
        gtid = events.gtid(RawEvent(kind, timestamp, server_id, log_pos, flags, body, raw))
        uuid, _, tag = str(gtid.origin).partition(":")
        number: Id = (tag, gtid.number) if tag else gtid.number
        sid = bytes.fromhex(uuid.replace("-", ""))
        self.position.begin(gtid.origin if tag else sid, gtid.number, 0)
        if sid == self._own_sid:
            self._own_begins(number, raw)
        else:
            self._other_begins(number, sid == self._peer_sid)

    def _mariadb_gtid(self, data: bytes, start: int, stop: int) -> None:
        server_id = int.from_bytes(data[start + 5 : start + 9], "little")
        at = start + _HEADER_BYTES
        plain = int.from_bytes(data[at : at + 8], "little")
        domain = int.from_bytes(data[at + 8 : at + 12], "little")
        self.position.begin(domain, plain, server_id)
        own, peer = server_id == self._own.server_id, server_id == self._peer.server_id
        home = self._own.domain if own else self._peer.domain
        number: Id = plain if domain == home else (domain, plain)
        if own:
            self._own_begins(number, data[start:stop])
        else:
            self._other_begins(number, peer)

    def _own_begins(self, number: Id, head: bytes) -> None:
        self.transactions += 1
        transaction = self._transaction = self._detector.own(self.side, number)
        transaction.head = head
        self._skipped = _SKIPPED_IN_OWN

    def _other_begins(self, number: Id, is_copy: bool) -> None:
        self._transaction = None
        self._skipped = _SKIPPED
        if is_copy:
            self.copies += 1
            self._detector.copied(self.side, number)
        else:
            self.foreign += 1

    # ---- rows

    def _table_map(self, body: bytes) -> None:
        if body not in self._maps:
            self._learn(body)
        self._tables[body[:6]] = self._maps[body]

    def _learn(self, body: bytes) -> None:
        if len(self._maps) >= _MAPS_KEPT:
            self._maps.clear()
        event = RawEvent(_TABLE_MAP, 0, 0, 0, 0, body, b"")
        try:
            found = self._surroundings.table(self.side, row_events.table_map(event))
        except (RewindRefusedError, DecodeError):
            found = None
            self._surroundings.out_of_reach("unknown_type", _name_of(body), 1)
        self._maps[body] = found

    def _row_event(self, kind: int, body: bytes) -> None:
        transaction = self._transaction
        if transaction is None:
            return
        try:
            table = self._tables[body[:6]]
        except KeyError:
            self._surroundings.out_of_reach("unreadable", "", 1)
            return
        if table is None:
            return
        at = table.first_row(kind, body)
        if not at:
            self._surroundings.out_of_reach("partial_image", table.name, 1)
            return
        transaction.events.append((table, kind, body))
        try:
            rows = table.rows[kind](body, at, len(body), transaction)
        except IndexError:
            self._surroundings.out_of_reach("unreadable", table.name, 1)
            return
        self.rows += rows
        self._detector.hold(transaction, len(body), rows * len(table.slots))
        for reason in table.reasons[kind]:
            self._surroundings.out_of_reach(reason, table.name, rows)

    def _not_read(self, kind: int, body: bytes) -> None:
        table = self._tables.get(body[:6]) if kind != 40 else None
        self._surroundings.out_of_reach(_NOT_READ[kind], table.name if table else "", 1)

    # ---- statements

    def _query(self, data: bytes, start: int, stop: int) -> None:
        raw = data[start:stop]
        body = raw[_HEADER_BYTES : len(raw) - self._checksum_bytes]
        event = RawEvent(int(EventType.QUERY), 0, 0, 0, 0, body, raw)
        text = events.query_text(event).lstrip()
        words = text[:_NAMED_BYTES].upper().split(None, 2)
        word = words[0].rstrip(b";(") if words else b""
        if word in _FRAME_WORDS:
            return
        schema = body[13 + int.from_bytes(body[11:13], "little") :][: body[8]].decode(
            "utf-8", "replace"
        )
        if word == b"XA":
            reason = "" if words[1:2] in ([b"COMMIT"], [b"ROLLBACK"], [b"END"]) else "xa"
        else:
            reason = "statement" if word in _DATA_WORDS else "ddl"
        if reason == "ddl":
            self._surroundings.schema_changed()
        if reason and self._transaction is not None and schema != "myha":
            self._surroundings.out_of_reach(reason, f"{schema}.*" if schema else "", 1)


def _name_of(body: bytes) -> str:
    """`schema.table` of a table map that could not be read whole."""
    schema = body[9 : 9 + body[8]]
    at = 10 + len(schema)
    table = body[at + 1 : at + 1 + body[at]]
    return f"{schema.decode('utf-8', 'replace')}.{table.decode('utf-8', 'replace')}"


def _ended(packet: bytes) -> ServerError:
    """The error for a packet that is no event."""
    if packet[0] == 0xFF:
        code = int.from_bytes(packet[1:3], "little")
        text = packet[3:].decode("utf-8", "replace")
        text = text[6:] if text.startswith("#") else text
        text = one_line(text)
        return refused(text, code, text)
    return ServerError("the server ended its binary log stream")
