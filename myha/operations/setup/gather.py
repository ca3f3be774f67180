"""Reading a server's facts. Nothing here changes anything."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from myha.config import Account, Config
from myha.database.codes import ACCESS_DENIED
from myha.database.schemas import OF_SYSTEM, OUR_SCHEMA
from myha.database.session import Session as ServerSession
from myha.errors import ConfigError, ServerError
from myha.operations.log_in import log_in
from myha.operations.setup.facts import (
    Facts,
    Login,
    Session,
    Table,
)
from myha.operations.setup.grants import parse_grants
from myha.operations.setup.session import NodeSession
from myha.servers.events import SCHEDULER_DISABLED
from myha.servers.wanted import INCREMENT
from myha.waiting import wait_until

AT_WORK_SECONDS = 2  # a supervisor looks at its servers more often than that
LEFT_SECONDS = 4.0  # by then the sessions that one has left are gone, or older than that
LOOK_SECONDS = 0.1
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SYSTEM_ACCOUNTS = {"mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "root", ""}


def gather(config: Config, sessions: Mapping[str, NodeSession]) -> dict[str, Facts]:
    """The facts of both servers, with the second reading of their histories."""
    found = {name: _facts(config, session) for name, session in sessions.items()}
    return {
        name: replace(facts, executed_later=sessions[name].executed())
        for name, facts in found.items()
    }


def _facts(config: Config, session: NodeSession) -> Facts:
    before = time.time()
    server_time = float(session.value("SELECT UNIX_TIMESTAMP(NOW(6))"))
    doubt = time.time() - before
    variables = global_variables(session)
    history = session.executed()
    node = config.servers[session.name]
    fragment, missed = _fragment(session, node.option_file)
    events = _events(session)
    return Facts(
        node=session.name,
        flavour=session.flavour,
        version=session.version,
        server_id=int(variables["server_id"]),
        server_uuid=variables.get("server_uuid", ""),
        executed=history,
        executed_later=history,
        variables=variables,
        persisted=_persisted(session) if session.flavour.persists else {},
        configured=_configured(session),
        plugins=_plugins(session),
        privileges=frozenset(
            str(row["Privilege"]).upper() for row in session.query_named("SHOW PRIVILEGES")
        ),
        enabled_events=tuple(str(row["e"]) for row in events if str(row["s"]) == "ENABLED"),
        schemas=frozenset(str(row["s"]).lower() for row in session.query_named(_SCHEMAS)),
        tables=_tables(session),
        objects=int(session.value(_OBJECTS) or 0) + len(events),
        channels=session.flavour.channels(session),
        filters=session.flavour.filters(session),
        replica_ids=_replica_ids(session),
        accounts=_accounts(session, config),
        supervisor=_login(
            config, session, config.accounts.supervisor_user, config.accounts.supervisor
        ),
        replication=_login(
            config, session, config.accounts.replication_user, config.accounts.replication
        ),
        our_columns=_our_columns(session),
        claim=_claim(session),
        tls=session.flavour.offers_tls(session),
        clock_ahead_seconds=server_time - before - doubt / 2,
        clock_doubt_seconds=doubt,
        disk_free_bytes=_disk_free(node.host, variables.get("datadir", "")),
        stale_sessions=stale_sessions(config, session),
        fragment=fragment,
        fragment_missed=missed,
    )


# --- settings ----------------------------------------------------------------------------------


def global_variables(session: ServerSession) -> dict[str, str]:
    rows = session.query_named("SHOW GLOBAL VARIABLES")
    return {str(row["Variable_name"]).lower(): str(row["Value"]) for row in rows}


def _persisted(session: NodeSession) -> dict[str, str]:
    rows = session.query_named(
        "SELECT VARIABLE_NAME AS n, VARIABLE_VALUE AS v FROM performance_schema.persisted_variables"
    )
    return {str(row["n"]).lower(): str(row["v"]) for row in rows}


def _configured(session: NodeSession) -> frozenset[str]:
    """Variables that still are what the server began with, so that a restart keeps them.

    On MariaDB only those that its option files set: the compiled defaults are of no interest there.
    """
    rows = session.query(session.flavour.configured_sql)
    return frozenset(str(name).lower() for (name,) in rows)


def _plugins(session: NodeSession) -> frozenset[str]:
    rows = session.query_named(
        "SELECT PLUGIN_NAME AS n FROM information_schema.PLUGINS "
        "WHERE PLUGIN_STATUS = 'ACTIVE' AND PLUGIN_NAME LIKE 'rpl%'"
    )
    return frozenset(str(row["n"]).lower() for row in rows)


def _fragment(session: NodeSession, file: Path | None) -> tuple[str | None, bool]:
    """The option file fragment as it lies there, and whether the server started without reading."""
    if file is None or session.flavour.persists:
        return None, False
    try:
        text = file.read_text(encoding="utf-8")
        written = file.stat().st_mtime
    except (OSError, UnicodeDecodeError):
        return None, False
    uptime = session.query_named("SHOW GLOBAL STATUS LIKE 'Uptime'")[0]["Value"]
    started_after = time.time() - float(uptime) > written + 1
    return text, started_after and "relay_log_recovery" not in _configured(session)


def _disk_free(host: str, datadir: str) -> int | None:
    if host not in LOOPBACK or not Path(datadir).is_dir():
        return None
    try:
        status = os.statvfs(datadir)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


# --- data --------------------------------------------------------------------------------------

_NOT_OURS = f"NOT IN {OF_SYSTEM}"
_SCHEMAS = f"SELECT SCHEMA_NAME AS s FROM information_schema.SCHEMATA WHERE SCHEMA_NAME {_NOT_OURS}"
_OBJECTS = (
    f"SELECT (SELECT COUNT(*) FROM information_schema.VIEWS WHERE TABLE_SCHEMA {_NOT_OURS})"
    f" + (SELECT COUNT(*) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA {_NOT_OURS})"
    f" + (SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA {_NOT_OURS}) AS n"
)
_EVENTS = (
    "SELECT CONCAT(EVENT_SCHEMA, '.', EVENT_NAME) AS e, STATUS AS s FROM information_schema.EVENTS "
    f"WHERE EVENT_SCHEMA {_NOT_OURS} ORDER BY e"
)
_TABLES = f"""
SELECT t.TABLE_SCHEMA AS s, t.TABLE_NAME AS n, t.ENGINE AS e, t.DATA_LENGTH AS b,
       COALESCE(g.TRANSACTIONS, 'NO') AS x, c.shape AS shape,
       EXISTS (SELECT 1 FROM information_schema.TABLE_CONSTRAINTS k
               WHERE k.TABLE_SCHEMA = t.TABLE_SCHEMA AND k.TABLE_NAME = t.TABLE_NAME
                 AND k.CONSTRAINT_TYPE = 'PRIMARY KEY') AS has_key
