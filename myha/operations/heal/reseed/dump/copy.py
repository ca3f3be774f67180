"""One dump and load: a common snapshot of several sessions, and the tables through them at once.

The donor is locked for the instant in which the snapshots are taken and its history is read, so
that these belong together. A definition that changes while they are read is noticed, and one that
changes later makes the server refuse the rows of that table: the reseed then fails, to be run
again.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from myha.config import Config
from myha.core.gtid import GtidSet
from myha.database.codes import LOCK_TIMEOUT
from myha.errors import MyhaError, ServerError
from myha.operations.heal.reseed.dump import objects
from myha.operations.heal.reseed.dump.accounts import copy_accounts
from myha.operations.heal.reseed.dump.pipe import copy_table
from myha.operations.heal.reseed.dump.tables import Table
from myha.operations.heal.reseed.session import ReseedSession
from myha.progress import Meter, Reporter
from myha.words import listed

MOST_WORKERS = 4
LOCK_ATTEMPTS = 60
LOCK_PAUSE_SECONDS = 0.5
READINGS = 5


class _PreparedError(MyhaError):
    """Just now the donor has prepared XA transactions: its history does, and its rows do not."""


def _passes(error: BaseException) -> bool:
    """A moment later it may be otherwise."""
    timed_out = isinstance(error, ServerError) and error.code == LOCK_TIMEOUT
    return timed_out or isinstance(error, _PreparedError)


class Dump:
    """`prepare` changes nothing on the node; `run` replaces all that it has; `close` in the end."""

    def __init__(self, config: Config, donor: str, node: str, reporter: Reporter) -> None:
        self._config = config
        self._donor_name = donor
        self._node_name = node
        self._reporter = reporter
        self._sources: list[ReseedSession] = []
        self._targets: list[ReseedSession] = []
        self._took_files: bool | None = None
        self.copied_bytes = 0

    def prepare(self) -> GtidSet:
        """Take the snapshots; the donor's history that belongs to them. Raises MyhaError."""
        workers = max(2, min(MOST_WORKERS, os.cpu_count() or 1))
        for _ in range(workers):
            source = ReseedSession(self._config, self._donor_name)
            self._sources.append(source)
            source.do("reader")
        for _ in range(READINGS):
            what = objects.read(self._sources[0])
            history = self._snapshot()
            self._what = objects.read(self._sources[0])
            if what.same_as(self._what):
                self._check_columns()
                for source in self._sources:
                    source.do("take_bearings")
                return history
            for source in self._sources:
                source.query("ROLLBACK")
        raise MyhaError(f"{self._donor_name}: its tables are altered all the time; try again later")

    def _check_columns(self) -> None:
        for table in self._what.rows:
            if not table.columns:
                raise MyhaError(f"{self._donor_name}: {table} has generated columns only")

    def _lock_commits(self, locker: ReseedSession) -> None:
        self._reporter.permit.require()
        try:
            locker.do("lock_commits")
            self._refuse_prepared(locker)
        except MyhaError:
            with suppress(ServerError):
                locker.do("unlock_commits")
            raise

    def _refuse_prepared(self, locker: ReseedSession) -> None:
        """On the node they would be missing when the donor commits them."""
        if names := locker.prepared():
            raise _PreparedError(
                f"{self._donor_name}: a dump does not take prepared XA transactions along:"
                f" {listed(names)}; commit them or roll them back"
            )

    def _snapshot(self) -> GtidSet:
        """All sessions see one state, and this is its history."""
        with ReseedSession(self._config, self._donor_name) as locker:
            retrying = Retrying(
                retry=retry_if_exception(_passes),
                stop=stop_after_attempt(LOCK_ATTEMPTS),
                wait=wait_fixed(LOCK_PAUSE_SECONDS),
                reraise=True,
            )
            retrying(self._lock_commits, locker)
            try:
                for source in self._sources:
                    source.do("take_snapshot")
                return locker.executed()
            finally:
                locker.do("unlock_commits")

    def run(self) -> None:
        """Drop what the node has, and make it all anew. The node must be ours alone to write on."""
        reporter = self._reporter
        self._open_targets()
        first = self._targets[0]
        Meter(reporter, "drop the old data")
        objects.drop_all(first, reporter)
        Meter(reporter, "make the tables")
        objects.make_tables(first, self._what, reporter)
        self._copy_rows()
        Meter(reporter, "make views, code and accounts")
        objects.make_others(first, self._sources[0], self._what, reporter)
        copy_accounts(self._sources[0], first, self._config.accounts.admin_user)

    def _open_targets(self) -> None:
        for _ in self._sources:
            target = ReseedSession(self._config, self._node_name, local_files=True)
            self._targets.append(target)
            target.do("loader")
        self._took_files = bool(int(self._targets[0].value("SELECT @@GLOBAL.local_infile")))
        if not self._took_files:
            self._targets[0].do("take_local_files")

    def _copy_rows(self) -> None:
        tables = sorted(self._what.rows, key=lambda table: -table.size_bytes)
        work = _Work(
            tables,
            Meter(
                self._reporter,
                "copy",
                total=max(1, sum(table.size_bytes for table in tables)),
                unit="bytes",
            ),
            self._reporter,
        )
        threads = [
            threading.Thread(target=work.do, args=pair, daemon=True)
            for pair in zip(self._sources, self._targets, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.copied_bytes = work.end()

    def close(self) -> None:
        """Let the servers go. Silent: it is called after failures too."""
        if self._took_files is False:
            with suppress(MyhaError), ReseedSession(self._config, self._node_name) as session:
                session.do("refuse_local_files")
        for session in (*self._sources, *self._targets):
            session.close()


class _Work:
    """The tables that are left, and what came of it; several threads share it."""

    def __init__(self, tables: list[Table], meter: Meter, reporter: Reporter) -> None:
        self._left: queue.SimpleQueue[Table] = queue.SimpleQueue()
        for table in tables:
            self._left.put(table)
        self._meter = meter
        self._reporter = reporter
        self._lock = threading.Lock()
        self._failure: MyhaError | None = None

    def do(self, source: ReseedSession, target: ReseedSession) -> None:
        try:
            while self._failure is None:
                try:
                    table = self._left.get_nowait()
                except queue.Empty:
                    return
                copy_table(source, target, table, self._advance)
                source.do("let_go_of_table")
        except Exception as error:  # noqa: BLE001 - a thread that just ended would pass for done
            with self._lock:
                self._failure = self._failure or (
                    error
                    if isinstance(error, MyhaError)
                    else MyhaError(f"the copy broke: {error!r}")
                )
            source.close()
            target.close()

    def _advance(self, count: int) -> None:
        if self._failure is not None:
            raise self._failure
        self._reporter.permit.require()
        with self._lock:
            self._meter.total = max(self._meter.total or 0, self._meter.done + count)
            self._meter.advance(count)

    def end(self) -> int:
        """Bytes copied; raises what stopped it."""
        if self._failure is not None:
            raise self._failure
        done = self._meter.done
        self._meter.total = max(done, 1)
        self._meter.report()
        return int(done)
