"""One table on both nodes: chunk by chunk along a key, down to the rows where a chunk differs.

A difference is never taken from two looks at different moments: see `same_moment`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from myha.core.events import Kind
from myha.operations.verify.columns import Bound, readable
from myha.operations.verify.compared_node import ComparedNode, ComparedPair
from myha.operations.verify.hashing import Looks
from myha.operations.verify.pace import Pace
from myha.operations.verify.report import RowDifference
from myha.operations.verify.same_moment import Look, SameMoment
from myha.operations.verify.state import RunState, TableState
from myha.operations.verify.walk import Walk, cut, step_of
from myha.progress import Reporter

LEAF_ROWS = 4000
LEAF_LIMIT = 20_000  # rows that share the walked part of their key, and so cannot be told apart
FAN_OUT = 16
PARTS = 64  # that a chunk is summed up in, where that costs nothing
BATCH_ROWS = 50
LOOSE_ROUNDS = 2
PROOFS = 2
PROOF_TRIES = 6
TRY_AGAIN_SECONDS = 0.1
KEYLESS_ROWS = 20_000

T = TypeVar("T")
Values = tuple[str | None, ...]
Advance = Callable[[int, str], None]
Part = tuple[Bound | None, Bound | None, int]  # beyond, up to, about so many rows


@dataclass(frozen=True, slots=True)
class Row:
    """One row as the server gives it; equal when all columns are."""

    key: Bound
    digest: str
    values: Values


class TableComparison:
    """Compares one table. What it finds and how far it is goes into `state`."""

    def __init__(
        self,
        both: ComparedPair,
        looks: Looks,
        *,
        moment: SameMoment,
        pace: Pace,
        run: RunState,
        state: TableState,
        reporter: Reporter,
        row_limit: int,
        advance: Advance,
    ) -> None:
        self._both = both
        self._looks = looks
        self._moment = moment
        self._pace = pace
        self._run = run
        self._state = state
        self._reporter = reporter
        self._row_limit = row_limit
        self._advance = advance

    def compare(self) -> None:
        """From where `state` says to the end. Raises CancelledError and the servers' errors."""
        if self._looks.table.walk is None:
            self._compare_whole()
        else:
            self._walk()
        self._state.done = True

    # ---- chunks

    def _walk(self) -> None:
        state = self._state
        low: Bound | None = tuple(state.after) if state.after is not None else None
        walk = Walk(self._looks, self._both.writer)
        self._pace.fresh_table()
        while True:
            self._reporter.permit.require()
            began = time.monotonic()
            high = walk.end(low, self._pace.rows)
            rows, differing = self._look_at(low, high)
            seconds = time.monotonic() - began
            walk.saw(low, high, rows)
            for part in differing:
                self._descend(*part)
            self._confirm_suspects(at_least=BATCH_ROWS)
            state.rows += rows
            state.chunks += 1
            state.after = list(high) if high is not None else state.after
            self._run.save()
            self._pace.took(rows, seconds)
            self._advance(rows, self._pace.rest(seconds))
            if high is None:
                self._confirm_suspects()
                return
            low = high

    def _look_at(self, low: Bound | None, high: Bound | None) -> tuple[int, list[Part]]:
        """How many rows a chunk has on the writer, and the parts of it that differ."""
        looks = self._looks
        step = step_of(looks, low, high, PARTS) if looks.flavour.sums_ranges_cheaply else 0
        if not step or low is None or high is None:
            ours, theirs = self._both.query(looks.sum(low, high))
            count = int(ours[0][0])
            if ours == theirs:
                return count, []
            return count, [(low, high, max(count, int(theirs[0][0])))]
        ours, theirs = self._both.query(looks.sums(low, high, step))
        mine = {int(row[0]): row[1:] for row in ours}
        others = {int(row[0]): row[1:] for row in theirs}
        first, last = int(low[0]), int(high[0])
        differing: list[Part] = []
        for part in sorted({*mine, *others}):
            if mine.get(part) != others.get(part):
                start, end = first + part * step, min(last, first + (part + 1) * step)
                rows = max(int(one.get(part, (0,))[0]) for one in (mine, others))
                differing.append(((str(start),), (str(end),), rows))
        return sum(int(row[0]) for row in mine.values()), differing

    def _descend(self, low: Bound | None, high: Bound | None, rows: int) -> None:
        """A range of so many rows whose sums differed at some moment: down to its rows."""
        self._reporter.permit.require()
        if rows <= LEAF_ROWS:
            self._leaf(low, high)
            return
        for part_low, part_high in cut(
            self._both, self._looks, low, high, rows=rows, parts=FAN_OUT
        ):
            if self._enough():
                self._state.uncounted_chunks += 1
                return
            ours, theirs = self._both.query(self._looks.sum(part_low, part_high))
            if ours == theirs:
                continue
            if (part_low, part_high) == (low, high):
                self._leaf(low, high)
            else:
                self._descend(part_low, part_high, max(int(ours[0][0]), int(theirs[0][0])))

    def _leaf(self, low: Bound | None, high: Bound | None) -> None:
        sql = self._looks.digests(low, high, LEAF_LIMIT + 1)
        ours = self._both.writer.query(sql)
        self._moment.catch_up()
        theirs = self._both.standby.query(sql)
        if max(len(ours), len(theirs)) > LEAF_LIMIT:
            self._state.note = (
                f"more than {LEAF_LIMIT:,} rows share the part of the key that can be used, and "
                "their checksums differed at some moment: they were not compared one by one"
            )
            return
        mine = {tuple(map(str, row[:-1])): row[-1] for row in ours}
        others = {tuple(map(str, row[:-1])): row[-1] for row in theirs}
        self._state.suspects += [
            list(key) for key in {**mine, **others} if mine.get(key) != others.get(key)
        ]

    def _enough(self) -> bool:
        """Whether so many rows differ, for certain, that no more are looked for."""
        state = self._state
        if len(state.differences) + len(state.suspects) >= self._row_limit:
            self._confirm_suspects()
        return len(state.differences) >= self._row_limit

    # ---- rows

    def _rows(self, keys: Sequence[Bound]) -> Look[dict[Bound, Row]]:
        return lambda node, lock: read_rows(node, self._looks, keys, lock)

    def _confirm_suspects(self, *, at_least: int = 1) -> None:
        """Look closely at the suspects, many at a time; they are few where nothing is wrong."""
        suspects = self._state.suspects
        if len(suspects) < at_least:
            return
        while suspects and len(self._state.differences) < self._row_limit:
            self._reporter.permit.require()
            self._confirm([tuple(key) for key in suspects[:BATCH_ROWS]])
            del suspects[:BATCH_ROWS]
        if suspects:
            self._state.uncounted_chunks += 1
            suspects.clear()

    def _confirm(self, keys: list[Bound]) -> None:
        """Report those of the rows that differ for certain."""
        for _ in range(LOOSE_ROUNDS):
            ours, theirs, again = self._moment.loose(self._rows(keys))
            keys = [k for k in keys if theirs.get(k) not in (ours.get(k), again.get(k))]
            if not keys:
                return
        left = self._prove(keys)
        if len(left) > 1:
            # One row that somebody holds must not stand in the way of the others' proof.
            left = [key for one in left for key in self._prove([one])]
        self._state.unsettled += len(left)

    def _prove(self, keys: list[Bound]) -> list[Bound]:
        """Look under locks until each row is equal once or differs twice; those left undecided."""
        differed: Counter[Bound] = Counter()
        for attempt in range(PROOFS + PROOF_TRIES):
            look = self._locked(self._rows(keys), attempt)
            if look is None:
                continue
            ours, theirs = look
            keys = [key for key in keys if ours.get(key) != theirs.get(key)]
            differed.update(keys)
            for key in [key for key in keys if differed[key] >= PROOFS]:
                self._report(key, ours.get(key), theirs.get(key))
                keys.remove(key)
            if not keys:
                return []
        return keys

    def _locked(self, look: Look[T], attempt: int) -> tuple[T, T] | None:
        """One moment's answers of both; None, after a pause, where there was no such moment.

        Not while the lag is such that locks would be in vain.
        """
        self._pace.before_locks(self._moment.catch_up)
        found = self._moment.locked(look, turn=attempt)
        if found is None:
            time.sleep(TRY_AGAIN_SECONDS * (attempt + 1))
        return found

    def _report(self, key: Bound, ours: Row | None, theirs: Row | None) -> None:
        known = self._state.differences
        if key and any(tuple(one["key"]) == key for one in known):
            return  # of a chunk that a stopped run had looked at already
        one = difference(self._looks, key, ours, theirs)
        self._state.differences.append(asdict(one))
        self._reporter.event(
            Kind.DIFFERENCE,
            f"{one.table}: {', '.join(f'{n} = {v}' for n, v in one.shown_key.items())}: {one.kind}",
            table=one.table,
            difference=one.kind,
        )

    # ---- tables without a key that serves

    def _compare_whole(self) -> None:
        if self._looks.table.rows > KEYLESS_ROWS:
            self._state.note = self._too_large()
            return
        for _ in range(LOOSE_ROUNDS):
            ours, theirs, again = self._moment.loose(self._multiset)
            if ours is None or theirs is None:
                self._state.note = self._too_large()
                return
            self._state.rows, self._state.chunks = ours.total(), 1
            if theirs in (ours, again):
                self._advance(ours.total(), "")
                return
        proofs = 0
        for attempt in range(PROOFS + PROOF_TRIES):
            look = self._locked(self._multiset, attempt)
            if look is None:
                continue
            ours, theirs = look
            if ours is None or theirs is None or ours == theirs:
                return
            proofs += 1
            if proofs == PROOFS:
                self._report_multisets(ours, theirs)
                return
        self._state.note = "has no usable key and changed too fast to be compared"

    def _too_large(self) -> str:
        return (
            f"has no usable key and more than {KEYLESS_ROWS:,} rows: not compared; add a primary "
            "key"
        )

    def _multiset(self, node: ComparedNode, lock: str) -> Counter[Values] | None:
        found = node.query(self._looks.everything(KEYLESS_ROWS + 1) + lock)
        if len(found) > KEYLESS_ROWS:
            return None
        return Counter(_values(row) for row in found)

    def _report_multisets(self, ours: Counter[Values], theirs: Counter[Values]) -> None:
        for values, count in (ours - theirs).items():
            for _ in range(count):
                self._report((), Row((), "", values), None)
        for values, count in (theirs - ours).items():
            for _ in range(count):
                self._report((), None, Row((), "", values))


