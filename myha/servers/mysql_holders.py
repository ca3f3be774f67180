"""Who holds up the applier of a MySQL server, or a session of the supervisor's own."""

from __future__ import annotations

from myha.database.session import WarmSession
from myha.servers.holders import Holder
from myha.servers.mysql_look import CLIENT_THREADS, WAITS_FOR_ACK

_APPLIERS = (
    "'thread/sql/replica_sql', 'thread/sql/replica_worker',"
    " 'thread/sql/slave_sql', 'thread/sql/slave_worker'"
)
_WAITS = f"(w.NAME IN ({_APPLIERS}) OR w.PROCESSLIST_USER = %(user)s)"
# Of the locks on one thing those that are in a writer's way; in that of DDL all are.
_IN_THE_WAY = (
    "(m.LOCK_TYPE IN ('SHARED_READ_ONLY', 'SHARED_NO_WRITE', 'SHARED_NO_READ_WRITE', 'EXCLUSIVE')"
    " OR m.LOCK_TYPE = 'SHARED' AND m.OBJECT_TYPE IN ('GLOBAL', 'COMMIT', 'BACKUP LOCK')"
    " OR p.LOCK_TYPE IN ('EXCLUSIVE', 'SHARED_NO_WRITE', 'SHARED_NO_READ_WRITE'))"
)
_BY_NAME = (
    "SELECT m.OWNER_THREAD_ID FROM performance_schema.metadata_locks p"
    " JOIN performance_schema.threads w ON w.THREAD_ID = p.OWNER_THREAD_ID"
    " JOIN performance_schema.metadata_locks m ON m.OBJECT_TYPE = p.OBJECT_TYPE"
    " AND m.OBJECT_SCHEMA <=> p.OBJECT_SCHEMA AND m.OBJECT_NAME <=> p.OBJECT_NAME"
    f" WHERE p.LOCK_STATUS = 'PENDING' AND m.LOCK_STATUS = 'GRANTED' AND {_WAITS} AND {_IN_THE_WAY}"
)
_BY_ROW = (
    "SELECT l.BLOCKING_THREAD_ID FROM performance_schema.data_lock_waits l"
    " JOIN performance_schema.threads w ON w.THREAD_ID = l.REQUESTING_THREAD_ID"
    f" WHERE {_WAITS}"
)
_CLIENTS = (
    "SELECT t.PROCESSLIST_ID, t.PROCESSLIST_USER, t.PROCESSLIST_HOST"
    f" FROM performance_schema.threads t WHERE {CLIENT_THREADS}"
    f" AND t.PROCESSLIST_USER <> %(user)s AND NOT COALESCE({WAITS_FOR_ACK}, 0)"
    f" AND t.THREAD_ID IN ({_BY_NAME} UNION {_BY_ROW}) ORDER BY t.PROCESSLIST_ID"
)


def holders(session: WarmSession, user: str) -> list[Holder]:
    """The clients that hold what others wait for; `user`: the supervisor's account."""
    rows = session.query(_CLIENTS, {"user": user})
    return [Holder(int(number), name or "", host or "") for number, name, host in rows]
