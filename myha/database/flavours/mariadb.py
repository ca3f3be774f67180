"""MariaDB 10.11 and newer."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, ClassVar, cast

from myha.config import join_address
from myha.core.conflicts import Range
from myha.core.gtid import GtidSet, MariadbGtidSet
from myha.core.settings import Setting
from myha.database.flavours.base import (
    COM_BINLOG_DUMP,
    NON_BLOCKING,
    ApplierError,
    Channel,
    DumpRequest,
    Flavour,
    Gtid,
    Identity,
    Position,
)
from myha.database.flavours.positions import MariadbPosition
from myha.database.session import Session
from myha.words import one_line

CHANNELS = "SHOW ALL SLAVES STATUS"
_STATES = {"Yes": "ON", "No": "OFF"}


class MariadbFlavour(Flavour):
    name = "mariadb"
    title = "MariaDB"
    oldest = (10, 11)
    marker = "gtid_domain_id"

    persists = False
    shows_session_variables = False
    has_domains = True
    keeps_replica_position = True
    clones = False
    backs_up = True
    has_json_type = False
    leaves_torn_files = True
    copies_in_order = True
    waits_for_present_only = False

    source_word = "master"
    replica_word = "slave"
    semisync_plugins = ()
    log_updates_variable = "log_slave_updates"
    replicas_sql = "SHOW SLAVE HOSTS"
    filters_sql = (
        "SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES"
        " WHERE VARIABLE_NAME REGEXP '^REPLICATE_(WILD_)?(DO|IGNORE|REWRITE)_(DB|TABLE)$'"
        " AND VARIABLE_VALUE <> '' OR VARIABLE_NAME = 'REPLICATE_EVENTS_MARKED_FOR_SKIP'"
        " AND VARIABLE_VALUE <> 'REPLICATE' ORDER BY 1"
    )
    configured_sql = (
        "SELECT VARIABLE_NAME AS n FROM information_schema.SYSTEM_VARIABLES"
        " WHERE GLOBAL_VALUE_ORIGIN IN ('CONFIG', 'COMMAND-LINE')"
    )
    runtime_sql = (
        "SELECT VARIABLE_NAME FROM information_schema.SYSTEM_VARIABLES"
        " WHERE GLOBAL_VALUE_ORIGIN = 'SQL' AND NOT (GLOBAL_VALUE <=> DEFAULT_VALUE)"
    )
    grant_tables: ClassVar[dict[str, str]] = {
        "global_priv": "User",
        "db": "User",
        "tables_priv": "User",
        "columns_priv": "User",
        "procs_priv": "User",
        "proxies_priv": "User",
        "roles_mapping": "User",
    }
    dump_settings = (
        "SET @master_binlog_checksum = @@GLOBAL.binlog_checksum, @mariadb_slave_capability = 4"
    )
    after_format_event = b""
    reseeding: ClassVar[GtidSet] = MariadbGtidSet.parse("4294967295-1-1")

    explain = "EXPLAIN"
    comma = "','"
    sums_ranges_cheaply = True
    one_weight_level = " LEVEL 1"  # levels stand one behind the other without a mark

    # ---- transactions

    def parse(self, text: str) -> GtidSet:
        return MariadbGtidSet.parse(text)

    def executed(self, session: Session) -> GtidSet:
        """The binary log's, and the replica position's: a server that was seeded has the latter."""
        written, applied = session.query(
            "SELECT @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos"
        )[0]
        return MariadbGtidSet.parse(str(written)).union(MariadbGtidSet.parse(str(applied)))

    def visible(self, session: Session) -> GtidSet:
        """The binary log is written first, which is where a replica gets a transaction from."""
        return self.executed(session)

    def logged(self, session: Session) -> GtidSet:
        return MariadbGtidSet.parse(str(session.value("SELECT @@GLOBAL.gtid_binlog_pos")))

    def purged(self, session: Session) -> GtidSet:
        """The server names no such set. It is what the oldest binary log begins after."""
        logs = session.query("SHOW BINARY LOGS")
        if not logs:
            return MariadbGtidSet()
        begins = session.value("SELECT BINLOG_GTID_POS(%s, 4)", (logs[0][0],))
        return MariadbGtidSet.parse(str(begins or ""))

    def await_executed(self, session: Session, wanted: GtidSet, seconds: float) -> bool:
        """The server waits for replicated transactions only, so the rest is looked at here.

        What is in the binary log holds its row locks until it can be seen: a locked look waits.
        """
        missing = wanted.minus(self.executed(session))
        if missing.is_empty():
            return True
        last = [
            f"{domain}-{server or 1}-{intervals[-1][1]}"
            for domain, intervals, server in _set(missing).domains()
        ]
        session.query(
            "SELECT MASTER_GTID_WAIT(%(position)s, %(seconds)s)",
            {"position": ",".join(last), "seconds": seconds},
        )
        return self.executed(session).contains(wanted)

    def holds(self, gtids: GtidSet, one: Gtid) -> bool:
        return _set(gtids).has_transaction(int(one.origin), one.number)

    def missing(self, wanted: GtidSet, found: Iterable[Gtid]) -> GtidSet:
        """Numbers may be skipped: what counts is that each domain's last is there."""
        seen = MariadbGtidSet()
        for one in found:
            seen = seen.with_transaction(int(one.origin), one.server_id, one.number)
        lasts = MariadbGtidSet()
        for domain, intervals, server in _set(wanted).domains():
            lasts = lasts.with_transaction(domain, server, intervals[-1][1])
        return lasts.minus(seen)

    def ranges(self, gtids: GtidSet, identity: Identity) -> list[Range]:
        """What matters is the node's own domain; another one counts as its own where it wrote the
        last: a position tells the server id of a domain's last transaction only.
        """
        return [
            (None if domain == identity.domain else domain, first, last)
            for domain, intervals, server_id in _set(gtids).domains()
            if domain == identity.domain or server_id == identity.server_id
            for first, last in intervals
        ]

    def position_after(self, gtids: GtidSet) -> Position:
        return MariadbPosition(_set(gtids))

    def history(self, session: Session, kept: GtidSet) -> str:
        """A binlog state: per domain what other server ids wrote before, and then the last."""
        _set(kept).position()
        entries: dict[int, list[str]] = {}
        state = str(session.value("SELECT @@GLOBAL.gtid_binlog_state") or "")
        tops = {domain: (parts[-1][1], server) for domain, parts, server in _set(kept).domains()}
        for item in filter(None, (part.strip() for part in state.split(","))):
            domain, server, number = map(int, item.split("-"))
            top = tops.get(domain)
            if top is not None and server != top[1] and number < top[0]:
                entries.setdefault(domain, []).append(item)
        for domain, (number, server) in tops.items():
            entries.setdefault(domain, []).append(f"{domain}-{server}-{number}")
        return ",".join(item for items in entries.values() for item in items)

    # ---- replication

    def identity(self, session: Session) -> Identity:
        server_id, domain = session.query("SELECT @@GLOBAL.server_id, @@GLOBAL.gtid_domain_id")[0]
        return Identity(int(server_id), "", int(domain))

    def threads(self, session: Session) -> dict[str, tuple[str, str]]:
        return {one.name: (one.receiver, one.applier) for one in self.channels(session)}

    def channels(self, session: Session) -> tuple[Channel, ...]:
        return tuple(_channel(row) for row in session.query_named(CHANNELS))

    def applier_errors(self, session: Session) -> list[ApplierError]:
        return [
            ApplierError(int(row["Last_SQL_Errno"] or 0), str(row["Last_SQL_Error"]))
            for row in session.query_named(CHANNELS)
        ]

    def offers_tls(self, session: Session) -> bool:
        return str(session.value("SELECT @@GLOBAL.have_ssl")) == "YES"

    def dump_after(
        self, gtids: GtidSet, server_id: int, *, heartbeat_seconds: float | None = None
    ) -> DumpRequest:
        settings = (
            f"{self.dump_settings}, @slave_connect_state = '{_set(gtids).position()}',"
            " @slave_gtid_strict_mode = 0, @slave_gtid_ignore_duplicates = 0"
        )
        if heartbeat_seconds is not None:
            settings += f", @master_heartbeat_period = {int(heartbeat_seconds * 1e9)}"
        flags = NON_BLOCKING if heartbeat_seconds is None else 0
        return DumpRequest((settings,), COM_BINLOG_DUMP, struct.pack("<IHI", 4, flags, server_id))

    def prepared(self, session: Session) -> tuple[str, ...]:
        return tuple(str(one["data"]) for one in session.query_named("XA RECOVER FORMAT = 'SQL'"))

    def inexact(self, session: Session) -> str | None:
        if session.variable("slave_exec_mode") != "STRICT":
            return "slave_exec_mode is not STRICT: a missing row would go unnoticed"
        if session.variable("slave_run_triggers_for_rbr") != "NO":
            return "slave_run_triggers_for_rbr is not NO: triggers would fire"
        return None

    def own_settings(self, domain: int) -> tuple[Setting, ...]:
        hung, behind = "a hung source delays no stop", "one applier thread falls behind"
        return (
            Setting("gtid_domain_id", str(domain), why="each node's own history"),
            Setting("gtid_strict_mode", "ON", why="histories must not fork silently", rests=True),
            Setting("rpl_semi_sync_slave_kill_conn_timeout", "1", why=hung),
            Setting("slave_parallel_threads", "8", why=behind, rests=True),
        )

    # ---- expressions

    def xor(self, digest: str) -> str:
        return f"BIT_XOR(CAST(CONV(LEFT({digest}, 16), 16, 10) AS UNSIGNED))"

    def text_bytes(self, name: str) -> str:
        return f"CAST({name} AS BINARY)"  # costs nothing

    def raw_bytes(self, name: str) -> str:
        return name


