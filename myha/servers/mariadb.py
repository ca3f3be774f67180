"""MariaDB 10.11 and newer, as the supervisor sees and changes it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from myha.binlog.stream import TORN_LOG
from myha.core.gtid import GtidSet, MariadbGtidSet
from myha.core.model import NodeLook, SemiSync, ThreadState
from myha.core.settings import ChannelOptions, Difference, Setting
from myha.database.flavours import MARIADB
from myha.database.flavours.mariadb import CHANNELS
from myha.database.session import Deadline, WarmSession
from myha.errors import ServerError
from myha.servers import mariadb_settings
from myha.servers.base import BaseServer, heartbeats_of, one_row
from myha.servers.closing import Client
from myha.servers.mariadb_look import (
    DUMPS,
    Status,
    acknowledgers_of,
    applier_of,
    lag_bytes_of,
    progress_of,
    receiver_of,
    sources_of,
)

STOPPING_SECONDS = 0.05
IDLE_SPARED_SECONDS = 0.2  # in a fence: few idle sessions hold up read-only (LOCK TABLES does)
HEARTBEAT_TABLE_EVERY = 10  # looks, until it is there

_WAITS_FOR_ACK = "p.STATE LIKE 'Waiting for semi-sync ACK%%'"
_SESSIONS = (
    "p.USER NOT IN ('system user', 'event_scheduler', 'unauthenticated user')"
    " AND p.COMMAND NOT IN ('Binlog Dump', 'Daemon')"
)
_CLIENTS = f"{_SESSIONS} AND p.USER <> %(user)s"
# Of the supervisor's own, a heartbeat or proof whose commit waits is in the way like any client's.
_COMMITS = f"(p.STATE LIKE 'Commit%%' OR {_WAITS_FOR_ACK})"
_TO_END = f"{_SESSIONS} AND (p.USER <> %(user)s OR {_COMMITS})"
# States in which a statement has done its work and cannot end.
_STUCK = (
    "p.TIME_MS >= 1000 AND (p.STATE IN ('Commit', 'Commit implicit', 'Waiting for backup lock',"
    f" 'Waiting for prior transaction to commit') OR {_WAITS_FOR_ACK})"
)
_SEMISYNC_VARIABLES = (
    "@@GLOBAL.rpl_semi_sync_master_enabled, @@GLOBAL.rpl_semi_sync_master_timeout,"
    " @@GLOBAL.rpl_semi_sync_master_wait_point, @@GLOBAL.rpl_semi_sync_master_wait_no_slave,"
    " @@GLOBAL.rpl_semi_sync_slave_enabled"
)
_SEMISYNC_STATUS = "SHOW STATUS LIKE 'Rpl\\_semi\\_sync\\_%'"


@dataclass(frozen=True, slots=True)
class _Facts:
    """What holds for one connection: it cannot outlive the process."""

    version: str
    boot_id: str
    heartbeat: bool  # the table is there


class MariaDBServer(BaseServer):
    """One MariaDB server.

    `boot_id` is `server_uid:second of start`. The server keeps the second of its start, and
    `Uptime` is the second in which the asking statement began, minus that one. Hence
    `UNIX_TIMESTAMP() - Uptime`, taken in one statement, gives it exactly: the same for every look
    and every supervisor. Two lives that began within one second are not told apart.

    The executed set is what the binary log has, with what the replica position has beside: a server
    that was seeded has the latter only.
    """

    flavour = MARIADB
    gtid_domain = 0
    _lacks: tuple[Difference, ...] = ()  # what was seen to be missing in this life's option file

    _facts: _Facts
    _looks = 0

    def _learn(self, session: WarmSession) -> None:
        rows = session.query(
            "SELECT VERSION(), @@GLOBAL.server_uid,"
            " (SELECT CAST(UNIX_TIMESTAMP() - VARIABLE_VALUE AS SIGNED)"
            "  FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'),"
            " (SELECT COUNT(*) FROM information_schema.TABLES"
            "  WHERE TABLE_SCHEMA = 'myha' AND TABLE_NAME = 'heartbeat')"
        )
        version, uid, started, heartbeat = one_row(rows, self.name)
        boot_id = f"{uid}:{started}"
        if not hasattr(self, "_facts") or self._facts.boot_id != boot_id:
            self._lacks = ()
        self._facts = _Facts(version, boot_id, bool(heartbeat))
        self.offers_tls = self.flavour.offers_tls(session)
        self._drift.changed()

    def _look(self, session: WarmSession, at: float) -> NodeLook:
        facts = self._facts
        beats = "(SELECT GROUP_CONCAT(server_id, '=', ts) FROM myha.heartbeat)"
        # What was executed is read before what was received: nothing is ever missing between them
        # that was not so at some moment.
        row = one_row(
            session.query(
                "SELECT @@GLOBAL.server_id, @@GLOBAL.server_uid, @@GLOBAL.read_only,"
                " @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos,"
                f" {beats if facts.heartbeat else 'NULL'},"
                f" (SELECT CONCAT(COUNT(*), ' ', COALESCE(GROUP_CONCAT(IF({_STUCK}, p.ID, NULL)),"
                f" '')) FROM information_schema.PROCESSLIST p WHERE {_CLIENTS}),"
                f" {_SEMISYNC_VARIABLES}, @@GLOBAL.replicate_events_marked_for_skip",
                {"user": self.account.user},
            ),
            self.name,
        )
        server_id, uid, read_only, binlog_pos, slave_pos, beats_text, clients = row[:7]
        semisync = self._semisync(tuple(row[7:-1]), session)
        channels = session.query_named(CHANNELS)
        executed = MariadbGtidSet.parse(binlog_pos).union(MariadbGtidSet.parse(slave_pos))
        received = executed
        for channel in channels:
            received = received.union(MariadbGtidSet.parse(channel["Gtid_IO_Pos"] or ""))
        self.heartbeats = heartbeats_of(beats_text)
        count, _, stuck = (clients or "0 ").partition(" ")
        now = time.monotonic()
        stalled = self._stalls.stalled_seconds({int(s) for s in stuck.split(",") if s}, now)
        own = next((c for c in channels if c["Connection_name"] == "" and c["Master_Host"]), None)
        skips = str(row[-1])
        options, filters = mariadb_settings.options(own), mariadb_settings.filters(own, skips)
        self._looks += 1
        if not facts.heartbeat and self._looks % HEARTBEAT_TABLE_EVERY == 0:
            self._watch_life = -1  # the table may have been made meanwhile
        look = NodeLook(
            at=at,
            server_id=int(server_id),
            server_uuid=uid,
            boot_id=facts.boot_id,
            version=facts.version,
            open=not int(read_only),
            executed=executed,
            received=received,
            receiver=receiver_of(own),
            applier=applier_of(own),
            source=sources_of(channels),
            progress=progress_of(own),
            semisync=semisync,
            sessions=int(count),
            lag_bytes=lag_bytes_of(own),
            writes_stalled_seconds=stalled,
            stall_reason="commits do not end" if stalled else "",
            schema=facts.heartbeat,
        )
        sign = (options, *filters.items())
        differs = self._look_for_differences(session, look, sign)
        return replace(look, differs=differs) if differs else look

    def _semisync(
        self, variables: tuple[Any, ...], session: WarmSession, *, who: bool = True
    ) -> SemiSync:
        enabled, timeout_ms, point, no_replica, replica_enabled = variables
        rows = session.query(_SEMISYNC_STATUS)
        every: dict[str, str] = dict(rows)
        status = {name.removeprefix("Rpl_semi_sync_master_"): text for name, text in rows}
        clients = int(status.get("clients", 0))
        fits = self._timeout_fits(int(timeout_ms))
        return SemiSync(
            source_enabled=bool(int(enabled)),
            source_waits=bool(int(enabled))
            and status.get("status") == "ON"
            and fits
            and point == "AFTER_SYNC"
            and bool(int(no_replica)),
            source_clients=clients,
            replica_enabled=bool(int(replica_enabled)),
            waiting_sessions=int(status.get("wait_sessions", 0)),
            acknowledgers=acknowledgers_of(session) if clients and who else (),
            replica_acknowledges=every.get("Rpl_semi_sync_slave_status") == "ON",
            source_timeout_fits=fits,
        )

    def _semisync_now(self, session: WarmSession, *, who: bool = False) -> SemiSync:
        rows = session.query(f"SELECT {_SEMISYNC_VARIABLES}")
        return self._semisync(one_row(rows, self.name), session, who=who)

    def received(self) -> GtidSet:
        with self._step(self.call_deadline_seconds) as session:
            received: GtidSet = self.flavour.executed(session)
            for channel in session.query_named(CHANNELS):
                received = received.union(MariadbGtidSet.parse(channel["Gtid_IO_Pos"] or ""))
            return received

    def _read_settings(
        self, wanted: tuple[Setting, ...], session: WarmSession
    ) -> tuple[Difference, ...]:
        """Also what the option file was seen to lack, as long as this life of the server lasts."""
        now = mariadb_settings.values(wanted, session)
        self.gtid_domain = int(now["gtid_domain_id"])
        other = self.peer.gtid_domain if isinstance(self.peer, MariaDBServer) else 0
        found = mariadb_settings.differences(wanted, now, other)
        if found:
            lacks = mariadb_settings.lacks(found, self._option_file, session)
            known = {one.name for one in self._lacks}
            self._lacks += tuple(one for one in lacks if one.name not in known)
        return (*found, *self._lacks)

    def _by_hand(self, one: Difference) -> str:
        return f"SET GLOBAL {one.name} = {one.wanted}"

    def _read_channel(self, session: WarmSession) -> tuple[ChannelOptions | None, dict[str, str]]:
        own = self._channel(session)
        skips = session.value(mariadb_settings.SKIPS)
        return mariadb_settings.options(own), mariadb_settings.filters(own, skips)

    def stop_receiver(self, deadline_seconds: float) -> None:
        """The receiver takes in nothing more; its thread may end a moment later.

        A receiver asked to stop is marked so at once and queues and acknowledges nothing from then
        on. Its thread may still try for `rpl_semi_sync_slave_kill_conn_timeout` seconds to tell its
        source good-bye. A source that hangs does not answer that, and a failover must not wait.
        """
        deadline = Deadline(deadline_seconds)
        with self._control.fresh(deadline) as stopping, self._control.borrow(deadline) as session:
            (statement,) = self._sql.all("stop_receiver", **self._words(session))
            stopping.send(statement)
            while stopping.receive(min(STOPPING_SECONDS, deadline.left_seconds)) is None:
                if self._is_being_stopped(session, stopping.connection_id):
                    return
                if deadline.passed:
                    raise ServerError(f"{self.name}: the receiver has not stopped")
            self._until(
                lambda: receiver_of(self._channel(session)).state is ThreadState.STOPPED,
                session.deadline,
                "the receiver has not stopped",
            )

    def _is_being_stopped(self, session: WarmSession, stopper: int) -> bool:
        rows = session.query(
            "SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = %(id)s", {"id": stopper}
        )
        return bool(rows) and rows[0][0] == "Killing slave"

    def stop_replication(self, deadline_seconds: float) -> None:
        with self._step(deadline_seconds) as session:
            self._run(session, "stop_replication")

            def stopped() -> bool:
                channel = self._channel(session)
                states = {receiver_of(channel).state, applier_of(channel).state}
                return states == {ThreadState.STOPPED}

            self._until(stopped, session.deadline, "replication has not stopped")

    def start_replication(self, deadline_seconds: float) -> None:
        """Start both threads and wait until the receiver is connected.

        A receiver that sits out its retry pause is started anew, and so is one that came to where
        a killed source left half an event: it has all that stands before, and the source sends
        from its next file then.
        """
        with self._step(deadline_seconds) as session:
            self._prepare_for_replication(session.deadline)
            asked = int(session.value("SELECT @@GLOBAL.rpl_semi_sync_slave_enabled"))
            if not asked:
                self._run(session, "ask_for_semisync")
            state = receiver_of(self._channel(session)).state
            if state is ThreadState.CONNECTING or (not asked and state is not ThreadState.STOPPED):
                self._run(session, "stop_receiver")
            if state is not ThreadState.RUNNING:
                self._align_position(session)
            self._run(session, "start_replication")
            tears: set[str] = set()
            self._until(
                lambda: self._replicates(session, tears),
                session.deadline,
                "no connection to the source",
            )

    def _align_position(self, session: WarmSession) -> None:
        """Let the position count what this node itself wrote and its peer has.

        `gtid_slave_pos` knows of replicated transactions only. A former writer would ask its peer
        for its own old ones, which that one may have purged, or reset in a rewind; and the present
        writer must not ask for what its peer does not have yet.
        """
        if self.peer is None:
            return
        with self.peer._step(session.left_seconds) as peers:
            theirs = self.flavour.executed(peers)
        wanted = self.flavour.executed(session).intersection(theirs)
        applied = str(session.value("SELECT @@GLOBAL.gtid_slave_pos"))
        if self.flavour.parse(applied).contains(wanted):
            return
        if not self._applies_all(session, 0.001):
            return  # received and not applied: a full stop would throw it away
        self._run(session, "stop_replication")
        self._run(session, "set_position", {"position": str(wanted)})

    def _replicates(self, session: WarmSession, tears: set[str]) -> bool:
        """Whether it does. `tears`: the positions up to which it had received at torn files."""
        channel = self._channel(session)
        receiver = receiver_of(channel)
        if receiver.state is ThreadState.STOPPED:
            received = channel["Gtid_IO_Pos"] if channel is not None else ""
            if TORN_LOG in receiver.error and received not in tears:
                tears.add(received)
                self._run(session, "start_replication")
                return False
            reason = receiver.error or "no source is configured, or replication was stopped again"
            raise ServerError(f"{self.name}: the receiver does not run: {reason}", receiver.errno)
        self._ensure_applier(session)
        return receiver.state is ThreadState.RUNNING

    def open(self, deadline_seconds: float) -> None:
        with self._step(deadline_seconds) as session:
            self._run_in_time(session, "open")
            if self._is_closed(session):
                raise ServerError(f"{self.name}: still read-only when read back")

    def fence(self, deadline_seconds: float) -> None:
        """Nobody may hear OK for a commit that nobody has acknowledged; then read-only.

        A thread waits for the acknowledgement on behalf of its whole commit group. KILL ends its
        wait without an answer to its own client, but all others of its group hear OK. So nothing
        is killed in a group that can still move, and the one that waits last of all:

        1. No acknowledgement comes in any more (the replicas' connections are ended): the commit
           that waits stays where it is, and all others behind it.
        2. Read-only is asked for, which waits for those commits; no statement begins behind it.
        3. Once one commit waits, and all later ones so stand behind it, all sessions are killed but
           that one; their connections are shut by that.
        4. Then that one. What it lets go has nobody left to tell.

        While no commit waits, a session in a transaction may yet become the one that waits for
        others: only those are ended that hold up read-only, and none while another commits.

        What an account with READ_ONLY ADMIN begins later is beyond any fence on MariaDB.
        """
        with self._step(deadline_seconds) as session:
            self._end_acknowledgements(session)
            closer = session.connection_id
            killed: set[int] = set()

            def silence(second: WarmSession, seconds: float) -> None:
                if not self._waits_for_lock(second, closer):
                    return
                self._end_acknowledgements(second)  # a replica may be back by now
                clients = self._clients(second)
                if any(one.waits for one in clients) or self._applier_waits(second):
                    self._silence(second, clients, killed)
                else:
                    idle_too = seconds >= IDLE_SPARED_SECONDS
                    self._end_holders(second, clients, idle_too=idle_too)

            self._close(session, 0.0, silence)
            denied = self._end_clients(session, until_none_is_left=False)
            if any(c.waits and c.user in denied for c in self._clients(session)):
                raise ServerError(
                    f"{self.name}: a commit of {', '.join(sorted(denied))} waits for an"
                    " acknowledgement and may not be cut off: end it by hand"
                )
            self._disable_waiting(session)

    def _end_acknowledgements(self, session: WarmSession) -> None:
        """End the replicas' connections where commits wait for them. They connect again in time."""
        if not self._semisync_now(session).source_enabled:
            return

        def ended() -> bool:
            for number, _, _ in session.query(DUMPS):
                self._kill(session, Client(int(number), ""))
            return self._semisync_now(session).source_clients == 0

        self._until(ended, session.deadline, "a replica still acknowledges")

    def _waits_for_lock(self, session: WarmSession, closer: int) -> bool:
        rows = session.query(
            "SELECT STATE FROM information_schema.PROCESSLIST WHERE ID = %(id)s", {"id": closer}
        )
        return bool(rows) and str(rows[0][0]).startswith("Waiting for")

    def _end_holders(self, session: WarmSession, clients: list[Client], *, idle_too: bool) -> None:
        """Kill who works, or with `idle_too` everybody, as long as nobody commits.

        Looked at anew before each one: he may have come to his commit, with others behind him.
        """
        for client in clients:
            now = {one.id: one for one in self._clients(session)}
            if any(one.commits for one in now.values()):
                return
            if client.id in now and (idle_too or now[client.id].works):
                self._kill(session, client)

    def _silence(self, session: WarmSession, clients: list[Client], killed: set[int]) -> None:
        """Kill all but the commit that waits; that one too as soon as it is the only one left.

        The node's own applier may be the one that waits. For it there is nobody to tell.
        """
        for client in clients:
            if not client.waits and self._kill(session, client):
                killed.add(client.id)
        left = [one for one in self._clients(session) if one.id not in killed]
        if any(one.commits and not one.waits for one in left):
            return
        # Whoever else is left has connected since, and stands behind read-only.
        waiting = [one for one in left if one.waits]
        killed.update(one.id for one in waiting if self._kill(session, one))
        if not waiting and self._applier_waits(session):
            self._run_in_time(session, "disable_waiting")

    def _disable_waiting(self, session: WarmSession) -> None:
        self._run_in_time(session, "disable_waiting")
        if self._semisync_now(session).source_enabled:
            raise ServerError(f"{self.name}: semi-sync is still on when read back")

    def _channel(self, session: WarmSession) -> Status | None:
        """The default channel; None when it has no source."""
        rows = session.query_named(CHANNELS)
        return next((c for c in rows if c["Connection_name"] == "" and c["Master_Host"]), None)

    def _is_closed(self, session: WarmSession) -> bool:
        return bool(int(session.value("SELECT @@GLOBAL.read_only")))

    def _clients(self, session: WarmSession) -> list[Client]:
        rows = session.query(
            f"SELECT p.ID, p.USER, COALESCE({_WAITS_FOR_ACK}, 0), COALESCE({_COMMITS}, 0),"
            f" p.COMMAND <> 'Sleep' FROM information_schema.PROCESSLIST p WHERE {_TO_END}",
            {"user": self.account.user},
        )
        return [
            Client(int(number), user or "", bool(waits), bool(commits), bool(works))
            for number, user, waits, commits, works in rows
        ]

    def _applier_waits(self, session: WarmSession) -> bool:
        rows = session.query(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST p"
            f" WHERE p.USER = 'system user' AND {_WAITS_FOR_ACK.replace('%%', '%')}"
        )
        return bool(rows[0][0])

    def _blockers(self, session: WarmSession, closer: int) -> set[int]:
        """Sessions at work or in a transaction: who holds which lock is not shown by default.

        Not those in a commit: they end by themselves when the standby has acknowledged, and to
        kill one would tell others of its group OK before that (see `fence`).
        """
        rows = session.query(
            f"SELECT p.ID FROM information_schema.PROCESSLIST p WHERE {_TO_END}"
            " AND (p.COMMAND <> 'Sleep' OR p.ID IN"
            " (SELECT trx_mysql_thread_id FROM information_schema.INNODB_TRX))"
            f" AND NOT COALESCE({_COMMITS}, 0)",
            {"user": self.account.user},
        )
        return {int(number) for (number,) in rows} - {closer}

    def _wait_applied(self, session: WarmSession, seconds: float) -> bool:
        rows = session.query_named(CHANNELS)
        received = ",".join(row["Gtid_IO_Pos"] for row in rows if row["Gtid_IO_Pos"])
        return not received or self.flavour.await_executed(
            session, MariadbGtidSet.parse(received), seconds
        )

    def _ensure_applier(self, session: WarmSession) -> None:
        channel = self._channel(session)
        applier = applier_of(channel)
        if channel is None or applier.state is not ThreadState.STOPPED:
            return
        if applier.errno:
            raise ServerError(
                f"{self.name}: the applier has failed: {applier.error}", applier.errno
            )
        self._run(session, "start_applier")
