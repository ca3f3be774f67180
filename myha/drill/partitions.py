"""Faults that only a network has: links that are cut, one way, that come and go.

What is cut is silent: nothing is reset and nothing refused, on any side. What the supervisor has to
do about each is in docs/guarantees.md; the judge is the one of all scenarios.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import suppress

from myha.config import Config, split_address
from myha.core.policy import Durability, Mode
from myha.core.record import Membership
from myha.drill.stage import (
    HANG_REST_SECONDS,
    STOP_DEADLINE_SECONDS,
    TAKEOVER_PLANS,
    Fault,
    Scenario,
    Stage,
    await_decision,
    change_of_writer,
    silence,
    start_again,
)
from myha.drill.target import Target
from myha.errors import ServerError
from myha.sandbox.network.faults import Cut, both_ways
from myha.sandbox.network.layout import BALANCERS, CLIENT, OTHER_CLIENT, SUPERVISOR
from myha.waiting import POLL_SECONDS, wait_until

RELEASE_PLANS = ("release",)
NOTICED_DEADLINE_SECONDS = 15.0
CUT_SECONDS = 4.0  # of a cut that nothing has to be done about
REFUSED_SECONDS = 2.0  # for which a refusal is watched to last
OTHER_CLIENTS = 4
FLAP_SECONDS = 60.0
SLOW_SECONDS, SLOW_DELAY_SECONDS, SLOW_LOSS = 60.0, 0.3, 0.01
FLAP_DOWN_SECONDS, FLAP_UP_SECONDS = (0.2, 3.0), (0.2, 3.0)
CONNECT_SECONDS = 10.0  # in which a client's attempt has ended


def _cut(stage: Stage, cuts: Sequence[Cut]) -> float:
    """Cut, and say when: the moment after which nothing gets through."""
    stage.target.network.faults.cut(cuts)
    return time.monotonic()


def _mend_cut(stage: Stage) -> None:
    stage.slow_down()
    stage.tell("the links are whole again")
    stage.backs_off(stage.target.network.faults.heal())


def _others(stage: Stage, *names: str) -> list[str]:
    """All hosts but these."""
    return [host for host in stage.target.network.hosts if host not in names]


def _must_take_over(config: Config) -> bool:
    """A silent writer is replaced where it cannot acknowledge, closes itself, or its peer writes
    anyway."""
    cluster = config.cluster
    closes_itself = config.failover.watchdog_seconds > 0
    lossless = cluster.durability is Durability.LOSSLESS
    return lossless or closes_itself or cluster.mode is Mode.DUAL_WRITER


def _until_replaced(config: Config) -> float:
    """The dead time; or until the last renewal of a lease has been given up, and what the watchdog
    takes from there."""
    watchdog = config.failover.watchdog_seconds
    if not watchdog:
        return silence(config)
    return config.timing.call_deadline_seconds + watchdog + change_of_writer(config)


# -- the writer is away ------------------------------------------------------------


def _cut_writer(stage: Stage) -> Fault:
    at = _cut(stage, both_ways([stage.writer], _others(stage, stage.writer)))
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _cut_writer_with_balancer(stage: Stage) -> Fault:
    """The balancer and the clients that stand beside the writer stay with it."""
    nodes = list(stage.target.config.nodes)
    clients = (CLIENT, OTHER_CLIENT)
    number = nodes.index(stage.writer)
    stage.write_through(BALANCERS[1], OTHER_CLIENT, OTHER_CLIENTS)
    side = (stage.writer, BALANCERS[number], clients[number])
    stage.tell(f"{', '.join(side)} on one side of the cut, all else on the other")
    at = _cut(stage, both_ways(side, _others(stage, *side)))
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _vanish(stage: Stage) -> Fault:
    """The process is killed and its address goes with it, as a container's or a machine's does.

    The end of its connections still gets out; whoever connects anew is refused by nobody.
    """
    others = _others(stage, stage.writer)
    at = _cut(stage, [Cut(tuple(others), (stage.writer,))])
    host = stage.target.hosts[stage.writer]
    host.kill()
    host.await_gone(STOP_DEADLINE_SECONDS)
    stage.target.network.faults.cut(both_ways([stage.writer], others))
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _after_vanishing(stage: Stage, fault: Fault) -> None:
    stage.await_plan(fault.plans)
    time.sleep(HANG_REST_SECONDS)
    _mend_cut(stage)
    start_again(stage, fault)


def _after_takeover(stage: Stage, fault: Fault) -> None:
    """Or after the refusal, where the silent writer could still acknowledge."""
    if _must_take_over(stage.target.config):
        stage.await_plan(fault.plans)
        time.sleep(HANG_REST_SECONDS)
    else:
        _await_refusal_or_takeover(stage)
        cut_seconds = time.monotonic() - fault.at
        stage.explain(2 * cut_seconds + change_of_writer(stage.target.config))
    _mend_cut(stage)


def _await_refusal_or_takeover(stage: Stage) -> None:
    """Without anything that closes the old writer for certain, a failover has to be refused."""
    status = await_decision(stage, "writer-hung", NOTICED_DEADLINE_SECONDS)
    if status is not None and status.writer == stage.writer:
        stage.tell(f"refused: {'; '.join(one.reason for one in status.refusals)}")
        time.sleep(REFUSED_SECONDS)
        if stage.target.status().writer != stage.writer:
            stage.problem("the supervisor refused to fail over, and then did")


# -- nothing is lost but a link ------------------------------------------------------------


def _cut_writer_from_supervisor(stage: Stage) -> Fault:
    supervisor = stage.target.acting_host
    at = _cut(stage, both_ways([stage.writer], [supervisor]))
    return Fault(at, supervisor)


def _after_cut_off(stage: Stage, _fault: Fault) -> None:
    """The writer lives, and the supervisor has to know that from the standby."""
    _await_verdict(stage, "cut-off")
    time.sleep(CUT_SECONDS)
    _writer_is_the_same(stage)
    _mend_cut(stage)


def _await_verdict(stage: Stage, name: str) -> None:
    def seen() -> bool:
        return any(one.name == name for one in stage.target.status().verdicts)

    if not wait_until(seen, NOTICED_DEADLINE_SECONDS):
        sentence = stage.target.status().sentence
        stage.problem(
            f"the verdict {name} did not come within {NOTICED_DEADLINE_SECONDS:.0f} s: {sentence}"
        )


def _cut_supervisor(stage: Stage) -> Fault:
    at = _cut(stage, both_ways([SUPERVISOR], _others(stage, SUPERVISOR)))
    return Fault(at, SUPERVISOR)


def _after_isolation(stage: Stage, _fault: Fault) -> None:
    """It loses the nodes one after the other, and may not take the first one for dead."""
    _await_verdict(stage, "isolated")
    time.sleep(CUT_SECONDS)
    _writer_is_the_same(stage)
    for name, node in stage.target.status().nodes.items():
        if node.membership is not Membership.MEMBER:
            stage.problem(f"a supervisor that reached nobody took {name} for lost")
    _mend_cut(stage)


def _writer_is_the_same(stage: Stage) -> None:
    writer = stage.target.status().writer
    if writer != stage.writer:
        stage.problem(f"{writer} became the writer although {stage.writer} lived and was heard")


def _cut_writer_from_balancer(stage: Stage) -> Fault:
    at = _cut(stage, both_ways([stage.writer], [BALANCERS[1]]))
    return Fault(at, BALANCERS[1])


def _after_balancer_cut_off(stage: Stage, _fault: Fault) -> None:
    """Known as soon as clients connect there anew, and nothing is done for it."""
    stop = threading.Event()
    client = threading.Thread(target=_keep_connecting, args=(stage.target, stop), daemon=True)
    client.start()
    try:
        _await_verdict(stage, "balancer-cut-off")
        time.sleep(CUT_SECONDS)
        _writer_is_the_same(stage)
    finally:
        stop.set()
        client.join(2 * CONNECT_SECONDS)
    _mend_cut(stage)
    with stage.target.session(*_writer_port(stage.target, BALANCERS[1])):
        stage.tell("the balancer serves again")


def _keep_connecting(target: Target, stop: threading.Event) -> None:
    """A client of that balancer, which is turned away."""
    while not stop.wait(POLL_SECONDS):
        with suppress(ServerError), target.session(*_writer_port(target, BALANCERS[1])):
            pass


def _writer_port(target: Target, balancer: str) -> tuple[str, int]:
    return split_address(target.config.balancers[balancer].writer_listen)


def _cut_writer_from_standby(stage: Stage) -> Fault:
    at = _cut(stage, both_ways([stage.writer], [stage.standby]))
    return Fault(at, stage.standby, _release_plans(stage))


def _cut_standby(stage: Stage) -> Fault:
    at = _cut(stage, both_ways([stage.standby], _others(stage, stage.standby)))
    return Fault(at, stage.standby, _release_plans(stage))


def _release_plans(stage: Stage) -> tuple[str, ...]:
    """Only where the record says that the writer waits for the standby is there anything to do."""
    lossless = stage.target.config.cluster.durability is Durability.LOSSLESS
    return RELEASE_PLANS if lossless else ()


def _after_release(stage: Stage, fault: Fault) -> None:
    if fault.plans:
        stage.await_plan(fault.plans)
        time.sleep(HANG_REST_SECONDS)
    else:
        time.sleep(CUT_SECONDS)
    _writer_is_the_same(stage)
    _mend_cut(stage)


# -- one direction ------------------------------------------------------------


def _cut_one_way(stage: Stage) -> Fault:
    """One direction of one link in each round; the seed says which comes first."""
    writer, standby, supervisor = stage.writer, stage.standby, stage.target.acting_host
    links = ((writer, standby), (supervisor, writer), (supervisor, standby), (BALANCERS[0], writer))
    ways = [way for link in links for way in (link, link[::-1])]
    source, target = ways[(stage.seed + stage.number - 2) % len(ways)]
    stage.tell(f"nothing gets from {source} to {target}, and all the other way")
    at = _cut(stage, [Cut((source,), (target,))])
    between_servers = {source, target} == {writer, standby}
    return Fault(at, source, _release_plans(stage) if between_servers else ())


# -- come and go ------------------------------------------------------------


def _flap(stage: Stage) -> Fault:
    """The writer's cable, for random times; whoever is the writer then."""
    node = stage.writer
    cuts = both_ways([node], _others(stage, node))
    at = time.monotonic()
    ends = at + FLAP_SECONDS
    while time.monotonic() < ends:
        stage.target.network.faults.cut(cuts)
        time.sleep(stage.random.uniform(*FLAP_DOWN_SECONDS))
        stage.backs_off(stage.target.network.faults.heal())
        time.sleep(stage.random.uniform(*FLAP_UP_SECONDS))
    return Fault(at, node)


