"""What a simulated supervisor acts through: the program's ports, on the world's own things.

A call goes to the server by the network's time, is carried out there for as long as the server is
this supervisor's, and may be made beside others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, TypeVar

from myha.core.address import Standing
from myha.core.balancer import BalancerLook
from myha.core.gtid import GtidSet
from myha.core.node import SemiSync, ThreadState
from myha.errors import BalancerError, MyhaError, ServerError
from myha.sim.balancer import SimBalancer
from myha.sim.election import Claims
from myha.sim.server import SimServer
from myha.sim.world import Doing, World

T = TypeVar("T")

WALL_START = 1_700_000_000.0


class CapturedError(Exception):
    """Carries a call that is to go beside out of the executor's synchronous code."""

    def __init__(self, doing: Doing[None]) -> None:
        super().__init__()
        self.doing = doing


class Caller(Protocol):
    """The supervisor, as far as its ports need it."""

    world: World
    name: str
    claims: Claims
    term: int
    capturing: bool
    in_hand_seconds: float

    def wait_for(self, doing: Doing[T]) -> T: ...

    def wait_until(self, deadline_seconds: float, so: Callable[[], bool]) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class SimClock:
    """Implements `myha.ports.Clock` on the world's time."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic(self) -> float:
        return self._world.now

    def wall(self) -> float:
        return WALL_START + self._world.now


class SimCalls:
    """Implements `myha.ports.ConcurrentCalls`: calls become processes of the world."""

    def __init__(self, supervisor: Caller) -> None:
        self._supervisor = supervisor

    def start(self, call: Callable[[], None], done: Callable[[Exception | None], None]) -> None:
        doing = self._capture(call)
        if doing is not None:
            self._supervisor.world.spawn(doing, done)

    def _capture(self, call: Callable[[], None]) -> Doing[None] | None:
        supervisor = self._supervisor
        supervisor.capturing = True
        try:
            call()
        except CapturedError as captured:
            return captured.doing
        finally:
            supervisor.capturing = False
        return None

    def all(
        self, calls: Iterable[tuple[str, Callable[[], None]]], deadline_seconds: float
    ) -> dict[str, Exception | None]:
        supervisor = self._supervisor
        if supervisor.capturing:  # all of it goes beside
            found = [self._capture(call) for _, call in calls]
            raise CapturedError(_each([doing for doing in found if doing is not None]))
        outcome: dict[str, Exception | None] = {}
        names = []
        for name, call in calls:
            names.append(name)
            doing = self._capture(call)
            if doing is not None:
                supervisor.world.spawn(doing, partial(outcome.__setitem__, name))

        supervisor.wait_until(deadline_seconds, lambda: len(outcome) == len(names))
        late = BalancerError("no answer in time")
        return {name: outcome.get(name, late) for name in names}


def _each(calls: list[Doing[None]]) -> Doing[None]:
    """One after the other; the last error of those that fail is the error of all."""
    failed: MyhaError | None = None
    for call in calls:
        try:
            yield from call
        except MyhaError as error:
            failed = error
    if failed is not None:
        raise failed


class ServerPort:
    """`myha.ports.Server` for one supervisor."""

    def __init__(self, supervisor: Caller, server: SimServer) -> None:
        self._supervisor = supervisor
        self._server = server
        self.name = server.name

    def _do(self, deadline_seconds: float, act: Callable[[], T]) -> T:
        return self._wait_for(self._server.call(self._supervisor.name, deadline_seconds, act))

    def _wait_for(self, doing: Doing[T]) -> T:
        return self._supervisor.wait_for(self._claimed(doing))

    def _claimed(self, doing: Doing[T]) -> Doing[T]:
        """What is done there while the server is this supervisor's; perhaps it comes late."""
        caller, server = self._supervisor, self._server
        seconds, caller.in_hand_seconds = caller.in_hand_seconds, 0.0
        if seconds:
            caller.pause()
            yield seconds
            caller.resume()
        while True:
            if server.alive and not caller.claims.allows(server, caller.term):
                doing.close()
                raise ServerError(f"{self.name} was taken over by a later supervisor")
            try:
                pause = next(doing)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            yield pause

    def executed(self) -> GtidSet:
        return self._do(1.0, self._server.executed_now)

    def stop_receiver(self, deadline_seconds: float) -> None:
        self._do(deadline_seconds, self._server.do_stop_receiver)

    def stop_replication(self, deadline_seconds: float) -> None:
        self._do(deadline_seconds, self._server.do_stop_replication)

    def forget_received(self, deadline_seconds: float) -> None:
        self._do(deadline_seconds, self._server.do_forget_received)

    def start_replication(self, deadline_seconds: float) -> None:
        caller, server = self._supervisor, self._server
        end = caller.world.now + deadline_seconds
        self._do(deadline_seconds, server.do_start_replication)
        left = max(0.001, end - caller.world.now)
        running = ThreadState.RUNNING
        connected = server.until(caller.name, left, lambda: server.channel.state is running)
        if not self._wait_for(connected):
            raise ServerError(f"{self.name}: the receiver has not connected in time")

    def restore_source(self, deadline_seconds: float, *, clears_filters: bool) -> None:
        server = self._server
        self._do(deadline_seconds, lambda: server.do_restore_source(clears_filters=clears_filters))

    def restore_settings(self, deadline_seconds: float, *, resting: bool) -> None:  # noqa: ARG002  # a port
        self._do(deadline_seconds, self._server.do_restore_settings)

    def await_applied(self, deadline_seconds: float) -> bool:
        caller, server = self._supervisor, self._server
        return self._wait_for(server.until(caller.name, deadline_seconds, server.is_applied))

    def end_holders(self, deadline_seconds: float) -> str:  # noqa: ARG002  # a port
        """Its clients hold no locks."""
        return ""

    def await_executed(self, wanted: GtidSet, deadline_seconds: float) -> bool:
        caller, server = self._supervisor, self._server

        def so() -> bool:
            return server.executed_now().contains(wanted)

        return self._wait_for(server.until(caller.name, deadline_seconds, so))

    def open(self, deadline_seconds: float, boot_id: str = "") -> None:
        self._do(deadline_seconds, lambda: self._server.do_open(boot_id))

    def close_gently(self, grace_seconds: float, deadline_seconds: float) -> None:
        caller = self._supervisor
        self._wait_for(self._server.close_gently(caller.name, grace_seconds, deadline_seconds))

    def fence(self, deadline_seconds: float) -> None:
        self._do(deadline_seconds, self._server.do_fence)

    def received(self) -> GtidSet:
        return self._do(1.0, self._server.received_now)

    def semisync(self) -> SemiSync:
        return self._do(1.0, self._server.semisync_now)

    def enable_waiting(self, acknowledgements: int, deadline_seconds: float) -> None:
        server = self._server
        self._do(deadline_seconds, lambda: server.do_enable_waiting(acknowledgements))

    def disable_waiting(self, deadline_seconds: float) -> None:
        self._do(deadline_seconds, self._server.do_disable_waiting)

    def kill_clients(self, deadline_seconds: float) -> None:
        self._do(deadline_seconds, self._server.cut_sessions)

    def place_events(
        self,
        *,
        run: bool,
        disabled: frozenset[tuple[str, str]],  # noqa: ARG002  # a port
        deadline_seconds: float,
    ) -> str:
        return self._do(deadline_seconds, lambda: self._server.do_place_events(run=run))

    def disabled_events(self, deadline_seconds: float) -> frozenset[tuple[str, str]]:
        """None beside the one that both nodes know of."""
        return self._do(deadline_seconds, frozenset)

    def prove_write(self, epoch: int, deadline_seconds: float) -> None:  # noqa: ARG002  # a port
        caller = self._supervisor
        caller.wait_for(self._server.prove_write(caller.name, deadline_seconds))

    def make_schema(self, deadline_seconds: float) -> None:
        """A simulated server has no schema to lose."""

    def disconnect(self) -> None:
        """Nothing is kept open."""


