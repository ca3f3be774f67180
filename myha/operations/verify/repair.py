"""Making the rows of one node equal to its peer's, while both go on: shown first, kept first.

A row is written while it is share-locked on the node that is written to by clients and the other
node has applied everything up to then, so no replicated change of it is on its way; and only if
both nodes still have what was shown. Everything else is skipped and said.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_incrementing

from myha.database.codes import LOCK_TIMEOUT
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import MyhaError, RefusedError, ServerError
from myha.operations.verify.compare import BATCH_ROWS, Row, difference, read_rows
from myha.operations.verify.compared_node import BUSY, ComparedNode, ComparedPair
from myha.operations.verify.hashing import Looks
from myha.operations.verify.pace import Throttle
from myha.operations.verify.repair_quarantine import (
    Change,
    row_predicate,
    row_values,
    table_name,
    write,
)
from myha.operations.verify.report import RowDifference, VerifyReport
from myha.operations.verify.run import row_limit_bytes, verify
from myha.operations.verify.same_moment import HOLD_SECONDS, LOCK, SameMoment
from myha.operations.verify.tables import Table, read_tables
from myha.progress import Meter, Reporter

FOR_UPDATE = " FOR UPDATE"
TRIES = 8
TRY_AGAIN_SECONDS = 0.2
SKIPPED_CHANGED = "has changed since it was shown"


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What a repair of `target` from `source` would do. `left_out`: rows or tables it would not."""

    source: str
    target: str
    report: VerifyReport
    changes: tuple[Change, ...]
    left_out: tuple[str, ...]

    def differences(self) -> tuple[RowDifference, ...]:
        """As `verify` shows them: the source's row first."""
        return tuple(difference(one.looks, one.key, one.after, one.before) for one in self.changes)


@dataclass(frozen=True, slots=True)
class RepairReport:
    """`skipped` and `left_out`: what still differs, a line each."""

    source: str
    target: str
    repaired: int
    skipped: tuple[str, ...]
    left_out: tuple[str, ...]
    quarantine: Path | None

    @property
    def whole(self) -> bool:
        return not self.skipped and not self.left_out

    def text(self) -> str:
        sentence = f"{self.repaired} rows of {self.target} now equal those of {self.source}"
        if self.quarantine is not None:
            sentence += f"; the old rows are in {self.quarantine}"
        if self.skipped:
            sentence += f"; {len(self.skipped)} rows were skipped"
        return sentence


