"""What a rewind asks of a server and does to it, in the two flavours' own words.

Errors are those of `myha.errors`; `ServerError.code` is the server's number.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

import pymysql

from myha.binlog import stream
from myha.binlog.errors import LookAgainError, RewindRefusedError
from myha.binlog.events import MAGIC, Gtid, RawEvent
from myha.binlog.session import Session
from myha.binlog.torn_files import past_torn_ends
from myha.core.gtid import MariadbGtidSet, MysqlGtidSet
from myha.errors import ServerError, ServerGoneError, ServerSilentError

S = TypeVar("S", MysqlGtidSet, MariadbGtidSet)

_NO_SUCH_TABLE = frozenset({1049, 1146})
_LOCK_SECONDS = 10
_TAGS = "TRANSACTION_GTID_TAG"  # a privilege of MySQL 8.3 and newer
_READER_SERVER_ID = 4_100_000_000  # as a replica, far from the ids that people choose


class Marker(NamedTuple):
    """An undo that is committed and whose GTID state is not known to be set."""

    id: int
    executed: str
    kept: str
    history: str
    transactions: int
    rows: int
    quarantine: str


class Node(Session, Generic[S]):
    """A session on the node whose errant transactions are read. `S` is its kind of GTID set."""

    subject: ClassVar[str] = "rewind"

    def unfinished(self) -> Marker | None:
        """The undo of this server that is committed and not known to be complete."""
        try:
            rows = self.rows(
                "SELECT id, executed, kept, history, transactions, changed_rows, quarantine"
                " FROM myha.rewind WHERE finished_at IS NULL AND server_id = @@GLOBAL.server_id"
                " ORDER BY id DESC LIMIT 1"
            )
        except ServerError as error:
            if error.code in _NO_SUCH_TABLE:
                return None
            raise
        return Marker(*rows[0]) if rows else None

    # ---- acting

    def prepare(self) -> None:
        """Take the lock that keeps rewinds apart, and keep this session out of the binary log."""
        # One that was killed may have a statement in the server still.
        if self.value(f"SELECT GET_LOCK('myha.rewind', {_LOCK_SECONDS})") != 1:
            raise LookAgainError("another rewind is running on this server")
        self.do("session")
        if self.value("SELECT @@SESSION.sql_log_bin") != 0:
            raise RewindRefusedError("sql_log_bin could not be turned off for this session")

    def close_for_writes(self) -> None:
        """Close the node again, on a new connection if this one broke; silent if it is gone."""
        try:
            self.do("close")
        except (ServerGoneError, ServerSilentError):
            with suppress(Exception):
                connection = self._connect()
                with connection.cursor() as cursor:
                    for sql in self._statements.all("close"):
                        cursor.execute(sql)
                connection.close()

    def make_marker_table(self) -> None:
        if not self.rows(
            "SELECT 1 FROM information_schema.tables"
            " WHERE table_schema = 'myha' AND table_name = 'rewind'"
        ):
            self.do("make_marker_table")

    # ---- reading the binary log, each on a connection of its own

    def _read(
        self, dump: Callable[["pymysql.Connection[Any]"], Iterable[RawEvent]]
    ) -> Iterable[RawEvent]:
        connection = self._connect()
        try:
            yield from dump(connection)
        finally:
            with suppress(Exception):
                connection.close()

    def reader_id(self) -> int:
        return _READER_SERVER_ID + int(self.value("SELECT @@GLOBAL.server_id")) % 100_000_000

    def events_from(self, file: str, offset: int) -> Iterable[RawEvent]:
        server_id = self.reader_id()
        return self._read(
            lambda connection: stream.dump_from_file(
                connection,
                self.flavour,
                file,
                offset,
                server_id=server_id,
                deadline_seconds=self.left_seconds,
            )
        )

    # ---- the flavour's own

    def events_after(self, kept: S) -> Iterable[RawEvent]:
        raise NotImplementedError

    def executed(self) -> S:
        raise NotImplementedError

    def parse(self, text: str) -> S:
        raise NotImplementedError

    def not_fenced(self) -> str | None:
        """Why this node is not fit to be rewound, None when it is."""
        raise NotImplementedError

    def not_exact(self) -> str | None:
        """A setting under which the server would not apply the inverse exactly, None if none."""
        raise NotImplementedError

    def logs_cascades(self) -> bool:
        """Whether a foreign key's cascade is in the binary log as row changes of its own."""
        raise NotImplementedError

    def holds(self, gtids: S, gtid: Gtid) -> bool:
        raise NotImplementedError

    def missing(self, errant: S, found: Iterable[Gtid]) -> S:
        """What of `errant` was not found in the binary log."""
        raise NotImplementedError

    def history(self, kept: S) -> str:
        """What the server's GTID state is set to when only `kept` is left."""
        raise NotImplementedError


