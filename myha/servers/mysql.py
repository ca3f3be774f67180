"""MySQL 8.0.26 and newer, as the supervisor sees and changes it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from myha.core.gtid import GtidSet, MysqlGtidSet
from myha.core.node import NodeLook, SemiSync, ThreadState
from myha.core.settings import ChannelOptions, Difference, Kind, Setting
from myha.database.codes import UNKNOWN_VARIABLE
from myha.database.connection import Row
from myha.database.flavours import MYSQL
from myha.database.flavours.mysql import await_gtids
from myha.database.session import Deadline, WarmSession
from myha.errors import ServerError
from myha.servers import mysql_holders, mysql_settings
from myha.servers.base import BaseServer, heartbeats_of, ids, one_row
from myha.servers.closing import Client
from myha.servers.holders import Holder
from myha.servers.mysql_look import (
    CLIENT_THREADS,
    CONNECTIONS,
    RECEIVED,
    WAITS_FOR_ACK,
    Facts,
    acknowledgers,
    applier_error,
    boot_id_of,
    channel_of,
    lag_bytes,
    learn,
    receiver_error,
    receiver_thread,
    semisync_status,
    semisync_variables,
)
from myha.servers.receiver import ReceiverThread

CLOSE_AGAIN_SECONDS = 1.0
SLEEP_SECONDS = 3600  # of the statement whose end says that the server shuts down
LAG_BYTES_EVERY = 10  # looks: SHOW REPLICA STATUS takes locks that the looks do without


class MySQLServer(BaseServer):
    """One MySQL server.

    `boot_id` is `server_uuid:second of start:process id`. The server keeps the second of its start,
    and `Uptime` is the second in which the asking statement began, minus that one. Hence
    `UNIX_TIMESTAMP() - Uptime`, taken in one statement, gives the second of the start exactly: the
    same for every look and every supervisor. The main thread's id tells two lives apart that began
    within one second (in a container it may be 1 for both).
    """

    flavour = MYSQL

    _facts: Facts
    _look_text = ""
    _looks = 0
    _lag_bytes: int | None = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._settings = mysql_settings.SettingsReader()
        self._asleep = self._session()

    def hangup_fds(self) -> tuple[int, ...]:
        """The watch connection's, and that of a sleeping statement.

        A server that is told to shut down ends what runs at once, and refuses new connections; an
        idle connection it keeps for as long as the shutdown takes.
        """
        watching = super().hangup_fds()
        if not watching:
            return ()
        if not self._asleep.waiting:
            # A full server answers looks and refuses a login: it is then left to the next look.
            with contextlib.suppress(ServerError):
                self._asleep.send(
                    "DO SLEEP(%s)", (SLEEP_SECONDS,), deadline_seconds=self.call_deadline_seconds
                )
        fd = self._asleep.fileno()
        return watching if fd < 0 else (*watching, fd)

    def look(self) -> NodeLook:
        with contextlib.suppress(ServerError):
            if self._asleep.waiting:
                self._asleep.receive(0.0)  # it has ended, or been ended: begun anew after the look
        return super().look()

    def leave_watch(self) -> None:
        super().leave_watch()
        self._asleep.close()

    def _learn(self, session: WarmSession) -> None:
        self._facts = learn(session)
        self._look_text = session.text(self._facts.look_sql, {"user": self.account.user})
        self._settings.forget()
        self.offers_tls = self.flavour.offers_tls(session)
        self._drift.changed()

    def _look(self, session: WarmSession, at: float) -> NodeLook:
        facts = self._facts
        rows = session.query(self._look_text)
        look = self._read_look(session, one_row(rows, self.name), rows, at)
        if look.applier.state is ThreadState.STOPPED and look.source:
            look = replace(look, applier=applier_error(session) or look.applier)
        self._looks += 1
        if self._looks % LAG_BYTES_EVERY == 1 and look.source:
            self._lag_bytes = lag_bytes(session)
        sign = one_row(rows, self.name)[9]  # how many filters
        differs = self._look_for_differences(session, look, sign)
        if differs:
            look = replace(look, differs=differs)
        if not facts.heartbeat and self._looks % LAG_BYTES_EVERY == 0:
            self._watch_life = -1  # the table may have been made meanwhile
        return look

    def _read_look(self, session: WarmSession, first: Row, rows: list[Row], at: float) -> NodeLook:
        facts = self._facts
        server_id, read_only, super_read_only, offline, executed_text = first[:5]
        semi, status, beats, clients = first[5:9]
        executed = MysqlGtidSet.parse(executed_text)
        received = executed
        for row in rows:
            received = received.union(MysqlGtidSet.parse(row[-1] or ""))
        channel = next((row for row in rows if row[10] == ""), None)
        self.heartbeats = heartbeats_of(beats)
        count, stuck, commits = (clients or "0  ").split(" ")
        now = time.monotonic()
        stalled = self._stalls.stalled_seconds(ids(stuck), now)
        receiver, applier, source, progress = channel_of(channel)
        others = [f"{row[11]}:{row[12]}" for row in rows if row[10]]
        return NodeLook(
            at=at,
            server_id=int(server_id),
            server_uuid=facts.uuid,
            boot_id=facts.boot_id,
            version=facts.version,
            open=not read_only and not super_read_only,
            executed=executed,
            received=received,
            receiver=receiver,
            applier=applier,
            source=",".join([source, *others]) if others else source,
            progress=progress,
            semisync=self._semisync(facts, semi, status),
            sessions=int(count),
            lag_bytes=self._lag_bytes if source else None,
            writes_stalled_seconds=stalled,
            commits_stuck_seconds=self._commits_stuck_seconds(session, ids(commits), now),
            stall_reason="commits do not end" if stalled else "",
            offline=bool(offline),
            schema=facts.heartbeat,
        )

    def _binlog_bytes(self, session: WarmSession) -> int:
        return int(
            session.value(
                "SELECT SUM_NUMBER_OF_BYTES_WRITE"
                " FROM performance_schema.file_summary_by_event_name"
                " WHERE EVENT_NAME = 'wait/io/file/sql/binlog'"
            )
        )

    def _semisync(self, facts: Facts, variables: str, status: str | None) -> SemiSync:
        enabled, timeout_ms, point, no_replica, count, replica_enabled = variables.split(",")
        values = dict(pair.split("=", 1) for pair in (status or "").split(",") if pair)
        connections = acknowledgers(values.pop(CONNECTIONS, ""))
        prefix = f"Rpl_semi_sync_{facts.source_word}_"
        fits = self._timeout_fits(int(timeout_ms or 0))
        on = values.get(prefix + "status") == "ON"
        return SemiSync(
            # Without a client, and told not to wait for one, it is as good as off.
            source_enabled=enabled == "1" and (on or no_replica == "1"),
            source_waits=enabled == "1"
            and on
            and fits
            and point == "AFTER_SYNC"
            and no_replica == "1",
            source_clients=int(values.get(prefix + "clients", 0)),
            replica_enabled=replica_enabled == "1",
            waiting_sessions=int(values.get(prefix + "wait_sessions", 0)),
            acknowledgers=connections,
            source_wait_count=int(count or 1),
            source_may_wait_for_several=bool(facts.source_word),
            replica_acknowledges=values.get(f"Rpl_semi_sync_{facts.replica_word}_status") == "ON",
            source_timeout_fits=fits,
        )

    def received(self) -> GtidSet:
        with self._step(self.call_deadline_seconds) as session:
            sql = f"SELECT CONCAT_WS(',', @@GLOBAL.gtid_executed, NULLIF({RECEIVED}, ''))"
            return MysqlGtidSet.parse(session.value(sql))

    def _read_settings(
        self, wanted: tuple[Setting, ...], session: WarmSession
    ) -> tuple[Difference, ...]:
        return self._settings.differences(wanted, session)

    def _by_hand(self, one: Difference) -> str:
        how = "PERSIST_ONLY" if one.kind is Kind.AT_BOOT else "PERSIST"
        return f"SET {how} {one.name} = {one.wanted}"

    def _read_channel(self, session: WarmSession) -> tuple[ChannelOptions | None, dict[str, str]]:
        return mysql_settings.channel(session)

    def _receiver(self, session: WarmSession) -> ReceiverThread:
        return receiver_thread(session)

    def start_replication(self, deadline_seconds: float) -> None:
        """Start both threads and wait until the receiver is connected.

        A receiver that sits out its retry pause is started anew. Clients are admitted again if an
        unfinished fence has left the server offline: a node that replicates is known to be good.
        """
        with self._step(deadline_seconds) as session:
            self._prepare_for_replication(session.deadline)
            if self._switch_semisync(session) or self._threads(session)[0] == "CONNECTING":
                self._run(session, "stop_receiver")
            self._run(session, "start_replication")
            self._until(
                lambda: self._replicates(session), session.deadline, "no connection to the source"
            )
            if self._is_closed(session):
                self._run(session, "admit_clients")

    def _receives(self, session: WarmSession) -> bool:
        return self._threads(session)[0] != "OFF"

    def _switch_semisync(self, session: WarmSession) -> bool:
        word = self._words(session)["replica"]
        variable = f"SELECT @@GLOBAL.rpl_semi_sync_{word}_enabled"
        try:
            if bool(int(session.value(variable))) is self._acknowledges:
                return False
        except ServerError as error:
            if error.code == UNKNOWN_VARIABLE:  # the plugin is not loaded: durability is "async"
                return False
            raise
        block = "ask_for_semisync" if self._acknowledges else "stop_asking_for_semisync"
        self._run(session, block)
        return True

    def _replicates(self, session: WarmSession) -> bool:
        state, _ = self._threads(session)
        if state == "OFF":
            number, text = receiver_error(session)
            reason = text or "no source is configured, or replication was stopped again"
            raise ServerError(f"{self.name}: the receiver does not run: {reason}", number)
        self._ensure_applier(session)
        return state == "ON"

    def _boot_id(self, session: WarmSession) -> str:
        return boot_id_of(session)

    def open(self, deadline_seconds: float, boot_id: str = "") -> None:
        with self._step(deadline_seconds) as session:
            self._require_life(session, boot_id)
            self._run_in_time(session, "open")
            state = "SELECT @@GLOBAL.read_only + @@GLOBAL.super_read_only + @@GLOBAL.offline_mode"
            if int(session.value(state)):
                raise ServerError(f"{self.name}: still read-only or offline when read back")

    def fence(self, deadline_seconds: float) -> None:
        """Cut the clients off, then stop waiting, then read-only; then clients may read again.

        Offline mode cuts off all but administrators' sessions, and those are killed. The threads
        that waited for an acknowledgement stay until the source side is off, and have nobody left
        to tell. If that does not succeed in full, the server stays offline. Offline mode ends when
        read-only is on and none of the old sessions is left: nothing can be acknowledged then.
        """
        with self._step(deadline_seconds) as session:
            self._run(session, "cut_clients")
            denied = self._end_clients(session, until_none_is_left=True)
            if any(c.waits and c.user in denied for c in self._clients(session)):
                raise ServerError(
                    f"{self.name}: a commit of {', '.join(sorted(denied))} waits for an"
                    " acknowledgement and may not be cut off: grant the supervisor SYSTEM_USER"
                )
            self._disable_waiting(session)

            def end_all(second: WarmSession, _: float) -> None:
                self._kill_all(second)

            self._close(session, 0.0, end_all)
            self._until(
                lambda: all(c.user in denied for c in self._clients(session)),
                session.deadline,
                "sessions that were cut off have not ended",
            )
            self._run(session, "admit_clients")

    def disable_waiting(self, deadline_seconds: float) -> None:
        """Let commits go on, those that wait included.

        Switching the source side off releases them at once, but takes the server up to a second
        more, in which it holds the lock of its global variables: new logins stand still, and so
        does whoever reads one. So where the server knows already that no standby is connected, it
        is only told not to wait for absent ones, which costs nothing.
        """
        with self._step(deadline_seconds) as session:
            facts = self._known(session)
            if facts.source_word and not self._released(session):
                self._disable_waiting(session)

    def _released(self, session: WarmSession) -> bool:
        """Whether waiting has ended since no standby is connected."""
        self._run_in_time(session, "wait_for_present_only")
        return not self._semisync_now(session).source_enabled

    def _disable_waiting(self, session: WarmSession) -> None:
        if self._known(session).source_word:  # without the plugin nothing waits
            super()._disable_waiting(session)

    def _semisync_now(self, session: WarmSession, *, who: bool = False) -> SemiSync:
        facts = self._known(session)
        row = session.query(
            f"SELECT {semisync_variables(facts.source_word, facts.replica_word)},"
            f" {semisync_status(facts.source_word, facts.replica_word, who=who)}"
        )
        return self._semisync(facts, *one_row(row, self.name))

    def _known(self, session: WarmSession) -> Facts:
        """The watcher's facts, or those that this session finds before the first look."""
        if not hasattr(self, "_facts"):
            self._facts = learn(session)
        return self._facts

    def _words(self, session: WarmSession) -> dict[str, str]:
        facts = self._known(session)
        return {"source": facts.source_word or "source", "replica": facts.replica_word or "replica"}

    def _is_closed(self, session: WarmSession) -> bool:
        return bool(int(session.value("SELECT @@GLOBAL.super_read_only")))

    def _clients(self, session: WarmSession) -> list[Client]:
        # Of the supervisor's own, a heartbeat or proof whose commit waits is in the way like any
        # client's.
        rows = session.query(
            f"SELECT t.PROCESSLIST_ID, t.PROCESSLIST_USER, COALESCE({WAITS_FOR_ACK}, 0)"
            f" FROM performance_schema.threads t WHERE {CLIENT_THREADS}"
            " AND (COALESCE(t.PROCESSLIST_USER, '') <> %(user)s"
            f" OR t.PROCESSLIST_STATE = 'waiting for handler commit' OR {WAITS_FOR_ACK})",
            {"user": self.account.user},
        )
        return [
            Client(int(number), user or "", waits=bool(waits), commits=bool(waits))
            for number, user, waits in rows
        ]

    def _account_sessions(self, session: WarmSession, account: str) -> list[tuple[int, bool]]:
        rows = session.query(
            f"SELECT t.PROCESSLIST_ID, COALESCE({WAITS_FOR_ACK}"
            " OR t.PROCESSLIST_STATE = 'waiting for handler commit', 0)"
            f" FROM performance_schema.threads t WHERE {CLIENT_THREADS}"
            " AND t.PROCESSLIST_USER = %(user)s",
            {"user": account},
        )
        return [(int(number), bool(commits)) for number, commits in rows]

    def _blockers(self, session: WarmSession, closer: int) -> set[int]:
        rows = session.query(
            "SELECT DISTINCT t.PROCESSLIST_ID FROM performance_schema.metadata_locks m"
            " JOIN performance_schema.threads t ON t.THREAD_ID = m.OWNER_THREAD_ID"
            " WHERE m.OBJECT_TYPE IN ('GLOBAL', 'COMMIT') AND m.LOCK_STATUS = 'GRANTED'"
            f" AND {CLIENT_THREADS} AND t.PROCESSLIST_ID <> %(closer)s"
            f" AND NOT COALESCE({WAITS_FOR_ACK}, 0)",
            {"closer": closer},
        )
        return {int(number) for (number,) in rows}

    def _holders(self, session: WarmSession) -> list[Holder]:
        return mysql_holders.holders(session, self.account.user)

    def _wait_applied(self, session: WarmSession, seconds: float) -> bool:
        return await_gtids(session, RECEIVED, seconds)

    @contextlib.contextmanager
    def _alterable(self, session: WarmSession) -> Iterator[None]:
        """Super-read-only binds us too, so it is lifted for that moment; read-only stays on.

        The server begins again with events at once then, and with those whose definer may write
        under read-only that would be a write: so its scheduler rests meanwhile.
        """
        state = "SELECT @@GLOBAL.super_read_only, @@GLOBAL.event_scheduler"
        rows = session.query(state)
        closed, scheduler = one_row(rows, self.name)
        if not int(closed):
            yield
            return
        runs = scheduler == "ON"
        try:
            if runs:
                self._run(session, "stop_scheduler")
            self._run(session, "let_us_alter_events")
            yield
        finally:
            session.limit = Deadline(max(CLOSE_AGAIN_SECONDS, session.left_seconds))
            self._run(session, "close_again")
            if runs:
                self._run(session, "start_scheduler")

    def _ensure_applier(self, session: WarmSession) -> None:
        if self._threads(session)[1] != "OFF":
            return
        failed = applier_error(session)
        if failed is not None:
            raise ServerError(f"{self.name}: the applier has failed: {failed.error}", failed.errno)
        self._run(session, "start_applier")
