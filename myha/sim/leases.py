"""The leases by which a simulated supervisor keeps the servers' watchdogs from closing them.

A renewal that was given up may have been heard at any time until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from myha.core.observations import LeaseTried
from myha.core.policy import Policy
from myha.errors import MyhaError
from myha.sim.server import SimServer
from myha.sim.world import Doing, World

INTERVAL_SECONDS = 0.05
DEADLINE_SECONDS = 0.12
LIKELY = 0.5


class Holder(Protocol):
    """The supervisor whose leases they are."""

    world: World
    name: str
    policy: Policy
    servers: dict[str, SimServer]
    alive: bool
    paused: bool
    deposed: bool
    loop: Any

    def take(self, event: Any) -> None: ...

    def decide(self) -> None: ...

    def wait_until(self, deadline_seconds: float, so: Callable[[], bool]) -> None: ...


class SimLeases:
    """The leases that one supervisor holds. Implements `myha.ports.Leases`."""

    def __init__(self, supervisor: Holder) -> None:
        self.supervisor = supervisor
        self.world = supervisor.world
        self.held: set[str] = set()
        self.kept: dict[str, str] = {}  # which lease of a node
        self.armed: dict[str, bool] = {}
        self.heard_until: dict[str, float] = {}
        self.trying: set[str] = set()
        if supervisor.policy.watchdog is not None:
            self.world.after(INTERVAL_SECONDS, self._tick)

    def end(self, node: str, deadline_seconds: float) -> float:
        self.supervisor.wait_until(deadline_seconds, lambda: node not in self.trying)
        known = self.armed.get(node) and self.kept.get(node) == self.wanted(node)
        if node in self.trying or not known:
            raise MyhaError(f"the watchdog of {node} is not known to be armed")
        return self.heard_until[node]

    def ended(self) -> None:
        """The process is gone: whoever can be reached hears that."""
        for node in self.held:
            self._let_go(node)

    def wanted(self, node: str) -> str:
        return str(self.supervisor.loop.lease_of(node))

    def resting(self) -> bool:
        return bool(self.supervisor.loop.replaces_writer)

    def _tick(self) -> None:
        one = self.supervisor
        if not one.alive or one.deposed:
            return
        self.world.after(INTERVAL_SECONDS, self._tick)
        if one.paused or self.resting():
            return
        for node in one.servers:
            if node not in self.trying:
                self._keep(node)
        one.decide()  # as the daemon's loop does ten times a second: at once when it is due

    def _keep(self, node: str) -> None:
        wanted = self.wanted(node)
        if self.kept.get(node, "") != wanted:
            self._drop(node)
            self.say(node, False)
            self.kept[node] = wanted
        if wanted:
            self.trying.add(node)
            self.world.spawn(self._try(node), lambda _error: self.trying.discard(node))

    def _drop(self, node: str) -> None:
        if node in self.held:
            self.held.discard(node)
            self._let_go(node)

    def _let_go(self, node: str) -> None:
        server = self.supervisor.servers[node]
        if server.alive and self.world.linked(self.supervisor.name, node):
            server.watchdog_let_go(self.supervisor.name)

    def _reaches(self, node: str) -> bool:
        server = self.supervisor.servers[node]
        linked = self.world.linked(self.supervisor.name, node)
        return linked and server.alive and not server.leaving

    def _try(self, node: str) -> Doing[None]:
        server, name, world = self.supervisor.servers[node], self.supervisor.name, self.world
        if not self._reaches(node):
            if node in self.held:
                yield from self._give_up(node)
            self.say(node, None)
            return
        if node not in self.held:
            self.say(node, False)
        life, new = server.life, node not in self.held
        yield world.latency_seconds
        if not self._reaches(node) or server.life != life:
            yield from self._give_up(node)
            self.say(node, None)
            return
        armed = server.watchdog_renewed(name) and not new
        self.held.add(node)
        yield world.latency_seconds
        watchdog = server.watchdog
        if watchdog is not None and self._reaches(node) and (new or watchdog.armed_at is None):
            watchdog.begin()  # one of its own
            watchdog.renewed(name)
        self.heard_until[node] = world.now
        self.say(node, armed if self._reaches(node) else None)

    def _give_up(self, node: str) -> Doing[None]:
        """No answer. Whether the server heard it nobody knows, until the session is broken off."""
        server, world = self.supervisor.servers[node], self.world
        heard = server.up and world.rng.random() < LIKELY
        if heard and server.frozen:
            server.inbox.append(lambda: self._heard_and_ended(server))
        elif heard:
            life = server.life
            world.after(world.rng.random() * DEADLINE_SECONDS, self._heard, server, life)
        yield DEADLINE_SECONDS
        self.held.discard(node)
        self.heard_until[node] = world.now

    def _heard_and_ended(self, server: SimServer) -> None:
        server.watchdog_renewed(self.supervisor.name)
        server.watchdog_let_go(self.supervisor.name)

    def _heard(self, server: SimServer, life: int) -> None:
        if server.alive and server.life == life:
            server.watchdog_renewed(self.supervisor.name)

    def say(self, node: str, armed: bool | None) -> None:
        one = self.supervisor
        if armed is not None:
            self.armed[node] = armed
        if one.alive and not one.paused:
            heard_until = self.heard_until.get(node, -1.0)
            one.take(LeaseTried(node, self.world.now, heard_until, armed))
