"""The power goes: every process at once, and all of them come back, in every order.

SIGKILL stands for the power: what a process had in its own memory is gone, what it had written is
still in the kernel's page cache. A disk that loses what it had confirmed is not played.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations

from myha.drill.stage import (
    START_DEADLINE_SECONDS,
    Fault,
    Scenario,
    Stage,
    await_gone,
    silence,
)
from myha.hosts.local import LocalHost

REST_SECONDS = 1.0  # without any of them
PAUSE_LIMIT_SECONDS = 5.0  # between the starts of two; a server needs up to four
ALL = "all"
SUPERVISOR, BALANCER, WRITER, STANDBY = "supervisor", "balancer", "writer", "standby"
ROLES = (SUPERVISOR, STANDBY, WRITER, BALANCER)
ORDERS = tuple(permutations(ROLES))  # sorted by who is first


def order_of(seed: int, number: int) -> tuple[str, ...]:
    """In which order they come back in a round: another one is first each time, and with 24 rounds
    they come in every order once."""
    turn, first = divmod(seed + number - 2, len(ROLES))
    of_each = len(ORDERS) // len(ROLES)
    return ORDERS[of_each * first + turn % of_each]


def _kill_all(stage: Stage) -> Fault:
    hosts = list(stage.target.machines().values())
    stage.random.shuffle(hosts)
    at = time.monotonic()
    for host in hosts:
        host.kill()
    for host in hosts:
        await_gone(host)
    return Fault(at, ALL, ("reinstate", "failover", "install"))


def _start_all(stage: Stage, fault: Fault) -> None:
    """One begins after the other, and none waits for those before it to serve: a supervisor serves
    nobody before it has seen a node. Read replicas come with the standby, and with the supervisors
    etcd."""
    time.sleep(REST_SECONDS)
    machines = stage.target.machines()
    order = order_of(stage.seed, stage.number)
    with ThreadPoolExecutor(len(machines)) as pool:
        starts = []
        for role in order:
            stage.tell(f"starting the {role}")
            starts += [
                pool.submit(host.start, START_DEADLINE_SECONDS)
                for host in _of(stage, role, machines)
            ]
            if role != order[-1]:
                time.sleep(stage.random.uniform(0.0, PAUSE_LIMIT_SECONDS))
    for start in starts:
        start.result()
    stage.slow_down()
    stage.explain(time.monotonic() - fault.at + silence(stage.target.config))


def _of(stage: Stage, role: str, machines: dict[str, LocalHost]) -> list[LocalHost]:
    if role == WRITER:
        return [machines[stage.writer]]
    if role == STANDBY:
        return [machines[stage.standby], *(machines[one] for one in stage.target.config.replicas)]
    if role == SUPERVISOR:
        named = (WRITER, STANDBY, BALANCER, *stage.target.config.servers)
        return [host for name, host in machines.items() if name not in named]
    return [machines[role]]


POWER = (
    Scenario(
        "power",
        "the power goes: all servers, the balancer and the supervisor are killed at once, and come"
        " back in another order each round",
        "kill every process of the cluster",
        _kill_all,
        _start_all,
        sandbox_only=True,
    ),
)