class Repair:
    """Use as a context: `plan`, then `carry_out`. Of two writers, or of a writer and its standby.

    The account needs SELECT, INSERT, DELETE and TRIGGER on the data and must be allowed to write
    under read_only and without the binary log: an administrator's.
    """

    def __init__(
        self,
        writer_connect: Connect,
        standby_connect: Connect,
        flavour: Flavour,
        *,
        names: tuple[str, str],
        source: str,
        reporter: Reporter,
        both_ways: bool = False,
        throttle: Throttle | None = None,
    ) -> None:
        self._connects = {names[0]: writer_connect, names[1]: standby_connect}
        self._flavour = flavour
        self._names = names
        self.source = source
        self.target = names[1] if source == names[0] else names[0]
        self._reporter = reporter
        self._both_ways = both_ways
        self._throttle = throttle
        self._statements = flavour.statements("repair")
        self._both: ComparedPair

    def __enter__(self) -> Repair:
        self._both = ComparedPair(self._connects, self._flavour)
        self._moment = SameMoment(self._both, self._reporter, both_ways=self._both_ways)
        return self

    def __exit__(self, *_: object) -> None:
        self._both.close()

    @property
    def _source_and_target(self) -> tuple[ComparedNode, ComparedNode]:
        """The source's and the target's."""
        writer, standby = self._both.writer, self._both.standby
        return (writer, standby) if self.source == writer.name else (standby, writer)

    # ---- what there is to do

    def plan(self, tables: Collection[str] | None) -> RepairPlan:
        """Compare, and read both nodes' rows where they differ. Raises what `verify` raises."""
        report = verify(
            self._connects[self._names[0]],
            self._connects[self._names[1]],
            self._flavour,
            reporter=self._reporter,
            tables=tables,
            throttle=self._throttle,
            names=self._names,
            both_ways=self._both_ways,
        )
        left_out = [f"definition: {line}" for line in report.schema]
        left_out += [
            f"{one.table}: {one.uncounted_chunks} more chunks differ: repair again afterwards, or "
            "`myha heal --method reseed`"
            for one in report.tables
            if one.uncounted_chunks
        ]
        changes: list[Change] = []
        by_table: dict[str, list[tuple[str, ...]]] = {}
        for one in report.differences:
            by_table.setdefault(one.table, []).append(one.key)
        known = read_tables(self._source_and_target[1].query, by_table)
        triggers = self._tables_with_triggers()
        for name, keys in by_table.items():
            reason = _not_repairable(known[name], triggers)
            if reason:
                left_out.append(f"{name}: {len(keys)} rows differ and are not repaired: {reason}")
                continue
            looks = Looks(known[name], self._flavour, row_limit_bytes(self._both))
            for start in range(0, len(keys), BATCH_ROWS):
                changes += self._read(looks, keys[start : start + BATCH_ROWS])
        return RepairPlan(self.source, self.target, report, tuple(changes), tuple(left_out))

    def _tables_with_triggers(self) -> set[str]:
        rows = self._source_and_target[1].query(
            "SELECT DISTINCT event_object_schema, event_object_table"
            " FROM information_schema.triggers"
        )
        return {f"{schema}.{table}" for schema, table in rows}

    def _read(self, looks: Looks, keys: Sequence[tuple[str, ...]]) -> list[Change]:
        source, target = self._source_and_target
        theirs, ours = read_rows(source, looks, keys, ""), read_rows(target, looks, keys, "")
        found = [Change(looks, key, ours.get(key), theirs.get(key)) for key in keys]
        return [one for one in found if one.before != one.after]

    # ---- doing it

    def carry_out(
        self, plan: RepairPlan, quarantine: Path, incident: Mapping[str, object]
    ) -> RepairReport:
        """Keep the target's rows below `quarantine`, then write the source's in their place.

        Raises MyhaError when the quarantine cannot be written (nothing is changed then) and
        CancelledError between two batches.
        """
        if not plan.changes:
            return RepairReport(self.source, self.target, 0, (), plan.left_out, None)
        kept = write(
            quarantine,
            flavour=self._flavour,
            changes=plan.changes,
            incident={
                **incident, "node": self.target, "from": self.source, "reason": "repair",
            },
        )  # fmt: skip
        target = self._source_and_target[1]
        target.run(self._statements.all("session"))
        if int(target.value("SELECT @@SESSION.sql_log_bin")) != 0:
            raise RefusedError(f"{target.name}: sql_log_bin could not be turned off")
        try:
            self._do("let_us_write")
            done, skipped = self._write_all(plan.changes)
        finally:
            self._close_for_writes()
        return RepairReport(self.source, self.target, done, tuple(skipped), plan.left_out, kept)

    def _do(self, name: str, **words: str) -> None:
        self._source_and_target[1].run(self._statements.all(name, **words))

    def _close_for_writes(self) -> None:
        """On a connection of its own, in case ours broke."""
        with (
            suppress(MyhaError),
            ComparedNode(self.target, self._connects[self.target], self._flavour) as side,
        ):
            side.run(self._statements.all("close"))

    def _write_all(self, changes: Sequence[Change]) -> tuple[int, list[str]]:
        """How many rows were written, and why the others were not."""
        meter = Meter(self._reporter, "repair", total=len(changes), unit="rows")
        done, skipped = 0, []
        left = list(_batches(changes))
        reasons: dict[int, str] = {}
        moved = True
        while left and moved:  # what is in one batch's way may be gone after the next
            moved, again = False, []
            for batch in left:
                self._reporter.permit.require()
                try:
                    written = self._write(batch)
                except ServerError as error:
                    reasons[id(batch)] = str(error)
                    again.append(batch)
                    continue
                moved = True
                done += len(written)
                skipped += [
                    f"{_named(one)}: {SKIPPED_CHANGED}" for one in batch if one not in written
                ]
                meter.advance(len(batch))
            left = again
        for batch in left:
            skipped += [f"{_named(one)}: {reasons[id(batch)]}" for one in batch]
        return done, skipped

    def _write(self, batch: Sequence[Change]) -> list[Change]:
        """Write the rows of one table in one transaction; those that were as they were shown."""
        retrying = Retrying(
            retry=retry_if_exception(_is_busy),
            stop=stop_after_attempt(TRIES),
            wait=wait_incrementing(TRY_AGAIN_SECONDS, TRY_AGAIN_SECONDS),
            reraise=True,
        )
        return retrying(self._write_once, batch)

    def _write_once(self, batch: Sequence[Change]) -> list[Change]:
        self._moment.catch_up()
        looks, keys = batch[0].looks, [one.key for one in batch]
        writer, standby = self._both.writer, self._both.standby
        source, target = self._source_and_target
        locks = {source.name: LOCK, target.name: FOR_UPDATE}
        rows: dict[str, dict[tuple[str, ...], Row]] = {}
        with writer.transaction(), standby.transaction():
            rows[writer.name] = read_rows(writer, looks, keys, locks[writer.name])
            self._await(standby, writer)
            rows[standby.name] = read_rows(standby, looks, keys, locks[standby.name])
            if self._both_ways:
                self._await(writer, standby)
            ready = [
                one
                for one in batch
                if rows[source.name].get(one.key) == one.after
                and rows[target.name].get(one.key) == one.before
            ]
            self._put(ready)
            self._do("commit")
        return ready

    def _await(self, node: ComparedNode, peer: ComparedNode) -> None:
        """Until the node has what its peer has, for as long as rows may be held for that."""
        if not node.await_history(peer.history(), HOLD_SECONDS, self._reporter):
            raise ServerError(
                f"{self.target}: the rows are locked all the time: try again when there is less"
                " load",
                LOCK_TIMEOUT,
            )

    def _put(self, changes: Sequence[Change]) -> None:
        """All old rows out, then all new ones in: rows may have exchanged a unique value."""
        for one in changes:
            if one.before is not None:
                self._do(
                    "remove_rows",
                    table=table_name(one.looks),
                    rows=row_predicate(one.looks, one.key),
                )
        for one in changes:
            if one.after is not None:
                columns, values = row_values(one.looks, one.after)
                self._do("put_row", table=table_name(one.looks), columns=columns, values=values)


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, ServerError) and error.code in BUSY


def _batches(changes: Sequence[Change]) -> list[list[Change]]:
    """Rows of one table each."""
    found: list[list[Change]] = []
    for one in changes:
        if found and found[-1][0].looks == one.looks and len(found[-1]) < BATCH_ROWS:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def _named(change: Change) -> str:
    one = difference(change.looks, change.key, change.after, change.before)
    return f"{one.table}, " + ", ".join(f"{name} = {v}" for name, v in one.shown_key.items())


def _not_repairable(table: Table, triggers: set[str]) -> str:
    """Why rows of this table are not written by a repair; empty when they are."""
    if table.walk is None:
        return "it has no key that identifies a row"
    if not table.transactional:
        return f"{table.engine} has no transactions"
    if table.kind != "BASE TABLE":
        return "it is system-versioned, and a repair would add to its history"
    if table.full_name in triggers:
        return "it has triggers, which a repair would fire"
    return ""
