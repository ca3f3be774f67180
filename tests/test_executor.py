"""Every kind of step can be performed; what a balancer leaves undone is done on the server."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from myha.core import plans
from myha.core.events import Kind
from myha.core.plans import Drain, NodeStep, Plan, ProveWrite, Step, TakeOut
from myha.core.policy import Policy
from myha.errors import BalancerError, ServerSilentError
from myha.operations.setup.replicas import take_out
from myha.sim.balancer import SimBalancer
from myha.sim.cluster import Mutation
from myha.sim.history import History, run_history
from myha.sim.parameters import Parameters, draw
from myha.supervisor.clock import SystemClock
from myha.supervisor.concurrent_calls import ThreadedCalls
from myha.supervisor.executor import SESSIONS_END_SECONDS, Executor, Run, Tools


def test_every_kind_of_step_has_a_performer() -> None:
    kinds = {
        kind
        for _, kind in inspect.getmembers(plans, inspect.isclass)
        if issubclass(kind, Step) and kind not in (Step, NodeStep)
    }
    executor = History(draw(1), Mutation(), trace=False).cluster.supervisors[0].executor
    assert set(executor.performers) == kinds


# -- sessions through a balancer -------------------------------------------------------------------


class Server:
    """Notes for how long it may take to end its clients' sessions, or hangs."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.ended: list[float] = []
        self._hangs = hangs

    def kill_clients(self, deadline_seconds: float) -> None:
        self.ended.append(deadline_seconds)
        if self._hangs:
            raise ServerSilentError("a: no answer")


class Leaving:
    """A balancer that leaves open sessions alone, or ends them."""

    def __init__(self, *, ends_sessions: bool, answers: bool = True) -> None:
        self.ends_sessions = ends_sessions
        self._answers = answers

    def take_out(self, node: str, pools: tuple[str, ...], deadline_seconds: float) -> None:
        if not self._answers:
            raise BalancerError("no answer")

    def drain(self, pool: str, node: str) -> None:
        pass


def performed(step: Step, server: Server, **balancers: Leaving) -> list[tuple[str, str]]:
    """Perform the step; what the journal has of it."""
    noted: list[tuple[str, str]] = []
    journal = SimpleNamespace(note=lambda kind, text, fields: noted.append((kind, text)))
    none: Any = None
    tools = Tools(
        {"a": cast("Any", server)},
        cast("Any", balancers),
        none,
        SystemClock(),
        ThreadedCalls(),
        journal,
        none,
    )
    plan = Plan("route", "a", "take a out", 1, 1, (step,))
    for _ in Executor(tools).performers[type(step)](Run(plan, 1, 1), step) or ():
        pass
    return noted


class Held(Server):
    """Takes no write of ours until who holds it up is ended, which may be nobody."""

    def __init__(self, *, held_by: str) -> None:
        super().__init__()
        self.held_by, self.freed = held_by, False

    def prove_write(self, _epoch: int, deadline_seconds: float) -> None:
        if not self.freed:
            raise ServerSilentError(f"a: no answer in {deadline_seconds} s")

    def end_holders(self, _deadline_seconds: float) -> str:
        self.freed = bool(self.held_by)
        return self.held_by


def test_who_holds_up_a_new_writers_first_write_is_ended() -> None:
    """A backup that has locked all tables when nothing was left to apply."""
    server = Held(held_by="ended backup@host (connection 7)")
    noted = performed(ProveWrite(node="a", frees=True), server)
    assert noted == [(Kind.SESSIONS_ENDED, "a: ended backup@host (connection 7)")]
    for step in (ProveWrite(node="a", frees=True), ProveWrite(node="a")):
        with pytest.raises(ServerSilentError):
            performed(step, Held(held_by="" if step.frees else "somebody"))


def test_the_server_ends_the_sessions_that_a_balancer_leaves_alone() -> None:
    keeps, ends = Leaving(ends_sessions=False), Leaving(ends_sessions=True)
    out = TakeOut(node="a", balancers=("one", "other"), deadline_seconds=0.2)
    server = Server()
    assert performed(out, server, one=keeps, other=ends) == []
    assert server.ended == [0.2], "once, for all balancers"
    server = Server()
    performed(out, server, one=ends, other=ends)
    assert server.ended == [], "they have gone already"
    server = Server()
    performed(Drain(node="a", balancers=("one", "other")), server, one=keeps, other=keeps)
    assert server.ended == [], "those that are there go on"


