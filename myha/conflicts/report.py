"""What is said of what was found: conflicts with both images, ids of the wrong class, blind spots.

A match by a folded text key is put to a server first. Details are limited in number, counts are
not: what is left out of the details is told with its count.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Hashable

from myha.binlog import events
from myha.binlog.errors import DecodeError, RewindRefusedError
from myha.binlog.events import EventType, RawEvent
from myha.binlog.literals import show
from myha.binlog.values import RowDecoder
from myha.conflicts.extract import Change, Table
from myha.conflicts.keys import TableKey
from myha.core.conflicts import Clash, Transaction
from myha.core.events import Kind
from myha.core.values import value
from myha.progress import Reporter

DETAILS_A_SECOND = 50
AUDIT_EVERY_SECONDS = 60.0
FIRSTS_COMPARED = 100  # of a chain of transactions that hold one folded key
PAIRS_COMPARED = 100  # of rows of two transactions that share one folded key
_TIMESTAMP_AT = 19 + 1 + 16 + 8 + 1 + 8 + 8  # of the commit, in a MySQL GTID event
# A table, one of its keys, the whole change that a transaction made to a row, and the key's bytes.
_RowOf = tuple[Table, TableKey, Change, tuple[bytes, ...]]
_Touched = dict[tuple[int, Hashable], dict[tuple[bytes, ...], _RowOf]]

# Asks a server whether all pairs of texts are equal for it; None when it cannot be asked.
Confirm = Callable[[TableKey, tuple[bytes, ...], tuple[bytes, ...]], bool | None]

REASONS = {
    "no_key": "has neither a primary key nor a unique key without NULLs: its rows cannot be "
    "identified",
    "partial_image": "is logged with partial row images: set binlog_row_image = FULL",
    "functional_key": "has a unique key on an expression, whose value is in no row image",
    "cascade": "has foreign keys that change other tables' rows, and those changes are not logged",
    "table_not_found": "is not there any more, or hidden from the supervisor's account",
    "table_changed": "was altered since these rows were written",
    "unknown_type": "has a column of a type whose length is not known",
    "unreadable": "had rows that could not be read",
    "compressed": "was written with compressed events: turn the compression of binary logs off",
    "statement": "was changed by a statement, not by row events: set binlog_format = ROW",
    "ddl": "was changed by DDL, which has no rows",
    "xa": "was changed by an XA transaction, whose order is that of its PREPARE",
}


@value(frozen=True, slots=True)
class ConflictingChange:
    """One transaction of a conflict, for people."""

    node: str
    gtid: str
    change: str  # insert, update, delete
    before: dict[str, str]
    after: dict[str, str]


@value(frozen=True, slots=True)
class Conflict:
    """Two concurrent changes of one row or key. `more`: further transactions on its first side."""

    table: str
    key: str
    values: dict[str, str]
    first: ConflictingChange
    second: ConflictingChange
    more: int
    delay_ms: float | None  # from the later one's commit, where the log has fractions of seconds
    certain: bool  # False: texts of different bytes that no server could be asked about

    @property
    def text(self) -> str:
        values = ", ".join(f"{name}={value}" for name, value in self.values.items())
        more = f" and {self.more} more there" if self.more else ""
        doubt = "" if self.certain else " (the collation may tell the key's texts apart)"
        return (
            f"{self.table} {self.key} ({values}): {self.first.change} on {self.first.node}"
            f" ({self.first.gtid}){more} and {self.second.change} on {self.second.node}"
            f" ({self.second.gtid}) crossed{doubt}"
        )

    def fields(self) -> dict[str, str]:
        found = {"table": self.table, "key": self.key, "values": json.dumps(self.values)}
        for name, side in (("first", self.first), ("second", self.second)):
            found |= {
                f"{name}_node": side.node,
                f"{name}_gtid": side.gtid,
                f"{name}_change": side.change,
                f"{name}_before": json.dumps(side.before),
                f"{name}_after": json.dumps(side.after),
            }
        if self.delay_ms is not None:
            found["delay_ms"] = f"{self.delay_ms:.1f}"
        return found


class Findings:
    """Counts everything and tells what should be told. `names` are the two nodes'."""

    def __init__(self, reporter: Reporter, names: tuple[str, str], confirm: Confirm) -> None:
        self.conflicts = 0
        self.false_matches = 0  # texts that were folded alike and that the collation tells apart
        self.wrong_ids = 0
        self.out_of_reach: Counter[tuple[str, str]] = Counter()
        self.by_table: Counter[str] = Counter()
        self._reporter = reporter
        self._names = names
        self._confirm = confirm
        self._second = 0
        self._details = 0
        self._untold: Counter[str] = Counter()
        self._audited: dict[tuple[int, str], float] = {}
        self._audit_untold: Counter[tuple[int, str]] = Counter()
        self._next_told: dict[tuple[str, str], int] = {}

    # ---- conflicts

    def clashes(self, found: list[Clash]) -> None:
        """Judge and tell the detector's finds of one piece of a stream."""
        rows: dict[int, _Touched] = {}
        for clash in found:
            self._clash(clash, rows)
        self.report_rest()

    def _clash(self, clash: Clash, rows: dict[int, _Touched]) -> None:
        where = (id(clash.slot), clash.key)
        mine = _rows_of(clash.second, rows).get(where, {})
        pairs: list[tuple[Transaction, _RowOf, _RowOf, bool | None]] = []
        for one in clash.firsts[-FIRSTS_COMPARED:]:
            theirs = _rows_of(one, rows).get(where, {})
            judged = [(a, b, self._equal(a, b)) for a in theirs.values() for b in mine.values()]
            pairs += [
                (one, a, b, equal) for a, b, equal in judged[:PAIRS_COMPARED] if equal is not False
            ]
        if not pairs:
            self.false_matches += 1
            return
        self.conflicts += 1
        self.by_table[clash.slot.table] += 1
        if not self._is_within_limit(clash.slot.table):
            return
        first, theirs_row, my_row, _ = pairs[-1]
        collated = any(part.collated for part in my_row[1].parts)
        count = len({id(pair[0]) for pair in pairs}) if collated else len(clash.firsts)
        conflict = Conflict(
            table=clash.slot.table,
            key=clash.slot.key,
            values=_key_values(my_row),
            first=self._change_of(first, theirs_row),
            second=self._change_of(clash.second, my_row),
            more=count - 1,
            delay_ms=_delay_ms(first, clash.second),
            certain=any(equal for *_, equal in pairs),
        )
        self._reporter.event(Kind.CONFLICT, conflict.text, **conflict.fields())

    def _equal(self, row: _RowOf, other: _RowOf) -> bool | None:
        return True if row[3] == other[3] else self._confirm(other[1], row[3], other[3])

    def _change_of(self, transaction: Transaction, row: _RowOf) -> ConflictingChange:
        table, _, (before, after), _ = row
        change = "insert" if before is None else "delete" if after is None else "update"
        return ConflictingChange(
            self._names[transaction.side],
            gtid_of(transaction),
            change,
            _shown(table, before),
            _shown(table, after),
        )

    def _is_within_limit(self, table: str) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self.report_rest()
            self._second, self._details = second, 0
        self._details += 1
        if self._details <= DETAILS_A_SECOND:
            return True
        self._untold[table] += 1
        return False

    def report_rest(self, *, now: bool = False) -> None:
        """Say how many were not told in detail, once the second that they were in is over."""
        if not self._untold or (not now and int(time.monotonic()) == self._second):
            return
        untold, self._untold = self._untold, Counter()
        for table, count in untold.items():
            self._reporter.event(
                Kind.CONFLICT, f"{table}: {count} more conflicts", table=table, count=str(count)
            )

    # ---- generated ids

    def wrong_id(self, transaction: Transaction, table: Table, raw: bytes) -> None:
        """An id that a node generated, or was given, outside its residue class."""
        self.wrong_ids += 1
        where = (transaction.side, table.name)
        now = time.monotonic()
        if now - self._audited.get(where, -AUDIT_EVERY_SECONDS) < AUDIT_EVERY_SECONDS:
            self._audit_untold[where] += 1
            return
        self._audited[where] = now
        before = self._audit_untold.pop(where, 0)
        facts = table.facts
        column = (
            facts.columns[facts.auto_increment]
            if facts and facts.auto_increment is not None
            else None
        )
        number = int.from_bytes(raw, "little", signed=column is None or not column.unsigned)
        node = self._names[transaction.side]
        since = f"; {before} more since the last of these lines" if before else ""
        self._reporter.event(
            Kind.WRONG_ID,
            f"{table.name} got the id {number} on {node}, which is not of {node}'s class"
            f" ({gtid_of(transaction)}){since}",
            table=table.name,
            node=node,
            row_id=str(number),
            gtid=gtid_of(transaction),
            more=str(before),
        )

    # ---- what cannot be seen

    def beyond(self, reason: str, table: str, changes: int) -> None:
        """Count what cannot be compared; told at first, and when it is ten times as much."""
        where = (reason, table)
        self.out_of_reach[where] += changes
        count = self.out_of_reach[where]
        if count < self._next_told.get(where, 1):
            return
        self._next_told[where] = 10 ** len(str(count))
        name = table or "a table"
        self._reporter.event(
            Kind.OUT_OF_REACH,
            f"{name} {REASONS[reason]}: {count} changes were not compared, or only in part",
            table=table,
            reason=reason,
            count=str(count),
        )


