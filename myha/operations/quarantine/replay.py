"""Replaying an incident to the writer: transaction by transaction, each row checked, none twice.

That a transaction was replayed is a row in `myha.replayed`, written in the same server transaction
as its rows, so that it is true whatever dies in between. It is named by a digest of its events:
one that stands in two incidents is replayed once. A dry run does the same in one transaction,
outside of the binary log, and rolls it back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

from myha.binlog.errors import HealRefusedError
from myha.database.codes import DUPLICATE_KEY
from myha.database.connection import Connect
from myha.database.flavours import Flavour
from myha.errors import ConfigError, MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.operations.quarantine.incidents import Incident
from myha.progress import Meter, Reporter
from myha.undo.apply_check import CheckedRows, Writer
from myha.undo.inverse import changes
from myha.undo.spool import Spool, SpooledTransaction

DEADLINE_SECONDS = 600.0
OWN_SCHEMA = "myha"  # heartbeats and the like: nobody's data


@dataclass(frozen=True, slots=True)
class Conflict:
    """A transaction that cannot be replayed as things are, and why."""

    gtid: str
    reason: str


@dataclass(slots=True)
class ReplayReport:
    """What a replay did, or (`dry_run`) what it would do. GTIDs as in the incident."""

    dry_run: bool
    applied: list[str] = field(default_factory=list)
    already_there: list[str] = field(default_factory=list)
    of_no_user: list[str] = field(default_factory=list)  # myha's own rows alone
    conflicts: list[Conflict] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)
    rows: int = 0

    @property
    def complete(self) -> bool:
        return not self.conflicts and not self.not_tried

    def __str__(self) -> str:
        verb = "would be applied" if self.dry_run else "applied"
        parts = [f"{len(self.applied)} transactions with {self.rows} rows {verb}"]
        for gtids, what in (
            (self.already_there, "there already"),
            (self.of_no_user, "with myha's own rows only"),
            (self.conflicts, "in conflict"),
            (self.not_tried, "not tried"),
        ):
            if gtids:
                parts.append(f"{len(gtids)} {what}")
        return ", ".join(parts)


def replayed(connect: Connect, flavour: Flavour) -> Mapping[str, int]:
    """How many transactions of each incident the server has from replays; by the incident's id."""
    with Writer(connect, flavour, DEADLINE_SECONDS) as writer:
        sql = "SELECT incident, COUNT(*) FROM myha.replayed GROUP BY incident"
        rows = writer.rows_if_there(sql) or []
        return {str(incident): int(count) for incident, count in rows}


