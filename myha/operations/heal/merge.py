"""Merge: the errant transactions of a fenced node flow to the writer, under their own GTIDs.

Order, and why: all of it is tried on the writer first, in one transaction that is rolled back,
since a later errant transaction may build on an earlier one. Then the quarantine is on disk, as a
record. Then each transaction is applied with its own GTID, the check of its rows again with it,
under the same row locks. Once they are all there nothing is errant any more. A merge that died may
be run again at any point: what is on the writer already is not errant, so it is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myha.binlog.errant import read_errant, refusal_of
from myha.binlog.errors import HealRefusedError, LookAgainError, RewindRefusedError
from myha.core.events import Kind
from myha.core.gtid import GtidSet
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.progress import Meter, Reporter
from myha.undo import outcome
from myha.undo.apply_check import CheckedRows, Writer
from myha.undo.inverse import changes
from myha.undo.later_changes import LaterChanges
from myha.undo.node import UndoNode
from myha.undo.quarantine import Draft
from myha.undo.rewind import check_tables
from myha.undo.spool import SpooledTransaction

DEADLINE_SECONDS = 600.0
MAX_ROWS = 200_000  # checked in one transaction, which locks them on the writer


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What the writer got. All zero and no path when nothing was errant."""

    merged_transactions: int = 0
    rows: int = 0
    quarantine_path: Path | None = None

    def __str__(self) -> str:
        if self.quarantine_path is None:
            return "nothing to merge"
        what = f"{self.merged_transactions} transactions with {self.rows} rows merged"
        return f"{what} into the writer, recorded in {self.quarantine_path}"