def _rows_of(transaction: Transaction, known: dict[int, _Touched]) -> _Touched:
    """What a transaction touches, by slot and folded key; read once for a batch of finds."""
    found = known.get(id(transaction))
    if found is not None:
        return found
    found = known[id(transaction)] = {}
    for table, kind, body in transaction.events:
        keys = {id(slot): key for slot, key in table.slots}
        try:
            for change in table.changes(kind, body):
                for slot, value in table.keys_of(change):
                    key = keys[id(slot)]
                    raw = _raw_key(table, key, change, value)
                    same = found.setdefault((id(slot), value), {})
                    earlier = same.get(raw)
                    whole = change if earlier is None else (earlier[2][0], change[1])
                    same[raw] = (table, key, whole, raw)
        except RewindRefusedError:
            continue
    return found


def _raw_key(table: Table, key: TableKey, change: Change, value: Hashable) -> tuple[bytes, ...]:
    """The key's parts as they are in the image that has this folded key."""
    for image in reversed(change):
        known = None if image is None else table.key_of(key, image)
        if known is not None and known[0] == value:
            return known[1]
    return ()


def _shown(table: Table, image: bytes | None) -> dict[str, str]:
    if image is None:
        return {}
    if table.facts is not None:
        columns = table.facts.columns
        try:
            values = RowDecoder(table.map, columns)(image)
            return {
                column.name: show(value, column)
                for column, value in zip(columns, values, strict=True)
            }
        except (DecodeError, RewindRefusedError, ValueError):
            pass
    return {
        name: "NULL" if raw is None else f"0x{raw.hex()}"
        for name, raw in zip(
            table.map.columns or (f"@{n}" for n in range(1, len(table.map.sizes) + 1)),
            table.values(image),
            strict=True,
        )
    }