def replay(
    connect: Connect,
    flavour: Flavour,
    incident: Incident,
    reporter: Reporter,
    *,
    apply: bool = False,
    skip_conflicts: bool = False,
    only: Collection[str] = (),
    before_each: Callable[[], None] = lambda: None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> ReplayReport:
    """Apply the incident's transactions (or `only` those GTIDs) to the writer, oldest first.

    Stops at the first conflict unless `skip_conflicts`. `before_each` may raise to stop it, such as
    when the writer is another one by now. Raises MyhaError when the files are not what was written
    or belong to the other flavour, ConfigError for a GTID that is not in it, HealRefusedError when
    the server is not fit, ServerError when it fails: it may be run again, nothing is done twice.
    """
    if problem := incident.problem():
        raise MyhaError(problem)
    if incident.flavour != flavour.name:
        raise MyhaError(f"{incident.id} is of {incident.flavour}, and the writer is {flavour}")
    with closing(Spool.of_file(incident.events_path)) as spool:
        wanted = _chosen(spool, incident, only)
        with Writer(connect, flavour, deadline_seconds) as writer:
            run = _Replay(writer, incident, reporter, before_each)
            return run.run(wanted, apply=apply, skip_conflicts=skip_conflicts)


def _chosen(spool: Spool, incident: Incident, only: Collection[str]) -> list[SpooledTransaction]:
    if not only:
        return list(spool.transactions)
    unknown = set(only) - {str(one.gtid) for one in spool.transactions}
    if unknown:
        raise ConfigError(f"{incident.id} has no transaction {', '.join(sorted(unknown))}")
    return [one for one in spool.transactions if str(one.gtid) in only]


class _Replay:
    def __init__(
        self,
        writer: Writer,
        incident: Incident,
        reporter: Reporter,
        before_each: Callable[[], None],
    ) -> None:
        self._writer = writer
        self._incident = incident
        self._reporter = reporter
        self._before_each = before_each
        self._checked = CheckedRows(writer)

    def run(
        self, wanted: list[SpooledTransaction], *, apply: bool, skip_conflicts: bool
    ) -> ReplayReport:
        writer = self._writer
        writer.prepare()
        if writer.value("SELECT GET_LOCK('myha.apply', 0)") != 1:
            raise HealRefusedError("another merge or replay is running on the writer")
        report = ReplayReport(dry_run=not apply)
        todo = self._not_there(wanted, report)
        if not todo:
            return report
        with self._prepared(todo, apply=apply):
            meter = Meter(
                self._reporter,
                "replay" if apply else "dry run",
                total=float(len(todo)),
                unit="transactions",
            )
            for number, one in enumerate(todo):
                self._reporter.permit.require()
                self._before_each()
                try:
                    rows = self._replay_one(one) if apply else self._try_one(one)
                except HealRefusedError as error:
                    report.conflicts.append(Conflict(str(one.gtid), error.reason))
                    if not skip_conflicts:
                        report.not_tried += [str(rest.gtid) for rest in todo[number + 1 :]]
                        break
                else:
                    _count(report, one, rows)
                meter.advance()
        return report

    # ---- what is there already

    def _not_there(
        self, wanted: list[SpooledTransaction], report: ReplayReport
    ) -> list[SpooledTransaction]:
        merged = self._merged()
        todo = []
        for one in wanted:
            if merged(one) or self._is_noted(one):
                report.already_there.append(str(one.gtid))
            else:
                todo.append(one)
        return todo

    def _merged(self) -> Callable[[SpooledTransaction], bool]:
        """Whether a merge brought it to the writer: there under its own GTID.

        Asked of incidents of merges alone: a node that was rewound gives the GTIDs of what was
        undone to later transactions.
        """
        if self._incident.kind != "merge":
            return lambda _: False
        noted = self._incident.merged
        flavour, executed = self._writer.flavour, self._writer.executed()
        return lambda one: str(one.gtid) in noted or flavour.holds(executed, one.gtid)

    def _is_noted(self, one: SpooledTransaction) -> bool:
        sql = "SELECT 1 FROM myha.replayed WHERE digest = %s"
        return bool(self._writer.rows_if_there(sql, (one.digest,)))

    # ---- doing it

    @contextmanager
    def _prepared(self, todo: list[SpooledTransaction], *, apply: bool) -> Iterator[None]:
        """For a dry run, one transaction around all, which ends with a rollback."""
        writer = self._writer
        if apply:
            writer.do("make_replayed_table")
            yield
            return
        writer.do("unlogged")
        writer.describe(todo[0].format_event.raw)
        writer.do("begin")
        try:
            yield
        finally:
            with suppress(ServerGoneError, ServerSilentError):
                writer.do("roll_back")

    def _try_one(self, one: SpooledTransaction) -> int:
        self._writer.do("set_mark")
        try:
            return self._apply(one)
        except HealRefusedError:
            self._writer.do("back_to_mark")
            raise

    def _replay_one(self, one: SpooledTransaction) -> int:
        writer = self._writer
        writer.describe(one.format_event.raw)
        writer.do("begin")
        try:
            rows = self._apply(one)
            if rows:
                self._note(one, rows)
            writer.do("commit")
        except MyhaError:
            with suppress(ServerGoneError, ServerSilentError):
                writer.do("roll_back")
            raise
        return rows

    def _note(self, one: SpooledTransaction, rows: int) -> None:
        values = {
            "digest": one.digest,
            "incident": self._incident.id,
            "gtid": str(one.gtid),
            "rows": rows,
        }
        try:
            self._writer.do("note_replayed", values)
        except ServerError as error:
            if error.code == DUPLICATE_KEY:
                raise HealRefusedError("another replay has applied it meanwhile") from error
            raise

    def _apply(self, one: SpooledTransaction) -> int:
        applied = 0
        try:
            for rows in changes(one):
                self._reporter.permit.require()
                if rows.table.schema != OWN_SCHEMA:
                    self._checked.apply(one, rows)
                    applied += len(rows.images)
        except HealRefusedError as error:
            reason = error.reason.replace("cannot be undone", "cannot be replayed")
            raise HealRefusedError(reason) from error
        return applied


def _count(report: ReplayReport, one: SpooledTransaction, rows: int) -> None:
    gtids = report.applied if rows else report.of_no_user
    gtids.append(str(one.gtid))
    report.rows += rows
