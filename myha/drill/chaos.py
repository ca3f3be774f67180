"""Random combinations of the faults that the other scenarios play one at a time.

Each round is one combination, drawn from the seed and the round's number: something that strikes
one of the two nodes (or the power of all), and up to two things beside it that strike neither's
data. All of it is undone, the pair has to be whole, and the round is judged before the next one
begins: so a run of any length needs no more memory than its longest round.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from myha.drill.clock import HOUR_SECONDS
from myha.drill.disks import Stall, give_disks, start_if_gone
from myha.drill.power import POWER
from myha.drill.stage import (
    START_DEADLINE_SECONDS,
    STOP_DEADLINE_SECONDS,
    Fault,
    Scenario,
    Stage,
    silence,
)
from myha.errors import MyhaError
from myha.hosts.local import LocalHost
from myha.sandbox import clocks, disks
from myha.sandbox.cluster import Cluster

WRITER, STANDBY, SUPERVISOR, BALANCER = "writer", "standby", "supervisor", "balancer"
KILL, FREEZE, STALL, STEP, POWER_CUT = "kill", "freeze", "stall", "step", "power"
BESIDE_LIMIT = 2
BEGINS_WITHIN_SECONDS, LASTS_SECONDS = 3.0, (0.3, 6.0)
WHOLE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Act:
    """One fault: when it begins, from the round's first on, and how long it lasts, in seconds.

    `argument`: by how many seconds a clock is stepped.
    """

    what: str
    who: str
    at_seconds: float
    for_seconds: float
    argument: int = 0

    def __str__(self) -> str:
        return f"{self.what} {self.who}".strip()


def draw(seed: int, number: int, given: Collection[str]) -> tuple[Act, ...]:
    """The combination of a round, in the order in which its faults begin.

    `given`: of STALL and STEP those that the sandbox was made for. The same arguments, the same
    combination; how long everything takes is up to the machine.
    """
    rng = random.Random(f"chaos/{seed}/{number}")
    at_a_node = [KILL, KILL, FREEZE, *([STALL] if STALL in given else [])]
    first = rng.choice([*at_a_node, *at_a_node, POWER_CUT])
    who = "" if first == POWER_CUT else rng.choice((WRITER, WRITER, STANDBY))
    acts = [_act(rng, first, who)]
    if first != POWER_CUT:
        beside = [(KILL, SUPERVISOR), (KILL, BALANCER)]
        if STEP in given:
            beside.append((STEP, SUPERVISOR))
        rng.shuffle(beside)
        acts += [_act(rng, *one) for one in beside[: rng.randint(0, BESIDE_LIMIT)]]
    return tuple(sorted(acts, key=lambda act: act.at_seconds))


def _act(rng: random.Random, what: str, who: str) -> Act:
    return Act(
        what,
        who,
        round(rng.uniform(0.0, BEGINS_WITHIN_SECONDS), 2),
        round(rng.uniform(*LASTS_SECONDS), 2),
        rng.choice((HOUR_SECONDS, -HOUR_SECONDS)) if what == STEP else 0,
    )


def give_everything(cluster: Cluster) -> None:
    """Disks where we may mount, and clocks."""
    if disks.why_not() == "":
        give_disks(cluster)
    clocks.give_clocks(cluster)


def _strike(stage: Stage) -> Fault:
    cluster = stage.target.cluster
    if cluster is None:
        raise MyhaError("chaos is for sandboxes only")
    given = [STEP, *([STALL] if disks.has_disks(cluster.directory) else [])]
    acts = draw(stage.seed, stage.number, given)
    said = " + ".join(map(str, acts))
    stage.tell(f"{said}, each undone after a while")
    stage.slow_down()  # a long run must not fill the disk
    if acts[0].what == POWER_CUT:
        power = POWER[0].strike(stage)
        return Fault(power.at, said)
    at = time.monotonic()
    agenda = [(act.at_seconds, act, True) for act in acts]
    agenda += [(act.at_seconds + act.for_seconds, act, False) for act in acts]
    undo: dict[Act, Callable[[], None]] = {}
    for seconds, act, begins in sorted(agenda, key=lambda one: one[0]):
        time.sleep(max(0.0, at + seconds - time.monotonic()))
        if begins:
            stage.tell(str(act))
            undo[act] = _begin(stage, cluster, act)
        else:
            stage.tell(f"undo: {act}")
            undo.pop(act)()
    return Fault(at, said)


def _begin(stage: Stage, cluster: Cluster, act: Act) -> Callable[[], None]:
    """Do it; what undoes it. A round that breaks off leaves that to its own putting right."""
    if act.what == STEP:
        back = partial(clocks.step, cluster, clocks.SUPERVISOR, 0)
        stage.undo(back)
        clocks.step(cluster, clocks.SUPERVISOR, act.argument)
        return back
    nodes = {WRITER: stage.writer, STANDBY: stage.standby}
    name = nodes.get(act.who, act.who)
    host = stage.target.machines()[name]
    if act.what == STALL:
        stall = Stall(cluster.machines[name].directory)
        stage.undo(stall.end)
        stall.begin()
        return partial(_go_on, stage, stall, name)
    if act.what == FREEZE:
        host.freeze()
        return partial(_thaw, host)
    host.kill()
    return partial(_start, host)


def _go_on(stage: Stage, stall: Stall, name: str) -> None:
    stall.end()
    start_if_gone(stage, name)


def _thaw(host: LocalHost) -> None:
    """One that was fenced from outside meanwhile has to be started instead."""
    if host.frozen():
        host.thaw()
    else:
        _start(host)


def _start(host: LocalHost) -> None:
    if not host.await_gone(STOP_DEADLINE_SECONDS):
        raise MyhaError(f"{host.name} is still there after it was killed")
    host.start(START_DEADLINE_SECONDS)


def _mend(stage: Stage, fault: Fault) -> None:
    if fault.node == POWER_CUT:
        POWER[0].mend(stage, fault)
    stage.undone()
    stage.explain(time.monotonic() - fault.at + silence(stage.target.config))


CHAOS = (
    Scenario(
        "chaos",
        "several things happen at once: a server, its disk, the supervisor, the balancer, a clock",
        "kill, freeze and stall processes and disks at random",
        _strike,
        _mend,
        unattended_failover=True,
        needs_supervisor_process=True,
        sandbox_only=True,
        ticks=False,
        fit=give_everything,
        whole_seconds=WHOLE_SECONDS,
    ),
)
