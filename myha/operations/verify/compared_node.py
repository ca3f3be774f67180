"""One node's side of a comparison: queries with deadlines, its history, waiting for the other's.

What a side reports as `history` holds every transaction whose rows can be seen there. On MySQL the
storage engine shows a commit a moment before gtid_executed lists it, so the transactions that are
committing (gtid_owned) count too; MariaDB writes its binary log first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import pymysql

from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet
from myha.database import statements
from myha.database.statements import Flavour
from myha.errors import ServerError, ServerGoneError
from myha.progress import Reporter

Connect = Callable[[], "pymysql.Connection[Any]"]
Rows = tuple[tuple[Any, ...], ...]

STATEMENT_DEADLINE_SECONDS = 120.0
WAIT_SLICE_SECONDS = 1.0
POLL_SECONDS = 0.005
LOCK_TIMEOUT = 1205
DEADLOCK = 1213
SNAPSHOT_TOO_OLD = 1020
# A table, column or key that is not there any more, or a definition that has just changed.
CHANGED = frozenset({1049, 1054, 1072, 1146, 1176, 1412, 1615, 1030, 1032})
DENIED = frozenset({1044, 1142, 1143, 1227})
BUSY = frozenset({LOCK_TIMEOUT, DEADLOCK, SNAPSHOT_TOO_OLD})
_GONE = frozenset({2006, 2013, 2014, 1053, 1927, 4031})
_OWNED = re.compile(r"([0-9a-fA-F-]{36}(?::[A-Za-z_][A-Za-z0-9_]*)?)((?::[0-9]+(?:#[0-9]+)+)+)")


class ComparedNode:
    """A session on one node. For one thread at a time. Errors are `ServerError`s that name it."""

    def __init__(self, name: str, connect: Connect, flavour: Flavour) -> None:
        self.name = name
        self.flavour: Flavour = flavour
        self._connection = connect()
        self._statements = statements.load(flavour, "verify")
        self.do("session")

    def close(self) -> None:
        with suppress(Exception):
            self._connection.close()

    def query(self, sql: str, values: object = None) -> Rows:
        wire: Any = self._connection
        wire._read_timeout = STATEMENT_DEADLINE_SECONDS
        try:
            with self._connection.cursor(pymysql.cursors.Cursor) as cursor:
                cursor.execute(sql, values)
                return tuple(cursor.fetchall())
        except (pymysql.err.Error, OSError) as error:
            raise self._told(error) from None

    def value(self, sql: str) -> Any:
        rows = self.query(sql)
        return rows[0][0] if rows else None

    def do(self, name: str) -> None:
        """A named block of sql/<flavour>/verify.sql."""
        for sql in self._statements.all(name):
            self.query(sql)

    def _told(self, error: Exception) -> ServerError:
        code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
        text = " ".join(str(error.args[-1] if error.args else error).split())
        told = f"{self.name}: {text}" + (f" (error {code})" if code else "")
        if code in _GONE or isinstance(error, OSError | pymysql.err.InterfaceError):
            return ServerGoneError(told, code)
        return ServerError(told, code)

    # ---- a locked look

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is read in here with LOCK IN SHARE MODE stays as it is until the end."""
        self.do("begin")
        try:
            yield
        finally:
            with suppress(ServerGoneError):  # then the server ends the transaction itself
                self.do("end")

    # ---- history

    def history(self) -> GtidSet:
        """Every transaction whose effect can be seen here, and some that are about to be."""
        if self.flavour == "mysql":
            # Owned first: what is committed in between is then in the second.
            owned, executed = self.query("SELECT @@GLOBAL.gtid_owned, @@GLOBAL.gtid_executed")[0]
            return MysqlGtidSet.parse(str(executed)).union(owned_gtids(str(owned)))
        return self._mariadb_history()

    def _mariadb_history(self) -> MariadbGtidSet:
        written, applied = self.query("SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos")[0]
        return MariadbGtidSet.parse(str(written)).union(MariadbGtidSet.parse(str(applied)))

    def has(self, wanted: GtidSet) -> bool:
        """Whether all of it is committed here, at this moment."""
        if self.flavour == "mysql":
            executed = self.value("SELECT @@GLOBAL.gtid_executed")
            return MysqlGtidSet.parse(str(executed)).contains(wanted)  # type: ignore[arg-type]
        return self._mariadb_history().contains(wanted)  # type: ignore[arg-type]

    def await_history(self, wanted: GtidSet, seconds: float, reporter: Reporter) -> bool:
        """Wait until all of it can be seen here; False when that takes longer than `seconds`.

        Raises CancelledError.
        """
        ends = time.monotonic() + seconds
        while True:
            reporter.permit.require()
            left = ends - time.monotonic()
            if self._await_once(wanted, max(0.0, min(WAIT_SLICE_SECONDS, left))):
                return True
            if time.monotonic() >= ends:
                return False
            time.sleep(POLL_SECONDS)

    def _await_once(self, wanted: GtidSet, seconds: float) -> bool:
        if isinstance(wanted, MysqlGtidSet):
            rows = self.query(
                "SELECT WAIT_FOR_EXECUTED_GTID_SET(%s, %s)", (str(wanted), f"{seconds:.3f}")
            )
            return bool(rows[0][0] == 0)
        assert isinstance(wanted, MariadbGtidSet)
        # The server waits for replicated transactions only, so the rest is looked at here. What is
        # in the binary log holds its row locks until it can be seen: a locked look waits for it.
        missing = wanted.minus(self._mariadb_history())
        if missing.is_empty():
            return True
        positions = [
            f"{domain}-{server or 1}-{intervals[-1][1]}"
            for domain, intervals, server in missing.domains()
        ]
        self.query("SELECT MASTER_GTID_WAIT(%s, %s)", (",".join(positions), f"{seconds:.3f}"))
        return self._mariadb_history().contains(wanted)


def owned_gtids(text: str) -> MysqlGtidSet:
    """The transactions of `gtid_owned`: `uuid:7#31:8#32, uuid:tag:1#33`."""
    found = MysqlGtidSet()
    for origin, items in _OWNED.findall(text):
        for item in items.strip(":").split(":"):
            found = found.with_transaction(origin.lower(), int(item.partition("#")[0]))
    return found


class ComparedPair:
    """The writer's and the standby's side, asked the same at the same time."""

    def __init__(self, writer: ComparedNode, standby: ComparedNode) -> None:
        self.writer = writer
        self.standby = standby
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="verify")

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.writer.close()
        self.standby.close()

    def query(self, sql: str) -> tuple[Rows, Rows]:
        asked: list[Future[Rows]] = [
            self._threads.submit(side.query, sql) for side in (self.writer, self.standby)
        ]
        # Both are waited for whatever one says: a session serves one thread at a time.
        errors = [one.exception() for one in asked]
        for error in errors:
            if error is not None:
                raise error
        return asked[0].result(), asked[1].result()
