"""Simulated clients that write through a balancer or past it, and what they heard OK for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from myha.sim.flavours import Transaction
from myha.sim.process import DIRECT, Session
from myha.sim.server import SimServer
from myha.sim.world import World

RETRY_SECONDS = 0.06


class Ledger:
    """The writes that clients heard OK for, each with where and when."""

    def __init__(self) -> None:
        self.acknowledged: dict[int, tuple[int, float]] = {}  # serial: (origin, seconds)
        self.on_ok: Callable[[int], None] = lambda _: None

    def heard(self, one: Transaction, at: float) -> None:
        self.acknowledged[one.serial] = (one.origin, at)
        self.on_ok(one.serial)


class Door(Protocol):
    """Where a client connects: a balancer, or the servers' own ports."""

    name: str

    def connect(self, broke: Callable[[], None]) -> Session | None: ...

    def closed(self, session: Session) -> None: ...


class ServersThemselves:
    """For clients that go past the balancers: to whichever server takes writes."""

    name = DIRECT

    def __init__(self, servers: dict[str, SimServer]) -> None:
        self._servers = servers

    def connect(self, broke: Callable[[], None]) -> Session | None:
        for server in self._servers.values():
            if server.alive and server.open and not (server.leaving or server.offline):
                session = Session(server.name, self.name, broke)
                server.sessions[session] = None
                return session
        return None

    def closed(self, session: Session) -> None:
        self._servers[session.node].sessions.pop(session, None)


class SimClient:
    """Writes, waits for the answer, thinks, writes again; connects anew when cut off."""

    def __init__(
        self,
        world: World,
        doors: Sequence[Door],
        servers: dict[str, SimServer],
        ledger: Ledger,
        think_seconds: float,
    ) -> None:
        self.world = world
        self.doors = doors
        self.servers = servers
        self.ledger = ledger
        self.think_seconds = think_seconds
        self.session: Session | None = None
        self.door: Door = doors[0]  # that the session goes through
        self.running = True
        self.last_ok_at = -1.0
        self._turn = 0

    def start(self) -> None:
        self.world.after(self.think_seconds * self.world.rng.random(), self._write, self._turn)

    def _next(self, seconds: float) -> None:
        self._turn += 1
        if self.running:
            self.world.after(seconds, self._write, self._turn)

    def _broke(self) -> None:
        self.session = None
        self._next(RETRY_SECONDS)

    def _write(self, turn: int) -> None:
        if turn != self._turn or not self.running:
            return
        if self.session is None:
            self.door = self.world.rng.choice(self.doors)
            self.session = self.door.connect(self._broke)
            if self.session is None:
                self._next(RETRY_SECONDS)
                return
        self._turn += 1  # one write at a time: the next begins with the answer
        self._commit(self.session)

    def _commit(self, session: Session) -> None:
        server = self.servers[session.node]
        if not self.world.linked(session.balancer, session.node):
            self._give_up(session)
        elif server.frozen:
            server.inbox.append(lambda: self._arrives(server, session))
        else:
            self._arrives(server, session)

    def _arrives(self, server: SimServer, session: Session) -> None:
        """The server carries out what it has got, whether or not the client is still there."""
        if server.begin(session, self._heard) is None and session.alive:
            self._give_up(session)

    def _give_up(self, session: Session) -> None:
        self.door.closed(session)
        session.end()

    def _heard(self, one: Transaction) -> None:
        self.last_ok_at = self.world.now
        self.ledger.heard(one, self.world.now)
        self._next(self.think_seconds * (0.5 + self.world.rng.random()))