FROM information_schema.TABLES t
LEFT JOIN information_schema.ENGINES g ON g.ENGINE = t.ENGINE
LEFT JOIN (SELECT TABLE_SCHEMA, TABLE_NAME,
                  SHA2(GROUP_CONCAT(COLUMN_NAME, ' ', COLUMN_TYPE, ' ', IS_NULLABLE
                                    ORDER BY ORDINAL_POSITION SEPARATOR ','), 256) AS shape
           FROM information_schema.COLUMNS WHERE TABLE_SCHEMA {_NOT_OURS}
           GROUP BY TABLE_SCHEMA, TABLE_NAME) c
  ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME
WHERE t.TABLE_TYPE = 'BASE TABLE' AND t.TABLE_SCHEMA {_NOT_OURS}
"""


def _tables(session: NodeSession) -> tuple[Table, ...]:
    return tuple(
        Table(
            schema=str(row["s"]),
            name=str(row["n"]),
            engine=str(row["e"] or "none"),
            has_key=bool(row["has_key"]),
            transactional=str(row["x"]) == "YES",
            data_bytes=int(row["b"] or 0),
            shape=str(row["shape"] or ""),
        )
        for row in session.query_named(_TABLES)
    )


def _events(session: NodeSession) -> list[dict[str, Any]]:
    """None where the scheduler is disabled at the start: MariaDB then does not show any."""
    try:
        return session.query_named(_EVENTS)
    except ServerError as error:
        if error.code != SCHEDULER_DISABLED:
            raise
        return []


def _claim(session: NodeSession) -> tuple[str, str] | None:
    rows = session.rows_if_there("SELECT store, holder FROM myha.claim")
    return (str(rows[0][0]), str(rows[0][1])) if rows else None


def claimant_lives(session: NodeSession) -> bool:
    """Whether the account that has claimed the node has a session that does something.

    Those that are left of one that is gone only grow old: MySQL does not see that a client has left
    before its statement has ended, and one of a supervisor's sleeps. Says no as soon as that is
    so, and yes after LEFT_SECONDS. Who looks with that account itself cannot tell, and says no.
    """
    rows = session.rows_if_there("SELECT account FROM myha.claim")
    if not rows or str(session.value("SELECT CURRENT_USER()")).split("@")[0] == str(rows[0][0]):
        return False
    account = str(rows[0][0])
    return not wait_until(lambda: not _at_work(session, account), LEFT_SECONDS, LOOK_SECONDS)


def _at_work(session: NodeSession, account: str) -> bool:
    ages = (
        one["Time"]
        for one in session.query_named("SHOW PROCESSLIST")
        if one["User"] == account and one["Time"] is not None
    )
    return any(int(age) <= AT_WORK_SECONDS for age in ages)


def _our_columns(session: NodeSession) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for row in session.query_named(
        "SELECT TABLE_NAME AS t, COLUMN_NAME AS c FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = %(schema)s ORDER BY TABLE_NAME, ORDINAL_POSITION",
        {"schema": OUR_SCHEMA},
    ):
        table = str(row["t"])
        found[table] = (*found.get(table, ()), str(row["c"]))
    return found


# --- replication -------------------------------------------------------------------------------


def _replica_ids(session: NodeSession) -> tuple[int, ...]:
    """Server ids of replicas that are connected, the pair's own included."""
    rows = session.query_named(session.flavour.replicas_sql)
    return tuple(
        sorted(int(row["Server_Id" if "Server_Id" in row else "Server_id"]) for row in rows)
    )


