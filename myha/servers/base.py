"""What both flavours have in common: the sessions, waiting for a state, closing, the pulse.

Three kinds of connections, so that none is in another's way: the watcher's, which is looked through
and polled for a hang-up; the warm one for steps, with fresh ones beside it; and the pulse's, which
may wait for an acknowledgement for as long as commits do.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from myha.core.gtid import GtidSet
from myha.core.model import Events, NodeLook, SemiSync
from myha.core.settings import ChannelOptions, Difference, Kind, Setting
from myha.database.connection import (
    NO_SUCH_DATABASE,
    NO_SUCH_TABLE,
    UNKNOWN_VARIABLE,
    Connection,
    Endpoint,
    Login,
    Row,
    Tls,
    Values,
    connect,
)
from myha.database.flavours import Flavour
from myha.database.session import Deadline, SessionPool, WarmSession
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.servers import drift
from myha.servers.events import (
    EventName,
    EventPlacer,
    disabled_of,
    may_see,
    read_events,
    summary,
)
from myha.servers.lag import LagMeter, stamp, unstamp
from myha.servers.watch import tcp_refused

WAIT_FOREVER_MS = 4_294_967_295  # 49 days: the largest semi-sync timeout that both flavours take
CONNECT_RETRY_SECONDS = 1
RETRY_COUNT = 4_294_967_295  # a receiver gives up at this number; it never gets there
MAKE_SCHEMA = (
    "make_schema",
    "make_heartbeat",
    "make_proof",
    "make_marker",
    "make_disabled_events",
)
EVENTS_EVERY = 4  # looks
KEEP_WARM_SECONDS = 15.0  # well below the sessions' wait_timeout
KILL_ROUND_SECONDS = 0.02
POLL_FIRST_SECONDS, POLL_LAST_SECONDS = 0.002, 0.05
WAIT_SLICE_SECONDS = 0.25  # a wait inside the server, so that a change of mind is noticed
TELL_SECONDS = 0.5  # to take a statement back when a deadline has passed
_NO_SUCH_THREAD = 1094
_NOT_OURS_TO_KILL = frozenset({1095, 1227})


@dataclass(frozen=True, slots=True)
class Client:
    """A client's session.

    `commits`: in a commit, and there it `waits` for an acknowledgement. `works`: in a statement,
    where the flavour's fence has to know.
    """

    id: int
    user: str
    waits: bool = False
    commits: bool = False
    works: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """How a node replicates from its peer: as `myha setup` configures it. `tls`: where both can."""

    host: str
    port: int
    account: Login
    heartbeat_seconds: float
    tls: bool = True


class StallClock:
    """Since when sessions have been stuck in their commits, by session id."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def stalled_seconds(self, stuck: set[int], at: float) -> float:
        """The longest time that one of those stuck now has been seen stuck at every look."""
        self._since = {number: self._since.get(number, at) for number in stuck}
        return max((at - then for then in self._since.values()), default=0.0)


class BeforeReplication(Protocol):
    """What has to be ended on a server before its replication starts; raises to refuse it."""

    def __call__(
        self,
        connect: Callable[[], Connection],
        flavour: Flavour,
        deadline_seconds: float,
    ) -> None: ...