class BalancerPort:
    """`myha.ports.Balancer` for one supervisor."""

    def __init__(self, supervisor: Caller, balancer: SimBalancer) -> None:
        self._supervisor = supervisor
        self._balancer = balancer
        self.name = balancer.name
        self.ends_sessions = balancer.ends_sessions

    def _do(self, deadline_seconds: float, act: Callable[[], None]) -> None:
        caller, balancer = self._supervisor, self._balancer
        seconds, caller.in_hand_seconds = caller.in_hand_seconds, 0.0
        if not seconds:
            caller.wait_for(balancer.call(caller.name, deadline_seconds, act))
            return

        def late() -> Doing[None]:
            caller.pause()
            yield seconds
            caller.resume()
            yield from balancer.call(
                caller.name, deadline_seconds, lambda: balancer.carry_out_late(act)
            )

        caller.wait_for(late())

    def look(self) -> BalancerLook:
        return self._balancer.look_now()

    def appearance(self) -> object:
        return self._balancer.life

    def appears_in(self) -> str:
        return ""

    def put_in(self, pool: str, node: str) -> None:
        self._do(0.5, lambda: self._balancer.do_put_in(pool, node))

    def take_out(self, node: str, pools: tuple[str, ...], deadline_seconds: float) -> None:
        self._do(deadline_seconds, lambda: self._balancer.do_take_out(node, pools))

    def drain(self, pool: str, node: str) -> None:
        self._do(0.5, lambda: self._balancer.do_drain(pool, node))

    def stand(self, standing: Standing) -> None:
        """What is said after a look is said there: see `address.py`."""

    def close(self) -> None:
        """Nothing is kept open."""
