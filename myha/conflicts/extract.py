"""From row events to keys, fast: for each table map a function is written and compiled.

A row image has no index: where a column begins depends on the lengths and NULLs before it. Walking
it by a table of columns costs more than everything else that the reader does, so the walk of each
table is spelled out as Python, with constant offsets where the table allows. `keys_of` does the
same slowly, from `row_events.TableMap`; tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeAlias

from myha.binlog import row_events
from myha.binlog.events import DELETES, UPDATES, WRITES, RawEvent
from myha.binlog.row_events import TableMap, packed_integer
from myha.conflicts.keys import Facts, TableKey
from myha.core.conflicts import Detector, Slot, Transaction
from myha.core.values import value

# (a row event's body, where the first row begins, where the last one ends, its transaction) -> rows
Rows: TypeAlias = Callable[[bytes, int, int, Transaction], int]
# Called with the transaction, the table and the id's bytes for an id of the wrong residue class.
Audit: TypeAlias = Callable[[Transaction, "Table", bytes], None]
Change: TypeAlias = tuple[bytes | None, bytes | None]  # images before and after

_EXTRA_DATA = frozenset({30, 31, 32})
_CHANGING = frozenset(map(int, UPDATES | DELETES))
_KEPT_HEADS = 8


@value(frozen=True, slots=True)
class AuditRule:
    """Ids that a node generates leave this remainder modulo 2, in the lowest byte."""

    remainder: int
    report: Audit


class Table:
    """A table map with the functions that read its rows."""

    def __init__(
        self,
        table_map: TableMap,
        facts: Facts | None,
        *,
        detector: Detector,
        audit: AuditRule | None = None,
        missing: str = "table_not_found",
    ) -> None:
        """`missing`: why there are no facts, where there are none."""
        self.map = table_map
        self.facts = facts
        self.name = table_map.name
        keys = facts.keys if facts is not None else ()
        self.slots: tuple[tuple[Slot, TableKey], ...] = tuple(
            (detector.slot(self.name, key.name), key) for key in keys
        )
        self._complete: set[bytes] = set()
        self._head_bytes: dict[int, int] = {}
        writer = _Writer(self, detector, audit)
        write, update, delete = writer.functions()
        self.rows: dict[int, Rows] = {
            **dict.fromkeys(map(int, WRITES), write),
            **dict.fromkeys(map(int, UPDATES), update),
            **dict.fromkeys(map(int, DELETES), delete),
        }
        reasons = (missing,) if facts is None else why_out_of_reach(facts)
        changed = (*reasons, "cascade") if facts is not None and facts.cascades else reasons
        # Why rows are out of reach, in part or at all, by the kind of event that changes them.
        self.reasons = {kind: changed if kind in _CHANGING else reasons for kind in self.rows}
        columns, width = len(table_map.sizes), (len(table_map.sizes) + 7) // 8
        packed = 1 if columns < 251 else 3
        for kind in self.rows:
            images = 2 if kind in UPDATES else 1
            extra = 2 if kind in _EXTRA_DATA else 0
            self._head_bytes[kind] = 8 + extra + packed + images * width

    def first_row(self, kind: int, body: bytes) -> int:
        """Where the rows begin; 0 when the images do not have every column."""
        size = self._head_bytes[kind]
        head = body[8:size]
        if head in self._complete:
            return size
        at = 8 + (int.from_bytes(body[8:10], "little") if kind in _EXTRA_DATA else 0)
        plain = at == (10 if kind in _EXTRA_DATA else 8)
        columns, at = packed_integer(body, at)
        if columns != len(self.map.sizes):
            return 0
        width, every = (columns + 7) // 8, (1 << columns) - 1
        for _ in range(2 if kind in UPDATES else 1):
            if int.from_bytes(body[at : at + width], "little") & every != every:
                return 0
            at += width
        # Without extra data the head is the same for every event of the table and kind; two kinds
        # of the same head have rows that begin at the same place.
        if plain and len(self._complete) < _KEPT_HEADS:
            self._complete.add(head)
        return at

    # ---- the slow way, for reports and tests

    def changes(self, kind: int, body: bytes) -> tuple[Change, ...]:
        """The images of an event's rows. Raises RewindRefusedError when it cannot be read."""
        event = RawEvent(kind, 0, 0, 0, 0, body, b"")
        return row_events.row_changes(event, self.map).images

    def values(self, image: bytes) -> list[bytes | None]:
        """The bytes of each column's value, without a length."""
        at = (len(self.map.sizes) + 7) // 8
        nulls = int.from_bytes(image[:at], "little")
        found: list[bytes | None] = []
        for number, size in enumerate(self.map.sizes):
            if nulls >> number & 1:
                found.append(None)
                continue
            length = size
            if size < 0:
                length = int.from_bytes(image[at : at - size], "little")
                at -= size
            found.append(image[at : at + length])
            at += length
        return found

    def key_of(self, key: TableKey, image: bytes) -> tuple[Hashable, tuple[bytes, ...]] | None:
        """What the key is looked up by, and its parts' bytes as they are; None with a NULL."""
        values = self.values(image)
        raw = [values[part.column] for part in key.parts]
        found = [one for one in raw if one is not None]
        if len(found) != len(raw):
            return None
        folded = tuple(
            part.fold(one) if part.fold else one for part, one in zip(key.parts, found, strict=True)
        )
        return (folded if len(folded) > 1 else folded[0]), tuple(found)

    def keys_of(self, change: Change) -> Iterator[tuple[Slot, Hashable]]:
        """Each slot and key that a change of a row touches."""
        before, after = change
        for slot, key in self.slots:
            old = None if before is None else self.key_of(key, before)
            new = None if after is None else self.key_of(key, after)
            if old is not None and (key.is_row_key or new is None or old[0] != new[0]):
                yield slot, old[0]
            if new is not None and (old is None or old[0] != new[0]):
                yield slot, new[0]


