"""MySQL 8.0.26 and newer."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterable
from typing import Any, ClassVar, cast

from myha.config import join_address
from myha.core.conflicts import Range
from myha.core.gtid import GtidSet, MysqlGtidSet
from myha.core.settings import Setting, When
from myha.database.flavours.base import (
    COM_BINLOG_DUMP_GTID,
    NON_BLOCKING,
    ApplierError,
    Channel,
    DumpRequest,
    Flavour,
    Gtid,
    Identity,
    Position,
)
from myha.database.flavours.positions import MysqlPosition
from myha.database.session import Session
from myha.words import one_line

_THROUGH_GTID = 0x04
_TAGS = "TRANSACTION_GTID_TAG"  # a privilege of MySQL 8.3 and newer
_OWNED = re.compile(r"([0-9a-fA-F-]{36}(?::[A-Za-z_][A-Za-z0-9_]*)?)((?::[0-9]+(?:#[0-9]+)+)+)")
CHANNEL_OPTIONS = (
    "c.CHANNEL_NAME, c.HOST, c.PORT, c.USER, c.AUTO_POSITION, c.SSL_ALLOWED,"
    " c.CONNECTION_RETRY_INTERVAL, c.CONNECTION_RETRY_COUNT, c.HEARTBEAT_INTERVAL,"
    " c.GET_PUBLIC_KEY, d.DESIRED_DELAY"
)
CHANNELS = (
    "FROM performance_schema.replication_connection_configuration c"
    " JOIN performance_schema.replication_applier_configuration d USING (CHANNEL_NAME)"
)
_CHANNELS = (
    f"SELECT {CHANNEL_OPTIONS}, s.SERVICE_STATE AS receiver, a.SERVICE_STATE AS applier,"
    f" s.LAST_ERROR_NUMBER AS receiver_code, s.LAST_ERROR_MESSAGE AS receiver_error {CHANNELS}"
    " LEFT JOIN performance_schema.replication_connection_status s USING (CHANNEL_NAME)"
    " LEFT JOIN performance_schema.replication_applier_status a USING (CHANNEL_NAME)"
    " WHERE c.CHANNEL_NAME NOT LIKE 'group_replication%'"
)
_THREADS = (
    "SELECT channel_name, service_state, NULL"
    " FROM performance_schema.replication_connection_status"
    " UNION ALL SELECT channel_name, NULL, service_state"
    " FROM performance_schema.replication_applier_status"
)
_APPLIER_ERRORS = (
    "SELECT last_error_number, last_error_message, applying_transaction"
    " FROM performance_schema.replication_applier_status_by_worker WHERE channel_name = ''"
    " UNION ALL SELECT last_error_number, last_error_message, ''"
    " FROM performance_schema.replication_applier_status_by_coordinator WHERE channel_name = ''"
)
_LEAST_WAIT_SECONDS = 0.001  # for 0 s the server waits for ever


def await_gtids(session: Session, expression: str, seconds: float, **values: str) -> bool:
    """Wait inside the server, for `seconds` at most, until the set is committed that an expression
    of SQL with these values gives."""
    found = session.value(
        f"SELECT WAIT_FOR_EXECUTED_GTID_SET({expression}, %(seconds)s)",
        {"seconds": max(_LEAST_WAIT_SECONDS, seconds), **values},
    )
    return bool(found == 0)


class MysqlFlavour(Flavour):
    name = "mysql"
    title = "MySQL"
    oldest = (8, 0, 26)
    marker = "gtid_executed"

    persists = True
    shows_session_variables = True
    has_domains = False
    keeps_replica_position = False
    clones = True
    backs_up = False
    has_json_type = True
    leaves_torn_files = False
    copies_in_order = False
    waits_for_present_only = True

    source_word = "source"
    replica_word = "replica"
    semisync_plugins = (source_word, replica_word)
    log_updates_variable = "log_replica_updates"
    replicas_sql = "SHOW REPLICAS"
    # The global ones are those of the option file; a channel gets them when it is made.
    filters_sql = (
        "SELECT LOWER(FILTER_NAME), FILTER_RULE"
        " FROM performance_schema.replication_applier_global_filters WHERE FILTER_RULE <> ''"
        " UNION SELECT LOWER(FILTER_NAME), FILTER_RULE"
        " FROM performance_schema.replication_applier_filters WHERE FILTER_RULE <> '' ORDER BY 1"
    )
    configured_sql = (
        "SELECT VARIABLE_NAME AS n FROM performance_schema.variables_info"
        " WHERE VARIABLE_SOURCE NOT IN ('DYNAMIC', 'PERSISTED')"
    )
    runtime_sql = (
        "SELECT VARIABLE_NAME FROM performance_schema.variables_info"
        # Of a variable that sessions have too, it is whoever set it last for itself that is shown.
        " WHERE VARIABLE_SOURCE = 'DYNAMIC' AND VARIABLE_NAME NOT IN"
        " (SELECT VARIABLE_NAME FROM performance_schema.variables_by_thread"
        " WHERE THREAD_ID = PS_CURRENT_THREAD_ID())"
        " AND REGEXP_REPLACE(VARIABLE_NAME, '^slave_', 'replica_') NOT IN"
        " (SELECT VARIABLE_NAME FROM performance_schema.persisted_variables)"
    )
    grant_tables: ClassVar[dict[str, str]] = {
        "user": "User",
        "db": "User",
        "tables_priv": "User",
        "columns_priv": "User",
        "procs_priv": "User",
        "proxies_priv": "User",
        "global_grants": "USER",
        "role_edges": "TO_USER",
        "default_roles": "USER",
    }
    dump_settings = "SET @source_binlog_checksum = @@GLOBAL.binlog_checksum"
    after_format_event = b"SET SESSION gtid_next='AUTOMATIC';\n"
    reseeding: ClassVar[GtidSet] = MysqlGtidSet.parse("72657365-6564-0000-0000-000000000000:1")

    explain = "EXPLAIN FORMAT=TRADITIONAL"
    comma = "CAST(',' AS BINARY)"
    sums_ranges_cheaply = False
    one_weight_level = ""

    # ---- transactions

    def parse(self, text: str) -> GtidSet:
        return MysqlGtidSet.parse(text)

    def executed(self, session: Session) -> GtidSet:
        return MysqlGtidSet.parse(str(session.value("SELECT @@GLOBAL.gtid_executed")))

    def visible(self, session: Session) -> GtidSet:
        """With what is committing: the storage engine shows a commit, and a source sends it, a
        moment before gtid_executed lists it. Owned first: what is committed in between is then in
        the second.
        """
        owned, executed = session.query("SELECT @@GLOBAL.gtid_owned, @@GLOBAL.gtid_executed")[0]
        return MysqlGtidSet.parse(str(executed)).union(owned_gtids(str(owned)))

    def logged(self, session: Session) -> GtidSet:
        return self.executed(session)

    def purged(self, session: Session) -> GtidSet:
        return MysqlGtidSet.parse(str(session.value("SELECT @@GLOBAL.gtid_purged")))

    def await_executed(self, session: Session, wanted: GtidSet, seconds: float) -> bool:
        return await_gtids(session, "%(wanted)s", seconds, wanted=str(wanted))

    def holds(self, gtids: GtidSet, one: Gtid) -> bool:
        return _set(gtids).has_transaction(str(one.origin), one.number)

    def missing(self, wanted: GtidSet, found: Iterable[Gtid]) -> GtidSet:
        seen = MysqlGtidSet()
        for one in found:
            seen = seen.with_transaction(str(one.origin), one.number)
        return _set(wanted).minus(seen)

    def ranges(self, gtids: GtidSet, identity: Identity) -> list[Range]:
        found: list[Range] = []
        for origin, intervals in _set(gtids).origins():
            uuid, _, tag = origin.partition(":")
            if uuid == identity.uuid:
                found.extend((tag or None, first, last) for first, last in intervals)
        return found

    def position_after(self, gtids: GtidSet) -> Position:
        return MysqlPosition(_set(gtids))

    def history(self, session: Session, kept: GtidSet) -> str:
        tagged = any(":" in origin for origin, _ in _set(kept).origins())
        if tagged and not any(_TAGS in str(row[0]) for row in session.query("SHOW GRANTS")):
            # The server would say so too, but only when it is too late.
            raise ValueError(f"it has GTIDs with tags, and this account lacks {_TAGS}: grant it")
        return str(kept)

    # ---- replication

    def identity(self, session: Session) -> Identity:
        server_id, uuid = session.query("SELECT @@GLOBAL.server_id, @@GLOBAL.server_uuid")[0]
        return Identity(int(server_id), str(uuid).lower(), 0)

    def threads(self, session: Session) -> dict[str, tuple[str, str]]:
        found: dict[str, tuple[str, str]] = {}
        for name, receiver, applier in session.query(_THREADS):
            others = found.get(str(name), ("OFF", "OFF"))
            found[str(name)] = (receiver or others[0], applier or others[1])
        return found

    def channels(self, session: Session) -> tuple[Channel, ...]:
        # The only view that tells the error of an applier and the source's id; one row each.
        shown = {row["Channel_Name"]: row for row in session.query_named("SHOW REPLICA STATUS")}
        return tuple(
            _channel(row, shown.get(row["CHANNEL_NAME"], {}))
            for row in session.query_named(_CHANNELS)
        )

    def applier_errors(self, session: Session) -> list[ApplierError]:
        return [
            ApplierError(int(number or 0), str(text), str(gtid))
            for number, text, gtid in session.query(_APPLIER_ERRORS)
        ]

    def offers_tls(self, session: Session) -> bool:
        enabled = session.value(
            "SELECT MAX(VALUE) FROM performance_schema.tls_channel_status"
            " WHERE CHANNEL = 'mysql_main' AND PROPERTY = 'Enabled'"
        )
        return str(enabled) == "Yes"

    def dump_after(
        self, gtids: GtidSet, server_id: int, *, heartbeat_seconds: float | None = None
    ) -> DumpRequest:
        listed = encode_gtid_set(_set(gtids))
        flags = _THROUGH_GTID | (NON_BLOCKING if heartbeat_seconds is None else 0)
        payload = struct.pack("<HIIQI", flags, server_id, 0, 4, len(listed)) + listed
        settings = self.dump_settings
        if heartbeat_seconds is not None:
            uuid = f"{random.getrandbits(32):08x}-0000-4000-8000-{random.getrandbits(48):012x}"
            period = int(heartbeat_seconds * 1e9)
            settings += f", @source_heartbeat_period = {period}, @replica_uuid = '{uuid}'"
        return DumpRequest((settings,), COM_BINLOG_DUMP_GTID, payload)

    def prepared(self, session: Session) -> tuple[str, ...]:
        """Needs XA_RECOVER_ADMIN."""
        return tuple(map(_xid, session.query_named("XA RECOVER CONVERT XID")))

    def inexact(self, session: Session) -> str | None:  # noqa: ARG002
        return None

    def own_settings(self, domain: int) -> tuple[Setting, ...]:  # noqa: ARG002
        behind = "few workers fall behind, and delay"
        return (
            Setting("replica_parallel_workers", "16", why=behind, rests=True),
            Setting(
                "replica_preserve_commit_order", "ON", why="a history without gaps", rests=True
            ),
            Setting("super_read_only", "ON", When.AT_BOOT, "boot fenced"),
        )

    # ---- expressions

    def xor(self, digest: str) -> str:
        return f"HEX(BIT_XOR(UNHEX({digest})))"

    def text_bytes(self, name: str) -> str:
        return name  # `comma` is binary; a cast would cost a copy

    def raw_bytes(self, name: str) -> str:
        return f"HEX({name})"


def _set(gtids: GtidSet) -> MysqlGtidSet:
    return cast("MysqlGtidSet", gtids)


def owned_gtids(text: str) -> MysqlGtidSet:
    """The transactions of `gtid_owned`: `uuid:7#31:8#32, uuid:tag:1#33`."""
    found = MysqlGtidSet()
    for origin, items in _OWNED.findall(text):
        for item in items.strip(":").split(":"):
            found = found.with_transaction(origin.lower(), int(item.partition("#")[0]))
    return found


def encode_gtid_set(gtids: MysqlGtidSet) -> bytes:
    """The set as the dump command takes it; with tags in the format of 8.3 and newer."""
    origins = list(gtids.origins())
    tagged = any(":" in origin for origin, _ in origins)
    count = len(origins)
    parts = [struct.pack("<Q", 1 << 56 | count << 8 | 1 if tagged else count)]
    for origin, intervals in origins:
        uuid, _, tag = origin.partition(":")
        parts.append(bytes.fromhex(uuid.replace("-", "")))
        if tagged:
            parts.append(bytes([len(tag) << 1]) + tag.encode("ascii"))
        parts.append(struct.pack("<Q", len(intervals)))
        parts.extend(struct.pack("<QQ", first, last + 1) for first, last in intervals)
    return b"".join(parts)


def channel_options(row: dict[str, Any]) -> dict[str, Any]:
    """The `ChannelOptions` of a row of replication_connection_configuration with the delay."""
    return {
        "source": join_address(str(row["HOST"]), int(row["PORT"])),
        "user": str(row["USER"]),
        "by_gtid": str(row["AUTO_POSITION"]) in {"1", "YES"},
        "tls": str(row["SSL_ALLOWED"]) == "YES",
        "retry_seconds": int(row["CONNECTION_RETRY_INTERVAL"]),
        "retry_count": int(row["CONNECTION_RETRY_COUNT"]),
        "heartbeat_seconds": float(row["HEARTBEAT_INTERVAL"]),
        "public_key": str(row["GET_PUBLIC_KEY"]) == "YES",
        "delay_seconds": int(row["DESIRED_DELAY"] or 0),
    }


def _xid(row: dict[str, Any]) -> str:
    """`data` is 0x and both parts of the name, in hexadecimal."""
    digits, length = str(row["data"])[2:], 2 * int(row["gtrid_length"])
    return f"X'{digits[:length]}',X'{digits[length:]}',{int(row['formatID'])}"


def _channel(row: dict[str, Any], more: dict[str, Any]) -> Channel:
    code = int(row["receiver_code"] or 0)
    return Channel(
        **channel_options(row),
        name=str(row["CHANNEL_NAME"]),
        receiver=str(row["receiver"] or "OFF"),
        applier=str(row["applier"] or "OFF"),
        error_code=code or int(more.get("Last_SQL_Errno") or 0),
        error=one_line(row["receiver_error"] or more.get("Last_SQL_Error") or ""),
        source_server_id=int(more.get("Source_Server_Id") or 0),
    )