def _set(gtids: GtidSet) -> MariadbGtidSet:
    return cast("MariadbGtidSet", gtids)


def channel_options(row: dict[str, Any]) -> dict[str, Any]:
    """The `ChannelOptions` of a row of SHOW ALL SLAVES STATUS."""
    return {
        "source": join_address(str(row["Master_Host"]), int(row["Master_Port"])),
        "user": str(row["Master_User"]),
        "by_gtid": str(row["Using_Gtid"]) == "Slave_Pos",
        "tls": str(row["Master_SSL_Allowed"]) == "Yes",
        "retry_seconds": int(row["Connect_Retry"]),
        "retry_count": None,  # one for all channels, and at boot only
        "heartbeat_seconds": float(row["Slave_heartbeat_period"]),
        "public_key": None,
        "delay_seconds": int(row["SQL_Delay"] or 0),
    }


def _channel(row: dict[str, Any]) -> Channel:
    return Channel(
        **channel_options(row),
        name=str(row["Connection_name"]),
        receiver=_STATES.get(str(row["Slave_IO_Running"]), "CONNECTING"),
        applier=_STATES.get(str(row["Slave_SQL_Running"]), "OFF"),
        error_code=int(row["Last_IO_Errno"] or row["Last_SQL_Errno"] or 0),
        error=one_line(row["Last_IO_Error"] or row["Last_SQL_Error"] or ""),
        source_server_id=int(row["Master_Server_Id"] or 0),
    )
