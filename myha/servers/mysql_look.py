"""What a look at a MySQL server reads, in one round trip, and what that says."""

from __future__ import annotations

from myha.core.node import Acknowledger, ReplicationThread, ThreadState
from myha.core.values import value
from myha.database.connection import Row
from myha.database.flavours import MYSQL
from myha.database.session import WarmSession
from myha.servers import mysql_settings
from myha.servers.base import one_row
from myha.servers.receiver import ReceiverThread
from myha.words import one_line

# A client's threads, by name: one for each connection, or the thread pool's.
CLIENT_THREADS = (
    "(t.NAME = 'thread/sql/one_connection' OR t.NAME LIKE 'thread/thread\\_pool/%%')"
    " AND t.PROCESSLIST_ID IS NOT NULL AND t.PROCESSLIST_COMMAND NOT LIKE 'Binlog Dump%%'"
)
WAITS_FOR_ACK = "t.PROCESSLIST_STATE LIKE 'Waiting for semi-sync ACK%%'"
# A group commit's members have this state too while their leader waits for an acknowledgement.
_COMMITS = "t.PROCESSLIST_TIME >= 1 AND t.PROCESSLIST_STATE = 'waiting for handler commit'"
# States in which a statement has done its work and cannot end.
_STUCK = (
    f"({_COMMITS} OR t.PROCESSLIST_TIME >= 1 AND (t.PROCESSLIST_STATE IN"
    f" ('Waiting for commit lock', 'Waiting for global read lock') OR {WAITS_FOR_ACK}))"
)
_STATES = {
    "ON": ThreadState.RUNNING,
    "CONNECTING": ThreadState.CONNECTING,
    "OFF": ThreadState.STOPPED,
}
RECEIVED = (
    "(SELECT COALESCE(GROUP_CONCAT(RECEIVED_TRANSACTION_SET), '')"
    " FROM performance_schema.replication_connection_status)"
)
# Its thread is not in the view of its state while it tries to connect. Of several it may be any.
_RECEIVER = (
    "SELECT c.SERVICE_STATE, (SELECT IF(COUNT(*) = 1, MAX(t.PROCESSLIST_ID), 0)"
    " FROM performance_schema.threads t"
    " WHERE t.NAME IN ('thread/sql/replica_io', 'thread/sql/slave_io'))"
    " FROM performance_schema.replication_connection_status c WHERE c.CHANNEL_NAME = ''"
)
# A replica that asks for semi-sync sets user variables in its session before it asks for the dump;
# that is how the server itself knows. "session uuid host user" of each, tabs between them.
CONNECTIONS = "connections"
_ACKNOWLEDGERS = (
    "(SELECT COALESCE(GROUP_CONCAT(CONCAT_WS(' ', t.PROCESSLIST_ID,"
    " COALESCE((SELECT MAX(CONVERT(u.VARIABLE_VALUE USING utf8mb4))"
    " FROM performance_schema.user_variables_by_thread u WHERE u.THREAD_ID = t.THREAD_ID"
    " AND u.VARIABLE_NAME IN ('replica_uuid', 'slave_uuid')), '-'),"
    " REPLACE(t.PROCESSLIST_USER, ',', ' '), t.PROCESSLIST_HOST) SEPARATOR '\t'), '')"
    " FROM performance_schema.threads t WHERE t.PROCESSLIST_COMMAND LIKE 'Binlog Dump%%'"
    " AND EXISTS (SELECT 1 FROM performance_schema.user_variables_by_thread v"
    " WHERE v.THREAD_ID = t.THREAD_ID"
    " AND v.VARIABLE_NAME IN ('rpl_semi_sync_replica', 'rpl_semi_sync_slave')"
    " AND CONVERT(v.VARIABLE_VALUE USING utf8mb4) <> '0'))"
)


@value(frozen=True, slots=True)
class Facts:
    """What holds for one connection: it cannot outlive the process, nor a plugin's absence it."""

    uuid: str
    version: str
    boot_id: str
    source_word: str  # "source" or "master"; empty without the plugin
    replica_word: str  # "replica" or "slave"; empty without the plugin
    heartbeat: bool  # the table is there
    look_sql: str