def why_out_of_reach(facts: Facts) -> tuple[str, ...]:
    """For every change of such a table: what of it cannot be compared."""
    reasons = () if facts.has_row_key else ("no_key",)
    return (*reasons, "functional_key") if facts.out_of_reach else reasons


def fits(table_map: TableMap, facts: Facts) -> bool:
    """Whether the table is still as it was when the rows were written."""
    names = tuple(column.name for column in facts.columns)
    if table_map.columns:
        return table_map.columns == names
    return len(table_map.sizes) == len(names)


def nullable_columns(event: RawEvent) -> list[bool]:
    """From a table map: which columns may be NULL."""
    body = event.body
    at = 8
    for _ in range(2):
        at += body[at] + 2
    columns, at = packed_integer(body, at)
    length, at = packed_integer(body, at + columns)
    at += length
    bits = int.from_bytes(body[at : at + (columns + 7) // 8], "little")
    return [bool(bits >> number & 1) for number in range(columns)]


class _Writer:
    """Writes the Python of one table's three functions and compiles it."""

    def __init__(self, table: Table, detector: Detector, audit: AuditRule | None) -> None:
        self._table = table
        self._sizes = table.map.sizes
        self._nullable = nullable_columns(table.map.event)
        facts = table.facts
        self._id_column = facts.auto_increment if facts is not None and audit else None
        self._audit = audit
        needed = {part.column for _, key in table.slots for part in key.parts}
        self._needed = needed | ({self._id_column} if self._id_column is not None else set())
        self._names: dict[str, Any] = {"touch": detector.touch, "table": table}
        if audit is not None:
            self._names["audit"] = audit.report
        for number, (slot, key) in enumerate(table.slots):
            self._names[f"slot{number}"] = slot
            for place, part in enumerate(key.parts):
                self._names[f"fold{number}_{place}"] = part.fold

    def functions(self) -> tuple[Rows, Rows, Rows]:
        lines: list[str] = []
        for name, images in (("write", "a"), ("update", "ba"), ("delete", "b")):
            lines += self._function(name, images)
        # Written here from numbers alone: nothing of what a server sent is in this text.
        exec(compile("\n".join(lines), "<row reader>", "exec"), self._names)
        return self._names["write"], self._names["update"], self._names["delete"]

    def _function(self, name: str, images: str) -> list[str]:
        slots = range(len(self._table.slots))
        lines = [f"def {name}(data, p, end, transaction):", " rows = 0"]
        for number in slots:
            lines += [f" keys{number} = []", f" add{number} = keys{number}.append"]
        lines.append(" while p < end:")
        lines.append("  rows += 1")
        for image in images:
            lines += self._scan(image)
        if name == "write" and self._id_column is not None and self._audit is not None:
            value = f"a{self._id_column}"
            lines.append(f"  if {value}[0] & 1 != {self._audit.remainder}:")
            lines.append(f"   audit(transaction, table, {value})")
        for number in slots:
            lines += self._key(number, images)
        lines.append(" if p != end: raise IndexError")
        for number in slots:
            lines.append(f" if keys{number}: touch(transaction, slot{number}, keys{number})")
        return [*lines, " return rows"]

    def _scan(self, image: str) -> list[str]:
        """Walk one image from `p` to its end; needed columns become `a3` (after) or `b3`."""
        width = (len(self._sizes) + 7) // 8
        lines = []
        if any(self._nullable):
            source = "data[p]" if width == 1 else f"int.from_bytes(data[p:p+{width}], 'little')"
            lines.append(f"  nulls = {source}")
        ahead = width  # how far the next column lies behind `p`
        for column, size in enumerate(self._sizes):
            name = f"{image}{column}" if column in self._needed else ""
            if self._nullable[column]:
                if ahead:
                    lines.append(f"  p += {ahead}")
                    ahead = 0
                if name:
                    lines.append(f"  {name} = None")
                lines.append(f"  if not nulls & {1 << column}:")
                own, ahead = self._column(name, size, 0)
                lines += [f"   {line}" for line in own]
                if ahead:
                    lines.append(f"   p += {ahead}")
                    ahead = 0
                continue
            own, ahead = self._column(name, size, ahead)
            lines += [f"  {line}" for line in own]
        if ahead:
            lines.append(f"  p += {ahead}")
        return lines

    @staticmethod
    def _column(name: str, size: int, ahead: int) -> tuple[list[str], int]:
        """One column that lies `ahead` bytes behind `p`, and how far the next one does."""
        if size >= 0:
            lines = [f"{name} = data[p+{ahead}:p+{ahead + size}]"] if name else []
            return lines, ahead + size
        place, width = f"p+{ahead}", -size
        if width == 1:
            length = f"data[{place}]"
        elif width == 2:
            length = f"(data[{place}] | data[{place}+1] << 8)"
        else:
            length = f"int.from_bytes(data[{place}:{place}+{width}], 'little')"
        if not name:
            return [f"p += {ahead + width} + {length}"], 0
        return [
            f"q = {place}+{width}",
            f"p = q + {length}",
            f"{name} = data[q:p]",
        ], 0

    def _key(self, number: int, images: str) -> list[str]:
        key = self._table.slots[number][1]
        nullable = any(self._nullable[part.column] for part in key.parts)

        def add(value: str, indent: str = "  ") -> list[str]:
            if not nullable:
                return [f"{indent}add{number}({value})"]
            return [f"{indent}if {value} is not None: add{number}({value})"]

        if len(images) == 1:
            return [f"  key = {self._value(number, images)}", *add("key")]
        lines = [f"  key = {self._value(number, 'b')}", f"  new = {self._value(number, 'a')}"]
        if key.is_row_key:
            return [*lines, *add("key"), "  if new != key:", *add("new", "   ")]
        return [*lines, "  if new != key:", *add("key", "   "), *add("new", "   ")]

    def _value(self, number: int, image: str) -> str:
        key = self._table.slots[number][1]
        values = []
        for place, part in enumerate(key.parts):
            value = f"{image}{part.column}"
            values.append(f"fold{number}_{place}({value})" if part.fold else value)
        joined = values[0] if len(values) == 1 else f"({', '.join(values)})"
        missing = [
            f"{image}{part.column} is None" for part in key.parts if self._nullable[part.column]
        ]
        if not missing or (len(values) == 1 and not key.parts[0].fold):
            return joined
        return f"None if {' or '.join(missing)} else {joined}"