class MysqlNode(Node[MysqlGtidSet]):
    flavour = "mysql"

    def events_after(self, kept: MysqlGtidSet) -> Iterable[RawEvent]:
        server_id = self.reader_id()
        return self._read(
            lambda connection: stream.dump_after_mysql_gtids(
                connection, kept, server_id=server_id, deadline_seconds=self.left_seconds
            )
        )

    def executed(self) -> MysqlGtidSet:
        return MysqlGtidSet.parse(str(self.value("SELECT @@GLOBAL.gtid_executed")))

    def parse(self, text: str) -> MysqlGtidSet:
        return MysqlGtidSet.parse(text)

    def not_fenced(self) -> str | None:
        if int(self.value("SELECT @@GLOBAL.read_only")) != 1:
            return "it is open for writes (read_only is OFF): fence it first"
        states = self.rows(
            "SELECT channel_name, service_state"
            " FROM performance_schema.replication_connection_status"
            " UNION ALL SELECT channel_name, service_state"
            " FROM performance_schema.replication_applier_status"
        )
        if any(state != "OFF" for _, state in states):
            return "its replication is running: stop it first"
        return None

    def not_exact(self) -> str | None:
        return None

    def logs_cascades(self) -> bool:
        return self.variable("innodb_native_foreign_keys") == "OFF"

    def holds(self, gtids: MysqlGtidSet, gtid: Gtid) -> bool:
        return gtids.has_transaction(cast("str", gtid.origin), gtid.number)

    def missing(self, errant: MysqlGtidSet, found: Iterable[Gtid]) -> MysqlGtidSet:
        seen = MysqlGtidSet()
        for gtid in found:
            seen = seen.with_transaction(cast("str", gtid.origin), gtid.number)
        return errant.minus(seen)

    def history(self, kept: MysqlGtidSet) -> str:
        tagged = any(":" in origin for origin, _ in kept.origins())
        if tagged and not any(_TAGS in str(row[0]) for row in self.rows("SHOW GRANTS")):
            # The server would say so too, but only when the undo is committed.
            raise ValueError(f"it has GTIDs with tags, and this account lacks {_TAGS}: grant it")
        return str(kept)


class MariadbNode(Node[MariadbGtidSet]):
    flavour = "mariadb"

    def events_after(self, kept: MariadbGtidSet) -> Iterable[RawEvent]:
        server_id = self.reader_id()
        position = kept.position()
        found = self._read(
            lambda connection: stream.dump_after_mariadb_position(
                connection, position, server_id=server_id, deadline_seconds=self.left_seconds
            )
        )
        return past_torn_ends(found, self._file_after, self._from_its_first_byte)

    def events_from(self, file: str, offset: int) -> Iterable[RawEvent]:
        found = super().events_from(file, offset)
        return past_torn_ends(found, self._file_after, self._from_its_first_byte)

    def _from_its_first_byte(self, file: str) -> Iterable[RawEvent]:
        return super().events_from(file, len(MAGIC))

    def _file_after(self, file: str) -> str | None:
        files = [str(row[0]) for row in self.rows("SHOW BINARY LOGS")]
        return next((two for one, two in pairwise(files) if one == file), None)

    def executed(self) -> MariadbGtidSet:
        written, applied = self.rows("SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos")[0]
        return MariadbGtidSet.parse(str(written)).union(MariadbGtidSet.parse(str(applied)))

    def parse(self, text: str) -> MariadbGtidSet:
        return MariadbGtidSet.parse(text)

    def not_fenced(self) -> str | None:
        if str(self.value("SELECT @@GLOBAL.read_only")) in {"0", "OFF"}:
            return "it is open for writes (read_only is OFF): fence it first"
        with self._connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute("SHOW ALL SLAVES STATUS")
            channels = cursor.fetchall()
        for channel in channels:
            if channel["Slave_IO_Running"] != "No" or channel["Slave_SQL_Running"] != "No":
                return "its replication is running: stop it first"
        return None

    def not_exact(self) -> str | None:
        if self.variable("slave_exec_mode") != "STRICT":
            return "slave_exec_mode is not STRICT: a missing row would go unnoticed"
        if self.variable("slave_run_triggers_for_rbr") != "NO":
            return "slave_run_triggers_for_rbr is not NO: an undo would fire triggers"
        return None

    def logs_cascades(self) -> bool:
        return False

    def holds(self, gtids: MariadbGtidSet, gtid: Gtid) -> bool:
        return gtids.has_transaction(cast("int", gtid.origin), gtid.number)

    def missing(self, errant: MariadbGtidSet, found: Iterable[Gtid]) -> MariadbGtidSet:
        """Numbers may be skipped on MariaDB: what counts is that each domain's last is there."""
        seen = MariadbGtidSet()
        for gtid in found:
            seen = seen.with_transaction(cast("int", gtid.origin), gtid.server_id, gtid.number)
        lasts = MariadbGtidSet()
        for domain, intervals, server in errant.domains():
            lasts = lasts.with_transaction(domain, server, intervals[-1][1])
        return lasts.minus(seen)

    def history(self, kept: MariadbGtidSet) -> str:
        """A binlog state: per domain what other server ids wrote before, and then the last."""
        entries: dict[int, list[str]] = {}
        state = str(self.value("SELECT @@GLOBAL.gtid_binlog_state"))
        tops = {domain: (intervals[-1][1], server) for domain, intervals, server in kept.domains()}
        for item in filter(None, (part.strip() for part in state.split(","))):
            domain, server, number = map(int, item.split("-"))
            top = tops.get(domain)
            if top is not None and server != top[1] and number < top[0]:
                entries.setdefault(domain, []).append(item)
        for domain, (number, server) in tops.items():
            entries.setdefault(domain, []).append(f"{domain}-{server}-{number}")
        return ",".join(item for items in entries.values() for item in items)