_STARTED = (
    "SELECT CAST(UNIX_TIMESTAMP() - VARIABLE_VALUE AS SIGNED)"
    " FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Uptime'"
)
_PROCESS = (
    "SELECT THREAD_OS_ID FROM performance_schema.threads WHERE NAME = 'thread/sql/main' LIMIT 1"
)


def boot_id_of(session: WarmSession) -> str:
    """Of the life that the session is in."""
    row = session.query(f"SELECT @@GLOBAL.server_uuid, ({_STARTED}), ({_PROCESS})")
    return ":".join(map(str, one_row(row, "identity")))


def learn(session: WarmSession) -> Facts:
    row = one_row(
        session.query(
            "SELECT @@GLOBAL.server_uuid, VERSION(),"
            f" ({_STARTED}), ({_PROCESS}),"
            " (SELECT GROUP_CONCAT(VARIABLE_NAME) FROM performance_schema.global_variables"
            "  WHERE VARIABLE_NAME LIKE 'rpl\\_semi\\_sync\\_%\\_enabled'),"
            " (SELECT COUNT(*) FROM information_schema.TABLES"
            "  WHERE TABLE_SCHEMA = 'myha' AND TABLE_NAME = 'heartbeat')"
        ),
        "identity",
    )
    uuid, version, started, process, names, heartbeat = row
    words = {name.split("_")[3] for name in (names or "").split(",") if name}
    source = next((word for word in ("source", "master") if word in words), "")
    replica = next((word for word in ("replica", "slave") if word in words), "")
    return Facts(
        uuid=uuid,
        version=version,
        boot_id=f"{uuid}:{started}:{process}",
        source_word=source,
        replica_word=replica,
        heartbeat=bool(heartbeat),
        look_sql=_look_sql(source, replica, heartbeat=bool(heartbeat)),
    )


def _look_sql(source: str, replica: str, *, heartbeat: bool) -> str:
    """Everything in one round trip: one row for each channel, or one row without any."""
    beats = "(SELECT GROUP_CONCAT(server_id, '=', ts) FROM myha.heartbeat)" if heartbeat else "NULL"
    return (
        "SELECT @@GLOBAL.server_id, @@GLOBAL.read_only, @@GLOBAL.super_read_only,"
        " @@GLOBAL.offline_mode, @@GLOBAL.gtid_executed,"
        f" {semisync_variables(source, replica)}, {semisync_status(source, replica)}, {beats},"
        " (SELECT CONCAT(COUNT(*), ' ',"
        f" COALESCE(GROUP_CONCAT(IF({_STUCK}, t.PROCESSLIST_ID, NULL)), ''), ' ',"
        f" COALESCE(GROUP_CONCAT(IF({_COMMITS}, t.PROCESSLIST_ID, NULL)), ''))"
        f" FROM performance_schema.threads t WHERE {CLIENT_THREADS}"
        " AND COALESCE(t.PROCESSLIST_USER, '') <> %(user)s),"
        f" {mysql_settings.FILTERS},"
        " c.CHANNEL_NAME, c.HOST, c.PORT, s.SERVICE_STATE, s.LAST_ERROR_NUMBER,"
        " s.LAST_ERROR_MESSAGE, a.SERVICE_STATE,"
        " CONCAT_WS('/', s.SOURCE_UUID, s.THREAD_ID, s.COUNT_RECEIVED_HEARTBEATS,"
        " s.QUEUEING_TRANSACTION, (SELECT SUM_NUMBER_OF_BYTES_WRITE"
        " FROM performance_schema.file_summary_by_event_name"
        " WHERE EVENT_NAME = 'wait/io/file/sql/relaylog')),"
        " s.RECEIVED_TRANSACTION_SET"
        " FROM (SELECT 1) one"
        " LEFT JOIN performance_schema.replication_connection_configuration c ON TRUE"
        " LEFT JOIN performance_schema.replication_connection_status s"
        " ON s.CHANNEL_NAME = c.CHANNEL_NAME"
        " LEFT JOIN performance_schema.replication_applier_status a"
        " ON a.CHANNEL_NAME = c.CHANNEL_NAME"
    )


