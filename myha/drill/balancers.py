"""Faults of the balancer whose host has the shared address: it dies, freezes, loses its links.

The address has to move to the other one, and whoever still reaches the lost one must not get an OK
from the wrong node through it. docs/address.md says what has to happen in each case.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from myha.config import Config
from myha.core.policy import Durability, Mode
from myha.drill.probe import AddressProbe
from myha.drill.stage import (
    START_DEADLINE_SECONDS,
    TAKEOVER_PLANS,
    Fault,
    Scenario,
    Stage,
    expect,
    silence,
)
from myha.errors import MyhaError, RefusedError
from myha.sandbox.address import SharedAddress
from myha.sandbox.cluster import Cluster
from myha.sandbox.network.faults import Cut, both_ways
from myha.sandbox.network.layout import OTHER_CLIENT, SUPERVISOR
from myha.waiting import wait_until

MOVED_DEADLINE_SECONDS = 30.0
SERVED_DEADLINE_SECONDS = 15.0
TOLD_DEADLINE_SECONDS = 30.0
BEFORE_SECONDS = 0.3  # for which new connections are made before the fault
REST_SECONDS = 1.0
OTHER_CLIENTS = 4
ANSWER_SECONDS = 8.0  # a client of the drill gives up on a host that has vanished after that
POLL_SECONDS = 0.01

Hit = Callable[[Stage, str], None]


def _cluster(stage: Stage) -> tuple[Cluster, SharedAddress]:
    cluster = stage.target.cluster
    if cluster is None or cluster.shared_address is None:
        raise RefusedError("there is no shared address that could move: use --sandbox --network")
    return cluster, cluster.shared_address


def _struck(stage: Stage, hit: Hit, then: Callable[[Stage, str], None] | None = None) -> Fault:
    """Hit the balancer that has the address, and see the address move; `then` while it is lost."""
    _, address = _cluster(stage)
    held = address.holders()[0]
    stage.tell(f"{held} has the address")
    # Some clients know this balancer's own address, as one that is stale may be reached by some.
    stage.write_through(held, OTHER_CLIENT, OTHER_CLIENTS)
    with AddressProbe(stage.target.config.writer_address) as probe:
        time.sleep(BEFORE_SECONDS)
        at = time.monotonic()
        hit(stage, held)
        lost_at = time.monotonic()
        moved = wait_until(
            lambda: any(one != held for one in address.holders()),
            MOVED_DEADLINE_SECONDS,
            POLL_SECONDS,
        )
        now = time.monotonic()
        if not moved:
            stage.problem(f"the address did not leave {held} in {MOVED_DEADLINE_SECONDS:.0f} s")
        elif not wait_until(
            lambda: probe.served_after(now) is not None, SERVED_DEADLINE_SECONDS, POLL_SECONDS
        ):
            stage.problem("the address has moved, and nobody is served there")
        else:
            stage.measured("moved", now - at)
            stage.measured("connected", (probe.served_after(lost_at) or now) - at)
    time.sleep(REST_SECONDS)
    _await_word(stage, "preferred", lambda name: name != held)
    if then is not None:
        then(stage, held)
    return Fault(at, held)


def _await_word(stage: Stage, word: str, about: Callable[[str], bool]) -> None:
    """Until the supervisor has told one of these balancers that it is so."""

    def told() -> bool:
        with suppress(MyhaError):
            return any(
                one.answering and one.address is not None and getattr(one.address, word)
                for name, one in stage.target.status().balancers.items()
                if about(name)
            )
        return False

    problem = f"no balancer was {word} within {TOLD_DEADLINE_SECONDS:.0f} s"
    expect(stage, told, TOLD_DEADLINE_SECONDS, problem)


def _kind(stage: Stage, kinds: tuple[str, ...]) -> str:
    """Each round takes the next one; the seed says which comes first."""
    kind = kinds[(stage.seed + stage.number - 2) % len(kinds)]
    stage.tell(f"this time: {kind}")
    return kind


def _cut_off(stage: Stage, name: str) -> None:
    others = [host for host in stage.target.network.hosts if host != name]
    stage.target.network.faults.cut(both_ways([name], others))


def _settle(stage: Stage, fault: Fault) -> None:
    """It is put right, and the address stays where it went."""
    _, address = _cluster(stage)
    _await_word(stage, "told", lambda name: name == fault.node)
    time.sleep(REST_SECONDS)
    if fault.node in address.holders():
        stage.problem(f"the address came back to {fault.node} by itself")


# -- it dies ------------------------------------------------------------

HAPROXY, HOST = "HAProxy alone", "the whole host"


def _crash(stage: Stage) -> Fault:
    kind = _kind(stage, (HAPROXY, HOST))
    return _struck(stage, _kill if kind == HAPROXY else _power_off)


def _kill(stage: Stage, held: str) -> None:
    cluster, _ = _cluster(stage)
    cluster.balancers[held].kill()


def _power_off(stage: Stage, held: str) -> None:
    """A host that is gone says nothing to anybody any more: first its cable, then its processes."""
    cluster, address = _cluster(stage)
    _cut_off(stage, held)
    address.daemons[held].kill()
    cluster.balancers[held].kill()


def _start_again(stage: Stage, fault: Fault) -> None:
    cluster, address = _cluster(stage)
    stage.slow_down()
    stage.tell(f"starting {fault.node} again")
    address.forget(fault.node)
    stage.target.network.faults.heal()
    address.daemons[fault.node].start(START_DEADLINE_SECONDS)
    cluster.balancers[fault.node].start(START_DEADLINE_SECONDS)
    _settle(stage, fault)


# -- it freezes ------------------------------------------------------------

HAPROXY_STALE, HOST_STALE = f"{HAPROXY}, and the writer", f"{HOST}, and the writer"


def _freeze(stage: Stage) -> Fault:
    kind = _kind(stage, (HAPROXY, HOST, HAPROXY_STALE, HOST_STALE))
    hit = _stop_host if kind in (HOST, HOST_STALE) else _stop_haproxy
    stale = kind in (HAPROXY_STALE, HOST_STALE)
    return _struck(stage, hit, _replace_writer if stale else None)


def _stop_haproxy(stage: Stage, held: str) -> None:
    cluster, _ = _cluster(stage)
    cluster.balancers[held].freeze()


def _stop_host(stage: Stage, held: str) -> None:
    cluster, address = _cluster(stage)
    address.daemons[held].freeze()
    cluster.balancers[held].freeze()


def _replace_writer(stage: Stage, held: str) -> None:
    """The writer freezes too and is replaced: what the lost balancer knows is wrong from now on."""
    stage.tell(f"the writer is lost too, so that {held} sends its clients to the wrong node")
    writer = stage.target.hosts[stage.writer]
    cluster = stage.target.config.cluster
    if cluster.durability is Durability.LOSSLESS or cluster.mode is Mode.DUAL_WRITER:
        writer.freeze()
    else:  # one that is silent and could acknowledge is not replaced
        writer.kill()
    stage.await_plan(TAKEOVER_PLANS)


def _writer_goes_on(stage: Stage) -> None:
    writer = stage.target.hosts[stage.writer]
    if writer.frozen():
        writer.thaw()
    elif not writer.running():
        writer.start(START_DEADLINE_SECONDS)


def _thaw(stage: Stage, fault: Fault) -> None:
    cluster, address = _cluster(stage)
    stage.slow_down()
    stage.tell(f"letting {fault.node} go on (SIGCONT)")
    _writer_goes_on(stage)  # first, so that the balancer that is stale meets one that lives
    cluster.balancers[fault.node].thaw()
    if address.daemons[fault.node].frozen():
        address.daemons[fault.node].thaw()
    _settle(stage, fault)


# -- it loses links ------------------------------------------------------------

FROM_ALL, FROM_NODES = "from the nodes and the supervisor", "from the nodes"
FROM_SUPERVISOR = "from the supervisor, and the writer freezes"


def _partition(stage: Stage) -> Fault:
    """Clients and the other balancer reach it all the time."""
    kind = _kind(stage, (FROM_ALL, FROM_NODES, FROM_SUPERVISOR))
    nodes = tuple(stage.target.config.nodes)
    away = {FROM_ALL: (*nodes, SUPERVISOR), FROM_NODES: nodes, FROM_SUPERVISOR: (SUPERVISOR,)}[kind]

    def cut(stage: Stage, held: str) -> None:
        cuts: tuple[Cut, ...] = both_ways([held], away)
        stage.target.network.faults.cut(cuts)

    return _struck(stage, cut, _replace_writer if kind == FROM_SUPERVISOR else None)


def _join(stage: Stage, fault: Fault) -> None:
    stage.slow_down()
    _writer_goes_on(stage)
    time.sleep(REST_SECONDS)  # in which a stale balancer still sends clients there
    stage.tell("the links are whole again")
    stage.target.network.faults.heal()
    _settle(stage, fault)


def _vanished(config: Config) -> float:
    """A client whose COMMIT was with a host that has vanished waits until it gives up."""
    return ANSWER_SECONDS + silence(config)


def _cut(config: Config) -> float:
    """Those that know the lost balancer alone wait for as long as it is lost."""
    return MOVED_DEADLINE_SECONDS + _vanished(config)


BALANCERS = (
    Scenario(
        "balancer-crash",
        "HAProxy where the address is dies, or its whole host",
        "kill a balancer",
        _crash,
        _start_again,
        needs_network=True,
        needs_address=True,
        explains=_vanished,
    ),
    Scenario(
        "balancer-freeze",
        "HAProxy where the address is freezes, or its whole host, and goes on",
        "freeze a balancer",
        _freeze,
        _thaw,
        unattended_failover=True,
        needs_network=True,
        needs_address=True,
        explains=_cut,
    ),
    Scenario(
        "balancer-partition",
        "the balancer that has the address loses the nodes, the supervisor, or both",
        "cut a balancer off",
        _partition,
        _join,
        unattended_failover=True,
        needs_network=True,
        needs_address=True,
        explains=_cut,
    ),
)
