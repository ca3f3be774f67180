"""The faults: one for each named scenario, and how the drill puts right what it broke."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from myha.drill.target import Target
from myha.errors import MyhaError, RefusedError
from myha.hosts.local import LocalHost

START_DEADLINE_SECONDS = 90.0
STOP_DEADLINE_SECONDS = 60.0
REST_SECONDS = 1.0  # from the takeover to the lost node's return
HANG_REST_SECONDS = 2.0
SUPERVISOR_AWAY_SECONDS = 1.0
TAKEOVER_PLANS = ("failover", "install", "reinstate")
RELEASE_PLANS = ("release",)


class Stage(Protocol):
    """What a scenario may use of the round it is played in."""

    target: Target
    writer: str
    standby: str
    number: int
    seed: int
    random: random.Random

    def slow_down(self) -> None: ...

    def await_plan(self, plans: Sequence[str]) -> None:
        """Wait until one of the plans has ended; notes a problem when none does in time."""

    def tell(self, text: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done, to whom and when (monotonic)."""

    at: float
    node: str
    plans: tuple[str, ...] = ()  # whose phases count
    writer_lost: bool = False


@dataclass(frozen=True, slots=True)
class Scenario:
    """`strike` does the harm, `mend` waits for the supervisor's answer and undoes the harm."""

    name: str
    sentence: str
    hurts: str
    strike: Callable[[Stage], Fault]
    mend: Callable[[Stage, Fault], None]
    unattended_failover: bool = False
    needs_supervisor_process: bool = False
    single_writer_only: bool = False
    hits_standby: bool = False


def _kill_writer(stage: Stage) -> Fault:
    at = time.monotonic()
    stage.target.hosts[stage.writer].kill()
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _freeze_writer(stage: Stage) -> Fault:
    at = time.monotonic()
    stage.target.hosts[stage.writer].freeze()
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _stop_writer(stage: Stage) -> Fault:
    at = time.monotonic()
    stage.target.hosts[stage.writer].stop(STOP_DEADLINE_SECONDS)
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _kill_standby(stage: Stage) -> Fault:
    at = time.monotonic()
    stage.target.hosts[stage.standby].kill()
    return Fault(at, stage.standby, RELEASE_PLANS)


def _freeze_standby(stage: Stage) -> Fault:
    at = time.monotonic()
    stage.target.hosts[stage.standby].freeze()
    return Fault(at, stage.standby, RELEASE_PLANS)


def _switch_over(stage: Stage) -> Fault:
    at = time.monotonic()
    answer = stage.target.ask({"do": "switchover", "to": stage.standby})
    if not answer.get("ok"):
        raise RefusedError(f"the supervisor refused the switchover: {answer.get('text')}")
    return Fault(at, stage.writer, ("switchover",))


def _kill_supervisor(stage: Stage) -> Fault:
    """The writer is lost too in every other round; the seed says in which."""
    supervisor = _supervisor(stage)
    at = time.monotonic()
    supervisor.kill()
    supervisor.await_gone(STOP_DEADLINE_SECONDS)
    if (stage.seed + stage.number) % 2:
        return Fault(at, "supervisor")
    time.sleep(stage.random.uniform(0.05, 0.3))
    at = time.monotonic()
    stage.target.hosts[stage.writer].kill()
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _supervisor(stage: Stage) -> LocalHost:
    if stage.target.supervisor is None:
        raise RefusedError(
            "supervisor-crash needs a supervisor that the drill may end and start: use --sandbox"
        )
    return stage.target.supervisor


def _start_again(stage: Stage, fault: Fault) -> None:
    stage.await_plan(fault.plans)
    time.sleep(REST_SECONDS)
    stage.slow_down()
    stage.tell(f"starting {fault.node} again")
    host = stage.target.hosts[fault.node]
    if not host.await_gone(STOP_DEADLINE_SECONDS):
        raise MyhaError(f"{host.name} (pid {host.pid()}) is still there after it was killed")
    host.start(START_DEADLINE_SECONDS)


def _thaw(stage: Stage, fault: Fault) -> None:
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


def _nothing(_stage: Stage, _fault: Fault) -> None:
    """A planned change leaves nothing to put right."""


def _restart_supervisor(stage: Stage, fault: Fault) -> None:
    time.sleep(max(0.0, fault.at + SUPERVISOR_AWAY_SECONDS - time.monotonic()))
    stage.tell("starting the supervisor again")
    _supervisor(stage).start(START_DEADLINE_SECONDS)
    if fault.writer_lost:
        _start_again(stage, fault)


SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario(
            "crash",
            "the writer is killed (kill -9)",
            "kill the writer's process",
            _kill_writer,
            _start_again,
            unattended_failover=True,
        ),
        Scenario(
            "hang",
            "the writer freezes (SIGSTOP), and comes back after it was replaced (SIGCONT)",
            "freeze the writer's process",
            _freeze_writer,
            _thaw,
            unattended_failover=True,
        ),
        Scenario(
            "stop",
            "the writer is shut down cleanly, behind the supervisor's back",
            "shut the writer down",
            _stop_writer,
            _start_again,
            unattended_failover=True,
        ),
        Scenario(
            "standby-crash",
            "the standby is killed (kill -9)",
            "kill the standby's process",
            _kill_standby,
            _start_again,
            hits_standby=True,
        ),
        Scenario(
            "standby-hang",
            "the standby freezes (SIGSTOP) and comes back (SIGCONT)",
            "freeze the standby's process",
            _freeze_standby,
            _thaw,
            hits_standby=True,
        ),
        Scenario(
            "switchover",
            "the writer role moves to the standby, as planned",
            "change the writer",
            _switch_over,
            _nothing,
            single_writer_only=True,
        ),
        Scenario(
            "supervisor-crash",
            "the supervisor is killed, in every other round the writer too, and is started again",
            "kill the supervisor, and the writer with it",
            _kill_supervisor,
            _restart_supervisor,
            unattended_failover=True,
            needs_supervisor_process=True,
        ),
    )
}
