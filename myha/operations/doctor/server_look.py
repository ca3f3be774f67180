"""One look at one server: setup's facts, and what only the doctor asks. Changes nothing.

The supervisor's account is enough. Where that cannot log in, as before setup, the administrator's
is tried.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from myha.config import Account, Config
from myha.database.codes import ACCESS_DENIED
from myha.database.connection import LEAST_SECONDS
from myha.database.schemas import OF_SYSTEM
from myha.database.session import Deadline
from myha.errors import ConfigError, MyhaError, ServerError, ServerSilentError
from myha.operations.doctor.findings import Unseen
from myha.operations.heal.reseed.node_host import NodeHost
from myha.operations.log_in import log_in
from myha.operations.setup.facts import Facts
from myha.operations.setup.gather import LOOPBACK, gather
from myha.operations.setup.remarks import Remark
from myha.operations.setup.session import ReadingSession

Got = TypeVar("Got")
SHELL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of one folder of a server; `what` it is for."""

    what: str
    path: str
    free_bytes: int


@dataclass(slots=True)
class ServerLook:
    """What was seen of one server. `facts` is None where nobody could look."""

    node: str
    facts: Facts | None = None
    remarks: list[Remark] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)
    by_admin: bool = False  # the supervisor's account could not log in
    binlog_bytes: int | None = None
    certificate_ends: str = ""
    time_zones: int | None = None
    users: frozenset[str] = frozenset()
    definers: dict[str, tuple[str, ...]] = field(default_factory=dict)  # account: what it defines
    set_at_runtime: tuple[str, ...] = ()
    disks: tuple[Disk, ...] = ()

    def ask(self, what: str, get: Callable[[], Got], default: Got) -> Got:
        """What `get` gives; where it fails, a check that could not be made."""
        try:
            return get()
        except MyhaError as error:
            self.unseen.append(Unseen(what=what, about=self.node, why=str(error)))
        except Exception as error:  # noqa: BLE001  # one check's defect is not in the others' way
            why = f"a defect of myha: {type(error).__name__}: {error}"
            self.unseen.append(Unseen(what=what, about=self.node, why=why))
        return default


def look_at(config: Config, node: str, deadline: Deadline) -> ServerLook:
    """Never raises MyhaError; ends with the deadline."""
    look = ServerLook(node)
    session = _session(config, look, deadline)
    if session is None:
        return look
    with session:
        look.facts = look.ask(
            "the server as a whole", lambda: gather(config, {node: session})[node], None
        )
        if look.facts is not None:
            _ask(config, look, session, look.facts)
    if not look.by_admin:
        look.ask("the administrator's account", partial(_try_admin, config, look, deadline), None)
    return look


def _try_admin(config: Config, look: ServerLook, deadline: Deadline) -> None:
    """Where its password is here, somebody means to use it."""
    try:
        admin = config.accounts.admin()
    except ConfigError:
        return  # kept elsewhere, as it may be
    try:
        log_in(config, look.node, admin, seconds=max(LEAST_SECONDS, deadline.left_seconds)).close()
    except ServerError as error:
        if error.code != ACCESS_DENIED:
            raise
        look.remarks.append(
            Remark(
                "admin-refused",
                look.node,
                f"the login of the administrator {admin.user} is refused",
                "correct accounts.admin_user and its password",
                "setup, repair and reseed cannot be run from here",
            )
        )


def _session(config: Config, look: ServerLook, deadline: Deadline) -> ReadingSession | None:
    with suppress(ConfigError):  # its file has a finding of its own
        account = config.accounts.supervisor()
        try:
            return ReadingSession(config, look.node, account, deadline)
        except ServerError as error:
            if error.code != ACCESS_DENIED:
                look.remarks.append(_unreachable(config, look.node, error))
                return None
            look.remarks.append(_refused(look.node, account))
    try:
        admin = config.accounts.admin()
    except ConfigError as error:
        why = f"the supervisor's account cannot log in, nor the administrator's: {error}"
        look.unseen.append(Unseen(what="the server as a whole", about=look.node, why=why))
        return None
    look.by_admin = True
    try:
        return ReadingSession(config, look.node, admin, deadline)
    except ServerError as error:
        if error.code == ACCESS_DENIED:
            look.remarks.append(_refused(look.node, admin))
        else:
            look.remarks.append(_unreachable(config, look.node, error))
        return None


def _refused(node: str, account: Account) -> Remark:
    return Remark(
        "login-refused",
        node,
        f"the login of {account.user} is refused",
        "correct the password in its file, or run `myha setup`, which makes and mends the accounts",
        "who logs in so can do nothing there",
    )