class BaseServer(ABC):
    """The parts of a `WatchedServer` that do not depend on the flavour."""

    flavour: ClassVar[Flavour]

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
    ) -> None:
        self.name = name
        self.endpoint = endpoint
        self.account = account
        self.waiting_timeout_ms = waiting_timeout_ms
        self.call_deadline_seconds = call_deadline_seconds
        self.pulses = LagMeter()  # of the pulses written here
        self.peer: BaseServer | None = None
        self.source_pulses: LagMeter | None = None  # of the server that this one replicates from
        self.heartbeats: dict[int, float] = {}  # server id -> stamp of its row at the last look
        self._before_replication = before_replication
        self._source = source
        self._drift = drift.Drift(settings)
        self._option_file = option_file  # where setup puts its fragment; empty: an operator did
        self.offers_tls: bool | None = None  # as the last connection has found
        self._setup_sql = self.flavour.statements("setup")
        self._tls = tls
        self._sql = self.flavour.statements("control")
        self._schema_sql = self.flavour.statements("setup_schema")
        self._watch = self._session()
        self._watch_life = 0  # which connection of the watch session the facts below are of
        self._control = SessionPool(self._session)
        self._pulse = self._session()
        self._pulse_lock = threading.Lock()
        self._pulse_wall = 0.0
        self._stalls = StallClock()
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
            look = replace(look, events=self._events_now(session))
        except ServerError:
            self._watch_life = -1
            raise
        if self.source_pulses is not None:
            seen = self._source_stamp(look.server_id)
            lag = self.source_pulses.lag_seconds(seen, time.monotonic(), time.time())
            look = replace(look, lag_seconds=lag)
        # A full server answers looks and refuses a second login: that is not the look's affair.
        with contextlib.suppress(ServerError):
            self._control.keep_warm(KEEP_WARM_SECONDS, self.call_deadline_seconds)
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

    def hangup_fds(self) -> tuple[int, ...]:
        """The watch connection's descriptor, while there is one."""
        fd = self._watch.fileno()
        return () if fd < 0 else (fd,)

    def refuses(self) -> bool:
        """True only when a new TCP connection is refused: no server process there."""
        return (
            tcp_refused(self.endpoint.host, self.endpoint.port, self.call_deadline_seconds) is True
        )

    def leave_watch(self) -> None:
        self._watch.close()

    def disconnect(self) -> None:
        """Drop the connections for steps and pulses; the watch connection is the watcher's."""
        self._control.close()
        if self._pulse_lock.acquire(blocking=False):
            try:
                self._pulse.close()
            finally:
                self._pulse_lock.release()

    # Steps that are alike

    def close_gently(self, grace_seconds: float, deadline_seconds: float) -> None:
        """Read-only with commits in flight finished; who else holds it up is ended after the grace.

        Raises ServerError at the deadline, and then the order to close has been taken back.
        """
        with self._control.borrow(Deadline(deadline_seconds)) as session:

            def end_blockers(second: WarmSession, seconds: float) -> None:
                if seconds >= 2 * grace_seconds:
                    ids = self._not_in_commit(second)
                else:
                    ids = self._blockers(second, session.connection_id)
                self._kill_all(second, only=ids)

            self._close(session, grace_seconds, end_blockers)

    def kill_clients(self, deadline_seconds: float) -> None:
        """End the client sessions that are there; ServerError if one cannot be ended."""
        with self._control.borrow(Deadline(deadline_seconds)) as session:
            denied = self._end_clients(session, until_none_is_left=False)
        if denied:
            raise ServerError(
                f"{self.name}: the supervisor's account may not end the sessions of"
                f" {', '.join(sorted(denied))}: end them by hand, or grant it SYSTEM_USER"
            )

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

    def restore_source(self, deadline_seconds: float, *, clears_filters: bool) -> None:
        """Make the channel as setup does. ServerError when that is not known, or not allowed."""
        source = self._source
        if source is None:
            raise ServerError(f"{self.name}: its source is not known; `myha setup` configures it")
        with self._step(deadline_seconds) as session:
            found, filters = self._read_channel(session)
            wanted = self._wanted_channel()
            if found is not None and not drift.of_channel(found, wanted, filters):
                return
            tls = source.tls and self.flavour.offers_tls(session) and self._peer_offers_tls()
            values = {
                "host": source.host,
                "port": source.port,
                "user": source.account.user,
                "password": source.account.password.get_secret_value(),
                "retry": CONNECT_RETRY_SECONDS,
                "retry_count": RETRY_COUNT,
                "heartbeat": source.heartbeat_seconds,
                "tls": int(tls),
            }
            clears = clears_filters and bool(filters)
            for block in ("clear_filters", "replicate") if clears else ("replicate",):
                session.run(self._setup_sql.all(block), values)
            self._drift.changed()
            found, filters = self._read_channel(session)
            if found is None:
                raise ServerError(f"{self.name}: no source is configured when read back")
            left = drift.of_channel(found, self._wanted_channel(), filters)
            if left:
                raise ServerError(f"{self.name}: when read back, {drift.listed(left)}")

    def restore_settings(self, deadline_seconds: float, *, resting: bool) -> None:
        """Set what differs, each by itself: one that is denied is not in the others' way."""
        with self._step(deadline_seconds) as session:
            denied = []
            for one in self._to_set(session, resting=resting):
                try:
                    self._restore_setting(session, one)
                except (ServerGoneError, ServerSilentError):
                    raise
                except ServerError as error:
                    if not drift.is_denied(error):
                        raise
                    self._drift.denied(one)
                    denied.append(f"{one} ({error})")
            self._drift.changed()
            if denied:
                raise ServerError(f"{self.name}: the supervisor may not set {'; '.join(denied)}")
            left = self._to_set(session, resting=resting)
            if left:
                raise ServerError(f"{self.name}: when read back, {drift.listed(left)}")

    def _to_set(self, session: WarmSession, *, resting: bool) -> tuple[Difference, ...]:
        found = self._differing(session)
        return tuple(one for one in found if not one.by_hand and (resting or not one.rests))

    def _restore_setting(self, session: WarmSession, one: Difference) -> None:
        block = "set_at_boot" if one.kind is Kind.AT_BOOT else "set_now_and_at_boot"
        session.run(self._setup_sql.all(block, variable=one.name, value=one.wanted))

    def _look_for_differences(
        self, session: WarmSession, look: NodeLook, sign: object
    ) -> tuple[Difference, ...]:
        """What is not as setup made it, read every few looks, and when the look shows that somebody
        was at work: `sign` has changed, or replication was stopped."""
        threads = (look.receiver.state, look.applier.state)
        if self._drift.is_due((sign, look.source, look.semisync.replica_enabled), threads):
            found = self._differing(session)
            channel, filters = self._read_channel(session)
            in_channel = drift.of_channel(channel, self._wanted_channel(), filters)
            self._drift.differences = (*found, *in_channel)
        return self._drift.differences

    def _differing(self, session: WarmSession) -> tuple[Difference, ...]:
        if not self._drift.settings:
            return ()
        found = self._read_settings(self._drift.settings, session)
        return self._drift.with_denied(found, self._by_hand)

    def _wanted_channel(self) -> ChannelOptions | None:
        """None where the source's account is not known here."""
        source, peer = self._source, self.peer
        if source is None:
            return None
        offered = (self.offers_tls, peer.offers_tls if peer is not None else None)
        tls = None if None in offered else source.tls and all(offered)
        return ChannelOptions(
            source=f"{source.host}:{source.port}",
            user=source.account.user,
            by_gtid=True,
            tls=tls,
            retry_seconds=CONNECT_RETRY_SECONDS,
            retry_count=RETRY_COUNT,
            public_key=True,
            heartbeat_seconds=float(source.heartbeat_seconds),
            delay_seconds=0,
        )

    def _peer_offers_tls(self) -> bool:
        if self.peer is None:
            return False
        with self.peer._step(self.call_deadline_seconds) as session:
            return self.flavour.offers_tls(session)

    def make_schema(self, deadline_seconds: float) -> None:
        """Make what is missing of the schema. ServerError naming the command if that is denied."""
        with self._step(deadline_seconds) as session:
            try:
                for block in MAKE_SCHEMA:
                    session.run(self._schema_sql.all(block))
            except (ServerGoneError, ServerSilentError):
                raise
            except ServerError as error:
                raise ServerError(f"{error}; `myha setup` makes the schema", error.code) from error
        self._watch_life = -1  # the next look finds it

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
        with self._control.borrow(Deadline(deadline_seconds)) as session:
            self._run(session, "prove_write", row)
            rows = session.query(
                "SELECT node FROM myha.proof WHERE epoch = %(epoch)s", {"epoch": epoch}
            )
        if [found for (found,) in rows] != [self.name]:
            raise ServerError(
                f"{self.name}: the proof of epoch {epoch} is not there when read back"
            )

    def pulse(self, wall: float, deadline_seconds: float) -> None:
        """Write the heartbeat row, or go on waiting for the last one that has not returned yet.

        At most one pulse of ours waits in the server, however long commits do. Raises
        ServerSilentError when it is not committed within the deadline.
        """
        with self._pulse_lock:
            session = self._pulse
            session.limit = Deadline(deadline_seconds)
            if session.waiting:
                with contextlib.suppress(ServerGoneError):  # cut off meanwhile: begin anew
                    self._finish_pulse(session.left_seconds)
            self._pulse_wall = wall
            statement = self._sql.one("pulse")
            session.send(statement, {"ts": stamp(wall)})
            self._finish_pulse(session.left_seconds)

    def _finish_pulse(self, wait_seconds: float) -> None:
        if self._pulse.receive(wait_seconds) is None:
            raise ServerSilentError(f"{self.endpoint}: the heartbeat waits to be committed")
        self.pulses.committed(self._pulse_wall, time.monotonic())

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

    def _connector(self, deadline: Deadline) -> Callable[[], Connection]:
        """Makes connections of their own, each of whose calls may take what is left."""

        def connect_anew() -> Connection:
            return connect(
                self.endpoint,
                self.account,
                connect_timeout_seconds=self.call_deadline_seconds,
                read_timeout_seconds=max(self.call_deadline_seconds, deadline.left_seconds),
                tls=self._tls,
            )

        return connect_anew

    def _prepare_for_replication(self, deadline: Deadline) -> None:
        """What others have to end on this server before it may replicate."""
        if self._before_replication is not None:
            self._before_replication(self._connector(deadline), self.flavour, deadline.left_seconds)

    # For the flavours

    @abstractmethod
    def received(self) -> GtidSet: ...

    @abstractmethod
    def _read_settings(
        self, wanted: tuple[Setting, ...], session: WarmSession
    ) -> tuple[Difference, ...]:
        """The settings that differ."""

    @abstractmethod
    def _by_hand(self, one: Difference) -> str:
        """The statement by which an administrator puts this right."""

    @abstractmethod
    def _read_channel(self, session: WarmSession) -> tuple[ChannelOptions | None, dict[str, str]]:
        """The default channel's options, None without a source, and the filters in force."""

    @abstractmethod
    def stop_receiver(self, deadline_seconds: float) -> None: ...

    @abstractmethod
    def stop_replication(self, deadline_seconds: float) -> None: ...

    @abstractmethod
    def start_replication(self, deadline_seconds: float) -> None: ...

    @abstractmethod
    def open(self, deadline_seconds: float) -> None: ...

    @abstractmethod
    def fence(self, deadline_seconds: float) -> None: ...

    @abstractmethod
    def _semisync_now(self, session: WarmSession, *, who: bool = False) -> SemiSync:
        """As of now; who it is that acknowledges only where that is asked, since it costs more."""

    @abstractmethod
    def _disable_waiting(self, session: WarmSession) -> None: ...

    @abstractmethod
    def _learn(self, session: WarmSession) -> None:
        """What holds for one connection: the server's identity and what it can do."""

    @abstractmethod
    def _look(self, session: WarmSession, at: float) -> NodeLook: ...

    @abstractmethod
    def _is_closed(self, session: WarmSession) -> bool:
        """Whether read-only is on."""

    @abstractmethod
    def _clients(self, session: WarmSession) -> list[Client]:
        """All client sessions apart from the supervisor's own account."""

    @abstractmethod
    def _blockers(self, session: WarmSession, closer: int) -> set[int]:
        """The sessions that hold up the session `closer`, which waits to set read-only."""

    @abstractmethod
    def _wait_applied(self, session: WarmSession, seconds: float) -> bool: ...

    @abstractmethod
    def _ensure_applier(self, session: WarmSession) -> None:
        """Start the applier if it is stopped without an error; ServerError if it has failed."""

    def _timeout_fits(self, found_ms: int) -> bool:
        """Whether commits wait for as long as configured; without an end, for at least so long."""
        wanted_ms = self.waiting_timeout_ms
        return found_ms >= wanted_ms if wanted_ms >= WAIT_FOREVER_MS else found_ms == wanted_ms

    def _session(self) -> WarmSession:
        return WarmSession(
            self.endpoint,
            self.account,
            connect_timeout_seconds=self.call_deadline_seconds,
            tls=self._tls,
        )

    def _words(self, session: WarmSession) -> dict[str, str]:  # noqa: ARG002
        """The words of this server's own variable names."""
        return {}

    def _run(self, session: WarmSession, block: str, arguments: Values = None) -> None:
        """Carry out one block of control.sql."""
        words = self._words(session)
        session.run(self._sql.all(block, **words), arguments)

    def _run_in_time(self, session: WarmSession, block: str) -> None:
        """Carry out a block that the server ignores if it comes to it after the deadline only."""
        sql = "SELECT UNIX_TIMESTAMP(SYSDATE(6))"
        now = float(session.value(sql))
        self._run(session, block, {"until": now + session.left_seconds})

    def _until(self, reached: Callable[[], bool], deadline: Deadline, what: str) -> None:
        """Poll until so; ServerError saying `what` is not so at the deadline."""
        pause_seconds = POLL_FIRST_SECONDS
        while not reached():
            if deadline.passed:
                raise ServerError(f"{self.name}: {what} after {deadline.seconds:.2g} s")
            time.sleep(min(pause_seconds, deadline.left_seconds))
            pause_seconds = min(POLL_LAST_SECONDS, pause_seconds * 1.5)

    def _close(
        self,
        session: WarmSession,
        grace_seconds: float,
        while_waiting: Callable[[WarmSession, float], None],
    ) -> None:
        """Set read-only. While that waits, after the grace, call `while_waiting(second, seconds)`.

        At the deadline the statement is killed, since it would close the node some time later.
        """
        began = time.monotonic()
        wait_seconds = math.ceil(session.left_seconds) + 1  # the deadline below comes first
        (statement,) = self._sql.all("close", **self._words(session))
        session.send(statement, {"wait_seconds": wait_seconds})
        if session.receive(min(grace_seconds, session.left_seconds)) is None:
            with self._control.fresh(session.deadline) as second:
                self._close_slowly(session, second, began, while_waiting)
        if not self._is_closed(session):
            raise ServerError(f"{self.name}: read-only is not on when read back")

    def _close_slowly(
        self,
        session: WarmSession,
        second: WarmSession,
        began: float,
        while_waiting: Callable[[WarmSession, float], None],
    ) -> None:
        deadline = session.deadline
        try:
            while not deadline.passed:
                while_waiting(second, time.monotonic() - began)
                if session.receive(min(KILL_ROUND_SECONDS, deadline.left_seconds)) is not None:
                    return
        except ServerError:
            self._take_back(session, second)
            raise
        self._take_back(session, second)
        raise ServerError(
            f"{self.name}: read-only did not come on within {deadline.seconds:.2g} s:"
            " a commit waits for an acknowledgement, or a session cannot be ended"
        )

    def _take_back(self, session: WarmSession, second: WarmSession) -> None:
        """Kill the statement that `session` waits for, and read its end or drop the connection."""
        if not session.waiting:
            return
        with contextlib.suppress(ServerError):
            second.limit = Deadline(TELL_SECONDS)
            self._run(second, "kill_statement", {"id": session.connection_id})
            session.receive(TELL_SECONDS)
        if session.waiting:
            with contextlib.suppress(ServerError):
                second.limit = Deadline(TELL_SECONDS)
                self._run(second, "kill_session", {"id": session.connection_id})
            session.close()

    def _end_clients(self, session: WarmSession, *, until_none_is_left: bool) -> set[str]:
        """Kill clients; returns the users that may not be killed.

        `until_none_is_left`: again, until all are that have connected meanwhile. Clients that
        connect anew as fast as they are killed keep that from ever being so, unless logins are
        refused. When KILL returns, the session's connection is shut. The thread may stay for a
        while, and on MySQL as long as its commit waits, but nobody hears it any more.
        """
        killed: set[int] = set()
        denied: set[str] = set()

        def ended() -> bool:
            fresh = [c for c in self._clients(session) if c.id not in killed]
            for client in fresh:
                if self._kill(session, client):
                    killed.add(client.id)
                else:
                    denied.add(client.user)
            return not until_none_is_left or all(client.user in denied for client in fresh)

        self._until(ended, session.deadline, "client sessions are still there")
        return denied

    def _kill_all(self, session: WarmSession, only: set[int] | None = None) -> set[int]:
        """Kill every client (or those of `only`); returns the ids of those that it might kill."""
        return {
            client.id
            for client in self._clients(session)
            if (only is None or client.id in only) and self._kill(session, client)
        }

    def _not_in_commit(self, session: WarmSession) -> set[int]:
        """A commit ends by itself once it is acknowledged; to kill one may tell others OK."""
        return {one.id for one in self._clients(session) if not one.commits}

    def _kill(self, session: WarmSession, client: Client) -> bool:
        """False if the account may not; a session that has gone meanwhile is fine."""
        try:
            self._run(session, "kill_session", {"id": client.id})
        except (ServerGoneError, ServerSilentError):
            raise
        except ServerError as error:
            if error.code in _NOT_OURS_TO_KILL:
                return False
            if error.code != _NO_SUCH_THREAD:
                raise
        return True

    @contextlib.contextmanager
    def _step(self, deadline_seconds: float) -> Iterator[WarmSession]:
        """A session with the deadline of one step, connected."""
        with self._control.borrow(Deadline(deadline_seconds)) as session:
            session.ensure(session.left_seconds)
            yield session


def link(first: BaseServer, second: BaseServer) -> None:
    """Make two servers a pair: each may ask its peer, and measures its lag by the peer's pulses."""
    first.peer, second.peer = second, first
    first.source_pulses, second.source_pulses = second.pulses, first.pulses


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


def one_line(text: str) -> str:
    """One line of the server's message."""
    return " ".join(text.split())