def merge_node(  # noqa: PLR0917 - as the other ways of healing are called
    node_connect: Connect,
    writer_connect: Connect,
    flavour: Flavour,
    executed: GtidSet,
    keep: GtidSet,
    quarantine_dir: Path,
    incident: Mapping[str, object],
    reporter: Reporter,
    *,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> MergeReport:
    """Apply every transaction of the node outside `keep` on the writer, under its own GTID.

    `executed` and `keep` are the executed sets of node and writer as the caller saw them. The node
    must be read-only with replication stopped. The account on the writer must be able to read and
    lock rows of every table, run BINLOG, and name GTIDs; the one on the node as for a rewind.

    Raises HealRefusedError with the reason: nothing was changed, or (the reason then says how many)
    the first transactions are merged and no longer errant, and the rest is untouched. Raises
    LookAgainError when somebody else was at work on one of the servers, with nothing changed.
    Raises ServerGoneError, ServerSilentError or CancelledError when it can be run again as it is,
    and MyhaError when the quarantine cannot be written (nothing changed).
    """
    node = UndoNode(node_connect, flavour, deadline_seconds)
    try:
        with Writer(writer_connect, flavour, deadline_seconds) as writer:
            merge = _Merge(node, writer, reporter)
            return merge.run(executed, keep, quarantine_dir, incident)
    except LookAgainError:
        raise
    except RewindRefusedError as error:
        reason = error.reason.replace("cannot be undone", "cannot be merged")
        raise HealRefusedError(reason) from error
    except ServerError as error:
        raise refusal_of(error) from error
    finally:
        node.close()


class _Merge:
    def __init__(self, node: UndoNode, writer: Writer, reporter: Reporter) -> None:
        self._node = node
        self._writer = writer
        self._reporter = reporter

    def run(
        self, seen: Any, keep: Any, quarantine_dir: Path, incident: Mapping[str, object]
    ) -> MergeReport:
        node = self._node
        if why := node.not_fenced():
            raise HealRefusedError(why)
        node.prepare()
        if node.unfinished() is not None:
            raise HealRefusedError("a rewind of this node was begun and is not finished")
        self._writer.prepare()
        executed, there = node.executed(), self._writer.executed()
        if not there.contains(keep) or executed.minus(keep) != seen.minus(keep):
            raise LookAgainError(
                f"the node's executed set is {executed} now and was {seen}: inspect it again"
            )
        errant = executed.minus(there)
        if errant.is_empty():
            return MergeReport()
        kept = executed.intersection(there)
        with Draft(quarantine_dir, flavour=node.flavour, query=node.query) as draft:
            self._collect(draft, errant, kept)
            self._try_all(draft)
            path = draft.finish("merge", {**incident, "executed": str(executed), "kept": str(kept)})
            merged = self._merge_all(draft.spool.transactions, draft.rows, path)
            left = executed.minus(self._writer.executed())
            if not left.is_empty():
                raise HealRefusedError(
                    f"{merged} transactions are merged, but {left} is still errant"
                )
            return MergeReport(merged, draft.rows, path)

    # ---- before anything is changed

    def _collect(self, draft: Draft, errant: Any, kept: Any) -> None:
        meter = Meter(self._reporter, "read", total=float(errant.count()), unit="transactions")
        later = LaterChanges()

        def counted() -> Any:
            for one in read_errant(self._node, errant, kept, for_kept=later.kept):
                self._reporter.permit.require()
                yield one
                meter.advance()
                if draft.rows > MAX_ROWS:
                    raise HealRefusedError(
                        f"more than {MAX_ROWS} rows are errant: too many to lock on"
                        " the writer for a check"
                    )

        draft.take_changes(counted(), later)
        check_tables(self._node, draft.tables)

    def _try_all(self, draft: Draft) -> None:
        """Everything, as it would be merged, and then rolled back."""
        writer = self._writer
        if writer.value("SELECT GET_LOCK('myha.apply', 0)") != 1:
            raise LookAgainError("another merge or replay is running on the writer")
        checked = CheckedRows(writer)
        for name in draft.tables:
            checked.check_table(name)
        self._try_names(draft.spool.transactions)
        meter = Meter(self._reporter, "check", total=float(draft.rows), unit="rows")
        writer.do("unlogged")
        try:
            writer.describe(draft.format_event)
            writer.do("begin")
            for one in draft.spool.transactions:
                with _refusing(one):
                    self._apply(checked, one, meter)
        finally:
            self._put_back("roll_back", "logged")

    def _try_names(self, errant: Sequence[SpooledTransaction]) -> None:
        """Whether this account may give a transaction the GTID of another server."""
        for one in {one.gtid.origin: one for one in reversed(errant)}.values():
            try:
                with _refusing(one):
                    self._name(one)
            finally:
                self._put_back("roll_back", "name_new")

    # ---- changing

    def _merge_all(self, errant: Sequence[SpooledTransaction], rows: int, path: Path) -> int:
        merged: list[str] = []
        meter = Meter(self._reporter, "merge", total=float(rows), unit="rows")
        checked = CheckedRows(self._writer)
        try:
            for one in errant:
                self._reporter.permit.require()
                with _refusing(one, f"{len(merged)} of {len(errant)} are merged; "):
                    self._merge_one(checked, one, meter)
                merged.append(str(one.gtid))
        finally:
            outcome.note(path, merged)
        self._reporter.event(
            Kind.MERGED,
            f"{len(merged)} errant transactions with {rows} rows are on the writer now",
            quarantine=str(path),
        )
        return len(merged)

    def _merge_one(self, checked: CheckedRows, one: SpooledTransaction, meter: Meter) -> None:
        writer = self._writer
        writer.describe(one.format_event.raw)
        try:
            self._name(one)
            writer.do("begin")
            self._apply(checked, one, meter)
            writer.do("commit")
        except MyhaError:
            self._put_back("roll_back", "name_new")
            raise
        writer.do("name_new")

    def _name(self, one: SpooledTransaction) -> None:
        gtid = one.gtid
        self._writer.do(
            "name_original",
            {
                "gtid": str(gtid),
                "domain": gtid.origin,
                "server_id": gtid.server_id,
                "number": gtid.number,
            },
        )

    def _apply(self, checked: CheckedRows, one: SpooledTransaction, meter: Meter) -> None:
        for rows in changes(one):
            self._reporter.permit.require()
            checked.apply(one, rows)
            meter.advance(len(rows.images))

    def _put_back(self, *blocks: str) -> None:
        """End what was begun; a connection that broke has ended it already."""
        try:
            for block in blocks:
                self._writer.do(block)
        except (ServerGoneError, ServerSilentError):
            return


@contextmanager
def _refusing(one: SpooledTransaction, before: str = "") -> Iterator[None]:
    """Turn what the server or the check says about a transaction into a refusal."""
    try:
        yield
    except (ServerGoneError, ServerSilentError):
        raise
    except HealRefusedError as error:
        raise HealRefusedError(f"{before}transaction {one.gtid}: {error.reason}") from error
    except ServerError as error:
        raise HealRefusedError(
            f"{before}transaction {one.gtid}: the writer rejects it: {error}"
        ) from error
