"""Disks that are full, and disks that stall: a server's own, and that of the supervisor's state.

Only where the sandbox was made with small file systems for these folders, which needs root.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from myha.config import Config
from myha.drill.stage import (
    START_DEADLINE_SECONDS,
    TAKEOVER_PLANS,
    Fault,
    Scenario,
    Stage,
    expect,
    kill_writer,
    silence,
)
from myha.errors import MyhaError
from myha.sandbox import disks
from myha.sandbox.cluster import Cluster
from myha.waiting import wait_until

NODE_MEGABYTES, STATE_MEGABYTES = 1024, 64
# A server that waits for room looks again once in a minute.
FULL_WHOLE_SECONDS = 180.0
REST_SECONDS = 2.0  # from the takeover to a disk that is as it was
STATE_STALL_SECONDS = 3.0
STALL_LIMIT_SECONDS = 120.0  # whatever happens to the drill
FREEZE_DEADLINE_SECONDS = 10.0
TAKEOVER_DEADLINE_SECONDS = 60.0
ENDS_SECONDS = 1.0
BALLAST = "ballast"
BLOCK_BYTES = 1024 * 1024
WRITER, STANDBY, STATE = "writer", "standby", "state directory"
VICTIMS = (WRITER, STANDBY, STATE)


def give_disks(cluster: Cluster) -> None:
    """Every server of the sandbox, and the supervisor's state, on a disk of its own."""
    for node in cluster.machines.values():
        disks.make(cluster.directory, node.directory, NODE_MEGABYTES)
    disks.make(cluster.directory, cluster.state_dir, STATE_MEGABYTES)


class Stall:
    """A disk that stalls from `begin` to `end`; a process of its own sees to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        self._process = subprocess.Popen(
            (
                *(sys.executable, "-m", "myha.sandbox.frozen"),
                *(str(self._folder), str(STALL_LIMIT_SECONDS)),
            ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        line = self._process.stdout.readline() if self._process.stdout else b""
        if line.strip() != b"frozen":
            self.end()
            raise MyhaError(f"the disk of {self._folder} cannot be made to stall")

    def end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        process.wait(FREEZE_DEADLINE_SECONDS)


def fill(folder: Path) -> None:
    """Take all that is left of its file system."""
    with (folder / BALLAST).open("wb", buffering=0) as file:
        block = bytes(BLOCK_BYTES)
        while block:
            try:
                file.write(block)
            except OSError:
                block = block[: len(block) // 2]
        with suppress(OSError):
            os.fsync(file.fileno())


def victim_of(seed: int, number: int) -> str:
    """Whose disk it is in a round: the writer's, the standby's, the supervisor's in turn."""
    return VICTIMS[(seed + number - 2) % len(VICTIMS)]


def _folder(stage: Stage, victim: str) -> Path:
    cluster = stage.target.cluster
    if cluster is None:
        raise MyhaError("only a sandbox has disks of its own")
    if victim == STATE:
        return cluster.state_dir
    return cluster.machines[stage.writer if victim == WRITER else stage.standby].directory


def _stall(stage: Stage) -> Fault:
    victim = victim_of(stage.seed, stage.number)
    stall = Stall(_folder(stage, victim))
    stage.undo(stall.end)
    stage.tell(f"the disk of the {victim} stalls")
    at = time.monotonic()
    stall.begin()
    return _fault(stage, victim, at)


def _fault(stage: Stage, victim: str, at: float) -> Fault:
    if victim == STATE:
        return Fault(at, STATE)
    if victim == STANDBY:
        return Fault(at, stage.standby, ("release",))
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


def _fill(stage: Stage) -> Fault:
    """Where the supervisor's own disk is full the writer dies besides: the failover needs none."""
    victim = victim_of(stage.seed, stage.number)
    folder = _folder(stage, victim)
    stage.undo(lambda: (folder / BALLAST).unlink(missing_ok=True))
    stage.tell(f"the disk of the {victim} is full")
    at = time.monotonic()
    fill(folder)
    if victim == STATE:
        return kill_writer(stage)
    return _fault(stage, victim, at)


def _as_it_was(stage: Stage, fault: Fault) -> None:
    if fault.writer_lost:
        _await_other_writer(stage, fault)
        time.sleep(REST_SECONDS)
    elif fault.plans:
        stage.await_plan(fault.plans)
        time.sleep(REST_SECONDS)
    else:  # nothing is decided without the supervisor's disk, and clients are served
        time.sleep(STATE_STALL_SECONDS)
    stage.slow_down()
    stage.tell("the disk is as it was")
    stage.undone()
    if fault.plans:
        start_if_gone(stage, fault.node)


def _await_other_writer(stage: Stage, fault: Fault) -> None:
    """By what the supervisor says: its journal is on its own disk, and it does not wait for it."""

    def replaced() -> bool:
        with suppress(MyhaError):
            status = stage.target.status()
            return status.writer != fault.node and not status.running
        return False

    problem = f"{fault.node} was not replaced in {TAKEOVER_DEADLINE_SECONDS:.0f} s"
    expect(stage, replaced, TAKEOVER_DEADLINE_SECONDS, problem)


def start_if_gone(stage: Stage, node: str) -> None:
    """A server may have ended by itself, or been fenced from outside: it could not do that while it
    waited for its disk."""
    host = stage.target.hosts[node]
    if wait_until(lambda: not host.running(), ENDS_SECONDS):
        stage.tell(f"starting {node} again, which has ended")
        host.start(START_DEADLINE_SECONDS)


def _stalled(config: Config) -> float:
    """How long a client may wait, in seconds."""
    return max(config.failover.stalled_seconds, config.timing.deadtime_seconds) + silence(config)


DISKS = (
    Scenario(
        "disk-stall",
        "a disk stalls: the writer's, the standby's, the supervisor's, each in its round",
        "freeze the file system of a server, or of the supervisor's state",
        _stall,
        _as_it_was,
        unattended_failover=True,
        needs_supervisor_process=True,
        sandbox_only=True,
        fit=give_disks,
        explains=_stalled,
    ),
    Scenario(
        "disk-full",
        "a disk is full: the writer's, the standby's, the supervisor's, each in its round; in the"
        " last case the writer dies besides",
        "fill the file system of a server, or of the supervisor's state",
        _fill,
        _as_it_was,
        unattended_failover=True,
        needs_supervisor_process=True,
        sandbox_only=True,
        fit=give_disks,
        explains=_stalled,
        whole_seconds=FULL_WHOLE_SECONDS,
    ),
)
