"""What a scenario is, and what it may use of the round that it is played in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from myha.config import Config
from myha.core.policy import Durability
from myha.drill.errant import ErrantLedger
from myha.drill.target import Target
from myha.errors import MyhaError
from myha.ports import Host
from myha.sandbox.cluster import Cluster
from myha.supervisor.status import Status
from myha.waiting import wait_until

START_DEADLINE_SECONDS = 90.0
STOP_DEADLINE_SECONDS = 60.0
WHOLE_DEADLINE_SECONDS = 90.0
REST_SECONDS = 1.0  # from the takeover to the lost node's return
HANG_REST_SECONDS = 2.0
TAKEOVER_PLANS = ("failover", "install", "reinstate")
# How long a client has to wait for a change of writer, or for the writer to let go of its standby.
CHANGE_SECONDS = 0.5


class Stage(Protocol):
    """What a scenario may use of the round it is played in."""

    target: Target
    writer: str
    standby: str
    number: int
    seed: int
    random: random.Random
    errant: ErrantLedger
    crossings: list[Any]  # what scenarios of conflicts keep between `strike` and `mend`

    def slow_down(self) -> None: ...

    def write_past_balancer(self, node: str, clients: int) -> None:
        """So many more clients, connected to this node's own port; returns when they write."""

    def write_through(self, balancer: str, host: str, clients: int) -> None:
        """So many more clients, on this host and through this balancer; returns when they write."""

    def await_plan(self, plans: Sequence[str]) -> None:
        """Wait until one of the plans has ended; notes a problem when none does in time."""

    def hold_supervisor(self) -> None:
        """Maintenance on: from here it only looks."""

    def release_supervisor(self) -> None:
        """Maintenance off, if it was put on by this round."""

    def request(self, name: str, **arguments: str) -> None:
        """Ask the supervisor for something, again while it is busy; MyhaError when it refuses."""

    def await_conflicts(self, count: int, deadline_seconds: float) -> None:
        """Wait until so many conflicts are reported; notes a problem when they are not in time."""

    def problem(self, text: str) -> None:
        """Note what is not as it should be; the round goes on and has failed."""

    def undo(self, what: Callable[[], None]) -> None:
        """Done by `undone`, and at the end of the round at the latest, whatever happens."""

    def undone(self) -> None:
        """Do what was left to be undone, the last first. Raises MyhaError."""

    def measured(self, phase: str, seconds: float) -> None:
        """When something was, from the fault on, beside what the journal tells."""

    def explain(self, seconds: float) -> None:
        """The fault turned out to explain a client's wait of so long."""

    def backs_off(self, seconds: float) -> None:
        """What was sent on connections that were silent for so long may be sent again as late as so
        long after that, at the latest: TCP doubles the time between its attempts."""

    def tell(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done, to whom and when (monotonic)."""

    at: float
    node: str
    plans: tuple[str, ...] = ()  # whose phases count
    writer_lost: bool = False


def change_of_writer(config: Config) -> float:
    """How long a client may wait when the supervisor knows of the fault at once, in seconds."""
    bounded = config.cluster.durability is Durability.BOUNDED
    return CHANGE_SECONDS + (config.cluster.bounded_timeout_seconds if bounded else 0.0)


def silence(config: Config) -> float:
    """The same when it has to wait for the dead time."""
    return config.timing.deadtime_seconds + change_of_writer(config)


@dataclass(frozen=True, slots=True)
class Scenario:
    """`strike` does the harm, `mend` waits for the supervisor's answer and undoes the harm.

    `explains`: the longest wait of a client, in seconds, that the fault is a reason for; longer
    ones are named.
    """

    name: str
    sentence: str
    hurts: str
    strike: Callable[[Stage], Fault]
    mend: Callable[[Stage, Fault], None]
    unattended_failover: bool = False
    needs_supervisor_process: bool = False
    needs_host: bool = True  # it acts on a node's process, or the way back may have to
    single_writer_only: bool = False
    hits_standby: bool = False
    needs_administrator: bool = False
    sandbox_only: bool = False  # it does what nobody wants done to a cluster that is in use
    dual_writer_only: bool = False
    needs_network: bool = False  # it cuts links
    needs_supervisors: bool = False  # several, and the etcd in which they settle who acts
    needs_address: bool = False  # it acts on who has the one that the balancers share
    needs_containers: bool = False  # it hits a limit that only a container has
    heals: tuple[str, ...] = ()  # ways to heal of which the policy must have one
    explains: Callable[[Config], float] = change_of_writer
    whole_seconds: float = WHOLE_DEADLINE_SECONDS  # until the pair has to be whole again
    may_time_out: bool = False  # a second fault may keep acknowledgements away before the first
    ticks: bool = True  # an event runs meanwhile, which goes by the server's wall clock
    fit: Callable[[Cluster], None] | None = None  # what a sandbox needs before it starts

    def other_mode(self, mode: str) -> str:
        """What keeps it from being played in this mode; empty when nothing does."""
        if self.single_writer_only and mode == "dual-writer":
            return f"{self.name} has no meaning with two writers"
        if self.dual_writer_only and mode == "single-writer":
            return f"{self.name} needs two writers: --mode dual-writer"
        return ""


def kill_writer(stage: Stage) -> Fault:
    at = time.monotonic()
    stage.target.hosts[stage.writer].kill()
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def expect(stage: Stage, condition: Callable[[], bool], seconds: float, problem: str) -> bool:
    """Wait until it is so; notes the problem, and is false, when it is not so in time."""
    if wait_until(condition, seconds):
        return True
    stage.problem(problem)
    return False


def await_decision(stage: Stage, verdict: str, seconds: float) -> Status | None:
    """The status once the writer is replaced, or that is refused for this verdict; None, and a
    problem, when neither is so in time."""

    def decided() -> Status | None:
        status = stage.target.status()
        refused = any(one.verdict == verdict for one in status.refusals)
        return status if refused or status.writer != stage.writer else None

    found = wait_until(decided, seconds)
    if found is None:
        stage.problem("the supervisor neither failed over nor refused to")
    return found


def await_gone(host: Host) -> None:
    """Raises MyhaError when a process that was killed is still there."""
    if not host.await_gone(STOP_DEADLINE_SECONDS):
        raise MyhaError(f"{host.name} is still there after it was killed")


def start_anew(host: Host) -> None:
    """Start what was killed, once it is gone."""
    await_gone(host)
    host.start(START_DEADLINE_SECONDS)


def freeze_writer(stage: Stage) -> Fault:
    at = time.monotonic()
    stage.target.hosts[stage.writer].freeze()
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def start_again(stage: Stage, fault: Fault) -> None:
    stage.await_plan(fault.plans)
    time.sleep(REST_SECONDS)
    stage.slow_down()
    stage.tell(f"starting {fault.node} again")
    host = stage.target.hosts[fault.node]
    start_anew(host)


def thaw(stage: Stage, fault: Fault) -> None:
    stage.await_plan(fault.plans)
    time.sleep(HANG_REST_SECONDS)
    stage.slow_down()
    host = stage.target.hosts[fault.node]
    if not host.frozen():  # the supervisor had it fenced from outside meanwhile
        stage.tell(f"starting {fault.node}, which was fenced from outside, again")
        host.start(START_DEADLINE_SECONDS)
        return
    stage.tell(f"letting {fault.node} go on (SIGCONT)")
    host.thaw()
