"""Faults of the supervisor that acts, and of the etcd by which the supervisors settle who does."""

from __future__ import annotations

import time

from myha.config import Config
from myha.drill.acting import ActingClient
from myha.drill.quorum import Quorum
from myha.drill.stage import (
    START_DEADLINE_SECONDS,
    STOP_DEADLINE_SECONDS,
    TAKEOVER_PLANS,
    Fault,
    Scenario,
    Stage,
    expect,
    silence,
    start_again,
)
from myha.errors import MyhaError, RefusedError, SupervisorAwayError
from myha.ports import Host
from myha.sandbox.network.faults import both_ways

ACTS_DEADLINE_SECONDS = 30.0
AWAY_SECONDS = 4.0
EXPIRY_SECONDS = 1.0  # until etcd has seen that a lease ran out, and the next one has begun


def _quorum(stage: Stage) -> tuple[Quorum, ActingClient]:
    quorum, client = stage.target.quorum, stage.target.client
    if quorum is None or not isinstance(client, ActingClient):
        raise RefusedError("there is one supervisor only: use --sandbox")
    return quorum, client


def _acting(stage: Stage) -> Host:
    quorum, client = _quorum(stage)
    return quorum.supervisors[client.acting()]


def _another_acts(stage: Stage, lost: Host, at: float) -> None:
    """Waits for it, and notes how long it took."""
    quorum, client = _quorum(stage)

    def acts() -> bool:
        try:
            return quorum.supervisors[client.acting()] is not lost
        except SupervisorAwayError:
            return False

    problem = f"no other supervisor acts after {ACTS_DEADLINE_SECONDS:.0f} s"
    if expect(stage, acts, ACTS_DEADLINE_SECONDS, problem):
        stage.measured("acts", time.monotonic() - at)


def _kill_leader(stage: Stage) -> Fault:
    leader, at = _acting(stage), time.monotonic()
    leader.kill()
    _another_acts(stage, leader, at)
    return Fault(at, "supervisor")


def _kill_leader_and_writer(stage: Stage) -> Fault:
    leader, at = _acting(stage), time.monotonic()
    leader.kill()
    stage.target.hosts[stage.writer].kill()
    _another_acts(stage, leader, at)
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _cut_leader_off(stage: Stage) -> Fault:
    """From all: its servers, the other supervisors, etcd."""
    leader, host, at = _acting(stage), stage.target.acting_host, time.monotonic()
    others = [name for name in stage.target.network.hosts if name != host]
    stage.target.network.faults.cut(both_ways([host], others))
    _another_acts(stage, leader, at)
    time.sleep(AWAY_SECONDS)
    return Fault(at, "supervisor")


def _join_leader(stage: Stage, _fault: Fault) -> None:
    """It hears of the other one, and stands in line behind it."""
    stage.tell("the links are whole again")
    stage.backs_off(stage.target.network.faults.heal())


def _freeze_leader(stage: Stage) -> Fault:
    """Somewhere in the failover that it has begun."""
    leader, at = _acting(stage), time.monotonic()
    stage.target.hosts[stage.writer].kill()
    time.sleep(stage.random.uniform(0.0, 0.1))
    leader.freeze()
    _another_acts(stage, leader, at)
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _lose_etcd(stage: Stage) -> Fault:
    """One, two or all of three members, their disks kept, or one with its disk: the seed says."""
    quorum, _ = _quorum(stage)
    count, loses_disk = lost_members(stage.seed + stage.number, disks=quorum.disks is not None)
    names, at = stage.random.sample(sorted(quorum.etcd), count), time.monotonic()
    stage.tell(f"killing {' and '.join(names)}{', whose disk is lost' if loses_disk else ''}")
    for name in names:
        if loses_disk:
            quorum.lose_disk(name)
        else:
            quorum.etcd[name].kill()
    time.sleep(AWAY_SECONDS)
    return Fault(at, "etcd")


def lost_members(turn: int, *, disks: bool) -> tuple[int, bool]:
    """How many of three are lost in this turn, and whether their disks are lost with them."""
    which = turn % (4 if disks else 3)
    return (1, True) if which == 3 else (1 + which, False)


def _start_writer_and_supervisor(stage: Stage, fault: Fault) -> None:
    """What of the failover was still to be done may have been nothing but the routing."""
    _, client = _quorum(stage)

    def replaced() -> bool:
        try:
            return client.status().writer == stage.standby
        except MyhaError:
            return False

    expect(stage, replaced, ACTS_DEADLINE_SECONDS, f"{stage.standby} has not become the writer")
    stage.slow_down()
    host = stage.target.hosts[fault.node]
    host.await_gone(STOP_DEADLINE_SECONDS)
    stage.tell(f"starting {fault.node} again")
    host.start(START_DEADLINE_SECONDS)
    _start_supervisors(stage, Fault(fault.at, "supervisor"))


def _start_supervisors(stage: Stage, fault: Fault) -> None:
    quorum, _ = _quorum(stage)
    if fault.writer_lost:
        start_again(stage, fault)
    stage.tell("starting the supervisor again")
    quorum.start_supervisors()


def _start_etcd(stage: Stage, _fault: Fault) -> None:
    quorum, _ = _quorum(stage)
    stage.tell("starting etcd's members again")
    quorum.start_etcd()


def until_another_acts(config: Config) -> float:
    """The lease runs out, and the next one waits out the dead time of what it never saw."""
    return config.etcd.lease_seconds + EXPIRY_SECONDS + silence(config)


LEADERS = (
    Scenario(
        "leader-crash",
        "the supervisor that acts is killed, and another one acts",
        "kill the supervisor that acts",
        _kill_leader,
        _start_supervisors,
        needs_supervisors=True,
        sandbox_only=True,
    ),
    Scenario(
        "leader-and-writer-crash",
        "the supervisor that acts and the writer are killed at once",
        "kill the supervisor that acts, and the writer",
        _kill_leader_and_writer,
        _start_supervisors,
        unattended_failover=True,
        needs_supervisors=True,
        sandbox_only=True,
        explains=until_another_acts,
    ),
    Scenario(
        "leader-partition",
        "the supervisor that acts is cut off from everything, and another one acts",
        "cut off the supervisor that acts",
        _cut_leader_off,
        _join_leader,
        needs_network=True,
        needs_supervisors=True,
    ),
    Scenario(
        "leader-freeze",
        "the writer is killed, the supervisor freezes in its failover, and goes on later",
        "kill the writer, and freeze the supervisor that acts",
        _freeze_leader,
        _start_writer_and_supervisor,
        unattended_failover=True,
        needs_supervisors=True,
        sandbox_only=True,
        explains=until_another_acts,
    ),
    Scenario(
        "etcd-crash",
        "one member of etcd, two, or all three are killed and started again, or one loses its disk",
        "kill members of etcd",
        _lose_etcd,
        _start_etcd,
        needs_host=False,
        needs_supervisors=True,
        sandbox_only=True,
    ),
)
