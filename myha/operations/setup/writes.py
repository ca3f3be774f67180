"""Who writes on a server by itself, as its binary log shows it: a sample of a few seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

from myha.database.session import Session

SAMPLE_SECONDS = 2.0
EVENTS_LIMIT = 2000  # of each file: enough to tell that there are writes
_MARIADB_GTID = re.compile(r"GTID (\d+)-\d+-\d+")


@dataclass(frozen=True, slots=True)
class Writes:
    """Transactions that began on the server itself; `domains` are theirs (MariaDB)."""

    count: int = 0
    domains: frozenset[int] = frozenset()


def sample(sessions: Mapping[str, Session], seconds: float = SAMPLE_SECONDS) -> dict[str, Writes]:
    """What each server writes within `seconds`. Raises ServerError."""
    ends = {name: _log_end(session) for name, session in sessions.items()}
    time.sleep(seconds)
    return {name: _writes(session, *ends[name]) for name, session in sessions.items()}


def _log_end(session: Session) -> tuple[str, int]:
    """The file and the byte at which the binary log ends now. (By a statement that all know.)"""
    name, size, *_ = session.query("SHOW BINARY LOGS")[-1]
    return str(name), int(size)


def _writes(session: Session, file: str, offset: int) -> Writes:
    own = int(session.value("SELECT @@GLOBAL.server_id"))
    names = [str(row[0]) for row in session.query("SHOW BINARY LOGS")]
    newer = names[names.index(file) :] if file in names else names[-1:]
    count, domains = 0, set()
    for name in newer:
        begins = offset if name == file else 4
        for event in session.query_named(
            f"SHOW BINLOG EVENTS IN %(file)s FROM {begins} LIMIT {EVENTS_LIMIT}", {"file": name}
        ):
            if int(event["Server_id"]) == own and _begins_transaction(str(event["Event_type"])):
                count += 1
                found = _MARIADB_GTID.search(str(event["Info"]))
                domains |= {int(found[1])} if found else set()
    return Writes(count, frozenset(domains))


def _begins_transaction(kind: str) -> bool:
    """`Gtid`, `Gtid_tagged`, `Anonymous_Gtid`; not `Gtid_list`, nor `Previous_gtids`."""
    return kind.startswith(("Gtid", "Anonymous")) and kind != "Gtid_list"
