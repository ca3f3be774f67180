"""A simulated balancer: two pools, sessions, a restart that begins out of traffic."""

from __future__ import annotations

from collections.abc import Callable

from myha.core.balancer import BalancerLook, ServerRoute
from myha.core.plans import POOLS
from myha.errors import BalancerError
from myha.sim.process import Session
from myha.sim.server import SimServer
from myha.sim.world import Doing, World

POLL_SECONDS = 0.05


class SimBalancer:
    """One balancer process. Methods that yield are calls of a supervisor."""

    ends_sessions = True

    def __init__(self, world: World, name: str, servers: dict[str, SimServer]) -> None:
        self.world = world
        self.name = name
        self.servers = servers
        self.up, self.life = True, 1
        self.late = False  # what is carried out now is nobody's decision any more
        self.routes = {(pool, node): False for pool in POOLS for node in servers}
        self.sessions: dict[Session, None] = {}
        self.on_routed: Callable[[str], None] = lambda _: None
        self._look: BalancerLook | None = None

    def restart(self) -> None:
        self.world.note(f"{self.name} restarts, out of traffic")
        self.life += 1
        self.up = True
        self.routes = dict.fromkeys(self.routes, False)
        self._end_sessions(None)
        self._touched()

    def crash(self) -> None:
        self.up = False
        self._end_sessions(None)

    def _touched(self) -> None:
        self._look = None
        self.world.dirty = True

    def _end_sessions(self, node: str | None) -> None:
        for session in [one for one in self.sessions if node in (None, one.node)]:
            del self.sessions[session]
            self.servers[session.node].sessions.pop(session, None)
            session.end()

    def connect(self, broke: Callable[[], None]) -> Session | None:
        """A client's session through the writer pool; None when nobody takes it."""
        if not self.up:
            return None
        nodes = [node for (pool, node), on in self.routes.items() if on and pool == "writer"]
        loads = [(sum(one.node == node for one in self.sessions), node) for node in nodes]
        for _, node in sorted(loads):
            server = self.servers[node]
            if (
                not server.alive
                or server.leaving
                or server.offline
                or not self.world.linked(self.name, node)
            ):
                continue
            session = Session(node, self.name, broke)
            self.sessions[session] = None
            server.sessions[session] = None
            return session
        return None

    def closed(self, session: Session) -> None:
        self.sessions.pop(session, None)
        self.servers[session.node].sessions.pop(session, None)

    def look_now(self) -> BalancerLook:
        known = self._look
        routes = (
            known.routes
            if known is not None
            else tuple(ServerRoute(pool, node, on) for (pool, node), on in self.routes.items())
        )
        self._look = BalancerLook(self.world.now, f"{self.name}-{self.life}", routes)
        return self._look

    @property
    def answers(self) -> bool:
        return self.up

    # -- the supervisor's calls ------------------------------------------------------------------

    def call(self, caller: str, deadline_seconds: float, act: Callable[[], None]) -> Doing[None]:
        world = self.world
        end = world.now + deadline_seconds
        yield world.latency_seconds
        while not world.linked(caller, self.name):
            if world.now >= end:
                raise BalancerError(f"{self.name}: no answer in {deadline_seconds} s")
            yield POLL_SECONDS
        if not self.up:
            raise BalancerError(f"{self.name}: refuses connections")
        act()
        self._touched()

    def carry_out_late(self, act: Callable[[], None]) -> None:
        """A command of one that has stood still, or that stood still itself. Nothing is there to
        refuse it: the next look puts it right."""
        self.world.note(f"{self.name}: a command is carried out late")
        self.late = True
        try:
            act()
        finally:
            self.late = False

    def do_put_in(self, pool: str, node: str) -> None:
        if not self.routes[pool, node] and not self.late:
            self.on_routed(node)
        self.routes[pool, node] = True

    def do_take_out(self, node: str, pools: tuple[str, ...]) -> None:
        for pool in pools:
            self.routes[pool, node] = False
        if "writer" in pools and self.ends_sessions:
            self._end_sessions(node)

    def do_drain(self, pool: str, node: str) -> None:
        self.routes[pool, node] = False
