"""Who holds up the applier of a MariaDB server, or a session of the supervisor's own.

Who waits for a lock on a name (a table, or all of them) is known, who holds it only where a plugin
is loaded that hardly anybody loads. So all are ended who may; that is said, and not done for a wait
that is over an instant later, as those of parallel appliers for each other are.
"""

from __future__ import annotations

from myha.database.session import WarmSession
from myha.servers.holders import Holder
from myha.servers.mariadb_fence import SESSIONS, WAITS_FOR_ACK

APART_SECONDS = 0.05
_WAITS_FOR_NAME = "p.STATE LIKE 'Waiting for %% lock'"
_OURS = "p.USER IN ('system user', %(user)s)"
_WAITING = f"SELECT p.ID FROM information_schema.PROCESSLIST p WHERE {_OURS} AND {_WAITS_FOR_NAME}"
_CLIENT = f"{SESSIONS} AND p.USER <> %(user)s"
# A commit ends by itself, and to kill one may tell others OK; who waits holds nobody up for long.
_MAY = (
    "SELECT p.ID, p.USER, p.HOST FROM information_schema.PROCESSLIST p"
    f" WHERE {_CLIENT} AND NOT COALESCE(p.STATE LIKE 'Commit%%', 0)"
    f" AND NOT COALESCE({WAITS_FOR_ACK}, 0) AND NOT COALESCE({_WAITS_FOR_NAME}, 0) ORDER BY p.ID"
)
_BY_ROW = (
    "SELECT DISTINCT c.ID, c.USER, c.HOST FROM information_schema.INNODB_LOCK_WAITS w"
    " JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id"
    " JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id"
    " JOIN information_schema.PROCESSLIST p ON p.ID = r.trx_mysql_thread_id"
    " JOIN information_schema.PROCESSLIST c ON c.ID = b.trx_mysql_thread_id"
    f" WHERE {_OURS} AND {_CLIENT.replace('p.', 'c.')} ORDER BY c.ID"
)


def holders(session: WarmSession, user: str) -> list[Holder]:
    """The clients that hold, or may hold, what others wait for; `user`: the supervisor's."""
    known = {"user": user}
    waiting = {number for (number,) in session.query(_WAITING, known)}
    rows = session.query(_BY_ROW, known)
    if waiting:
        session.query(f"SELECT SLEEP({APART_SECONDS})")
        if waiting & {number for (number,) in session.query(_WAITING, known)}:
            rows = session.query(_MAY, known)
    return [Holder(int(number), name or "", _host(where)) for number, name, where in rows]


def _host(where: str | None) -> str:
    """Without the port."""
    return (where or "").rpartition(":")[0] or (where or "")
