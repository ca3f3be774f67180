"""The faults: one for each named scenario, and how the drill puts right what it broke."""

from __future__ import annotations

import time

from myha.config import Config
from myha.drill.balancers import BALANCERS
from myha.drill.chaos import CHAOS
from myha.drill.clock import CLOCK
from myha.drill.crossing import CROSSING
from myha.drill.data_loss import DATA_LOSS
from myha.drill.disks import DISKS
from myha.drill.diverging import DIVERGING
from myha.drill.leaders import LEADERS
from myha.drill.memory import MEMORY
from myha.drill.partitions import PARTITIONS
from myha.drill.power import POWER
from myha.drill.stage import (
    START_DEADLINE_SECONDS,
    STOP_DEADLINE_SECONDS,
    TAKEOVER_PLANS,
    Fault,
    Scenario,
    Stage,
    freeze_writer,
    kill_writer,
    silence,
    start_again,
    thaw,
)
from myha.drill.stray import STRAY
from myha.errors import RefusedError
from myha.hosts.local import LocalHost
from myha.waiting import wait_until

SUPERVISOR_AWAY_SECONDS = 1.0
SUPERVISOR_START_SECONDS = 1.0  # to its first look, as long as it takes on a machine at work
DIRECT_CLIENTS = 20
NEAR_WAIT_SECONDS = 60.0
SWITCHOVER_TRIES, UNDONE_DEADLINE_SECONDS = 5, 10.0
THAW_AFTER_SECONDS = 0.5  # from the takeover; clients that wait have not given up by then
RELEASE_PLANS = ("release",)


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
    """One that turns out to cost more than was agreed to is undone, and asked for again."""
    at = time.monotonic()
    for _ in range(SWITCHOVER_TRIES):
        client = stage.target.client
        reply = client.request_until("switchover", NEAR_WAIT_SECONDS, to=stage.standby)
        if reply.ok:
            return Fault(at, stage.writer, ("switchover",))
        stage.tell(f"not done: {reply.text}")
        _await_healthy(stage)
    raise RefusedError(f"the supervisor refused the switchover: {reply.text}")


def _await_healthy(stage: Stage) -> None:
    wait_until(lambda: stage.target.status().verdict == "healthy", UNDONE_DEADLINE_SECONDS)


def _kill_supervisor(stage: Stage) -> Fault:
    """The writer is lost too in every other round; the seed says in which."""
    supervisor = _supervisor(stage)
    at = time.monotonic()
    supervisor.kill()
    supervisor.await_gone(STOP_DEADLINE_SECONDS)
    if (stage.seed + stage.number) % 2:
        return Fault(at, "supervisor")
    time.sleep(stage.random.uniform(0.05, 0.3))
    return kill_writer(stage)


def _supervisor(stage: Stage) -> LocalHost:
    if stage.target.supervisor is None:
        raise RefusedError(
            "supervisor-crash needs a supervisor that the drill may end and start: use --sandbox"
        )
    return stage.target.supervisor


def _until_the_supervisor_is_back(config: Config) -> float:
    """It reads its record, looks at everything and waits out the dead time of what it never saw."""
    return SUPERVISOR_AWAY_SECONDS + SUPERVISOR_START_SECONDS + silence(config)


def _freeze_with_waiting_commits(stage: Stage) -> Fault:
    stage.write_past_balancer(stage.writer, DIRECT_CLIENTS)
    return freeze_writer(stage)


def _thaw_at_once(stage: Stage, fault: Fault) -> None:
    """While clients still wait for the answer to what they had sent before."""
    stage.await_plan(fault.plans)
    time.sleep(THAW_AFTER_SECONDS)
    stage.slow_down()
    stage.tell(f"letting {fault.node} go on (SIGCONT)")
    stage.target.hosts[fault.node].thaw()


def _nothing(_stage: Stage, _fault: Fault) -> None:
    """A planned change leaves nothing to put right."""


def _restart_supervisor(stage: Stage, fault: Fault) -> None:
    time.sleep(max(0.0, fault.at + SUPERVISOR_AWAY_SECONDS - time.monotonic()))
    stage.tell("starting the supervisor again")
    _supervisor(stage).start(START_DEADLINE_SECONDS)
    if fault.writer_lost:
        start_again(stage, fault)


SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario(
            "crash",
            "the writer is killed (kill -9)",
            "kill the writer's process",
            kill_writer,
            start_again,
            unattended_failover=True,
        ),
        Scenario(
            "hang",
            "the writer freezes (SIGSTOP), and comes back after it was replaced (SIGCONT)",
            "freeze the writer's process",
            freeze_writer,
            thaw,
            unattended_failover=True,
            explains=silence,
        ),
        Scenario(
            "waiting-commits",
            "the writer freezes while clients past the balancer wait for its commits, and comes"
            " back after it was replaced",
            "freeze the writer's process",
            _freeze_with_waiting_commits,
            _thaw_at_once,
            unattended_failover=True,
            explains=silence,
        ),
        Scenario(
            "stop",
            "the writer is shut down cleanly, behind the supervisor's back",
            "shut the writer down",
            _stop_writer,
            start_again,
            unattended_failover=True,
        ),
        Scenario(
            "standby-crash",
            "the standby is killed (kill -9)",
            "kill the standby's process",
            _kill_standby,
            start_again,
            hits_standby=True,
        ),
        Scenario(
            "standby-hang",
            "the standby freezes (SIGSTOP) and comes back (SIGCONT)",
            "freeze the standby's process",
            _freeze_standby,
            thaw,
            hits_standby=True,
            explains=silence,
        ),
        Scenario(
            "switchover",
            "the writer role moves to the standby, as planned",
            "change the writer",
            _switch_over,
            _nothing,
            needs_host=False,
            single_writer_only=True,
        ),
        Scenario(
            "supervisor-crash",
            "the supervisor is killed, in every other round the writer too, and is started again",
            "kill the supervisor, and the writer with it",
            _kill_supervisor,
            _restart_supervisor,
            unattended_failover=True,
            explains=_until_the_supervisor_is_back,
            needs_supervisor_process=True,
        ),
        *DIVERGING,
        *CROSSING,
        *DATA_LOSS,
        *STRAY,
        *PARTITIONS,
        *BALANCERS,
        *LEADERS,
        *POWER,
        *DISKS,
        *CLOCK,
        *MEMORY,
        *CHAOS,
    )
}
