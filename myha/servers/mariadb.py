"""MariaDB 10.11 and newer, as the supervisor sees and changes it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from myha.binlog.stream import TORN_LOG
from myha.core.gtid import GtidSet, MariadbGtidSet
from myha.core.node import Acknowledger, NodeLook, SemiSync, ThreadState
from myha.core.settings import ChannelOptions, Difference, Setting
from myha.core.values import value
from myha.database.flavours.mariadb import CHANNELS
from myha.database.session import WarmSession
from myha.errors import ServerError
from myha.servers import mariadb_holders, mariadb_settings
from myha.servers.base import heartbeats_of, ids, one_row
from myha.servers.holders import Holder
from myha.servers.mariadb_fence import SESSIONS, WAITS_FOR_ACK, MariaDBFence
from myha.servers.mariadb_look import (
    DUMPS_LISTED,
    QUEUEING,
    RECEIVERS,
    Status,
    acknowledgers_listed,
    acknowledgers_of,
    applier_of,
    lag_bytes_of,
    only_replica,
    progress_of,
    receiver_of,
    sources_of,
)
from myha.servers.receiver import ReceiverThread

HEARTBEAT_TABLE_EVERY = 10  # looks, until it is there

_CLIENTS = f"{SESSIONS} AND p.USER <> %(user)s"
# A group commit's members have these states too while their leader waits for an acknowledgement.
_COMMITS = (
    "p.TIME_MS >= 1000 AND p.STATE IN ('Commit', 'Commit implicit',"
    " 'Waiting for prior transaction to commit')"
)
_STARTED = (
    "SELECT CAST(UNIX_TIMESTAMP() - VARIABLE_VALUE AS SIGNED)"
    " FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'UPTIME'"
)
# States in which a statement has done its work and cannot end.
_STUCK = (
    f"({_COMMITS} OR p.TIME_MS >= 1000 AND (p.STATE = 'Waiting for backup lock'"
    f" OR {WAITS_FOR_ACK}))"
)
_SEMISYNC = (
    "@@GLOBAL.rpl_semi_sync_master_enabled, @@GLOBAL.rpl_semi_sync_master_timeout,"
    " @@GLOBAL.rpl_semi_sync_master_wait_point, @@GLOBAL.rpl_semi_sync_master_wait_no_slave,"
    " @@GLOBAL.rpl_semi_sync_slave_enabled,"
    # In the same statement: in a switchover clients wait for every round trip. The session's status
    # rather than the global one, which adds up all sessions first.
    " (SELECT GROUP_CONCAT(VARIABLE_NAME, '=', VARIABLE_VALUE)"
    " FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME LIKE 'RPL_SEMI_SYNC_%%')"
)


@value(frozen=True, slots=True)
class _Facts:
    """What holds for one connection: it cannot outlive the process."""

    version: str
    boot_id: str
    heartbeat: bool  # the table is there


def _look_sql(*, heartbeat: bool) -> str:
    """All of a look but the channels."""
    beats = "(SELECT GROUP_CONCAT(server_id, '=', ts) FROM myha.heartbeat)" if heartbeat else "NULL"
    return (
        "SELECT @@GLOBAL.server_id, @@GLOBAL.server_uid, @@GLOBAL.read_only,"
        f" @@GLOBAL.gtid_binlog_pos, @@GLOBAL.gtid_slave_pos, {beats},"
        f" (SELECT CONCAT(COUNT(*), ' ', COALESCE(GROUP_CONCAT(IF({_STUCK}, p.ID, NULL)),"
        f" ''), ' ', COALESCE(GROUP_CONCAT(IF({_COMMITS}, p.ID, NULL)), ''))"
        f" FROM information_schema.PROCESSLIST p WHERE {_CLIENTS}),"
        f" {_SEMISYNC}, @@GLOBAL.replicate_events_marked_for_skip, {DUMPS_LISTED}"
    )


class MariaDBServer(MariaDBFence):
    """One MariaDB server.

    `boot_id` is `server_uid:second of start`. The server keeps the second of its start, and
    `Uptime` is the second in which the asking statement began, minus that one. Hence
    `UNIX_TIMESTAMP() - Uptime`, taken in one statement, gives it exactly: the same for every look
    and every supervisor. Two lives that began within one second are not told apart.

    The executed set is what the binary log has, with what the replica position has beside: a server
    that was seeded has the latter only.
    """

    gtid_domain = 0
    _lacks: tuple[Difference, ...] = ()  # what was seen to be missing in this life's option file

    _facts: _Facts
    _look_text = ""
    _dumps, _replica = "", ""  # the connections of replicas at the last look; whose the only one is
    _looks = 0

    def _boot_id(self, session: WarmSession) -> str:
        row = session.query(f"SELECT @@GLOBAL.server_uid, ({_STARTED})")
        return ":".join(map(str, one_row(row, self.name)))

    def _learn(self, session: WarmSession) -> None:
        rows = session.query(
            "SELECT VERSION(), @@GLOBAL.server_uid,"
            f" ({_STARTED}),"
            " (SELECT COUNT(*) FROM information_schema.TABLES"
            "  WHERE TABLE_SCHEMA = 'myha' AND TABLE_NAME = 'heartbeat')"
        )
        version, uid, started, heartbeat = one_row(rows, self.name)
        boot_id = f"{uid}:{started}"
        if not hasattr(self, "_facts") or self._facts.boot_id != boot_id:
            self._lacks = ()
        self._replica = ""
        self._facts = _Facts(version, boot_id, bool(heartbeat))
        sql = _look_sql(heartbeat=bool(heartbeat))
        self._look_text = session.text(sql, {"user": self.account.user})
        self.offers_tls = self.flavour.offers_tls(session)
        self._drift.changed()

    def _look(self, session: WarmSession, at: float) -> NodeLook:
        facts = self._facts
        # What was executed is read before what was received: nothing is ever missing between them
        # that was not so at some moment.
        row = one_row(session.query(self._look_text), self.name)
        server_id, uid, read_only, binlog_pos, slave_pos, beats_text, clients = row[:7]
        skips, dumps = str(row[-2]), str(row[-1])
        semisync = self._semisync(tuple(row[7:-2]), lambda: self._listed(dumps, session))
        channels = session.query_named(CHANNELS)
        logged = MariadbGtidSet.parse(binlog_pos)
        executed = logged.union(MariadbGtidSet.parse(slave_pos))
        received = executed
        for channel in channels:
            received = received.union(MariadbGtidSet.parse(channel["Gtid_IO_Pos"] or ""))
        self.heartbeats = heartbeats_of(beats_text)
        count, stuck, commits = (clients or "0  ").split(" ")
        now = time.monotonic()
        stalled = self._stalls.stalled_seconds(ids(stuck), now)
        own = next((c for c in channels if c["Connection_name"] == "" and c["Master_Host"]), None)
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
            logged=logged,
            received=received,
            receiver=receiver_of(own),
            applier=applier_of(own),
            source=sources_of(channels),
            progress=progress_of(own),
            semisync=semisync,
            sessions=int(count),
            lag_bytes=lag_bytes_of(own),
            writes_stalled_seconds=stalled,
            commits_stuck_seconds=self._commits_stuck_seconds(session, ids(commits), now),
            stall_reason="commits do not end" if stalled else "",
            schema=facts.heartbeat,
        )
        sign = (options, *filters.items())
        differs = self._look_for_differences(session, look, sign)
        return replace(look, differs=differs) if differs else look

    def _binlog_bytes(self, session: WarmSession) -> int:
        return int(
            session.value(
                "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
                " WHERE VARIABLE_NAME = 'BINLOG_BYTES_WRITTEN'"
            )
        )

    def _listed(self, dumps: str, session: WarmSession) -> tuple[Acknowledger, ...]:
        """The acknowledgers of a look. While the connections are the same, the one replica that
        has registered by them is."""
        if dumps != self._dumps or not self._replica:
            self._dumps, self._replica = dumps, only_replica(session)
        return acknowledgers_listed(dumps, self._replica)

    def _semisync(
        self, variables: tuple[Any, ...], who: Callable[[], tuple[Acknowledger, ...]]
    ) -> SemiSync:
        """`who` can acknowledge: asked where anybody can."""
        enabled, timeout_ms, point, no_replica, replica_enabled, status_text = variables
        status = dict(pair.split("=", 1) for pair in (status_text or "").split(",") if pair)
        clients = int(status.get("RPL_SEMI_SYNC_MASTER_CLIENTS", 0))
        fits = self._timeout_fits(int(timeout_ms))
        return SemiSync(
            source_enabled=bool(int(enabled)),
            source_waits=bool(int(enabled))
            and status.get("RPL_SEMI_SYNC_MASTER_STATUS") == "ON"
            and fits
            and point == "AFTER_SYNC"
            and bool(int(no_replica)),
            source_clients=clients,
            replica_enabled=bool(int(replica_enabled)),
            waiting_sessions=int(status.get("RPL_SEMI_SYNC_MASTER_WAIT_SESSIONS", 0)),
            acknowledgers=who() if clients else (),
            replica_acknowledges=status.get("RPL_SEMI_SYNC_SLAVE_STATUS") == "ON",
            source_timeout_fits=fits,
        )

    def _semisync_now(self, session: WarmSession, *, who: bool = False) -> SemiSync:
        rows = session.query(f"SELECT {_SEMISYNC}", {})
        return self._semisync(
            one_row(rows, self.name), lambda: acknowledgers_of(session) if who else ()
        )

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

    def _receiver(self, session: WarmSession) -> ReceiverThread:
        """Its thread is known by its command; of two that may be it neither is."""
        threads = session.query(RECEIVERS)
        number, stage = threads[0] if len(threads) == 1 else (0, "")
        state = receiver_of(self._channel(session)).state
        return ReceiverThread(int(number), state, (stage or "").startswith(QUEUEING))

    def start_replication(self, deadline_seconds: float) -> None:
        """Start both threads and wait until the receiver is connected.

        A receiver that sits out its retry pause is started anew, and so is one that came to where
        a killed source left half an event: it has all that stands before, and the source sends
        from its next file then.
        """
        with self._step(deadline_seconds) as session:
            self._prepare_for_replication(session.deadline)
            switched = self._switch_semisync(session)
            state = receiver_of(self._channel(session)).state
            if state is ThreadState.CONNECTING or (switched and state is not ThreadState.STOPPED):
                self._run(session, "stop_receiver")
            if state is not ThreadState.RUNNING:
                self._align_position(session)
            self._run(session, "start_replication")
            torn_at: set[str] = set()
            self._until(
                lambda: self._replicates(session, torn_at),
                session.deadline,
                "no connection to the source",
            )

    def forget_received(self, deadline_seconds: float) -> None:
        """The position counts this node's own transactions too, which it has had back from its
        peer: those are what its log has forgotten."""
        super().forget_received(deadline_seconds)
        with self._step(deadline_seconds) as session:
            own = str(session.value("SELECT @@GLOBAL.server_id"))
            position = str(session.value("SELECT @@GLOBAL.gtid_slave_pos") or "")
            others = [one for one in position.split(",") if one and one.split("-")[1] != own]
            self._run(session, "set_position", {"position": ",".join(others)})

    def _switch_semisync(self, session: WarmSession) -> bool:
        on = bool(int(session.value("SELECT @@GLOBAL.rpl_semi_sync_slave_enabled")))
        if on is self._acknowledges:
            return False
        block = "ask_for_semisync" if self._acknowledges else "stop_asking_for_semisync"
        self._run(session, block)
        return True

    def _receives(self, session: WarmSession) -> bool:
        return receiver_of(self._channel(session)).state is not ThreadState.STOPPED

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

    def _replicates(self, session: WarmSession, torn_at: set[str]) -> bool:
        """Whether it does. `torn_at`: the positions up to which it had received at torn files."""
        channel = self._channel(session)
        receiver = receiver_of(channel)
        if receiver.state is ThreadState.STOPPED:
            received = channel["Gtid_IO_Pos"] if channel is not None else ""
            if TORN_LOG in receiver.error and received not in torn_at:
                torn_at.add(received)
                self._run(session, "start_replication")
                return False
            reason = receiver.error or "no source is configured, or replication was stopped again"
            raise ServerError(f"{self.name}: the receiver does not run: {reason}", receiver.errno)
        self._ensure_applier(session)
        return receiver.state is ThreadState.RUNNING

    def open(self, deadline_seconds: float, boot_id: str = "") -> None:
        with self._step(deadline_seconds) as session:
            self._require_life(session, boot_id)
            self._run_in_time(session, "open")
            if self._is_closed(session):
                raise ServerError(f"{self.name}: still read-only when read back")

    def _channel(self, session: WarmSession) -> Status | None:
        """The default channel; None when it has no source."""
        rows = session.query_named(CHANNELS)
        return next((c for c in rows if c["Connection_name"] == "" and c["Master_Host"]), None)

    _held = "it waited for a lock that one of these may have held"

    def _holders(self, session: WarmSession) -> list[Holder]:
        return mariadb_holders.holders(session, self.account.user)

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
