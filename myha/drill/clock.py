"""A wall clock is an hour off, of one host at a time, either way, and the writer dies meanwhile.

Whatever is decided by the wall clock instead of the monotonic one shows here.
"""

from __future__ import annotations

import time
from collections.abc import Collection

from myha.drill.stage import Fault, Scenario, Stage, kill_writer, start_again
from myha.errors import RefusedError
from myha.sandbox import clocks

HOUR_SECONDS = 3600
WRITER, STANDBY, SUPERVISOR = "writer", "standby", "supervisor"
STEPS = tuple(
    (who, by) for by in (HOUR_SECONDS, -HOUR_SECONDS) for who in (WRITER, STANDBY, SUPERVISOR)
)
# Until the step is seen, and for a time in which nothing may follow from it.
STEPPED_SECONDS = clocks.SEEN_WITHIN_SECONDS + 3.0


def step_of(seed: int, number: int, whose: Collection[str]) -> tuple[str, int]:
    """Whose clock of these, and by how many seconds, in a round: in turn, each way."""
    steps = [(who, by) for who, by in STEPS if who in whose]
    return steps[(seed + number - 2) % len(steps)]


def _step(stage: Stage) -> Fault:
    cluster = stage.target.cluster
    if cluster is None:
        raise RefusedError("only in a sandbox each process has a clock of its own: use --sandbox")
    names = {WRITER: stage.writer, STANDBY: stage.standby, SUPERVISOR: clocks.SUPERVISOR}
    whose = [who for who, name in names.items() if clocks.has_clock(cluster, name)]
    who, by = step_of(stage.seed, stage.number, whose)
    name = names[who]
    epoch = stage.target.status().epoch
    stage.undo(lambda: clocks.step(cluster, name, 0))
    stage.tell(f"the clock of the {who} is an hour {'ahead' if by > 0 else 'behind'}")
    clocks.step(cluster, name, by)
    time.sleep(STEPPED_SECONDS)
    status = stage.target.status()
    if status.epoch != epoch or not status.healthy:
        stage.problem(f"the clock of the {who} was stepped by {by} s: {status.sentence}")
    return kill_writer(stage)


def _step_back(stage: Stage, fault: Fault) -> None:
    start_again(stage, fault)
    stage.tell("the clock is right again")
    stage.undone()


CLOCK = (
    Scenario(
        "clock",
        "a clock is stepped by an hour, the writer's, the standby's, the supervisor's in turn, and"
        " the writer is killed meanwhile",
        "step the clocks of the servers and of the supervisor, and kill the writer",
        _step,
        _step_back,
        unattended_failover=True,
        needs_supervisor_process=True,
        sandbox_only=True,
        ticks=False,
        fit=clocks.give_clocks,
    ),
)
