"""A simulated balancer that shares an address: what the supervisors tell it, and how it fails.

Beside what `balancer.py` has: the two words that keepalived reads on the same host, HAProxy's count
of connections that failed, and a process that stands still and later carries out some of what had
reached its socket.
"""

from __future__ import annotations

from collections.abc import Callable

from myha.core.address import Standing
from myha.core.balancer import AddressLook, BalancerLook, ServerRoute
from myha.errors import BalancerError
from myha.sim.balancer import POLL_SECONDS, SimBalancer
from myha.sim.process import Session
from myha.sim.server import SimServer
from myha.sim.world import Doing, World

PREFERENCE_SECONDS = 0.4  # runs out by HAProxy's own clock
COMMAND_SURVIVES = 0.5  # how often one that had reached a HAProxy that stands still is carried out


class SharedBalancer(SimBalancer):
    """One HAProxy and the words it was told."""

    def __init__(self, world: World, name: str, servers: dict[str, SimServer]) -> None:
        super().__init__(world, name, servers)
        self.frozen = False
        self.told, self.preferred_until = True, -1.0
        self.errors = dict.fromkeys(servers, 0)
        self.bytes_out = dict.fromkeys(servers, 0)
        self.holds: Callable[[], bool] = lambda: False
        self._inbox: list[Callable[[], None]] = []

    @property
    def answers(self) -> bool:
        return self.up and not self.frozen

    @property
    def preferred(self) -> bool:
        return self.world.now < self.preferred_until

    # -- what happens to it ----------------------------------------------------------------------

    def crash(self) -> None:
        self.thaw()
        self._inbox.clear()
        super().crash()

    def restart(self) -> None:
        """Another process, which nobody has told anything."""
        self.told, self.preferred_until = False, -1.0
        self.errors = dict.fromkeys(self.servers, 0)
        self.bytes_out = dict.fromkeys(self.servers, 0)
        super().restart()

    def freeze(self) -> None:
        """Nothing gets through it, and it answers nobody."""
        if self.answers:
            self.world.note(f"{self.name} hangs")
            self.frozen = True
            for node in self.servers:
                self.world.cut(self.name, node)

    def thaw(self) -> None:
        if not self.frozen:
            return
        self.world.note(f"{self.name} goes on")
        self.frozen, inbox, self._inbox = False, self._inbox, []
        for node in self.servers:
            self.world.mend(self.name, node)
        for act in inbox:
            self.carry_out_late(act)
        self._touched()

    # -- clients ---------------------------------------------------------------------------------

    def connect(self, broke: Callable[[], None]) -> Session | None:
        if self.frozen:
            return None
        session = super().connect(broke)
        if session is not None:
            self.bytes_out[session.node] += 100
        for (pool, node), on in self.routes.items():
            if session is None and on and pool == "writer" and not self._reaches(node):
                self.errors[node] += 1
        return session

    def _reaches(self, node: str) -> bool:
        server = self.servers[node]
        return server.alive and not server.leaving and self.world.linked(self.name, node)

    def address_left(self) -> None:
        """Who is connected through it talks to the other host from now on."""
        self._end_sessions(None)

    # -- looked at, and told ---------------------------------------------------------------------

    def look_now(self) -> BalancerLook:
        return BalancerLook(
            self.world.now,
            f"{self.name}-{self.life}",
            tuple(
                ServerRoute(
                    pool,
                    node,
                    on,
                    errors=self.errors.get(node, 0) if pool == "writer" else 0,
                    bytes_out=self.bytes_out.get(node, 0) if pool == "writer" else 0,
                )
                for (pool, node), on in self.routes.items()
            ),
            AddressLook(self.holds(), self.told, self.preferred),
        )

    def stand(self, standing: Standing) -> None:
        """What a supervisor says after a look has arrived."""
        if not self.answers or standing is Standing.AS_IT_IS:
            return
        self.told = standing is not Standing.DOUBTED
        preferred = standing is Standing.PREFERRED
        self.preferred_until = self.world.now + PREFERENCE_SECONDS if preferred else -1.0

    def call(self, caller: str, deadline_seconds: float, act: Callable[[], None]) -> Doing[None]:
        """One that stands still may carry a command out when it goes on, long after its answer was
        given up."""
        world = self.world
        end = world.now + deadline_seconds
        yield world.latency_seconds
        while self.frozen or not world.linked(caller, self.name):
            if world.now >= end:
                if self.frozen and world.rng.random() < COMMAND_SURVIVES:
                    self._inbox.append(act)
                raise BalancerError(f"{self.name}: no answer in {deadline_seconds} s")
            yield POLL_SECONDS
        if not self.up:
            raise BalancerError(f"{self.name}: refuses connections")
        act()
        self._touched()
