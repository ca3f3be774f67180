"""Errant rows of a drill: which ones there are, and what became of each. Pure but for the ledger.

A node that has been replaced, and is written to all the same, has rows that the pair does not have.
Each is written down before anybody heals anything. Afterwards every one of them must live on in the
pair (merged) or be in quarantine; one that is neither has been destroyed, and that fails the drill.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TypeAlias

from myha.drill.rows import IdRow, Key, Row, Tables

ROWS_TABLE, IDS_TABLE = "myha_drill", "myha_drill_ids"
# The administrator who writes where nobody should is a client of this number, far from all others.
ERRANT_CLIENT = 1_000_000

DrillRow: TypeAlias = Row | IdRow


class Fate(StrEnum):
    """What became of an errant row."""

    MERGED = "merged"  # it lives on in the pair
    QUARANTINED = "quarantined"  # it is out of the live data and in quarantine
    LEFT = "left"  # it is where it was, on a node that is fenced
    DESTROYED = "destroyed"  # it is nowhere


@dataclass(frozen=True, slots=True)
class ErrantRow:
    """One row that was inserted (no `before`), updated, or deleted (no `after`) on one node."""

    before: DrillRow | None
    after: DrillRow | None

    @property
    def table(self) -> str:
        return IDS_TABLE if isinstance(self.before or self.after, IdRow) else ROWS_TABLE

    @property
    def key(self) -> Key:
        one = self.before or self.after
        if one is None:
            raise ValueError("an errant row has an image, before or after")
        return one.key

    def lives_in(self, held: Set[DrillRow]) -> bool:
        """Whether the change is there: its new row, or for a deletion no old one."""
        return self.after in held if self.after is not None else self.before not in held

    def __str__(self) -> str:
        kind = "insert" if self.before is None else "delete" if self.after is None else "update"
        client, number = self.key
        return f"{kind} in {self.table}, client {client} number {number}"


@dataclass(frozen=True, slots=True)
class ErrantTable:
    """A table that was made on one node only, by this statement."""

    table: str
    statement: str

    def __str__(self) -> str:
        return f"the statement {self.statement!r}"


@dataclass(frozen=True, slots=True)
class Errant:
    """All that is known to be errant in a round."""

    rows: tuple[ErrantRow, ...] = ()
    tables: tuple[ErrantTable, ...] = ()

    def __len__(self) -> int:
        return len(self.rows) + len(self.tables)


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """One row as a quarantine has it: images in hexadecimal, as the binary log has them."""

    table: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """What the quarantines of a round hold: raw events, and the rows that they list."""

    binlog: bytes = b""
    rows: frozenset[QuarantinedRow] = frozenset()
    overwritten: frozenset[DrillRow] = frozenset()  # what repairs put other rows in the place of
    problems: tuple[str, ...] = ()  # files that are not what their checksums say

    def holds(self, errant: ErrantRow | ErrantTable) -> bool:
        """Whether it is there byte for byte: what it was, and what it became."""
        if isinstance(errant, ErrantTable):
            return errant.statement.encode() in self.binlog
        if errant.after is not None and errant.after in self.overwritten:
            return True
        return any(pattern.search(self.binlog) for pattern in _patterns(errant))

    def others(self, known: Iterable[ErrantRow]) -> int:
        """Rows of the drill's tables in here besides the known ones: commits in flight, mostly."""
        ours = {kept for errant in known for kept in self.rows if _lists(kept, errant)}
        drill = {kept for kept in self.rows if kept.table.rpartition(".")[2] in _TABLES}
        return len(drill - ours)


_TABLES = frozenset({ROWS_TABLE, IDS_TABLE})


def _values(row: DrillRow) -> tuple[bytes, ...]:
    """A row's values as the binary log has them, without the bits for NULL in front.

    Two ways: the prefix of a VARCHAR(64) is one byte or two, by the table's character set.
    """
    if isinstance(row, IdRow):
        numbers = (row.id, 8), (row.client, 4), (row.number, 8), (row.origin, 8)
        return (b"".join(_number(value, size) for value, size in numbers),)
    head = _number(row.client, 4) + _number(row.number, 8)
    text = row.payload.encode()
    tail = text + _number(row.origin, 8)
    return tuple(head + _number(len(text), prefix) + tail for prefix in (1, 2))


