"""Undoing, exactly, the transactions that a fenced node has and the writer lacks.

Order, and why: everything that can be refused is checked first, with nothing changed. Then the
quarantine is on disk. Then one server transaction, kept out of the binary log, holds all of the
undo and a marker row, so that it happens whole or not at all. Then the server's GTID state is set
to what was kept, and the marker is closed. A rewind that died may be run again at any point: before
the commit nothing has happened; after it the marker says that only the GTID state is left to set.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from myha.binlog.columns import cascading_keys
from myha.binlog.errant import read_errant, refusal_of
from myha.binlog.errors import HealRefusedError, LookAgainError, RewindRefusedError
from myha.binlog.session import logs_cascades
from myha.core.gtid import GtidSet
from myha.core.values import value
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.progress import Meter, Reporter
from myha.undo.inverse import TableCounts
from myha.undo.later_changes import LaterChanges
from myha.undo.node import Marker, UndoNode
from myha.undo.quarantine import Draft

DEADLINE_SECONDS = 120.0
_BASE64_GROWTH = 4 / 3

T = TypeVar("T")


@value(frozen=True, slots=True)
class RewindReport:
    """What was undone. All zero and no path when there was nothing to undo."""

    undone_transactions: int = 0
    rows: int = 0
    quarantine_path: Path | None = None
    resumed: bool = False  # an earlier rewind had undone it; this one finished it

    def __str__(self) -> str:
        if self.quarantine_path is None:
            return "nothing to undo"
        what = f"{self.undone_transactions} transactions with {self.rows} rows undone"
        return f"{what}, kept in {self.quarantine_path}"


@value(frozen=True, slots=True)
class RewindPlan:
    """What a rewind would undo; `size_bytes` of binary log. Changes nothing."""

    transactions: int
    rows: int
    size_bytes: int
    tables: Mapping[str, TableCounts]


def plan_rewind(
    connect: Connect,
    flavour: Flavour,
    executed: GtidSet,
    keep: GtidSet,
    *,
    scratch: Path,
    reporter: Reporter,
) -> RewindPlan:
    """Read what a rewind would undo, and check all of it; the node need not be fenced for that.

    `scratch` is a directory for what is read meanwhile. Raises RewindRefusedError with the reason
    when it could not be undone exactly, ServerError when it cannot be read.
    """
    with _undoing(connect, flavour, DEADLINE_SECONDS) as node:
        return _Rewind(node, executed, keep, _Files(scratch, {}, reporter)).plan()


def rewind_node(
    connect: Connect,
    flavour: Flavour,
    executed: GtidSet,
    keep: GtidSet,
    *,
    quarantine_dir: Path,
    incident: Mapping[str, object],
    reporter: Reporter,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> RewindReport:
    """Undo every transaction outside `keep` (the writer's executed set) on a fenced node.

    `executed` is the node's executed set as the caller saw it; another one now means that somebody
    changed the node meanwhile. The node must be read-only with replication stopped; it is left so.
    `connect` gives new connections of an account that may write under read_only, turn off
    sql_log_bin, run BINLOG, read the binary log and see (not read) every table (REFERENCES does).
    A permit of the `reporter` that is withdrawn ends it, with nothing undone.

    Raises RewindRefusedError with the reason, and then the node's data is as it was. Raises
    ServerGoneError or ServerSilentError when the outcome is not known: run it again. Raises
    MyhaError when the quarantine cannot be written (nothing undone), or when an earlier rewind
    cannot be finished.
    """
    with _undoing(connect, flavour, deadline_seconds) as node:
        return _Rewind(node, executed, keep, _Files(quarantine_dir, incident, reporter)).run()


def finish_rewind(connect: Connect, flavour: Flavour, deadline_seconds: float) -> None:
    """Set the GTID state of a rewind whose undo is committed and that died then.

    Until that is done a node's executed set does not say what its data are. Without such a rewind
    it does nothing. Raises like `rewind_node`.
    """
    with _undoing(connect, flavour, deadline_seconds) as node:
        if node.unfinished() is None:
            return
        _require(node.not_fenced())
        node.prepare()
        marker = node.unfinished()
        if marker is not None:
            _finish(node, marker)


@contextmanager
def _undoing(connect: Connect, flavour: Flavour, deadline_seconds: float) -> Iterator[UndoNode]:
    """A session on the node; what its binary log no longer holds is a refusal."""
    with UndoNode(connect, flavour, deadline_seconds) as node:
        try:
            yield node
        except ServerError as error:
            raise refusal_of(error) from error


@value(frozen=True, slots=True)
class _Files:
    """Where the quarantine goes, what is known of the incident, and who hears of progress."""

    quarantine_dir: Path
    incident: Mapping[str, object]
    reporter: Reporter


class _Rewind:
    """One run on one node; the methods are its steps, in order."""

    def __init__(self, node: UndoNode, seen: GtidSet, keep: GtidSet, files: _Files) -> None:
        self._node = node
        self._seen = seen
        self._keep = keep
        self._files = files

    def run(self) -> RewindReport:
        _require(self._node.not_fenced() or self._node.flavour.inexact(self._node))
        self._node.prepare()
        marker = self._node.unfinished()
        if marker is not None:
            return _finish(self._node, marker)
        return self._undo()

    def plan(self) -> RewindPlan:
        node = self._node
        _require(node.flavour.inexact(node))
        kept = self._seen.intersection(self._keep)
        self._history(kept)
        with Draft(self._files.quarantine_dir, flavour=node.flavour, query=node.query) as draft:
            self._take(draft, self._seen.minus(self._keep), kept)
            ones = draft.spool.transactions
            return RewindPlan(
                len(ones), draft.rows, sum(one.size_bytes for one in ones), dict(draft.tables)
            )

    def _take(self, draft: Draft, errant: GtidSet, kept: GtidSet) -> None:
        """Read the errant transactions; raises RewindRefusedError when they cannot be undone."""
        later = LaterChanges()
        found = read_errant(self._node, errant, kept, for_kept=later.kept)
        total = float(errant.count())
        draft.take_changes(self._counted("read", found, total, "transactions"), later)
        check_tables(self._node, draft.tables)
        self._check_sizes(draft)

    def _undo(self) -> RewindReport:
        node = self._node
        executed = node.executed()
        errant = executed.minus(self._keep)
        if errant != self._seen.minus(self._keep):
            raise LookAgainError(
                f"its executed set is {executed} now and was {self._seen}: inspect it again"
            )
        if errant.is_empty():
            return RewindReport()
        kept = executed.intersection(self._keep)
        history = self._history(kept)
        with Draft(self._files.quarantine_dir, flavour=node.flavour, query=node.query) as draft:
            self._take(draft, errant, kept)
            path = draft.finish(
                "rewind",
                {**self._files.incident, "executed": str(executed), "kept": str(kept)},
            )
            values = {
                "executed": str(executed),
                "kept": str(kept),
                "history": history,
                "transactions": len(draft.spool.transactions),
                "rows": draft.rows,
                "quarantine": str(path),
            }
            with _writable(node):
                self._apply(executed, draft, values)
                marker = node.unfinished()
                if marker is None:
                    raise MyhaError(
                        "the undo is committed, but its marker row is missing: reseed this node"
                    )
                return _set_history(node, marker, resumed=False)

    def _counted(
        self, phase: str, items: Iterable[T], total: float | None, unit: str
    ) -> Iterator[T]:
        reporter = self._files.reporter
        meter = Meter(reporter, phase, total=total, unit=unit)
        for item in items:
            reporter.permit.require()
            yield item
            meter.advance()

    def _history(self, kept: GtidSet) -> str:
        try:
            return self._node.flavour.history(self._node, kept)
        except ValueError as error:
            raise RewindRefusedError(f"what would be kept is no position: {error}") from error

    # ---- checking

    def _check_sizes(self, draft: Draft) -> None:
        """The server must take every statement of the undo and of the redo."""
        limit = int(self._node.value("SELECT @@GLOBAL.max_allowed_packet"))
        largest = draft.largest_step_bytes
        if largest * _BASE64_GROWTH + 1024 > limit:
            raise RewindRefusedError(
                f"a row change of {largest} bytes does not fit into max_allowed_packet ({limit})"
            )

    # ---- changing

    def _apply(self, executed: GtidSet, draft: Draft, values: Mapping[str, object]) -> None:
        node = self._node
        try:
            node.make_marker_table()
        except (ServerGoneError, ServerSilentError):
            raise
        except ServerError as error:
            raise RewindRefusedError(f"the table myha.rewind cannot be made: {error}") from error
        node.apply([draft.format_event])
        node.do("after_format")
        node.do("begin")
        try:
            node.apply(self._counted("undo", draft.undo_steps(), None, "row events"))
            node.do("mark", values)
            self._check_alone(executed)
        except (ServerGoneError, ServerSilentError):
            raise
        except MyhaError as error:
            node.do("roll_back")
            if isinstance(error, LookAgainError) or not isinstance(
                error, ServerError | HealRefusedError
            ):
                raise
            raise RewindRefusedError(
                f"the server rejects the undo, which is rolled back: {error}"
            ) from error
        node.do("commit")
        node.do("make_durable")

    def _check_alone(self, executed: GtidSet) -> None:
        now = self._node.executed()
        if now != executed:
            raise LookAgainError(f"another session wrote to it meanwhile: {now.minus(executed)}")


def _require(why_not: str | None) -> None:
    if why_not is not None:
        raise RewindRefusedError(why_not)


@contextmanager
def _writable(node: UndoNode) -> Iterator[None]:
    """Lets this session write; the node is closed again whatever happens."""
    node.do("let_us_write")
    try:
        yield
    finally:
        node.close_for_writes()


def _finish(node: UndoNode, marker: Marker) -> RewindReport:
    with _writable(node):
        return _set_history(node, marker, resumed=True)


def _set_history(node: UndoNode, marker: Marker, *, resumed: bool) -> RewindReport:
    before = node.flavour.parse(marker.executed)
    now = node.executed()
    if not before.contains(now):
        raise MyhaError(
            f"an earlier rewind was not finished, and since then {now.minus(before)} came in:"
            f" reseed this node; what was undone is in {marker.quarantine}"
        )
    node.do("make_durable")
    node.do("reset_history", {"history": marker.history, "kept": marker.kept})
    now = node.executed()
    if now != node.flavour.parse(marker.kept):
        raise MyhaError(f"after the rewind the executed set is {now}, not {marker.kept}")
    node.do("mark_finished", {"id": marker.id})
    return RewindReport(marker.transactions, marker.rows, Path(marker.quarantine), resumed)


def check_tables(node: UndoNode, tables: Mapping[str, TableCounts]) -> None:
    """Raises RewindRefusedError unless all that was changed in these tables is in the binary log.

    Out of reach are other engines than InnoDB, and cascades that the engine does by itself.
    """
    cascades_are_logged = logs_cascades(node)
    for name, counts in tables.items():
        storage = node.storage(name)
        if storage is None:
            raise RewindRefusedError(
                f"{name} does not exist, or this account cannot see it (GRANT REFERENCES ON *.*)"
            )
        if not storage.can_be_undone:
            raise RewindRefusedError(
                f"{name} is a {storage.kind} of engine {storage.engine}, and only plain InnoDB"
                " tables can be undone exactly"
            )
        if cascades_are_logged or counts.deleted + counts.updated == 0:
            continue
        if cascades := cascading_keys(node.query, *name.split(".", 1)):
            raise RewindRefusedError(
                f"{name} had rows deleted or updated, and the cascades of {cascades[0]} are not"
                " in the binary log"
            )