def test_a_balancer_that_did_not_take_the_node_out_has_no_sessions_ended() -> None:
    server = Server()
    away = Leaving(ends_sessions=False, answers=False)
    out = TakeOut(node="a", balancers=("one", "other"))
    noted = performed(out, server, one=away, other=Leaving(ends_sessions=True))
    assert noted == [(Kind.BALANCER_FAILED, f"{out} in one: no answer")]
    assert server.ended == []


def test_a_server_that_hangs_is_named_and_not_in_the_way_for_long() -> None:
    server = Server(hangs=True)
    out = TakeOut(node="a", balancers=("one",), deadline_seconds=10.0)
    ((kind, text),) = performed(out, server, one=Leaving(ends_sessions=False))
    assert (kind, text) == (
        Kind.BALANCER_FAILED,
        f"{out}: sessions through one may go on: a: no answer",
    )
    assert server.ended == [SESSIONS_END_SECONDS]


def test_setup_says_where_sessions_go_on_on_a_replica_that_it_lets_go() -> None:
    told: list[str] = []
    for ends_sessions in (True, False):
        balancer = SimpleNamespace(
            name="lb1", ends_sessions=ends_sessions, take_out=lambda *_: None, close=lambda: None
        )
        take_out("r1", cast("Any", balancer), told.append)
    assert told == ["warning: sessions on r1 through lb1 go on until they end"]


class Checked(Executor):
    """Counts the sessions that are left where the server could be asked to end them."""

    left, taken_out = 0, 0

    def _balance(self, run: Run, step: Any) -> None:
        super()._balance(run, step)
        if not isinstance(step, TakeOut) or "writer" not in step.pools:
            return
        port = cast("Any", self.tools.servers[step.node])
        server = port._server
        if (
            not server.alive
            or server.frozen
            or not server.world.linked(port._supervisor.name, step.node)
        ):
            return
        balancers = [cast("Any", self.tools.balancers[name])._balancer for name in step.balancers]
        out_of = {one.name for one in balancers if not one.routes["writer", step.node]}
        Checked.taken_out += len(out_of)
        Checked.left += sum(one.balancer in out_of for one in server.sessions)


class Forgetful(Checked):
    def _end_sessions(self, run: Run, step: TakeOut, out_of: Iterable[str]) -> None:
        """Leaves it to a balancer that does not do it."""


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Policy], Policy]:
    """Balancers that leave open sessions alone; the policy that says so."""
    monkeypatch.setattr(SimBalancer, "ends_sessions", False)
    monkeypatch.setattr(Checked, "left", 0)
    monkeypatch.setattr(Checked, "taken_out", 0)
    return lambda policy: replace(policy, leave_sessions=policy.balancers)


@pytest.mark.parametrize(("executor", "leaves"), [(Checked, False), (Forgetful, True)])
def test_in_whole_histories_no_session_stays_on_a_node_that_is_out(
    leaving: Callable[[Policy], Policy], executor: type[Executor], *, leaves: bool
) -> None:
    for seed in range(150):
        outcome = run_history(draw(seed), Mutation(executor=executor, policy=leaving))
        assert leaves or not outcome.violations, outcome.violations
    assert Checked.taken_out > 30
    assert (Checked.left > 0) is leaves


def closing(seeds: Iterable[int]) -> Iterator[Parameters]:
    """Histories in which a server shuts down."""
    drawn = map(draw, seeds)
    return (one for one in drawn if any(fault.what == "shut-down" for fault in one.faults))


def test_a_writer_that_shuts_down_is_replaced_once_it_is_dead_where_it_keeps_its_clients(
    leaving: Callable[[Policy], Policy],
) -> None:
    aware = Mutation(policy=leaving)
    found = [run_history(one, aware) for one in closing(range(300))]
    assert not [one.violations for one in found if one.violations]
    assert sum(one.plans.count("failover") for one in found) > len(found) / 4
    unaware = (run_history(one) for one in closing(range(10_000)))
    lost = next(one for one in unaware if one.violations)
    assert {one.name for one in lost.violations} == {"writer-has-all"}
    assert not run_history(lost.parameters, aware).violations