def _number(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little", signed=value < 0)


def _patterns(errant: ErrantRow) -> Iterator[re.Pattern[bytes]]:
    """How it stands among raw events: the image; of an update both, one after the other."""
    befores = (None,) if errant.before is None else _values(errant.before)
    afters = (None,) if errant.after is None else _values(errant.after)
    for before in befores:
        for after in afters:
            images = [re.escape(one) for one in (before, after) if one is not None]
            yield re.compile(b".".join(images), re.DOTALL)


def _lists(kept: QuarantinedRow, errant: ErrantRow) -> bool:
    def same(image: str | None, row: DrillRow | None) -> bool:
        if image is None or row is None:
            return image is None and row is None
        return any(image[2:] == values.hex() for values in _values(row))

    if kept.table.rpartition(".")[2] != errant.table:
        return False
    return same(kept.before, errant.before) and same(kept.after, errant.after)


# -- what became of them ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fates:
    """The fate of each errant row and table, and how many rows more were found in quarantine."""

    of: Mapping[ErrantRow | ErrantTable, Fate]
    others: int = 0

    def count(self, fate: Fate) -> int:
        more = self.others if fate is Fate.QUARANTINED else 0
        return sum(one is fate for one in self.of.values()) + more

    def with_fate(self, fate: Fate) -> list[ErrantRow | ErrantTable]:
        return [errant for errant, one in self.of.items() if one is fate]

    def merged_rows(self) -> list[ErrantRow]:
        return [one for one in self.with_fate(Fate.MERGED) if isinstance(one, ErrantRow)]

    def problems(self) -> Iterator[str]:
        """Destroyed rows; and rows of which some live on and some were taken out."""
        if destroyed := self.with_fate(Fate.DESTROYED):
            yield (
                f"{len(destroyed)} errant rows are neither in quarantine nor in the pair:"
                f" {_examples(destroyed)}"
            )
        merged, out = self.with_fate(Fate.MERGED), self.with_fate(Fate.QUARANTINED)
        if merged and out:
            yield (
                f"{len(merged)} errant rows live on and {len(out)} were taken out, so the heal was"
                f" incomplete: {_examples(merged)} live on"
            )


def _examples(errant: Sequence[ErrantRow | ErrantTable]) -> str:
    more = ", ..." if len(errant) > 3 else ""
    return ", ".join(str(one) for one in errant[:3]) + more


def fates(
    errant: Errant,
    writer: Tables,
    kept: Quarantined,
    *,
    writer_tables: frozenset[str] = frozenset(),
    fenced: Tables | None = None,
) -> Fates:
    """What became of every errant row, by what the writer holds now and what was kept.

    `writer_tables` are the names of the tables that the writer has; `fenced` is what a node that
    was left fenced still holds.
    """

    live = held(writer)
    left = None if fenced is None else held(fenced)

    def fate(one: ErrantRow | ErrantTable) -> Fate:
        if one.table in writer_tables if isinstance(one, ErrantTable) else one.lives_in(live):
            return Fate.MERGED
        if kept.holds(one):
            return Fate.QUARANTINED
        if left is not None and (isinstance(one, ErrantTable) or one.lives_in(left)):
            return Fate.LEFT
        return Fate.DESTROYED

    everything: tuple[ErrantRow | ErrantTable, ...] = (*errant.rows, *errant.tables)
    found = {one: fate(one) for one in everything}
    return Fates(found, kept.others(errant.rows))


def in_flight(node: Tables, writer: Tables, known: Iterable[ErrantRow]) -> list[ErrantRow]:
    """Rows of one node that the writer, read later, lacks, and that nobody put there on purpose.

    They are of commits that were under way when the node was cut off.
    """
    listed = {one.after for one in known}
    theirs = held(writer)
    found: list[DrillRow] = [*node.rows, *node.ids]
    return [ErrantRow(None, row) for row in found if row not in theirs and row not in listed]


def held(tables: Tables) -> Set[DrillRow]:
    """All rows of a node, for many questions."""
    return {*tables.rows, *tables.ids}


# -- the ledger ------------------------------------------------------------------------------------


@dataclass(slots=True)
class ErrantLedger:
    """What a round made errant, in a file that is complete before the supervisor looks."""

    path: Path
    _rows: list[ErrantRow] = field(default_factory=list)
    _tables: list[ErrantTable] = field(default_factory=list)

    def add(self, *errant: ErrantRow | ErrantTable) -> None:
        """Note what a server has said OK to, on disk when this returns."""
        lines = b"".join(_line(one) for one in errant)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        for one in errant:
            if isinstance(one, ErrantRow):
                self._rows.append(one)
            else:
                self._tables.append(one)

    def all(self) -> Errant:
        return Errant(tuple(self._rows), tuple(self._tables))


def _line(errant: ErrantRow | ErrantTable) -> bytes:
    return json.dumps(asdict(errant)).encode() + b"\n"
