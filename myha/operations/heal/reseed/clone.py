"""MySQL's CLONE: the node fetches the donor's data files itself, and starts anew with them.

The server ends itself when it has everything (error 3707 where nothing restarts it); until its
process is gone nothing may be started in its place. What a clone does not bring, the node's own
persisted settings and its UUID, stays as it was; what it brings too much, the donor's replication
and the account made for it, is removed.

A server that ends itself waits for two seconds when somebody is still connected. So nobody stays:
who asks how far it is comes anew each time, and the session of the clone goes with its answer.
Whether the server sees that in time is luck; with a session that stays it never does.
"""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress

from myha.config import Config
from myha.core.gtid import GtidSet, MysqlGtidSet
from myha.database import versions
from myha.database.codes import NO_SUCH_TABLE, NO_SUCH_THREAD, tolerated
from myha.database.connection import Endpoint, connect
from myha.database.schemas import OF_SERVERS
from myha.errors import MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.operations.heal.reseed.process import END_DEADLINE_SECONDS, NodeProcess, session_or_none
from myha.operations.heal.reseed.session import ReseedSession
from myha.permit import CancelledError
from myha.progress import Meter, Reporter
from myha.waiting import wait_until
from myha.words import one_line

ACCOUNT = "myha_clone"
CLONE_DEADLINE_SECONDS = 86400.0
LOOK_SECONDS = 0.25
_NOT_RESTARTED = 3707  # the clone is whole, and the server has to be started by somebody
_COPY_STAGES = "'FILE COPY', 'PAGE COPY', 'REDO COPY'"
_CANCEL_DEADLINE_SECONDS = 30.0


def unfit(donor: ReseedSession, node_version: str | None) -> str | None:
    """Why the donor cannot be cloned, None when it can. Installs nothing."""
    if node_version is not None and not versions.can_clone(donor.version, node_version):
        return f"the versions are {donor.version} and {node_version}"
    engines = donor.query_named(
        "SELECT CONCAT(TABLE_SCHEMA, '.', TABLE_NAME) AS t, ENGINE AS e "
        "FROM information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB' "
        f"AND TABLE_SCHEMA NOT IN {OF_SERVERS} LIMIT 1"
    )
    if engines:
        return f"it would leave {engines[0]['t']} ({engines[0]['e']}) empty: only InnoDB is cloned"
    return None


def end_earlier(config: Config, name: str, process: NodeProcess) -> None:
    """End a clone into the node that outlived whoever began it.

    It would go on to its end and then end the server, under whatever a new reseed has begun there.
    A server that is ending already is waited for; the caller starts it anew. Raises MyhaError.
    """
    session = session_or_none(config, name)
    if session is None:
        return
    try:
        with session:
            if session.flavour.clones:
                _end_running(session)
    except ServerGoneError:
        process.await_gone()


def _end_running(session: ReseedSession) -> None:
    """Kill its session until the server says that the clone has failed, or ends."""

    def ended() -> bool:
        running = _running(session)
        if running is not None:
            _kill(session, running)
        return running is None

    if not wait_until(ended, END_DEADLINE_SECONDS, LOOK_SECONDS):
        raise MyhaError(
            f"{session.name}: a clone into it hangs; restart the server, then run this again"
        )


def _running(session: ReseedSession) -> int | None:
    """The id of the session that clones into this server; it may have ended just now."""
    try:
        rows = session.query_named(
            "SELECT PID AS i FROM performance_schema.clone_status WHERE STATE = 'In Progress'"
        )
    except ServerError as error:
        if error.code == NO_SUCH_TABLE:
            return None  # the plugin has never been there
        raise
    return int(rows[0]["i"]) if rows else None


def _kill(session: ReseedSession, number: int) -> None:
    with tolerated(NO_SUCH_THREAD):
        session.query(f"KILL {number}")


