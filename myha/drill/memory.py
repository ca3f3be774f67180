"""The writer's container runs out of memory, and the kernel ends the server in it."""

from __future__ import annotations

import time

from myha.drill.stage import (
    STOP_DEADLINE_SECONDS,
    TAKEOVER_PLANS,
    Fault,
    Scenario,
    Stage,
    start_again,
)
from myha.errors import MyhaError, RefusedError
from myha.hosts.docker import DockerHost

# Less than a server has of its own, so that the server is the larger one: a MariaDB that has just
# begun has 98 MB.
SPARE_BYTES = 48 << 20


def _run_out(stage: Stage) -> Fault:
    host = stage.target.hosts[stage.writer]
    if not isinstance(host, DockerHost):
        raise RefusedError("only a container has a limit of memory that can be hit")
    stage.undo(host.give_memory_back)
    at, wall = time.monotonic(), time.time()
    host.run_out_of_memory(SPARE_BYTES)
    if not host.await_gone(STOP_DEADLINE_SECONDS):
        raise MyhaError(f"{host.name} has not run out of memory: its server is still there")
    if not host.out_of_memory_since(wall):
        stage.problem(f"{host.name} has ended, and the engine says nothing of memory")
    stage.undone()  # or the server that the engine starts again might be ended too
    return Fault(at, stage.writer, TAKEOVER_PLANS, writer_lost=True)


MEMORY = (
    Scenario(
        "oom",
        "the writer's container runs out of memory, and the kernel ends the server",
        "let the writer's container run out of memory",
        _run_out,
        start_again,
        unattended_failover=True,
        needs_containers=True,
    ),
)