# -- slow ------------------------------------------------------------


def _slow_down(stage: Stage) -> Fault:
    """Replication and control; clients and balancers stand beside the writer."""
    nodes = tuple(stage.target.config.nodes)
    supervisor = stage.target.acting_host
    pairs = [(stage.writer, stage.standby), *((supervisor, node) for node in nodes)]
    at = time.monotonic()
    with stage.target.network.slowed(pairs, SLOW_DELAY_SECONDS, SLOW_LOSS, stage.seed):
        ends = at + SLOW_SECONDS
        while time.monotonic() < ends:
            _writer_is_the_same(stage)
            time.sleep(1.0)
    return Fault(at, stage.writer)


def _slow(config: Config) -> float:
    """As long as the links are slow, clients may wait for each other's acknowledgements."""
    return SLOW_SECONDS + silence(config)


def _flapping(config: Config) -> float:
    """As long as the link is not to be relied on."""
    return FLAP_SECONDS + silence(config)


def _while_cut(config: Config) -> float:
    """As long as the cut lasts: nobody can do anything for these clients."""
    return silence(config) + NOTICED_DEADLINE_SECONDS


def _after_slowness(stage: Stage, _fault: Fault) -> None:
    _mend_cut(stage)
    _writer_is_the_same(stage)


def _heal(stage: Stage, _fault: Fault) -> None:
    _mend_cut(stage)


