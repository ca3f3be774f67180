"""One direction of replication between two simulated servers: the receiver and its connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from myha.core.node import ThreadState
from myha.sim.flavours import SimulatedFlavour, Transaction
from myha.sim.world import World

RETRY_SECONDS = 0.15
NET_TIMEOUT_SECONDS = 1.0  # a receiver that has heard nothing for so long connects again
NOTICES_SECONDS = 0.004  # a broken connection


class End(Protocol):
    """The server at either end of a channel, as far as that has to do with it."""

    name: str
    index: int
    flavour: SimulatedFlavour
    world: World
    up: bool
    stalled: bool  # it answers nobody, and goes on sending heartbeats
    life: int
    binlog: list[Transaction]
    has: set[int]
    purged: set[int]
    resets: int

    @property
    def alive(self) -> bool: ...
    @property
    def waiting(self) -> Mapping[int, object]: ...

    def touched(self) -> None: ...

    def receive(self, ones: list[Transaction]) -> None: ...

    def not_known_by_name(self, ones: list[Transaction]) -> list[Transaction]: ...

    def acknowledged(self, serials: tuple[int, ...], life: int) -> None: ...

    def replica_left(self) -> None: ...


Server = TypeVar("Server", bound=End)


class Channel(Generic[Server]):
    """The receiver of `owner`, connected to `peer` or to some server outside the pair."""

    def __init__(self, owner: Server, peer: Server, source: str, period: float) -> None:
        self.owner = owner
        self.peer = peer
        self.own_source = source
        self.source = source
        self.heartbeat_period_seconds = period
        self.state = ThreadState.STOPPED
        self.connection = 0
        self.position = 0
        self.pumping = False
        self.misplaced = False  # in a file of the source's that is gone: nothing comes
        self.refused = False  # by a source that has purged what this side lacks
        self.transfer_seconds = 0.0  # for one batch, beside the latency
        self.batch = 1000  # transactions that get through at once
        self.on_connected: Callable[[Server], None] = lambda _: None
        self.on_skipped: Callable[[Server], None] = lambda _: None
        self._heard = ""
        self._unacknowledged: list[int] = []  # received, not yet acknowledged, the link being down

    # -- what it is ------------------------------------------------------------------------------

    @property
    def flows(self) -> bool:
        """Bytes get through, both ways."""
        if self.state is not ThreadState.RUNNING:
            return False
        owner, peer = self.owner, self.peer
        if not (owner.alive and (peer.alive or peer.stalled)):
            return False
        return owner.world.linked(owner.name, peer.name)

    @property
    def acknowledges(self) -> bool:
        return self.flows

    def connected_to(self, server: Server) -> bool:
        """As `server` sees it: a dump thread is there. Silence goes unnoticed."""
        return self.peer is server and self.owner.up and self.state is ThreadState.RUNNING

    def progress(self) -> str:
        self.settle()
        return self._heard

    def settle(self) -> None:
        """Note what has been heard so far: heartbeats, as long as it flows."""
        if self.flows:
            beats = int(self.owner.world.now / self.heartbeat_period_seconds)
            self._heard = f"{self.connection}/{beats}/{self.position}"

    def _changed(self) -> None:
        self.owner.touched()
        self.peer.touched()

    # -- its life --------------------------------------------------------------------------------

    def start(self) -> None:
        if self.state is ThreadState.STOPPED:
            self.state = ThreadState.CONNECTING
            self.refused = False
            self.connection += 1
            self._changed()
            self._try(self.connection)

    def stop(self) -> None:
        if self.state is not ThreadState.STOPPED:
            self.settle()
            self.state = ThreadState.STOPPED
            self.connection += 1
            self.pumping = False
            self._changed()
            self._left()

    def reset(self) -> None:
        """The source's binlog has been rewritten: connect again."""
        if self.state is ThreadState.RUNNING:
            self.lose()
        self.position = 0

    def lose(self) -> None:
        if self.state is ThreadState.RUNNING:
            self.settle()
            self.state = ThreadState.CONNECTING
            self.connection += 1
            self.pumping = False
            self._changed()
            self._left()
            self.owner.world.after(RETRY_SECONDS, self._try, self.connection)

    def _left(self) -> None:
        """The source notices that this connection has ended."""
        self.peer.replica_left()

    def _try(self, connection: int) -> None:
        if connection != self.connection or self.state is not ThreadState.CONNECTING:
            return
        owner, peer = self.owner, self.peer
        if not owner.up:
            return
        good = owner.alive and peer.alive and owner.world.linked(owner.name, peer.name)
        if good and self.source == self.own_source and self._lacks_purged():
            self.state, self.refused = ThreadState.STOPPED, True
            self._changed()
        elif good and self.source == self.own_source:
            self.state = ThreadState.RUNNING
            self.position = 0
            self.misplaced = False
            self.on_connected(owner)
            # It says what it has: commits that wait for just that are released.
            self._unacknowledged = [serial for serial in peer.waiting if serial in owner.has]
            self._changed()
            self._acknowledge()
            self.pump()
        else:
            owner.world.after(RETRY_SECONDS, self._try, connection)

    def _lacks_purged(self) -> bool:
        owner, peer = self.owner, self.peer
        return any(one in peer.has and one not in owner.has for one in peer.purged)

    def owner_lost(self) -> None:
        """The owner's process is gone: nothing more is received, the source notices."""
        self.settle()
        self.state = ThreadState.STOPPED
        self.connection += 1
        self.pumping = False

    def source_lost(self) -> None:
        """The source's process is gone: the connection breaks, unless nothing gets through."""
        world, connection = self.owner.world, self.connection
        if world.linked(self.owner.name, self.peer.name):
            world.after(NOTICES_SECONDS, self._broke, connection)
        else:
            world.after(NET_TIMEOUT_SECONDS, self._broke, connection)

    def _broke(self, connection: int) -> None:
        if connection == self.connection:
            self.lose()

    def stalled(self) -> None:
        """Nothing gets through from now on; the receiver notices after its time-out."""
        if self.state is ThreadState.RUNNING and not self.flows:
            self.owner.world.after(NET_TIMEOUT_SECONDS, self._timed_out, self.connection)

    def _timed_out(self, connection: int) -> None:
        if connection == self.connection and self.owner.alive and not self.flows:
            self.lose()

    def link_changed(self) -> None:
        if self.flows:
            self.go_on()
        else:
            self.stalled()

    def go_on(self) -> None:
        if self.flows:
            self._acknowledge()
            self.pump()

    # -- what flows ------------------------------------------------------------------------------

    def pump(self) -> None:
        """Send what the source's binlog has that this side lacks."""
        if self.pumping or self.misplaced or self.state is not ThreadState.RUNNING:
            return
        if self.position < len(self.peer.binlog) and self.flows:
            self.pumping = True
            world = self.owner.world
            end = self._next_end()
            seconds = world.latency_seconds + self.transfer_seconds
            world.after(seconds, self._deliver, self.connection, end)

    def _next_end(self) -> int:
        """How far the next batch gets; what this side has already is not sent."""
        binlog, has, at, new = self.peer.binlog, self.owner.has, self.position, 0
        while at < len(binlog) and new < self.batch:
            new += binlog[at].serial not in has
            at += 1
        return at

    def _deliver(self, connection: int, end: int) -> None:
        """What was sent arrives, also when the source has died since."""
        if connection != self.connection:
            return
        self.pumping = False
        owner, peer = self.owner, self.peer
        if not owner.alive or not owner.world.linked(owner.name, peer.name):
            return
        has = owner.has
        sent = peer.binlog[self.position : end]
        ones: list[Transaction] = [one for one in sent if one.serial not in has]
        if not owner.flavour.takes_own:
            ones = [one for one in ones if one.origin != owner.index]
        if peer.resets and ones:
            ones = self._asked_for(ones)
        self.position = max(self.position, end)
        if ones:
            owner.receive(ones)
            self._unacknowledged.extend([one.serial for one in ones])
            self._acknowledge()
        self.pump()

    def _asked_for(self, ones: list[Transaction]) -> list[Transaction]:
        """By name: what bears one that this side knows is not sent."""
        new = self.owner.not_known_by_name(ones)
        if len(new) < len(ones):
            self.on_skipped(self.owner)
        return new

    def _acknowledge(self) -> None:
        if not self._unacknowledged or not self.peer.up:
            return
        world = self.owner.world
        if world.linked(self.owner.name, self.peer.name):
            said, self._unacknowledged = tuple(self._unacknowledged), []
            world.after(world.latency_seconds, self.peer.acknowledged, said, self.peer.life)
