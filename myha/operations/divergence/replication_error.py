"""Why an applier has stopped: the failing change, the row in the way, and which heal applies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import Any

from myha.binlog import events, row_events
from myha.binlog.errors import DecodeError, RewindRefusedError
from myha.binlog.events import ROWS, EventType, RawEvent
from myha.binlog.literals import matches, row_predicate
from myha.binlog.node import Node
from myha.binlog.readable import Decoders
from myha.binlog.row_events import TableMap
from myha.binlog.transactions import StreamedTransaction, streamed
from myha.binlog.values import Row
from myha.core.applier_errors import OF_ROWS
from myha.errors import MyhaError, ServerError
from myha.operations.divergence.errant import ErrantLook
from myha.operations.divergence.failures import Failure, ForeignKey
from myha.operations.divergence.live import LiveRow, find, in_the_way, lookup_key
from myha.operations.divergence.transaction_listing import (
    Change,
    at_text,
    decoders_of,
    statement_text,
)
from myha.words import one_line

_TRANSACTIONS_SEARCHED = 10_000
_ROWS_SEARCHED = 20_000
_DENIED = frozenset({1044, 1142, 1143})


@dataclass(frozen=True, slots=True)
class ReplicationErrorReport:
    """What is known of one failure. Texts are for people; `heal` is empty where none applies."""

    errno: int
    message: str
    kind: str  # duplicate-key, missing-row, foreign-key, schema, waiting, no-room, ...
    gtid: str = ""
    at: str = ""
    change: Change | None = None
    statement: str = ""
    in_the_way: tuple[LiveRow, ...] = ()
    finding: str = ""  # one sentence on the row
    notes: tuple[str, ...] = ()  # what could not be found out, and why
    heal: str = ""
    sentence: str = ""  # which heal applies

    def lines(self) -> list[str]:
        """For a terminal."""
        found = [f"error {self.errno} ({self.kind}): {self.message}"]
        if self.gtid:
            found.append(f"failing transaction: {self.gtid}{f', {self.at}' if self.at else ''}")
        if self.change is not None:
            found += self.change.lines()
        if self.statement:
            found.append(f"  statement: {self.statement}")
        for row in self.in_the_way:
            found.append(f"  conflicting row, by key {row.key}: {row.text}")
            if row.differs:
                found.append(f"    different values in: {', '.join(row.differs)}")
        if self.finding:
            found.append(f"  {self.finding}")
        found += [f"  not determined: {note}" for note in self.notes]
        return [*found, f"heal: {self.sentence}"]

    def as_json(self) -> dict[str, Any]:
        return {
            "errno": self.errno,
            "message": self.message,
            "kind": self.kind,
            "gtid": self.gtid,
            "at": self.at,
            "change": None if self.change is None else self.change.as_json(),
            "statement": self.statement,
            "in_the_way": [asdict(row) for row in self.in_the_way],
            "finding": self.finding,
            "not_found_out": list(self.notes),
            "heal": self.heal,
            "sentence": self.sentence,
        }


def explained(
    ours: Node, theirs: Node, failure: Failure, look: ErrantLook, node: str
) -> ReplicationErrorReport:
    """The report on a failure that is known already, with sessions that are open."""
    report = ReplicationErrorReport(failure.errno, failure.message, failure.kind, failure.gtid)
    heal, sentence = heal_for(failure, look, node)
    report = replace(report, heal=heal, sentence=sentence)
    try:
        return _Search(ours, theirs, failure).run(report)
    except (ServerError, RewindRefusedError, DecodeError, ValueError) as error:
        why = one_line(error)
        return replace(report, notes=(*report.notes, f"the failing transaction: {why}"))


class _Search:
    """Finds the failing event in the writer's binary log, and its row on the node."""

    def __init__(self, ours: Node, theirs: Node, failure: Failure) -> None:
        self._ours = ours
        self._theirs = theirs
        self._failure = failure
        self._decoders: Decoders = decoders_of(ours)
        self._written: set[tuple[str, bytes]] = set()  # by the transaction itself, before it failed

    def run(self, report: ReplicationErrorReport) -> ReplicationErrorReport:
        executed = self._ours.executed()
        common = executed.intersection(self._theirs.executed())
        stream = streamed(self._theirs.events_after(common))
        for transaction in islice(stream, _TRANSACTIONS_SEARCHED):
            if self._ours.flavour.holds(executed, transaction.gtid):
                continue
            found = self._in_transaction(transaction, report)
            if found is not None:
                return found
        raise MyhaError(
            f"it is not among the first {_TRANSACTIONS_SEARCHED} transactions in the writer's "
            "binary log that the node lacks"
        )

    def _in_transaction(
        self, transaction: StreamedTransaction, report: ReplicationErrorReport
    ) -> ReplicationErrorReport | None:
        """The report with the failing event, None when this is not the transaction."""
        failure = self._failure
        named = str(transaction.gtid)
        if failure.gtid and failure.gtid != named:
            return None
        report = replace(report, gtid=named, at=at_text(transaction.timestamp))
        maps: dict[int, TableMap] = {}
        self._written.clear()
        for event in transaction.events:
            if event.type == EventType.TABLE_MAP:
                table = row_events.table_map(event)
                maps[table.table_id] = table
            elif event.type == EventType.QUERY and not events.is_harmless_query(event):
                if failure.gtid or not failure.table:
                    return replace(report, statement=statement_text(event))
            elif event.type in ROWS and (mapped := maps.get(row_events.rows_table_id(event))):
                if self._is_the_one(transaction, event, mapped):
                    return self._row(event, mapped, report)
                self._remember(event, mapped)
        if failure.gtid:
            return replace(report, notes=("which of its changes fails",))
        return None

    def _is_the_one(
        self, transaction: StreamedTransaction, event: RawEvent, table: TableMap
    ) -> bool:
        failure = self._failure
        if failure.end_log_pos:
            same_file = failure.file in {"", "FIRST", transaction.file}
            return event.log_pos == failure.end_log_pos and (bool(failure.gtid) or same_file)
        return failure.table in {"", table.name}

    def _remember(self, event: RawEvent, table: TableMap) -> None:
        with suppress(RewindRefusedError):
            for _, after in row_events.row_changes(event, table).images:
                if after is not None and len(self._written) < _ROWS_SEARCHED:
                    self._written.add((table.name, after))

    def _row(
        self, event: RawEvent, table: TableMap, report: ReplicationErrorReport
    ) -> ReplicationErrorReport:
        """Which row of the event it is, by what the node has now."""
        first: Change | None = None
        try:
            for change in islice(self._changes(event, table), _ROWS_SEARCHED):
                first = first or change
                found = self._conflict(change, report)
                if found is not None:
                    return replace(found, change=change)
        except ServerError as error:
            if error.code not in _DENIED:
                raise
            note = f"the row on the node: its account may not read {table.name} ({error})"
            report = replace(report, notes=(*report.notes, note))
        except (DecodeError, RewindRefusedError) as error:
            note = f"the values of {table.name}: {error.reason}"
            return replace(report, notes=(*report.notes, note))
        return replace(report, change=first)

    def _changes(self, event: RawEvent, table: TableMap) -> Iterator[Change]:
        decode = self._decoders.of(table)
        for before, after in row_events.row_changes(event, table).images:
            if before is not None and (table.name, before) in self._written:
                continue  # the transaction had written it itself, which is undone now
            yield Change(
                table.name,
                decode.columns,
                None if before is None else decode(before),
                None if after is None else decode(after),
            )

    def _conflict(
        self, change: Change, report: ReplicationErrorReport
    ) -> ReplicationErrorReport | None:
        """The report when this row is the failing one."""
        kind = self._failure.kind
        if kind == "duplicate-key" and change.after is not None:
            return self._duplicate(change, change.after, report)
        if kind == "missing-row" and change.before is not None:
            return self._missing(change, change.before, report)
        constraint = self._failure.foreign_key
        if kind == "foreign-key" and constraint is not None:
            return self._constrained(change, constraint, report)
        return report if kind not in OF_ROWS else None

    def _duplicate(
        self, change: Change, after: Row, report: ReplicationErrorReport
    ) -> ReplicationErrorReport | None:
        facts = self._decoders.facts_of(change.table)
        rows = in_the_way(self._ours, change.table, facts, after, only_key=self._failure.key)
        rows = rows or in_the_way(self._ours, change.table, facts, after)
        if change.before is not None:  # the row that is to be updated is not in its own way
            key = lookup_key(facts)
            rows = [row for row in rows if key is None or row.key != key.name or row.differs]
        if not rows:
            return None
        same = not rows[0].differs
        finding = (
            "the row is there already, with the same values"
            if same
            else f"another row has its key {rows[0].key} already"
        )
        return replace(report, in_the_way=tuple(rows), finding=finding)

    def _missing(
        self, change: Change, before: Row, report: ReplicationErrorReport
    ) -> ReplicationErrorReport | None:
        facts = self._decoders.facts_of(change.table)
        key = lookup_key(facts)
        where = row_predicate(facts.columns, before)
        if find(self._ours, change.table, facts, where, key="", row=None) is not None:
            return None
        if key is None:
            return replace(report, finding="no row with these values is on the node")
        by_name = dict(zip((one.name for one in facts.columns), before, strict=True))
        columns = {one.name: one for one in facts.columns}
        exact = " AND ".join(matches(columns[name], by_name[name]) for name in key.columns)
        row = find(self._ours, change.table, facts, exact, key=key.name, row=before)
        if row is None:
            return replace(report, finding=f"the row with this key {key.name} is not on the node")
        return replace(
            report, in_the_way=(row,), finding="the row on the node has other values than expected"
        )

    def _constrained(
        self, change: Change, constraint: ForeignKey, report: ReplicationErrorReport
    ) -> ReplicationErrorReport | None:
        """A child without its parent (1452), or a parent that has children still (1451)."""
        if self._failure.errno in {1452, 1216}:
            if change.table != constraint.child or change.after is None:
                return None
            row = self._related(change, change.after, constraint, of_child=True)
            if row is not None:
                return None
            return replace(
                report,
                finding=f"the row of {constraint.parent} that it refers to by"
                f" {constraint.name} is not on the node",
            )
        if change.table != constraint.parent or change.before is None:
            return None
        row = self._related(change, change.before, constraint, of_child=False)
        if row is None:
            return None
        return replace(
            report,
            in_the_way=(row,),
            finding=f"a row of {constraint.child} on the node refers to it by {constraint.name}",
        )

    def _related(
        self, change: Change, row: Row, constraint: ForeignKey, *, of_child: bool
    ) -> LiveRow | None:
        """The row at the other end of a foreign key, if the node has one."""
        here, there = constraint.referenced, constraint.columns
        other = constraint.child
        if of_child:
            here, there, other = there, here, constraint.parent
        values = dict(zip((one.name for one in change.columns), row, strict=True))
        facts = self._decoders.facts_of(other)
        columns = {one.name: one for one in facts.columns}
        parts = [(columns[name], values[own]) for name, own in zip(there, here, strict=True)]
        if any(value is None for _, value in parts):
            return None
        where = " AND ".join(matches(column, value) for column, value in parts)
        return find(self._ours, other, facts, where, key=constraint.name, row=None)