PARTITIONS = (
    Scenario(
        "partition-writer",
        "the writer is cut off from everything, and comes back after it was replaced",
        "cut the writer off",
        _cut_writer,
        _after_takeover,
        unattended_failover=True,
        needs_network=True,
        explains=_until_replaced,
    ),
    Scenario(
        "vanish",
        "the writer is killed and its address is gone with it, as a container's",
        "kill the writer, and let nobody refuse whoever connects to it",
        _vanish,
        _after_vanishing,
        unattended_failover=True,
        needs_network=True,
        explains=silence,
    ),
    Scenario(
        "partition-supervisor",
        "the supervisor is cut off from everything",
        "cut the supervisor off",
        _cut_supervisor,
        _after_isolation,
        needs_network=True,
    ),
    Scenario(
        "partition-writer-from-supervisor",
        "the supervisor and the writer do not reach each other",
        "cut the link between the supervisor and the writer",
        _cut_writer_from_supervisor,
        _after_cut_off,
        needs_network=True,
    ),
    Scenario(
        "partition-writer-from-balancer",
        "a balancer and the writer do not reach each other",
        "cut the link between the second balancer and the writer",
        _cut_writer_from_balancer,
        _after_balancer_cut_off,
        needs_network=True,
    ),
    Scenario(
        "partition-writer-from-standby",
        "the writer and the standby do not reach each other",
        "cut the link between the nodes",
        _cut_writer_from_standby,
        _after_release,
        hits_standby=True,
        needs_network=True,
        explains=silence,
    ),
    Scenario(
        "partition-standby",
        "the standby is cut off from everything",
        "cut the standby off",
        _cut_standby,
        _after_release,
        hits_standby=True,
        needs_network=True,
        explains=silence,
    ),
    Scenario(
        "partition-balancer-with-writer",
        "the writer is cut off together with the balancer and the clients beside it",
        "cut the writer off, with a balancer and its clients",
        _cut_writer_with_balancer,
        _after_takeover,
        unattended_failover=True,
        needs_network=True,
        single_writer_only=True,
        explains=_while_cut,
    ),
    Scenario(
        "one-way",
        "nothing gets through a link in one direction",
        "cut one direction of a link",
        _cut_one_way,
        _after_release,
        needs_network=True,
        explains=_while_cut,
    ),
    Scenario(
        "flap",
        f"the writer's links come and go for {FLAP_SECONDS:.0f} s",
        "cut the writer off again and again",
        _flap,
        _heal,
        unattended_failover=True,
        needs_network=True,
        explains=_flapping,
    ),
    Scenario(
        "slow",
        f"replication and the supervisor's links take {SLOW_DELAY_SECONDS * 1000:.0f} ms each way"
        f" and lose {SLOW_LOSS:.0%} for {SLOW_SECONDS:.0f} s",
        "make the links between the nodes and to the supervisor slow",
        _slow_down,
        _after_slowness,
        needs_network=True,
        explains=_slow,
    ),
)