# --- accounts and sessions ---------------------------------------------------------------------


def _accounts(session: NodeSession, config: Config) -> frozenset[str]:
    """The accounts that are the user's own business, as user@host."""
    ours = {config.accounts.supervisor_user, config.accounts.replication_user}
    rows = session.query_named("SELECT User AS u, Host AS h FROM mysql.user")
    return frozenset(
        f"{row['u']}@{row['h']}"
        for row in rows
        if row["h"] and str(row["u"]) not in SYSTEM_ACCOUNTS | ours
    )


def _login(
    config: Config, session: NodeSession, user: str, account: Callable[[], Account]
) -> Login:
    rows = session.query_named(
        "SELECT ssl_type AS t FROM mysql.user WHERE User = %(user)s AND Host = '%%'",
        {"user": user},
    )
    if not rows:
        return Login()
    grants = session.query_named("SHOW GRANTS FOR %(user)s@'%%'", {"user": user})
    return Login(
        exists=True,
        password_works=_password_works(config, session.name, account),
        requires_tls=bool(rows[0]["t"]),
        grants=parse_grants(str(next(iter(row.values()))) for row in grants),
    )


def _password_works(config: Config, name: str, account: Callable[[], Account]) -> bool:
    """True as well where the password cannot be read here: then nobody can tell."""
    try:
        log_in(config, name, account()).close()
    except ConfigError:
        return True
    except ServerError as error:
        if error.code == ACCESS_DENIED:
            return False
        raise
    return True


def stale_sessions(config: Config, session: NodeSession) -> tuple[Session, ...]:
    """Clients' sessions that began before the present increments and still hold others."""
    if session.name in config.replicas:
        return ()  # no client generates ids there
    if session.flavour.shows_session_variables:
        offset = config.nodes[session.name].auto_increment_offset
        rows = session.query_named(
            "SELECT t.PROCESSLIST_ID AS id, t.PROCESSLIST_USER AS u, t.PROCESSLIST_HOST AS h "
            "FROM performance_schema.threads t "
            "JOIN performance_schema.variables_by_thread v USING (THREAD_ID) "
            "WHERE t.TYPE = 'FOREGROUND' AND t.PROCESSLIST_ID IS NOT NULL "
            "AND t.PROCESSLIST_ID <> CONNECTION_ID() "
            "AND t.NAME = 'thread/sql/one_connection' "
            "AND COALESCE(t.PROCESSLIST_COMMAND, '') NOT IN ('Binlog Dump', 'Binlog Dump GTID') "
            "AND (v.VARIABLE_NAME, v.VARIABLE_VALUE) NOT IN "
            "(('auto_increment_increment', %(increment)s), ('auto_increment_offset', %(offset)s)) "
            "AND v.VARIABLE_NAME IN ('auto_increment_increment', 'auto_increment_offset') "
            "GROUP BY t.THREAD_ID ORDER BY 1",
            {"increment": str(INCREMENT), "offset": str(offset)},
        )
    else:
        rows = _older_sessions(session)
    return tuple(Session(int(row["id"]), str(row["u"]), str(row["h"])) for row in rows)


def _older_sessions(session: NodeSession) -> list[dict[str, object]]:
    origin = session.value(
        "SELECT GLOBAL_VALUE_ORIGIN FROM information_schema.SYSTEM_VARIABLES "
        "WHERE VARIABLE_NAME = 'AUTO_INCREMENT_INCREMENT'"
    )
    known = session.value(
        "SELECT COUNT(*) FROM information_schema.TABLES "
        "WHERE TABLE_SCHEMA = 'myha' AND TABLE_NAME = 'increments'"
    )
    if origin != "SQL" or not known:
        return []
    return session.query_named(
        "SELECT p.ID AS id, p.USER AS u, p.HOST AS h FROM information_schema.PROCESSLIST p "
        "JOIN myha.increments i ON i.server_id = @@server_id "
        "WHERE p.ID < i.connection_id AND i.connection_id <= CONNECTION_ID() "
        "AND p.ID <> CONNECTION_ID() AND p.COMMAND NOT IN ('Daemon', 'Binlog Dump') "
        "AND p.USER NOT IN ('system user', 'event_scheduler')"
    )
