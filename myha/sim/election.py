"""Several supervisors and the etcd that they settle in who acts: a lease, renewals, and late hands.

Every supervisor has a clock of its own rate. A renewal and its answer take the network's time; a
process that stands still renews nothing, and what it has in its hand it still sends when it goes
on. Whoever is in line begins as soon as etcd gives the lease, as a supervisor of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from myha.core.record import Record
from myha.errors import StoreConflictError, StoreSilentError
from myha.sim.store import LockHolder, SimStore
from myha.sim.world import World

if TYPE_CHECKING:
    from myha.sim.server import SimServer

ETCD = "etcd"
LEASE_SECONDS = 0.2
RENEWALS = 5
MARGIN = 0.1
CLOCKS = (0.95, 1.05)  # the rates of the supervisors' clocks; etcd's is 1
IN_LINE_SECONDS = 0.01


class SimEtcd:
    """The lease as etcd sees it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.up = True
        self.holder = ""
        self.expires = 0.0
        self.on_believed: Callable[[], None] = lambda: None  # a supervisor takes it for renewed

    @property
    def free(self) -> bool:
        return self.up and (not self.holder or self.world.now >= self.expires)

    def reached_by(self, name: str) -> bool:
        return self.up and self.world.linked(name, ETCD)

    def grant(self, name: str) -> None:
        self.holder, self.expires = name, self.world.now + LEASE_SECONDS

    def goes_down(self) -> None:
        self.up = False

    def comes_up(self) -> None:
        """A new leader of etcd's gives every lease its whole time again."""
        self.up = True
        self.expires = self.world.now + LEASE_SECONDS


class Process(Protocol):
    """The supervisor whose lease it is."""

    name: str
    alive: bool
    paused: bool

    def kill(self) -> None: ...


class SimLease:
    """Implements `myha.ports.Lease` for one that has just been granted it."""

    waits = True

    def __init__(self, etcd: SimEtcd, process: Process) -> None:
        self.etcd, self.world, self.process = etcd, etcd.world, process
        self.rate = self.world.rng.uniform(*CLOCKS)
        self.lost = False
        self.on_lost: Callable[[], None] = lambda: None
        self.on_trouble: Callable[[str], None] = lambda _text: None
        self.valid_until = self._valid_for(self.clock(), self.clock())
        self.world.after(LEASE_SECONDS / RENEWALS, self._renew)

    def clock(self) -> float:
        """Goes on while the process stands still."""
        return self.world.now * self.rate

    def _valid_for(self, sent: float, _answered: float) -> float:
        return sent + LEASE_SECONDS * (1 - MARGIN)

    def holds(self) -> bool:
        return not self.lost and self.clock() < self.valid_until

    def acquire(self) -> None:
        """It is granted before there is a process."""

    def taken(self) -> bool:
        """Nobody asks before it is granted."""
        return True

    def await_free(self, seconds: float) -> None:
        """Whoever is in line is no process of the simulator."""

    def renew(self) -> None:
        """By the world's clock, below."""

    def release(self) -> None:
        """When it dies, its lease runs out."""

    def _renew(self) -> None:
        if not self.process.alive or self.lost:
            return
        self.world.after(LEASE_SECONDS / RENEWALS, self._renew)
        if not self.process.paused and self.etcd.reached_by(self.process.name):
            self.world.after(self.world.latency_seconds, self._arrived, self.clock())

    def _arrived(self, sent: float) -> None:
        etcd, name = self.etcd, self.process.name
        if not etcd.reached_by(name):
            return
        if etcd.holder != name or self.world.now >= etcd.expires:
            self.lost = True
            self.world.after(self.world.latency_seconds, self._lost)
            return
        etcd.grant(name)
        self.world.after(self.world.latency_seconds, self._answered, sent)

    def _answered(self, sent: float) -> None:
        if self.process.paused:  # which reads the answer when it goes on
            self.world.after(IN_LINE_SECONDS, self._answered, sent)
            return
        self.valid_until = max(self.valid_until, self._valid_for(sent, self.clock()))
        self.etcd.on_believed()

    def _lost(self) -> None:
        if self.process.paused:
            self.world.after(LEASE_SECONDS, self._lost)
        else:
            self.process.kill()  # it ends, and stands in line again as another one


class SimLeasedStore:
    """Implements `myha.ports.RecordStore` for the holder of the lease, who reads it once.

    `record` is for its jobs, which ask etcd each time. `locks` are between jobs of one machine.
    """

    def __init__(self, store: SimStore, etcd: SimEtcd, name: str) -> None:
        self._store, self._etcd, self._name = store, etcd, name
        self.lease: SimLease | None = None
        self._known: Record | None = None
        self.locks: dict[str, LockHolder] = {}

    @property
    def record(self) -> Record:
        return self._store.record

    def read(self) -> Record | None:
        if self._known is not None and (self.lease is None or self.lease.holds()):
            return self._known
        self._require_etcd()
        self._known = self._store.record
        return self._known

    def compare_and_set(self, expected_version: int, record: Record) -> None:
        self._require_etcd()
        if self._etcd.holder != self._name:
            raise StoreConflictError("the lease is another supervisor's")
        self._store.compare_and_set(expected_version, record)
        self._known = record

    def _require_etcd(self) -> None:
        if not self._etcd.reached_by(self._name):
            raise StoreSilentError("no member of etcd answers")

    def close(self) -> None:
        """Nothing is held."""


class Claims:
    """Which supervisor's commands a server carries out: the one's that took over last."""

    def allows(self, server: SimServer, term: int) -> bool:
        """Asked before each thing that is done on the server, and so true of that moment."""
        if not term:
            return True  # with a store that one supervisor has alone
        server.claim = max(server.claim, term)
        return server.claim == term
