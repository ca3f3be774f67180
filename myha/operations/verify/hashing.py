"""The SQL of a comparison: a chunk's sum, single rows' digests, a key's boundaries. Pure.

The sum of a chunk is the XOR of a digest of each row, with their number: the order of the rows does
not count, and rows with a key are never equal to each other, so that nothing cancels out but by
chance: 2^-256 on MySQL, 2^-64 on MariaDB, whose BIT_XOR has no more bits. CRC32 will not do: it is
linear, and two rows that have exchanged a value leave the XOR of their CRCs as it was. SHA-256 is
faster than MD5 where the processor helps with it, and newer MySQL has no MD5().
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from myha.database.flavours import Flavour
from myha.database.statements import quoted
from myha.operations.verify.columns import (
    Bound,
    Column,
    Kind,
    as_text,
    equals,
    key_range,
    tokens,
)
from myha.operations.verify.tables import Table

NUMBER_OCTETS = 70  # the longest DECIMAL


@dataclass(frozen=True, slots=True)
class Looks:
    """The statements about one table, in one flavour. `row_limit_bytes`: see `_digested`."""

    table: Table
    flavour: Flavour
    row_limit_bytes: int

    @property
    def _from(self) -> str:
        key = self.table.walk
        force = f" FORCE INDEX ({quoted(key.name)})" if key else ""
        return f"{quoted(self.table.schema)}.{quoted(self.table.name)}{force}"

    @property
    def walked(self) -> tuple[Column, ...]:
        """The columns of the key that ranges are made of."""
        key = self.table.walk
        return self.table.identity[: key.walkable] if key else ()

    @property
    def row_digest(self) -> str:
        """An expression: the digest of a row in hexadecimal."""
        digested = _digested(self.table.compared, self.row_limit_bytes)
        parts = [
            token
            for column in self.table.compared
            for token in tokens(column, self.flavour, digest=column.name in digested)
        ]
        row = f"CONCAT_WS({self.flavour.comma}, {', '.join(parts)})"
        return f"SHA2({row}, 256)"

    def where(self, low: Bound | None, high: Bound | None) -> str:
        return key_range(self.walked, low, high) if self.walked else "TRUE"

    @property
    def _total(self) -> str:
        """An aggregate: the sum of the rows' digests."""
        return self.flavour.xor(self.row_digest)

    def sum(self, low: Bound | None, high: Bound | None) -> str:
        """One row: how many rows are in the range, and their sum."""
        return f"SELECT COUNT(*), {self._total} FROM {self._from} WHERE {self.where(low, high)}"

    def sums(self, low: Bound, high: Bound, step: int) -> str:
        """The same for each `step` numbers of a key of one integer: part, count, sum.

        On MariaDB this costs no more than one sum; on MySQL half as much again.
        """
        part = f"({quoted(self.walked[0].name)} - {int(low[0]) + 1}) DIV {step}"
        return (
            f"SELECT {part} AS part, COUNT(*), {self._total} FROM {self._from}"
            f" WHERE {self.where(low, high)} GROUP BY part ORDER BY NULL"
        )

    def count(self, low: Bound | None, high: Bound | None) -> str:
        """How many rows are in the range."""
        return f"SELECT COUNT(*) FROM {self._from} WHERE {self.where(low, high)}"

    def boundary(self, low: Bound | None, high: Bound | None, rows: int) -> str:
        """The key of the row that is `rows` rows beyond `low`; no row when there are fewer."""
        keys = ", ".join(as_text(column) for column in self.walked)
        order = ", ".join(quoted(column.name) for column in self.walked)
        return (
            f"SELECT {keys} FROM {self._from} WHERE {self.where(low, high)}"
            f" ORDER BY {order} LIMIT 1 OFFSET {max(0, rows - 1)}"
        )

    def extent(self) -> str:
        """The least and the greatest key, for a key of one column."""
        name = quoted(self.walked[0].name)
        return f"SELECT MIN({name}), MAX({name}) FROM {self._from}"

    def estimate(self, low: Bound | None, high: Bound | None) -> str:
        """The server's guess of how many rows are in the range, in its plan."""
        return f"{self.flavour.explain} SELECT 1 FROM {self._from} WHERE {self.where(low, high)}"

    def digests(self, low: Bound | None, high: Bound | None, limit: int) -> str:
        """The identity and the digest of each row in the range."""
        keys = ", ".join(as_text(column) for column in self.table.identity)
        return (
            f"SELECT {keys}, {self.row_digest} FROM {self._from}"
            f" WHERE {self.where(low, high)} LIMIT {limit}"
        )

    def rows(self, keys: Sequence[Bound]) -> str:
        """Identity, digest and every value of the rows with these keys."""
        identity = self.table.identity
        names = ", ".join(as_text(column) for column in identity)
        values = ", ".join(as_text(column) for column in self.table.compared)
        chosen = " OR ".join(
            "("
            + " AND ".join(equals(c, value) for c, value in zip(identity, key, strict=True))
            + ")"
            for key in keys
        )
        return f"SELECT {names}, {self.row_digest}, {values} FROM {self._from} WHERE {chosen}"

    def everything(self, limit: int) -> str:
        """Every value of every row, of a table without a usable key."""
        values = ", ".join(as_text(column) for column in self.table.compared)
        return f"SELECT {values} FROM {self._from} LIMIT {limit}"


def _digested(columns: Sequence[Column], limit_bytes: int) -> set[str]:
    """The columns to digest by themselves, so that no row exceeds the limit when put together.

    Above max_allowed_packet the server makes the row NULL, and the sum would leave it out.
    """
    chosen = {column.name for column in columns if column.long}
    left = {c.name: _octets(c) for c in columns if c.name not in chosen}
    while sum(left.values()) > limit_bytes:
        longest = max(left, key=lambda name: left[name])
        if left[longest] <= NUMBER_OCTETS:
            break
        chosen.add(longest)
        del left[longest]
    return chosen


def _octets(column: Column) -> int:
    if column.kind in {Kind.TEXT, Kind.BYTES}:
        return column.octets + 12
    return NUMBER_OCTETS