def _unreachable(config: Config, node: str, error: ServerError) -> Remark:
    text, _, mend = str(error).removeprefix(f"{node}: ").partition("; ")
    silent = isinstance(error, ServerSilentError)
    return Remark(
        "server-silent" if silent else "server-unreachable",
        node,
        text,
        mend or f"check {config.table_of(node)}.host and port, and that the server runs",
        "nothing else could be looked at there",
    )


def _ask(config: Config, look: ServerLook, session: ReadingSession, facts: Facts) -> None:
    look.binlog_bytes = look.ask("the size of the binary logs", lambda: _binlogs(session), None)
    look.certificate_ends = look.ask("the certificate", lambda: _certificate(session), "")
    look.time_zones = look.ask(
        "the time zone tables",
        lambda: int(session.value("SELECT COUNT(*) FROM mysql.time_zone_name")),
        None,
    )
    look.users = look.ask("the accounts", lambda: _users(session), frozenset())
    look.definers = look.ask("the definers", lambda: _definers(session), {})
    look.set_at_runtime = look.ask(
        "what was set while it runs", lambda: _set_at_runtime(session, facts), ()
    )
    look.disks = _disks(config, look, facts)


def _binlogs(session: ReadingSession) -> int:
    return sum(int(row["File_size"]) for row in session.query_named("SHOW BINARY LOGS"))


def _certificate(session: ReadingSession) -> str:
    """As the server writes it: `Jun  1 12:00:00 2035 GMT`."""
    rows = session.query("SHOW GLOBAL STATUS LIKE 'Ssl_server_not_after'")
    return str(rows[0][1]) if rows else ""


def _users(session: ReadingSession) -> frozenset[str]:
    rows = session.query("SELECT User, Host FROM mysql.user")
    return frozenset(f"{user}@{host}" for user, host in rows)


_DEFINERS = f"""
SELECT DEFINER, CONCAT('event ', EVENT_SCHEMA, '.', EVENT_NAME) FROM information_schema.EVENTS
WHERE EVENT_SCHEMA NOT IN {OF_SYSTEM}
UNION ALL
SELECT DEFINER, CONCAT(LOWER(ROUTINE_TYPE), ' ', ROUTINE_SCHEMA, '.', ROUTINE_NAME)
FROM information_schema.ROUTINES
WHERE ROUTINE_SCHEMA NOT IN {OF_SYSTEM} AND SECURITY_TYPE = 'DEFINER'
UNION ALL
SELECT DEFINER, CONCAT('trigger ', TRIGGER_SCHEMA, '.', TRIGGER_NAME)
FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA NOT IN {OF_SYSTEM}
UNION ALL
SELECT DEFINER, CONCAT('view ', TABLE_SCHEMA, '.', TABLE_NAME) FROM information_schema.VIEWS
WHERE TABLE_SCHEMA NOT IN {OF_SYSTEM} AND SECURITY_TYPE = 'DEFINER'
"""


def _definers(session: ReadingSession) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for definer, name in session.query(_DEFINERS):
        found[str(definer)] = (*found.get(str(definer), ()), str(name))
    return found


def _set_at_runtime(session: ReadingSession, facts: Facts) -> tuple[str, ...]:
    """Variables that somebody has set, and that the next start will not have for all we know."""
    rows = session.query(session.flavour.runtime_sql)
    kept = {name.lower() for name in _names_in(facts.fragment or "")}
    return tuple(sorted({str(name).lower() for (name,) in rows} - kept))


def _names_in(fragment: str) -> list[str]:
    """The variables that an option file sets."""
    lines = (line.partition("=")[0].strip() for line in fragment.splitlines() if "=" in line)
    return [line.replace("-", "_") for line in lines if not line.startswith("#")]


def _disks(config: Config, look: ServerLook, facts: Facts) -> tuple[Disk, ...]:
    folders = {"the data": facts.variables.get("datadir", "")}
    if logs := facts.variables.get("log_bin_basename", ""):
        folders["the binary logs"] = str(Path(logs).parent)
    found: list[Disk] = []
    for what, folder in folders.items():
        if folder:
            free = look.ask(f"the disk of {what}", partial(_free, config, look.node, folder), None)
            found += [] if free is None else [Disk(what, folder, free)]
    return tuple(found)


def _free(config: Config, node: str, folder: str) -> int:
    server = config.servers[node]
    if not server.shell and not (server.host in LOOPBACK and Path(folder).is_dir()):
        raise MyhaError(f"it is on another machine, and {config.table_of(node)}.shell is not set")
    return NodeHost(config, node).disk(Path(folder), deadline_seconds=SHELL_SECONDS)[0]
