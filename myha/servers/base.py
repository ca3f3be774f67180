"""What the servers of all flavours have in common: looks, waiting for a state, the heartbeat."""

from __future__ import annotations

import contextlib
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from myha.config import join_address
from myha.core.gtid import GtidSet
from myha.core.node import Events, NodeLook, SemiSync
from myha.core.settings import Setting
from myha.database.codes import NO_SUCH_DATABASE, NO_SUCH_TABLE, UNKNOWN_VARIABLE
from myha.database.connection import Connection, Endpoint, Login, Row, Tls
from myha.database.flavours import Flavour
from myha.database.session import Deadline, WarmSession
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.servers.events import (
    EventName,
    EventPlacer,
    disabled_of,
    may_see,
    read_events,
    summary,
)
from myha.servers.holders import FreeingServer
from myha.servers.lag import LagMeter, stamp, unstamp
from myha.servers.receiver import ReceivingServer
from myha.servers.restoring import Following, RestoringServer, Source
from myha.servers.watch import tcp_refused

WAIT_FOREVER_MS = 4_294_967_295  # 49 days: the largest semi-sync timeout that both flavours take
EVENTS_EVERY = 4  # looks
KEEP_WARM_SECONDS = 15.0  # well below the sessions' wait_timeout
# A login with TLS takes up to seven round trips and a look one: a host that accepts a connection in
# this share of the deadline is near enough to answer within it.
CONNECT_SHARE = 1 / 8
WAIT_SLICE_SECONDS = 0.25  # a wait inside the server, so that a change of mind is noticed


