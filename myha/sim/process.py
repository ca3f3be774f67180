"""A simulated database server: binlog, relay log, semi-sync, read-only, boot-fenced restarts.

It keeps what real servers were seen to do and what the protocols rest on: a commit is in the binlog
(and on its way to the replica) before it waits for the acknowledgement; a restart commits what is
in the binlog, drops the relay log, and leaves the server closed with replication stopped; a frozen
server carries out later what had reached its socket; whoever stops waiting tells the waiting
clients OK, unless they have been cut off before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from myha.core.applier_errors import class_of
from myha.core.node import Acknowledger, Events, NodeLook, ReplicationThread, SemiSync, ThreadState
from myha.core.settings import Difference, Kind
from myha.sim.channel import Channel
from myha.sim.flavours import UUIDS, SimulatedFlavour, Transaction
from myha.sim.log import ServerLog
from myha.sim.world import World

LAST_COMMITS_SECONDS = 0.03  # of a shutdown: for what clients had sent before
DIRECT = "direct"  # in the place of a balancer's name, for sessions that come past them
# The application's events, one of which it has disabled; and what each does on one node.
RUNS, RESTS = "runs", "rests"
ENABLED, DISABLED, LEFT = "enabled", "disabled", "left to the peer"

SETTING = Difference(Kind.SETTING, "binlog_row_image", "MINIMAL", "FULL")
OPTION = Difference(Kind.CHANNEL, "the delay", "60 s", "0 s", rests=True)
FILTER = Difference(Kind.FILTER, "replicate_ignore_db", "shop", "", rests=True)
NOT_THERE = ReplicationThread(ThreadState.STOPPED, 1236, "the source has purged what is asked for")
DUPLICATE_KEY, RELAY_LOG_DAMAGED = 1062, 1594
NO_ERROR = {state: ReplicationThread(state) for state in ThreadState}


class Session:
    """A client's connection. `alive` is what the client's end of it says."""

    __slots__ = ("alive", "balancer", "broke", "node")

    def __init__(self, node: str, balancer: str, broke: Callable[[], None]) -> None:
        self.node = node
        self.balancer = balancer
        self.alive = True
        self.broke = broke

    def end(self) -> None:
        if self.alive:
            self.alive = False
            self.broke()


class Stray:
    """A replica outside the pair, connected with semi-sync. `known`: a decision was made on a look
    that showed it; what it lets go before nobody can help."""

    __slots__ = ("known", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.known = False


Heard = Callable[[Transaction], None]
Waiting = tuple[Transaction, Session | None, Heard | None]


class ServerProcess(ServerLog):
    """One server process and its data, and what happens to it."""

    def __init__(self, world: World, index: int, name: str, flavour: SimulatedFlavour) -> None:
        super().__init__(flavour)
        self.world = world
        self.index = index
        self.name = name
        self.up, self.frozen, self.full, self.life = True, False, False, 1
        self.claim = 0  # the term of the supervisor that took it over last
        self.stalled = False  # frozen, but for the heartbeats to its replica
        self.leaving = False  # shutting down: refuses connections, its replica is still fed
        self.last_commit_at = -1.0  # until then it commits what had reached it before
        self.open = self.offline = self.waits = self.closing = self.by_stranger = False
        # Stood still past its lease, or its watchdog was killed and no renewal has told of it yet:
        # what it does before it closes nobody can help.
        self.overslept = self.unwatched_by_hand = False
        self.opened_by_stranger_at = -1.0
        self.written_by_stranger: set[int] = set()
        self.wait_limit_seconds: float | None = None  # bounded: how long a commit waits
        self.wait_count = 1  # how many acknowledgements a commit waits for
        self.acknowledged_once: set[int] = set()  # where it waits for two
        self.stray: Stray | None = None
        self.released_unseen: set[int] = set()  # by a stray that nobody could know of yet
        self.sessions: dict[Session, None] = {}
        self.waiting: dict[int, Waiting] = {}
        self.quarantine: list[Transaction] = []
        self.emptied = False  # by a reseed that has not filled it yet
        self.written_when_emptied: set[int] = set()  # by whoever opened it: with GTIDs used before
        self.applier_running, self.applier_errno = False, 0
        self.changed: tuple[Difference, ...] = ()  # by a stranger, from what setup made
        self.given_up: set[int] = set()  # by an operator: no heal has to keep it
        self.left_out: set[int] = set()  # by a filter, although its binlog names them
        self.apply_seconds = 0.002
        self.applying = False
        self.inbox: list[Callable[[], None]] = []  # has reached a frozen server
        self.events = {RUNS: LEFT, RESTS: LEFT}
        self.changes = 0  # grows with whatever a look shows
        self._look: tuple[int, str, NodeLook] | None = None
        self.on_opened: Callable[[ServerProcess], None] = lambda _: None
        self.on_received: Callable[[ServerProcess], None] = lambda _: None
        self.on_undone: Callable[[ServerProcess, int, int], None] = lambda _s, _a, _b: None
        self.on_merged: Callable[[ServerProcess], None] = lambda _: None
        self.on_failed: Callable[[ServerProcess], None] = lambda _: None
        self.on_left_out: Callable[[ServerProcess, set[int]], None] = lambda _s, _o: None
        self.on_dropped: Callable[[], None] = lambda: None
        self.make_serial: Callable[[], int] = lambda: 0
        self.channel: Channel[ServerProcess]  # from its peer; set by whoever wires the pair
        self.peer: ServerProcess

    # -- what it is ------------------------------------------------------------------------------

    @property
    def boot_id(self) -> str:
        return f"{self.name}-{self.life}"

    @property
    def alive(self) -> bool:
        return self.up and not self.frozen

    @property
    def acknowledges(self) -> bool:
        """A client's write would get an OK now."""
        if not self.up or self.frozen or not self.open or self.offline or self.closing:
            return False
        if self.leaving:
            return False
        if not self.waits or self.wait_limit_seconds is not None:
            return True
        by_peer = self.peer.channel.acknowledges
        if self.wait_count > 1:
            return by_peer and self.stray is not None
        return by_peer or self.stray is not None

    def touched(self) -> None:
        self.changes += 1
        self.world.dirty = True

    # -- transactions ----------------------------------------------------------------------------

    def begin(self, session: Session | None, heard: Heard | None) -> Transaction | None:
        """A client's commit arrives: None when it is refused, else it waits or is done."""
        if not self.open or self.closing:
            return None
        if self.leaving and self.world.now >= self.last_commit_at:
            return None
        self.number += 1
        one = Transaction(self.make_serial(), self.index, self.number)
        if self.by_stranger:
            self.written_by_stranger.add(one.serial)
        self._write(one)
        if self.waits:
            self.waiting[one.serial] = (one, session, heard)
            if self.flavour.counts_waiting:
                self._unfolded.append(one)
            if self.wait_limit_seconds is not None:
                self.world.after(self.wait_limit_seconds, self._waited_enough, self.life, one)
            if self.stray is not None:
                self._stray_acknowledges((one.serial,))
        else:
            self._unfolded.append(one)
            self._send_ok(one, session, heard)
        return one

    def _write(self, one: Transaction) -> None:
        """Into the binlog, and off to the replica."""
        self.binlog.append(one)
        self.has.add(one.serial)
        if self.emptied:
            self.written_when_emptied.add(one.serial)
        self.changes += 1
        if one.serial not in self.peer.has:
            self.peer.channel.pump()

    def _waited_enough(self, life: int, one: Transaction) -> None:
        if life == self.life and self.up:
            if self.frozen:
                self.inbox.append(lambda: self._waited_enough(life, one))
            else:
                self.finish((one.serial,))

    def finish(self, serials: tuple[int, ...]) -> None:
        """Commits wait no more: they are done, and the clients that are still there hear OK."""
        for serial in serials:
            found = self.waiting.pop(serial, None)
            if found is not None:
                one, session, heard = found
                if not self.flavour.counts_waiting:
                    self._unfolded.append(one)
                self._send_ok(one, session, heard)
        self.changes += 1

    def _send_ok(self, one: Transaction, session: Session | None, heard: Heard | None) -> None:
        if session is None or heard is None or not session.alive:
            return
        if self.world.linked(session.balancer, self.name):
            heard(one)
        else:
            session.end()

    def acknowledged(self, serials: tuple[int, ...], life: int, stray: Stray | None = None) -> None:
        """A replica says that it has these."""
        if life != self.life or not self.up:
            return
        if self.frozen:
            self.inbox.append(lambda: self.acknowledged(serials, life, stray))
        elif self.waiting:
            serials = self._enough(serials)
            if stray is not None and not stray.known:
                self.released_unseen.update(one for one in serials if one not in self.peer.has)
            self.finish(serials)

    def _enough(self, serials: tuple[int, ...]) -> tuple[int, ...]:
        """Those that now have as many acknowledgements as a commit waits for."""
        if self.wait_count == 1:
            return serials
        before = self.acknowledged_once & set(serials)
        self.acknowledged_once ^= set(serials)
        return tuple(before)

    def stray_connects(self) -> None:
        self.stray = Stray(self.world.now)
        self._stray_acknowledges(tuple(self.waiting))
        self.touched()

    def stray_leaves(self) -> None:
        self.stray = None
        self.touched()

    def _stray_acknowledges(self, serials: tuple[int, ...]) -> None:
        self.world.after(
            self.world.latency_seconds, self.acknowledged, serials, self.life, self.stray
        )

    def receive(self, ones: list[Transaction]) -> None:
        """Into the relay log."""
        self.on_received(self)
        self.relay.extend(ones)
        self.has.update([one.serial for one in ones])
        self.changes += 1
        self.start_applying()

    def start_applying(self) -> None:
        if self.relay and not self.applying and self.applier_running and self.alive:
            self.applying = True
            self.world.after(self.apply_seconds, self._apply, self.life)

    def _apply(self, life: int) -> None:
        if life != self.life:
            return
        self.applying = False
        if not (self.alive and self.applier_running):
            return
        batch, self.relay = self.relay, []
        for one in batch:
            if one.origin == self.index and one.number > self.number:
                self.number = one.number
            self._write(one)
        self._unfolded.extend(batch)
        if FILTER in self.changed:
            self.on_left_out(self, {one.serial for one in batch})

    # -- the process -----------------------------------------------------------------------------

    def cut_sessions(self, except_for: Collection[Session] = ()) -> None:
        """Nothing more is heard through them from now on."""
        sessions, self.sessions = self.sessions, dict.fromkeys(except_for)
        for session in sessions:
            if session not in self.sessions:
                session.end()

    def crash(self) -> None:
        if not self.up:
            return
        self.world.note(f"{self.name} crashes")
        self.up = self.frozen = self.stalled = self.leaving = False
        self.on_failed(self)
        self.inbox.clear()
        self.cut_sessions()
        self.channel.owner_lost()
        self.peer.channel.source_lost()
        self.touched()

    def shut_down(self) -> None:
        """A clean shutdown begins: no more clients, and commits that wait go on waiting."""
        if self.alive and not self.leaving:
            self.world.note(f"{self.name} is shutting down")
            self.leaving = True
            self.on_failed(self)
            if self.flavour.answers_at_shutdown:
                self.last_commit_at = self.world.now + LAST_COMMITS_SECONDS
                self.world.after(LAST_COMMITS_SECONDS, self._cut_idle_sessions, self.life)
            else:
                self.cut_sessions()
            self.touched()

    def _cut_idle_sessions(self, life: int) -> None:
        if life == self.life and self.leaving:
            self.cut_sessions(except_for=[s for _, s, _ in self.waiting.values() if s])

    def replica_left(self) -> None:
        """Its connection has ended. MySQL that is shutting down waits no more then, and says OK."""
        if self.leaving and self.alive and self.flavour.answers_at_shutdown:
            self.finish(tuple(self.waiting))

    def restart(self) -> None:
        """Boots closed, with replication stopped; what is in the binlog is committed."""
        if self.up:
            return
        self.life += 1
        self.wait_count = 1
        self.acknowledged_once.clear()
        if self.stray is not None:
            self.stray = Stray(self.world.now)  # connects again
        self.world.note(f"{self.name} is up again, fenced")
        self.up = True
        self.open = self.offline = self.waits = self.closing = self.by_stranger = False
        self.overslept = False
        self.watchdog_reset()
        for serial in list(self.waiting):
            one, _, _ = self.waiting.pop(serial)
            if not self.flavour.counts_waiting:
                self._unfolded.append(one)
        self.drop_relay()
        self.applier_running, self.applying = False, False
        self.channel.stop()
        self.touched()

    def drop_relay(self) -> None:
        if self.applier_errno == RELAY_LOG_DAMAGED:
            self.applier_errno = 0
        if self.relay:
            self.has.difference_update([one.serial for one in self.relay])
            self.relay = []
            self.on_dropped()

    def freeze(self) -> None:
        if self.alive:
            self.world.note(f"{self.name} hangs")
            self.channel.settle()
            self.peer.channel.settle()
            self.frozen = True
            self.on_failed(self)
            self.channel.stalled()
            self.peer.channel.stalled()
            self.touched()

    def stall(self) -> None:
        """Its disk stops: it answers nobody, and goes on sending heartbeats."""
        self.stalled = self.alive
        self.freeze()

    def thaw(self) -> None:
        if not self.frozen:
            return
        self.stalled = False
        self.world.note(f"{self.name} goes on")
        self.frozen = False
        inbox, self.inbox = self.inbox, []
        for act in inbox:
            act()
        self.start_applying()
        self.channel.go_on()
        self.peer.channel.go_on()
        self.touched()

    def watchdog_reset(self) -> None:
        """None runs any more."""

    # -- looked at -------------------------------------------------------------------------------

    def semisync_now(self) -> SemiSync:
        connections = []
        if self.peer.channel.connected_to(self):
            connections.append(Acknowledger(1, "repl", self.peer.name, UUIDS[self.peer.index]))
        if self.stray is not None:
            connections.append(Acknowledger(2, "report", "elsewhere", "stray"))
        return SemiSync(
            source_enabled=self.waits,
            source_waits=self.waits,
            source_clients=len(connections),
            replica_enabled=True,
            waiting_sessions=len(self.waiting),
            acknowledgers=tuple(connections),
            source_wait_count=self.wait_count,
            source_may_wait_for_several=self.flavour.waits_for_several,
            replica_acknowledges=self.channel.acknowledges,
        )

    def events_now(self) -> Events:
        status = list(self.events.values())
        return Events(enabled=status.count(ENABLED), left=status.count(LEFT))

    def look_now(self) -> NodeLook:
        now, progress = self.world.now, self.channel.progress()
        known = self._look
        if known is not None and known[0] == self.changes and known[1] == progress:
            old = known[2]
            if not self.relay:
                return NodeLook(
                    now, old.server_id, old.server_uuid, old.boot_id, old.version, old.open,
                    old.executed, old.received, old.receiver, old.applier, old.source, progress,
                    old.semisync, old.sessions, 0.0, events=old.events,
                    differs=old.differs, logged=old.logged,
                )  # fmt: skip
        semisync = self.semisync_now()
        running = ThreadState.RUNNING if self.applier_running else ThreadState.STOPPED
        applier = NO_ERROR[running]
        if self.applier_errno:
            error = class_of(self.applier_errno)
            applier = ReplicationThread(ThreadState.STOPPED, self.applier_errno, error)
        look = NodeLook(
            at=now,
            server_id=self.index + 1,
            server_uuid=UUIDS[self.index],
            boot_id=self.boot_id,
            version="simulated",
            open=self.open,
            executed=self.executed_now(),
            received=self.received_now(),
            receiver=NOT_THERE if self.channel.refused else NO_ERROR[self.channel.state],
            applier=applier,
            source=self.channel.source,
            progress=progress,
            semisync=semisync,
            sessions=len(self.sessions),
            lag_seconds=0.0,
            offline=self.offline,
            events=self.events_now(),
            differs=self.changed,
            logged=self.logged_now(),
        )
        self._look = (self.changes, progress, look)
        return look