def heal_for(failure: Failure, look: ErrantLook, node: str) -> tuple[str, str]:
    """The method that applies, empty for none, and the sentence that says so."""
    kind = failure.kind
    reseed = f"`myha heal {node} --method reseed` replaces its data"
    if kind in OF_ROWS:
        if look.diverged:
            return "rewind", (
                f"{node} has errant transactions ({look.errant.count()}), the likely cause:"
                f" `myha fence {node}`, then `myha heal {node}`: it undoes them (rewind) or applies"
                " them on the writer (merge)"
            )
        return "reseed", (
            f"{node} has no errant transactions: its rows were changed without its binary log"
            f" (sql_log_bin=0, or outside the server), so {reseed}"
        )
    if kind == "prepared":
        return "reseed", (
            f"an XA transaction that the writer has ended is not prepared on {node}, or one that it"
            f" begins is there already: {reseed}"
        )
    if kind == "schema":
        return "reseed", f"the tables of {node} differ from the writer's: {reseed}"
    return "", _NO_HEAL[kind].format(node=node, reseed=reseed)


_NO_HEAL = {
    "waiting": "none: its data is right; START REPLICA on {node} tries again",
    "no-room": "none: make room on {node} (disk, tablespace or memory), then START REPLICA there",
    "relay-log": "none: only its relay log is damaged, and the supervisor has {node} receive it"
    " again; by hand: STOP REPLICA, RESET REPLICA and START REPLICA there",
    "settings": "none: its data is right; correct the setting or the grant that the message names,"
    " then START REPLICA on {node}",
    "other": "not known as an error of its data; if you cannot remove the cause by hand, {reseed}",
}