def _key_values(row: _RowOf) -> dict[str, str]:
    table, key, (before, after), raw = row
    for image in (after, before):
        known = None if image is None else table.key_of(key, image)
        if known is not None and known[1] == raw:
            shown = _shown(table, image)
            return {part.fact.name: shown.get(part.fact.name, "?") for part in key.parts}
    return {part.fact.name: f"0x{one.hex()}" for part, one in zip(key.parts, raw, strict=False)}


def gtid_of(transaction: Transaction) -> str:
    """The transaction's name as its flavour writes it."""
    raw = transaction.head
    timestamp, kind, server_id, _, log_pos, flags = events.HEADER.unpack_from(raw)
    body = raw[events.HEADER_BYTES :]
    return str(events.gtid(RawEvent(kind, timestamp, server_id, log_pos, flags, body, raw)))


def _delay_ms(*transactions: Transaction) -> float | None:
    """Since the later commit, by the machines' clocks; None where only seconds are known."""
    times = []
    for one in transactions:
        if one.head[4] != EventType.GTID or len(one.head) < _TIMESTAMP_AT + 7:
            return None
        bits = int.from_bytes(one.head[_TIMESTAMP_AT : _TIMESTAMP_AT + 7], "little")
        times.append(bits & ((1 << 55) - 1))
    return max(0.0, time.time() * 1000 - max(times) / 1000)