class Clone:
    """One clone. `run` leaves the node up with the donor's data; its settings are not seen to."""

    def __init__(
        self,
        config: Config,
        donor: ReseedSession,
        node: ReseedSession,
        process: NodeProcess,
        reporter: Reporter,
    ) -> None:
        self._config = config
        self._donor = donor
        self._node = node
        self._process = process
        self._reporter = reporter
        self._outcome: ServerError | None = None
        self._number = 0  # of the session that clones

    def prepare(self) -> None:
        """Everything that may be refused before the node's data is touched."""
        for session in (self._donor, self._node):
            _install(session)
        self._password = secrets.token_urlsafe(24)
        tls = {"require": "SSL"}.get(self._config.accounts.tls, "NONE")
        with self._donor.writable():
            self._donor.do(
                "make_clone_account", {"user": ACCOUNT, "password": self._password}, tls=tls
            )
        self._log_in_once()

    def _log_in_once(self) -> None:
        """Without TLS the donor knows a new password only after a login that can show it to it."""
        node = self._config.nodes[self._donor.name]
        account = _Login(ACCOUNT, self._password)
        connect(
            Endpoint(node.host, node.port),
            account,
            connect_timeout_seconds=5,
            read_timeout_seconds=5,
            tls=self._config.accounts.tls,
        ).close()

    def run(self, total_bytes: int) -> tuple[int, GtidSet]:
        """Clone, and bring the node up again. What was copied in bytes, and the donor's history."""
        source = self._config.nodes[self._donor.name]
        host, port = source.replication_host, source.replication_port
        self._node.do("allow_donor", {"donor": f"{host}:{port}"})
        self._node.limit = CLONE_DEADLINE_SECONDS
        self._number = self._node.connection_id
        work = threading.Thread(target=self._clone, args=(host, port), daemon=True)
        work.start()
        copied = self._watch(work, total_bytes)
        self._check_outcome()
        self._process.await_gone()
        Meter(self._reporter, "start")
        self._process.start()
        return copied, self._received()

    def _clone(self, host: str, port: int) -> None:
        words = {"require": "REQUIRE SSL", "off": "REQUIRE NO SSL"}
        try:
            self._node.do(
                "clone",
                {"user": ACCOUNT, "host": host, "password": self._password},
                port=str(port),
                tls=words.get(self._config.accounts.tls, ""),
            )
        except ServerError as error:
            self._outcome = error
        finally:
            self._node.close()

    def _watch(self, work: threading.Thread, total_bytes: int) -> int:
        """Report what the recipient says until the clone ends; stop it when we are to stop."""
        meter = Meter(self._reporter, "copy", total=total_bytes, unit="bytes")
        copied = 0
        while True:
            work.join(LOOK_SECONDS)
            if not work.is_alive():
                break
            with (
                suppress(ServerGoneError, ServerSilentError),
                ReseedSession(self._config, self._node.name) as looker,
            ):
                copied = max(copied, self._progress(looker, meter))
            if why := self._reporter.permit.refusal():
                self._cancel(work, why)
        meter.total = meter.done = max(copied, 1)
        meter.report()
        return copied

    def _cancel(self, work: threading.Thread, why: str) -> None:
        with suppress(ServerError), ReseedSession(self._config, self._node.name) as session:
            session.query(f"KILL QUERY {self._number}")
        work.join(_CANCEL_DEADLINE_SECONDS)
        raise CancelledError(f"stopped {why}; the next run starts the clone over")

    def _progress(self, looker: ReseedSession, meter: Meter) -> int:
        row = looker.query_named(
            "SELECT CAST(SUM(IF(STATE = 'Not Started', 0, ESTIMATE)) AS SIGNED) AS total, "
            "CAST(SUM(DATA) AS SIGNED) AS done FROM performance_schema.clone_progress "
            f"WHERE STAGE IN ({_COPY_STAGES}) AND BEGIN_TIME IS NOT NULL"
        )[0]
        done = int(row["done"] or 0)
        meter.total = max(int(row["total"] or 0), done) or meter.total
        meter.to(done)
        return done

    def _check_outcome(self) -> None:
        """The session ends with 3707, or with its server; else the server says what is wrong."""
        error = self._outcome
        if error is None or error.code == _NOT_RESTARTED:
            return
        if isinstance(error, ServerGoneError):
            return  # restarted by its manager, or dead: `_received` tells which
        raise MyhaError(f"the clone failed: {error}") from error

    def _received(self) -> GtidSet:
        """The donor's history as of the clone; MyhaError when this is not its data."""
        with self._process.session() as session:
            rows = session.query_named(
                "SELECT STATE AS s, ERROR_MESSAGE AS e, GTID_EXECUTED AS g "
                "FROM performance_schema.clone_status"
            )
            state = str(rows[0]["s"]) if rows else "not begun"
            if state != "Completed":
                said = one_line(rows[0]["e"]) if rows else ""
                raise MyhaError(
                    f"{session.name}: the clone is {state.lower()}: {said or 'no reason'}"
                )
            return MysqlGtidSet.parse(str(rows[0]["g"]))

    def clean_up(self) -> None:
        """Take the account away again, as far as the donor can be reached."""
        with suppress(ServerError), self._donor.writable():
            self._donor.do("drop_clone_account", {"user": ACCOUNT})


def clean_up_copy(session: ReseedSession) -> None:
    """Remove from the node what the clone brought too much."""
    session.forget_replication()
    session.do("drop_clone_account", {"user": ACCOUNT})


def _install(session: ReseedSession) -> None:
    state = session.value(
        "SELECT PLUGIN_STATUS FROM information_schema.PLUGINS WHERE PLUGIN_NAME = 'clone'"
    )
    if state == "ACTIVE":
        return
    if state is not None:
        raise ServerError(f"{session.name}: the plugin clone is {state}; enable it, or restart")
    with session.writable():
        session.do("install_clone")


class _Password:
    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        return self._text


class _Login:
    """An account that lives for one clone."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = _Password(password)