def read_rows(
    node: ComparedNode, looks: Looks, keys: Sequence[Bound], lock: str
) -> dict[Bound, Row]:
    """The rows with these keys, by key; `lock` is added to the SELECT."""
    width = len(looks.table.identity)
    found = {}
    for row in node.query(looks.rows(keys) + lock):
        key = tuple(str(value) for value in row[:width])
        found[key] = Row(key, str(row[width]), _values(row[width + 1 :]))
    return found


def _values(row: Sequence[Any]) -> Values:
    return tuple(None if value is None else str(value) for value in row)


def difference(looks: Looks, key: Bound, ours: Row | None, theirs: Row | None) -> RowDifference:
    """Two rows with one key as they are shown: only what differs when both are there."""
    table = looks.table
    shown_key = {
        column.name: readable(column, value)
        for column, value in zip(table.identity, key, strict=True)
    }

    def shown(row: Row | None, other: Row | None) -> dict[str, str] | None:
        if row is None:
            return None
        return {
            column.name: readable(column, value)
            for number, (column, value) in enumerate(zip(table.compared, row.values, strict=True))
            if other is None or other.values[number] != value
        }

    return RowDifference(
        table=table.full_name,
        kind="different" if ours and theirs else "missing" if ours else "extra",
        key=key,
        shown_key=shown_key,
        writer=shown(ours, theirs),
        standby=shown(theirs, ours),
    )
