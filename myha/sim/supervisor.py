"""A simulated supervisor: the production loop and executor, with watchers on virtual time.

It can die or stand still at every step and in every call. What it sends while another supervisor is
already at work is what the record's version is there to stop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from typing import Any, TypeVar

from myha.core.balancer import BalancerLook
from myha.core.followers.view import PairSeen
from myha.core.node import Contact
from myha.core.observations import (
    BalancerLooked,
    BalancerMissed,
    NodeLooked,
    NodeMissed,
    Tick,
)
from myha.core.planning import PairDecision
from myha.core.plans import Plan
from myha.core.policy import Policy
from myha.core.view import View
from myha.errors import MyhaError
from myha.ports import Jobs
from myha.sim.balancer import SimBalancer
from myha.sim.election import Claims, SimLease, SimLeasedStore
from myha.sim.leases import SimLeases
from myha.sim.ports import WALL_START, BalancerPort, CapturedError, ServerPort, SimCalls, SimClock
from myha.sim.server import SimServer
from myha.sim.store import SimStore
from myha.sim.world import Doing, World
from myha.supervisor.base_loop import Begin, Effect, LookNow, Note, PlanResult
from myha.supervisor.executor import Executor, Pause, Run, Tools
from myha.supervisor.loop import CHANGES_WRITER, Loop
from myha.supervisor.requests import Request

T = TypeVar("T")

LOOK_DEADLINE_SECONDS = 0.15
STEP_SECONDS = 0.0005
WAKE_SECONDS = 0.003
POKED_LOOK_SECONDS = 0.01  # one watcher that is poked again and again looks this often
BETWEEN_LOOKS_SECONDS = 0.001
HANG_UP_SECONDS = 0.02
OUTSIDE_SECONDS = 0.05

MutatePlan = Callable[[Plan], Plan]
StepHook = Callable[["SimSupervisor", str, int], None]  # a plan's kind, or "job"


class KilledError(Exception):
    """The supervisor died in the middle of a call."""


class SimSupervisor:
    """One process. `decide` and everything after it are the program's own."""

    def __init__(
        self,
        world: World,
        name: str,
        policy: Policy,
        *,
        servers: dict[str, SimServer],
        balancers: dict[str, SimBalancer],
        store: SimStore | SimLeasedStore,
        interval_seconds: float,
        make_jobs: Callable[[SimSupervisor], Jobs],
        executor: Callable[[Tools], Executor] = Executor,
        mutate_plan: MutatePlan | None = None,
        leases: type[SimLeases] = SimLeases,
        claims: Claims | None = None,
        term: int = 0,
    ) -> None:
        """`term`: what it claims servers with, 0 where no other one can act beside it."""
        self.claims, self.term = claims or Claims(), term
        self.lease: SimLease | None = None
        self.in_hand_seconds = 0.0  # so long it stands still with the next command in its hand
        self.world = world
        self.name = name
        self.policy = policy
        self.servers = servers
        self.balancers = balancers
        self.store = store
        self.interval_seconds = interval_seconds
        self.mutate_plan = mutate_plan
        self.alive, self.paused, self.in_call = True, False, False
        self.capturing = self.deposed = False
        self.on_step: StepHook = lambda _sup, _kind, _index: None
        self.on_decided: Callable[[View, PairDecision], None] = lambda _view, _decision: None
        self.on_looked: Callable[[SimServer], None] = lambda _: None
        self.on_balancer_look: Callable[[SimBalancer, BalancerLook], None] = lambda _one, _look: (
            None
        )
        self.plans: list[str] = []
        self.lanes: list[SimSupervisor] = []  # of read replicas, in the same process
        self.loop = self._make_loop()
        self.leases = leases(self)
        ports = {name: self._port(server) for name, server in servers.items()}
        self.executor = executor(
            Tools(
                servers=ports,  # type: ignore[arg-type]  # what only watchers use is left out
                balancers={name: BalancerPort(self, one) for name, one in balancers.items()},
                store=store,
                clock=SimClock(world),
                calls=SimCalls(self),
                journal=self,
                jobs=make_jobs(self),
                outside=self,
                leases=self.leases,
            )
        )
        self._run: Generator[Pause, None, Run] | None = None
        self._step = -1
        self._looking: set[str] = set()
        self._poked: set[str] = set()
        self._seen_life: dict[str, int] = {}
        self._ticking = 0
        self._turn = False
        self._wake()

    def _make_loop(self) -> Any:
        return Loop(self.policy, self.world.now, WALL_START + self.world.now, self.store.read())

    def _port(self, server: SimServer) -> ServerPort:
        return ServerPort(self, server)

    # -- ports that need no file of their own ------------------------------------------------------

    def note(self, kind: str, text: str, fields: dict[str, str]) -> None:  # noqa: ARG002  # a port
        if self.world.trace is not None:
            self.world.note(f"{self.name}: {kind}: {text}")

    def fence(self, node: str, deadline_seconds: float) -> None:  # noqa: ARG002  # a port
        """The fence command: pulls the plug."""

        def doing() -> Doing[None]:
            yield OUTSIDE_SECONDS
            self.servers[node].crash()

        self.wait_for(doing())

    def wait_for(self, doing: Doing[T]) -> T:
        """A blocking call, or one beside."""
        if self.capturing:
            raise CapturedError(doing)  # type: ignore[arg-type]
        self.in_call = True
        try:
            return self.world.block(doing, self._lives, KilledError)
        finally:
            self.in_call = False

    def wait_until(self, deadline_seconds: float, so: Callable[[], bool]) -> None:
        """Let the world go on until something is so, or the deadline."""
        self.in_call = True
        try:
            if not so():
                end = self.world.now + deadline_seconds
                self.world.run_until(end, lambda: so() or not self.alive)
        finally:
            self.in_call = False
        if not self.alive:
            raise KilledError

    @property
    def may_act(self) -> bool:
        return self.lease is None or self.lease.holds()

    def has(self, lease: SimLease) -> None:
        """Its right to act, asked before every step."""
        self.lease = self.executor.tools.lease = lease

    def _lives(self) -> bool:
        return self.alive

    # -- the process -------------------------------------------------------------------------------

    def kill(self) -> None:
        if self.alive:
            self.world.note(f"{self.name} dies")
            self.alive = False
            self.leases.ended()
            if self._run is not None and not self.in_call:
                self._run.close()
        for lane in self.lanes:
            lane.kill()

    def pause(self) -> None:
        self.world.note(f"{self.name} stands still")
        self.paused = True
        for lane in self.lanes:
            lane.pause()

    def resume(self) -> None:
        """Goes on with the plan that it was at; without the lock it begins no other."""
        if self.alive and self.paused:
            self.world.note(f"{self.name} goes on")
            self.paused = False
            if self._run is not None:
                self._later(STEP_SECONDS)
            else:
                self._wake()
        for lane in self.lanes:
            lane.resume()

    # -- the loop ----------------------------------------------------------------------------------

    def take(self, event: Any) -> None:
        self._do(self.loop.take(event))

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, LookNow):
                self._look_now(effect)
            elif isinstance(effect, Begin):
                self._begin(effect.plan)
            elif isinstance(effect, Note):
                self.note(effect.kind, effect.text, effect.fields)
            else:
                self.world.note(f"{self.name}: {effect.request.name}: {effect.reply.text}")

    def _tick_loop(self) -> None:
        self.take(Tick(self.world.now, WALL_START + self.world.now))

    def decide(self) -> None:
        if self.loop.running is not None or self.deposed or not self.may_act:
            return
        self._tick_loop()
        turn = self.loop.decide()
        self.on_decided(self.loop.view, self.loop.decision)
        self._do(turn.effects)
        self.after_turn()

    def after_turn(self) -> None:
        """What the daemon's loop tells the lanes of read replicas."""
        running = self.loop.running
        for lane in self.lanes:
            changing = running is not None and running.kind in CHANGES_WRITER
            lane.pair_seen(PairSeen(self.world.now, self.loop.view, changing))

    def pair_seen(self, seen: PairSeen) -> None:
        """Of a lane: what the pair's loop knows."""
        self.take(seen)
        self.decide()

    def request(self, name: str, arguments: dict[str, str]) -> bool:
        """An operator's request; whether a plan for it was begun."""
        if not self.alive or self.paused or self.deposed or not self.may_act:
            return False
        self.world.note(f"operator: {name} {' '.join(arguments.values())}")
        before = self.loop.running
        self._tick_loop()
        self.take(Request(name, arguments))
        return self.loop.running is not before

    # -- watchers ----------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Everybody looks at once."""
        self._ticking += 1
        self.world.after(WAKE_SECONDS, self._tick, self._ticking)

    def _look_now(self, asked: LookNow) -> None:
        """Everybody, or the one that is pressed for proof."""
        if len(asked.nodes) == len(self.servers):
            self._wake()
            return
        for node in asked.nodes:
            if node not in self._poked:
                self._poked.add(node)
                self.world.after(POKED_LOOK_SECONDS, self._look_poked, node)

    def _look_poked(self, node: str) -> None:
        self._poked.discard(node)
        if self.alive and not self.paused:
            self._look(node)
            self.decide()

    def hung_up(self, node: str) -> None:
        """A watcher's idle connection broke."""
        if self.alive and self.world.linked(self.name, node):
            self._wake()

    def _tick(self, number: int) -> None:
        if number != self._ticking or not self.alive:
            return
        if self.paused:
            return
        self.world.after(self.interval_seconds, self._tick, number)
        # One after the other, now this one first, now that one, as independent watchers would.
        self._turn = not self._turn
        first, second = self.servers if self._turn else reversed(self.servers)
        self._look(first)
        self.world.after(BETWEEN_LOOKS_SECONDS, self._tick_on, second)

    def _tick_on(self, node: str) -> None:
        if not self.alive or self.paused:
            return
        self._look(node)
        for balancer in self.balancers.values():
            self._look_at_balancer(balancer)
        self.decide()

    def _look(self, node: str) -> None:
        if node in self._looking:
            return
        now = self.world.now
        if self._answers(node):
            self._looked(node, now)
        else:
            self._looking.add(node)
            self.world.after(LOOK_DEADLINE_SECONDS, self._look_ends, node, now)

    def _answers(self, node: str) -> bool:
        """If only with a refusal."""
        return not self.servers[node].frozen and self.world.linked(self.name, node)

    def _look_ends(self, node: str, began: float) -> None:
        self._looking.discard(node)
        if not self.alive or self.paused:
            return
        if self._answers(node):
            self._looked(node, began)
        else:
            connects = self.servers[node].up and self.world.linked(self.name, node)
            self.take(NodeMissed(node, began, Contact.SILENT, connects=connects))
        self.decide()

    def _looked(self, node: str, began: float) -> None:
        server = self.servers[node]
        if not server.up or server.leaving:
            hung_up = self._seen_life.get(node) == server.life
            self._seen_life.pop(node, None)
            self.take(NodeMissed(node, began, Contact.REFUSING, hung_up, "", server.leaving))
        elif server.full:
            self.take(NodeMissed(node, began, Contact.FULL))
        else:
            self._seen_life[node] = server.life
            look = server.look_now()
            self.on_looked(server)
            # A look proves nothing newer than its beginning.
            self.take(NodeLooked(node, look if began == look.at else replace(look, at=began)))

    def _look_at_balancer(self, balancer: SimBalancer) -> None:
        if balancer.answers and self.world.linked(self.name, balancer.name):
            look = balancer.look_now()
            self.take(BalancerLooked(balancer.name, look))
            self.on_balancer_look(balancer, look)
        else:
            self.take(BalancerMissed(balancer.name, self.world.now))

    # -- plans -------------------------------------------------------------------------------------

    def _begin(self, plan: Plan) -> None:
        self.plans.append(plan.kind)
        self._run = self.executor.run(self.mutate_plan(plan) if self.mutate_plan else plan)
        self._step = -1
        self._later(STEP_SECONDS)

    def _later(self, seconds: float) -> None:
        self.world.after(seconds, self._advance, self._run)

    def _advance(self, run: Generator[Pause, None, Run]) -> None:
        if run is not self._run or not self.alive or self.paused or self.in_call:
            return
        plan = self.loop.running
        assert plan is not None
        reason = ""
        try:
            pause = next(run)
        except StopIteration:
            pass
        except KilledError:
            return
        except MyhaError as error:
            reason = str(error)
        else:
            if pause.seconds == 0.0:
                self._step += 1
                self.on_step(self, plan.kind, self._step)
            self._later(pause.seconds or STEP_SECONDS)
            return
        self._run = None
        self._tick_loop()
        self.take(self._result(reason))

    def _result(self, reason: str) -> Any:
        try:
            return PlanResult(reason, self.store.read())
        except MyhaError:  # as the daemon's driver does
            return PlanResult(reason, None)
