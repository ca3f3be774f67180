"""A whole comparison of two nodes: definitions first, then the rows of each table."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

from myha.core.events import Kind
from myha.database.codes import LOCK_TIMEOUT
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import ConfigError, MyhaError, ServerError
from myha.operations.verify.compare import TableComparison
from myha.operations.verify.compared_node import CHANGED, DENIED, ComparedPair
from myha.operations.verify.hashing import Looks
from myha.operations.verify.pace import Lag, Pace, Throttle
from myha.operations.verify.report import RowDifference, TableReport, VerifyReport
from myha.operations.verify.same_moment import SameMoment
from myha.operations.verify.state import RunState, TableState, load
from myha.operations.verify.tables import (
    Table,
    read_tables,
    same_rows_possible,
    schema_differences,
)
from myha.permit import CancelledError
from myha.progress import Meter, Reporter

ROW_LIMIT = 1000
SCHEMA_LOOKS = 3


def verify(
    writer_connect: Connect,
    standby_connect: Connect,
    flavour: Flavour,
    *,
    reporter: Reporter,
    tables: Collection[str] | None = None,
    throttle: Throttle | None = None,
    state: Path | None = None,
    restart: bool = False,
    names: tuple[str, str] = ("writer", "standby"),
    both_ways: bool = False,
    row_limit: int = ROW_LIMIT,
) -> VerifyReport:
    """Compare all rows (or those of `tables`, as schema.table) of two nodes that are in use.

    The standby must be applying what the writer writes; `both_ways` when both take writes. `state`
    is a directory in which a run that is stopped is kept, for the next to go on from unless
    `restart`. At most `row_limit` rows of a table are told one by one.

    Raises CancelledError when it was stopped, ConfigError for a table that is nowhere, MyhaError
    when the standby does not apply, a grant is missing or the lag does not go down, ServerGoneError
    when a node goes away. What was compared until then is kept in `state`.
    """
    connects = {names[0]: writer_connect, names[1]: standby_connect}
    with closing(ComparedPair(connects, flavour)) as both:
        run = (
            load(state, *names, restart=restart)
            if state is not None
            else RunState(writer=names[0], standby=names[1])
        )
        whole = _Verify(
            both, reporter, throttle or Throttle(), run, both_ways=both_ways, row_limit=row_limit
        )
        return whole.run(tables)


class _Verify:
    def __init__(
        self,
        both: ComparedPair,
        reporter: Reporter,
        throttle: Throttle,
        run: RunState,
        *,
        both_ways: bool,
        row_limit: int,
    ) -> None:
        self._both = both
        self._reporter = reporter
        self._run = run
        self._row_limit = row_limit
        self._moment = SameMoment(both, reporter, both_ways=both_ways)
        lags = [Lag(both.writer, both.standby)]
        if both_ways:
            lags.append(Lag(both.standby, both.writer))
        self._pace = Pace(throttle, tuple(lags), reporter)
        self._row_limit_bytes = row_limit_bytes(both)
        self._meter: Meter

    def run(self, only: Collection[str] | None) -> VerifyReport:
        began = time.monotonic()
        ours, schema = self._definitions(only)
        todo = [
            table
            for name, table in ours.items()
            if not self._run.table(name, table.definition).done
        ]
        self._meter = Meter(
            self._reporter, "verify", total=sum(table.rows for table in todo), unit="rows"
        )
        try:
            for number, table in enumerate(todo):
                self._table(table, schema.get(table.full_name, []))
                # What the server had estimated is now known for one table more.
                left = sum(one.rows for one in todo[number + 1 :])
                self._meter.total = self._meter.done + left
            self._meter.report()
        except CancelledError:
            self._run.save(now=True)
            kept = ""
            if self._run.path is not None:
                kept = "; progress is kept: `myha verify` continues, --restart starts over"
            raise CancelledError(f"stopped{kept}") from None
        except MyhaError:
            self._run.save(now=True)
            raise
        report = self._report(ours, schema, time.monotonic() - began)
        self._run.finish(only)
        return report

    # ---- definitions

    def _definitions(
        self, only: Collection[str] | None
    ) -> tuple[dict[str, Table], dict[str, list[str]]]:
        """The tables of both nodes, and how they differ, once the standby has caught up."""
        names = self._both.writer.name, self._both.standby.name
        for _ in range(SCHEMA_LOOKS):
            ours = read_tables(self._both.writer.query, only)
            self._moment.catch_up()
            theirs = read_tables(self._both.standby.query, only)
            schema = schema_differences(ours, theirs, names)
            if not schema:
                break
        unknown = sorted(set(only or ()) - {*ours, *theirs})
        if unknown:
            raise ConfigError(f"no such table on either node: {', '.join(unknown)}")
        for lines in schema.values():
            for line in lines:
                self._reporter.event(Kind.DIFFERENCE, line, difference="definition")
        for name in schema:
            if name in ours and (
                name not in theirs or not same_rows_possible(ours[name], theirs[name])
            ):
                state = self._run.table(name, ours[name].definition)
                state.note = "rows not compared: the definitions differ"
                state.done = True
        return ours, schema

    # ---- tables

    def _table(self, table: Table, schema: list[str]) -> None:
        state = self._run.table(table.full_name, table.definition)
        reason = not_comparable(table)
        if reason:
            state.note, state.done = reason, True
            return
        comparison = TableComparison(
            self._both,
            Looks(table, self._both.writer.flavour, self._row_limit_bytes),
            moment=self._moment,
            pace=self._pace,
            run=self._run,
            state=state,
            reporter=self._reporter,
            row_limit=self._row_limit,
            advance=lambda rows, text: self._meter.advance(rows, text or table.full_name),
        )
        try:
            comparison.compare()
        except ServerError as error:
            state.note = _explained(error, changed_definition=bool(schema))
            state.done = True
        self._run.save(now=True)

    def _report(
        self, ours: dict[str, Table], schema: dict[str, list[str]], seconds: float
    ) -> VerifyReport:
        states = {name: self._run.tables[name] for name in ours}
        return VerifyReport(
            writer=self._both.writer.name,
            standby=self._both.standby.name,
            tables=tuple(_table_report(name, state) for name, state in states.items()),
            differences=tuple(
                RowDifference(**{**one, "key": tuple(one["key"])})
                for state in states.values()
                for one in state.differences
            ),
            schema=tuple(line for lines in schema.values() for line in lines),
            seconds=seconds,
            paused_seconds=self._pace.paused_seconds,
            backed_off=self._pace.backed_off,
            resumed=self._run.resumed,
        )


def _table_report(name: str, state: TableState) -> TableReport:
    return TableReport(
        table=name,
        rows=state.rows,
        chunks=state.chunks,
        differences=len(state.differences),
        unsettled=state.unsettled,
        uncounted_chunks=state.uncounted_chunks,
        note=state.note,
    )


def _explained(error: ServerError, *, changed_definition: bool) -> str:
    """A note for a table that cannot be compared; raises what concerns more than the table."""
    if error.code in DENIED:
        raise MyhaError(
            f"{error}: comparing needs SELECT on all data: run `myha setup` again, which grants it"
            " to accounts.supervisor_user"
        ) from None
    if error.code in CHANGED:
        return f"not compared: it was changed or dropped meanwhile ({error})"
    if error.code == LOCK_TIMEOUT:
        return f"only partly compared: another session holds a lock on it ({error})"
    if changed_definition and error.code:
        return f"not compared: the definitions differ ({error})"
    raise error


def not_comparable(table: Table) -> str:
    """Why this table's rows cannot be compared at all; empty when they can."""
    if table.kind == "SEQUENCE":
        return "is a sequence: not compared"
    unknown = [column for column in table.compared if column.kind is None]
    if unknown:
        shown = ", ".join(f"{column.name} {column.data_type}" for column in unknown)
        return f"has columns of unknown types ({shown}): not compared"
    return "" if table.compared else "has no columns that hold data"


def row_limit_bytes(both: ComparedPair) -> int:
    """How long a row may be when it is put together in the server."""
    found = both.query("SELECT @@SESSION.max_allowed_packet")
    return min(int(rows[0][0]) for rows in found) // 2