class StallClock:
    """Since when sessions have been stuck in their commits, by session id."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def stalled_seconds(self, stuck: set[int], at: float) -> float:
        """The longest time that one of those stuck now has been seen stuck at every look."""
        self._since = {number: self._since.get(number, at) for number in stuck}
        return max((at - then for then in self._since.values()), default=0.0)


class CommitClock:
    """Since when commits have made no progress: sessions are in theirs, and the binary log does not
    grow. The commit of one that writes gigabytes holds up all others, and goes on."""

    def __init__(self) -> None:
        self._clock = StallClock()
        self._written = -1

    def stuck_seconds(self, stuck: set[int], written: int, at: float) -> float:
        """`written`: bytes that the server has written to its binary log."""
        if written != self._written:
            self._clock, self._written = StallClock(), written
        return self._clock.stalled_seconds(stuck, at)


def ids(text: str) -> set[int]:
    """Session ids, as a look lists them."""
    return {int(number) for number in text.split(",") if number}


class BeforeReplication(Protocol):
    """What has to be ended on a server before its replication starts; raises to refuse it."""

    def __call__(
        self,
        connect: Callable[[], Connection],
        flavour: Flavour,
        deadline_seconds: float,
    ) -> None: ...


class BaseServer(FreeingServer, ReceivingServer, RestoringServer):
    """The parts of a `WatchedServer` that do not depend on the flavour."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        account: Login,
        *,
        call_deadline_seconds: float = 1.0,
        tls: Tls = "auto",
        waiting_timeout_ms: int = WAIT_FOREVER_MS,
        before_replication: BeforeReplication | None = None,
        source: Source | None = None,
        settings: tuple[Setting, ...] = (),
        option_file: str = "",
        following: Following | None = None,
    ) -> None:
        super().__init__(
            name,
            endpoint,
            account,
            call_deadline_seconds,
            tls,
            source=source,
            settings=settings,
            following=following,
        )
        self.waiting_timeout_ms = waiting_timeout_ms
        self.own_heartbeats = LagMeter()  # of the heartbeats written here
        self.source_heartbeats: LagMeter | None = None  # of the one that it replicates from
        self.sources: dict[str, tuple[BaseServer, LagMeter]] = {}  # of a read replica, by name
        self.heartbeats: dict[int, float] = {}  # server id -> stamp of its row at the last look
        self._before_replication = before_replication
        self._option_file = option_file  # where setup puts its fragment; empty: an operator did
        self._heartbeat_wall = 0.0
        self._stalls = StallClock()
        self._commits = CommitClock()
        self._events = Events()
        self._events_life = 0  # which connection of the watch session they were read by
        self._events_due = True
        self._looks_since_events = 0

    # Looking

    def look(self) -> NodeLook:
        """One whole look, over the watch connection. Also keeps the connection for steps warm."""
        at = time.monotonic()
        session = self._watch
        session.limit = Deadline(self.call_deadline_seconds)
        session.ensure(session.left_seconds)
        try:
            if session.lives != self._watch_life:
                self._learn(session)
                self._watch_life = session.lives
            try:
                look = self._look(session, at)
            except ServerError as error:
                if error.code not in (NO_SUCH_TABLE, NO_SUCH_DATABASE, UNKNOWN_VARIABLE):
                    raise
                # A table or plugin has gone since: what there is is found out anew.
                self._learn(session)
                look = self._look(session, at)
            events = self._events_now(session)
        except ServerError:
            self._watch_life = -1
            raise
        self._learn_source(look.source)
        lag = None
        if self.source_heartbeats is not None:
            seen = self._source_stamp(look.server_id)
            now, wall = time.monotonic(), time.time()
            lag = self.source_heartbeats.lag_seconds(seen, now, wall, began=at)
        look = replace(look, events=events, lag_seconds=lag)
        # A full server answers looks and refuses a second login: that is not the look's affair.
        with contextlib.suppress(ServerError):
            for pool in (self._control, self._proofs):
                pool.keep_warm(KEEP_WARM_SECONDS, self.call_deadline_seconds)
        return look

    def _events_now(self, session: WarmSession) -> Events:
        """Read again only now and then: it takes longer than all else that a look reads."""
        self._looks_since_events += 1
        new = session.lives != self._events_life
        if not (new or self._events_due or self._looks_since_events >= EVENTS_EVERY):
            return self._events
        self._events_due = False  # before the reading: a change meanwhile makes it due again
        self._looks_since_events = 0
        try:
            # A privilege counts from the next login on.
            visible = may_see(session) if new else self._events.visible
            self._events = summary(session, visible=visible)
            self._events_life = session.lives
        except (ServerGoneError, ServerSilentError):
            raise
        except ServerError:
            self._events_due = True  # a look is for more than events
        return self._events

    def _source_stamp(self, own_server_id: int) -> float | None:
        """The newest stamp that another server wrote; with two nodes there is one at most."""
        return max(
            (ts for number, ts in self.heartbeats.items() if number != own_server_id), default=None
        )

    def _commits_stuck_seconds(self, session: WarmSession, stuck: set[int], at: float) -> float:
        written = self._binlog_bytes(session) if stuck else -1  # mostly there is nothing to ask
        return self._commits.stuck_seconds(stuck, written, at)

    @abstractmethod
    def _binlog_bytes(self, session: WarmSession) -> int:
        """How much has been written to the binary log since the server started, by commits under
        way too."""

    def refuses(self) -> bool | None:
        """True only when a new TCP connection is refused: no server process there. None: nobody
        answered at all."""
        return tcp_refused(self.endpoint.host, self.endpoint.port, self.call_deadline_seconds)

    def connects(self) -> bool:
        """Its port accepts a new TCP connection, whatever the server behind it does with that.

        And so soon that distance does not explain why a look has had no answer: over a slow link
        False.
        """
        seconds = self.call_deadline_seconds * CONNECT_SHARE
        return tcp_refused(self.endpoint.host, self.endpoint.port, seconds) is False

    # A read replica

    def follow(self, source: str, deadline_seconds: float, *, clears_filters: bool) -> None:
        """Point the channel at this node of the pair, delay included; as `restore_source`."""
        if self._following is None or source not in self.sources:
            raise ServerError(f"{self.name}: does not follow {source}")
        self._take_source(source)
        self.restore_source(deadline_seconds, clears_filters=clears_filters)

    def stop_acknowledging(self, deadline_seconds: float) -> None:
        """Its receiver acknowledges nothing any more. One that runs is started anew for that."""
        with self._step(deadline_seconds) as session:
            if not self._receives(session):
                self._switch_semisync(session)
                return
        self.start_replication(deadline_seconds)  # which switches it, too

    def _learn_source(self, found: str) -> None:
        """Which node of the pair a read replica follows, also where another process said so."""
        if self._following is None:
            return
        for name, one in self._following.sources.items():
            if join_address(one.host, one.port) == found and self._source is not one:
                self._take_source(name)

    def _take_source(self, name: str) -> None:
        assert self._following is not None
        self._source = self._following.sources.get(name)
        self.peer, self.source_heartbeats = self.sources[name]

    @property
    def _acknowledges(self) -> bool:
        """Whether its receiver asks for semi-sync: a read replica's never does."""
        return self._following is None

    # Steps that are alike

    def semisync(self) -> SemiSync:
        with self._step(self.call_deadline_seconds) as session:
            return self._semisync_now(session, who=True)

    def enable_waiting(self, acknowledgements: int, deadline_seconds: float) -> None:
        """Make commits wait; ServerError when fewer semi-sync replicas are connected.

        A server that knows no such number takes one acknowledgement for enough.
        """
        with self._step(deadline_seconds) as session:
            clients = self._semisync_now(session).source_clients
            if clients < acknowledgements:
                there = "no semi-sync replica is" if clients == 0 else f"{clients} of them are"
                raise ServerError(
                    f"{self.name}: commits would wait for {acknowledgements} acknowledgements and"
                    f" {there} connected, so every write would stall"
                )
            values = {"timeout_ms": self.waiting_timeout_ms, "count": acknowledgements}
            self._run(session, "enable_waiting", values)

            def waits() -> bool:
                now = self._semisync_now(session)
                enough = now.source_wait_count == acknowledgements
                return now.source_waits and (enough or not now.source_may_wait_for_several)

            self._until(waits, session.deadline, "commits do not wait for an acknowledgement")

    def disable_waiting(self, deadline_seconds: float) -> None:
        with self._step(deadline_seconds) as session:
            self._disable_waiting(session)

    def _disable_waiting(self, session: WarmSession) -> None:
        """Switch the source side off."""
        self._run_in_time(session, "disable_waiting")
        if self._semisync_now(session).source_enabled:
            raise ServerError(f"{self.name}: semi-sync is still on when read back")

    def stop_replication(self, deadline_seconds: float) -> None:
        with self._step(deadline_seconds) as session:
            self._run(session, "stop_replication")
            self._until(
                lambda: self._threads(session) == ("OFF", "OFF"),
                session.deadline,
                "replication has not stopped",
            )

    @abstractmethod
    def _boot_id(self, session: WarmSession) -> str:
        """Of the life that the session is in, as a look has it."""

    def _require_life(self, session: WarmSession, boot_id: str) -> None:
        """A session is of one life only: what it is asked for now holds as long as it lives."""
        if boot_id and self._boot_id(session) != boot_id:
            raise ServerError(f"{self.name}: it has restarted since it was looked at")

    def forget_received(self, deadline_seconds: float) -> None:
        """Stop replication, and drop what was received; the source stays what it is."""
        self.stop_replication(deadline_seconds)
        with self._step(deadline_seconds) as session:
            if "" in self.flavour.threads(session):
                self._run(session, "forget_received")

    def _threads(self, session: WarmSession) -> tuple[str, str]:
        """The default channel's receiver and applier; OFF without one."""
        return self.flavour.threads(session).get("", ("OFF", "OFF"))

    def place_events(
        self, *, run: bool, disabled: frozenset[EventName], deadline_seconds: float
    ) -> str:
        """Let the application's events run here, or leave them to the peer; what was changed.

        Through a session of its own: it is not logged, which no other step may inherit.
        """
        try:
            with self._control.fresh(Deadline(deadline_seconds)) as session:
                placer = EventPlacer(session, self._sql, self._schema_sql)
                if run:
                    placer.run(disabled, lambda: not self._is_closed(session))
                else:
                    placer.leave(lambda: self._alterable(session))
        except ServerError as error:
            raise type(error)(f"{self.name}: {error}", error.code) from None
        finally:
            self._events_due = True
        return str(placer.placed)

    def disabled_events(self, deadline_seconds: float) -> frozenset[EventName]:
        with self._step(deadline_seconds) as session:
            return disabled_of(read_events(session))

    @contextlib.contextmanager
    def _alterable(self, session: WarmSession) -> Iterator[None]:  # noqa: ARG002
        """Let the session alter events, also where clients may not write."""
        yield

    def executed(self) -> GtidSet:
        with self._step(self.call_deadline_seconds) as session:
            return self.flavour.executed(session)

    def prove_write(self, epoch: int, deadline_seconds: float) -> None:
        """Write the epoch's row and read it back. Raises if it is not there."""
        row = {"epoch": epoch, "node": self.name, "at": time.time()}
        with self._proofs.borrow(Deadline(deadline_seconds)) as session:
            self._run(session, "prove_write", row)
            rows = session.query(
                "SELECT node FROM myha.proof WHERE epoch = %(epoch)s", {"epoch": epoch}
            )
        if [found for (found,) in rows] != [self.name]:
            raise ServerError(
                f"{self.name}: the proof of epoch {epoch} is not there when read back"
            )

    def write_heartbeat(self, wall: float, deadline_seconds: float) -> None:
        """Write the heartbeat row, or go on waiting for the last one that has not returned yet.

        At most one heartbeat of ours waits in the server, however long commits do. Raises
        ServerSilentError when it is not committed within the deadline.
        """
        with self._heartbeat_lock:
            session = self._heartbeat
            session.limit = Deadline(deadline_seconds)
            if session.waiting:
                with contextlib.suppress(ServerGoneError):  # cut off meanwhile: begin anew
                    self._finish_heartbeat(session.left_seconds)
            self._heartbeat_wall = wall
            statement = self._sql.one("write_heartbeat")
            session.send(statement, {"ts": stamp(wall)})
            self._finish_heartbeat(session.left_seconds)

    def _finish_heartbeat(self, wait_seconds: float) -> None:
        if self._heartbeat.receive(wait_seconds) is None:
            raise ServerSilentError(f"{self.endpoint}: the heartbeat waits to be committed")
        self.own_heartbeats.committed(self._heartbeat_wall, time.monotonic())

    def await_executed(self, wanted: GtidSet, deadline_seconds: float) -> bool:
        """True when `wanted` is committed here; False when that is not so at the deadline."""
        deadline = Deadline(deadline_seconds)
        if wanted.is_empty():
            return True
        with self._control.borrow(deadline) as session:
            while True:
                slice_seconds = max(0.001, min(WAIT_SLICE_SECONDS, deadline.left_seconds))
                if self._executes_all(session, wanted, slice_seconds):
                    return True
                if deadline.passed:
                    return False

    def await_applied(self, deadline_seconds: float) -> bool:
        """True when all that was received is committed. ServerError if the applier has failed."""
        deadline = Deadline(deadline_seconds)
        with self._control.borrow(deadline) as session:
            while True:
                slice_seconds = max(0.001, min(WAIT_SLICE_SECONDS, deadline.left_seconds))
                if self._applies_all(session, slice_seconds):
                    return True
                self._ensure_applier(session)
                if deadline.passed:
                    return False

    def _executes_all(self, session: WarmSession, wanted: GtidSet, seconds: float) -> bool:
        """Wait inside the server, and then for a call's time longer for its answer."""
        with session.limited(Deadline(seconds + self.call_deadline_seconds)):
            return self.flavour.await_executed(session, wanted, seconds)

    def _applies_all(self, session: WarmSession, seconds: float) -> bool:
        with session.limited(Deadline(seconds + self.call_deadline_seconds)):
            return self._wait_applied(session, seconds)

    def _prepare_for_replication(self, deadline: Deadline) -> None:
        """What others have to end on this server before it may replicate."""
        if self._before_replication is not None:
            self._before_replication(self._connector(deadline), self.flavour, deadline.left_seconds)

    # For the flavours

    @abstractmethod
    def _switch_semisync(self, session: WarmSession) -> bool:
        """Have the receiver ask for semi-sync at its next start, or not ask, as the server's role
        wants it; whether that had to be changed."""

    @abstractmethod
    def _receives(self, session: WarmSession) -> bool:
        """Whether the receiver runs or tries to connect."""

    @abstractmethod
    def received(self) -> GtidSet: ...

    @abstractmethod
    def start_replication(self, deadline_seconds: float) -> None: ...

    @abstractmethod
    def open(self, deadline_seconds: float, boot_id: str = "") -> None: ...

    @abstractmethod
    def fence(self, deadline_seconds: float) -> None: ...

    @abstractmethod
    def _semisync_now(self, session: WarmSession, *, who: bool = False) -> SemiSync:
        """As of now; who it is that acknowledges only where that is asked, since it costs more."""

    @abstractmethod
    def _learn(self, session: WarmSession) -> None:
        """What holds for one connection: the server's identity and what it can do."""

    @abstractmethod
    def _look(self, session: WarmSession, at: float) -> NodeLook: ...

    @abstractmethod
    def _wait_applied(self, session: WarmSession, seconds: float) -> bool: ...

    @abstractmethod
    def _ensure_applier(self, session: WarmSession) -> None:
        """Start the applier if it is stopped without an error; ServerError if it has failed."""

    def _timeout_fits(self, found_ms: int) -> bool:
        """Whether commits wait for as long as configured; without an end, for at least so long."""
        wanted_ms = self.waiting_timeout_ms
        return found_ms >= wanted_ms if wanted_ms >= WAIT_FOREVER_MS else found_ms == wanted_ms


def link(first: BaseServer, second: BaseServer) -> None:
    """Make two servers a pair: each may ask its peer, and measures its lag by its heartbeats."""
    first.peer, second.peer = second, first
    first.source_heartbeats, second.source_heartbeats = second.own_heartbeats, first.own_heartbeats


def one_row(rows: list[Row], what: str) -> Row:
    """The only row; ServerError when there is none."""
    if not rows:
        raise ServerError(f"{what}: the server sent no row")
    return rows[0]


def heartbeats_of(text: str | None) -> dict[int, float]:
    """The rows of the heartbeat table as `server_id=ts,...`."""
    found = {}
    for pair in (text or "").split(","):
        number, _, ts = pair.partition("=")
        wall = unstamp(ts) if number else None
        if wall is not None:
            found[int(number)] = wall
    return found
