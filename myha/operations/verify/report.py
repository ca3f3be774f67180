"""What a comparison found, as values, as JSON and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from myha.words import counted

DifferenceKind = Literal["missing", "extra", "different"]
Shown = Mapping[str, str]

WORDS = {"missing": "missing on {standby}", "extra": "only on {standby}", "different": "different"}
ROWS_IN_TEXT = 50


@dataclass(frozen=True, slots=True)
class RowDifference:
    """One row that is not the same on both nodes, for certain.

    `key` names the row by what the server gives back for it (strings in hexadecimal), empty for a
    table without a key; `writer` and `standby` are the rows as people read them, None where there
    is none. Only columns that differ when both are there.
    """

    table: str
    kind: DifferenceKind
    key: tuple[str, ...]
    shown_key: Shown
    writer: Shown | None
    standby: Shown | None


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table. `unsettled` rows changed too fast to be compared; `uncounted_chunks` differ and
    were not descended into, since enough rows of the table were known to differ. `note` says why a
    table was not, or not wholly, compared."""

    table: str
    rows: int
    chunks: int
    differences: int
    unsettled: int = 0
    uncounted_chunks: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`schema`: a line for each way in which the definitions differ."""

    writer: str
    standby: str
    tables: tuple[TableReport, ...]
    differences: tuple[RowDifference, ...]
    schema: tuple[str, ...]
    seconds: float
    paused_seconds: float = 0.0
    backed_off: int = 0
    resumed: bool = False

    @property
    def equal(self) -> bool:
        """Nothing differs, as far as it was compared; see `complete`."""
        return not self.schema and not any(
            one.differences or one.uncounted_chunks for one in self.tables
        )

    @property
    def complete(self) -> bool:
        """Every row of every table was compared."""
        return not any(one.note or one.unsettled for one in self.tables)

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.tables)

    @property
    def not_verified(self) -> tuple[TableReport, ...]:
        return tuple(one for one in self.tables if one.note)

    def text(self) -> str:
        """The outcome in one sentence."""
        count = sum(one.differences for one in self.tables)
        sentence = (
            f"{counted(self.rows, 'row')} of {counted(len(self.tables), 'table')} compared "
            f"in {self.seconds:.1f} s: "
        )
        if self.equal:
            sentence += f"{self.writer} and {self.standby} are equal"
        else:
            found = []
            if count:
                found.append(f"{counted(count, 'row')} {'differs' if count == 1 else 'differ'}")
            more = sum(one.uncounted_chunks for one in self.tables)
            if more:
                found.append(f"more in {more} chunks were not compared row by row")
            if self.schema:
                found.append(f"{len(self.schema)} definitions differ")
            sentence += ", ".join(found)
        left_out = len(self.not_verified)
        if left_out:
            sentence += f"; {left_out} tables not or not wholly compared"
        unsettled = sum(one.unsettled for one in self.tables)
        if unsettled:
            sentence += f"; {unsettled} rows changed too fast to be compared"
        return sentence

    def as_json(self) -> dict[str, Any]:
        return {
            "text": self.text(),
            "equal": self.equal,
            "complete": self.complete,
            "rows": self.rows,
            **asdict(self),
        }

    def lines(self) -> list[str]:
        """Everything found, the sentence last."""
        found = [f"definition: {line}" for line in self.schema]
        for one in self.differences[:ROWS_IN_TEXT]:
            found += difference_lines(one, self.writer, self.standby)
        if len(self.differences) > ROWS_IN_TEXT:
            found.append(f"... and {len(self.differences) - ROWS_IN_TEXT} more rows: see --json")
        for table in self.tables:
            if table.uncounted_chunks:
                found.append(
                    f"{table.table}: {table.uncounted_chunks} more chunks differ; their rows were"
                    " not compared one by one, since so many differ already"
                )
            if table.note:
                found.append(f"{table.table}: {table.note}")
            if table.unsettled:
                found.append(f"{table.table}: {table.unsettled} rows changed too fast to compare")
        return [*found, self.text()]


def difference_lines(one: RowDifference, writer: str, standby: str) -> list[str]:
    """A differing row as lines: what it is, and each node's."""
    key = ", ".join(f"{name} = {value}" for name, value in one.shown_key.items()) or "a row"
    lines = [f"{one.table}, {key}: {WORDS[one.kind].format(standby=standby)}"]
    for node, row in ((writer, one.writer), (standby, one.standby)):
        if row is not None:
            lines.append(f"  {node}: " + ", ".join(f"{n} = {v}" for n, v in row.items()))
    return lines