def semisync_variables(source: str, replica: str) -> str:
    """An expression: enabled, timeout, wait point, wait without replica, acknowledgements waited
    for, replica's side enabled."""
    of_source = "'0', '0', '', '0', '1'"
    if source:
        prefix = f"@@GLOBAL.rpl_semi_sync_{source}"
        peer = "replica" if source == "source" else "slave"
        of_source = (
            f"{prefix}_enabled, {prefix}_timeout, {prefix}_wait_point, {prefix}_wait_no_{peer},"
            f" {prefix}_wait_for_{peer}_count"
        )
    of_replica = f"@@GLOBAL.rpl_semi_sync_{replica}_enabled" if replica else "'0'"
    return f"CONCAT_WS(',', {of_source}, {of_replica})"


def semisync_status(source: str, replica: str, *, who: bool = True) -> str:
    """An expression: the status values as `name=value,...`, and with them the connections."""
    names = [f"Rpl_semi_sync_{source}_{it}" for it in ("status", "clients", "wait_sessions")]
    if not source:
        names = []
    if replica:
        names.append(f"Rpl_semi_sync_{replica}_status")
    if not names:
        return "NULL"
    listed = ", ".join(f"'{name}'" for name in names)
    values = (
        "(SELECT GROUP_CONCAT(VARIABLE_NAME, '=', VARIABLE_VALUE)"
        f" FROM performance_schema.global_status WHERE VARIABLE_NAME IN ({listed}))"
    )
    return (
        f"CONCAT_WS(',', {values}, CONCAT('{CONNECTIONS}=', {_ACKNOWLEDGERS}))" if who else values
    )


def acknowledgers(text: str) -> tuple[Acknowledger, ...]:
    found = []
    for connection in text.split("\t"):
        if connection:
            number, identity, host, user = connection.split(" ", 3)
            found.append(Acknowledger(int(number), user, host, identity))
    return tuple(found)


def channel_of(row: Row | None) -> tuple[ReplicationThread, ReplicationThread, str, str]:
    """Receiver, applier, source and progress of the default channel."""
    if row is None or not row[11]:
        return ReplicationThread(), ReplicationThread(), "", ""
    receiver = ReplicationThread(
        _STATES.get(row[13], ThreadState.STOPPED), int(row[14] or 0), one_line(row[15] or "")
    )
    applier = ReplicationThread(_STATES.get(row[16], ThreadState.STOPPED))
    return receiver, applier, f"{row[11]}:{row[12]}", f"{row[17]}/{row[18]}"


def applier_error(session: WarmSession) -> ReplicationThread | None:
    """The stopped applier with its error, a worker's before the coordinator's; None without one."""
    errors = [one for one in MYSQL.applier_errors(session) if one.errno]
    if not errors:
        return None
    return ReplicationThread(ThreadState.STOPPED, errors[0].errno, one_line(errors[0].message))


def lag_bytes(session: WarmSession) -> int | None:
    """Bytes received and not yet applied. What the source has not sent yet is not in it."""
    rows = session.query_named("SHOW REPLICA STATUS")
    if not rows:
        return None
    status = rows[0]
    if status["Source_Log_File"] == status["Relay_Source_Log_File"]:
        return max(0, int(status["Read_Source_Log_Pos"]) - int(status["Exec_Source_Log_Pos"]))
    return max(0, int(status["Relay_Log_Space"]) - int(status["Relay_Log_Pos"]))


def receiver_error(session: WarmSession) -> tuple[int, str]:
    rows = session.query(
        "SELECT LAST_ERROR_NUMBER, LAST_ERROR_MESSAGE"
        " FROM performance_schema.replication_connection_status WHERE CHANNEL_NAME = ''"
    )
    return (int(rows[0][0]), one_line(rows[0][1])) if rows else (0, "")


def receiver_thread(session: WarmSession) -> ReceiverThread:
    """The default channel's. One that is connected may be taking an event in."""
    rows = session.query(_RECEIVER)
    if not rows:
        return ReceiverThread(0, ThreadState.STOPPED, takes=False)
    state = _STATES.get(rows[0][0], ThreadState.STOPPED)
    return ReceiverThread(int(rows[0][1] or 0), state, takes=state is ThreadState.RUNNING)
