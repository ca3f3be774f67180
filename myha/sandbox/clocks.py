"""A wall clock of its own for each process of a sandbox, told by a file how far it is off.

A MariaDB has libfaketime for it, the supervisor `myha.sandbox.skewed`; a MySQL 9.7 that is started
with libfaketime 0.9.10 greets no client, and keeps the machine's clock. Only the wall clock: the
monotonic one and the times of files stay the machine's. A step is seen within a second. What waits
in the kernel for a wall time is not woken by it, as it would be by a step of the machine's clock.
"""

from __future__ import annotations

import os
from pathlib import Path

from myha.errors import MyhaError
from myha.files import replacing
from myha.sandbox import programs
from myha.sandbox.cluster import Cluster
from myha.sandbox.server_kinds import KINDS

PROGRAM = "faketime"
LIBRARY = "libfaketimeMT.so.1"  # the one for programs with threads
FOLDER = "clocks"
SUPERVISOR = "supervisor"
SEEN_WITHIN_SECONDS = 1


def give_clocks(cluster: Cluster) -> None:
    """The supervisor, and each server that stands it: a clock of its own, right at first.

    Before any of them runs. Raises MissingProgramError where libfaketime is not to be had.
    """
    stands_it = KINDS[cluster.state.flavour].stands_faketime
    for name, host in cluster.servers.items() if stands_it else ():
        step(cluster, name, 0)
        host.environment = {
            **os.environ,
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(_file(cluster, name)),
            "FAKETIME_CACHE_DURATION": str(SEEN_WITHIN_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # its name in older ones
            "NO_FAKE_STAT": "1",
        }
    step(cluster, SUPERVISOR, 0)
    argv, file = cluster.supervisor.argv, str(_file(cluster, SUPERVISOR))
    at = argv.index("myha")
    cluster.supervisor.argv = (*argv[:at], "myha.sandbox.skewed", file, *argv[at + 1 :])


def has_clock(cluster: Cluster, name: str) -> bool:
    """Whether this server, or the supervisor, was given a clock of its own."""
    return _file(cluster, name).exists()


def step(cluster: Cluster, name: str, seconds: int) -> None:
    """The clock of a server or the supervisor is so far ahead from now on; below 0: behind."""
    path = _file(cluster, name)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with replacing(path) as file:
        file.write(f"{seconds:+d}\n".encode())


def _file(cluster: Cluster, name: str) -> Path:
    return cluster.directory / FOLDER / name


def _library() -> Path:
    program = programs.fetch(PROGRAM)
    root = Path("/usr") if program.prefix is None else program.prefix / "usr"
    found = sorted(root.glob(f"lib/*/faketime/{LIBRARY}"))
    if not found:
        raise MyhaError(f"{LIBRARY} is not in {root}: myha sandbox fetch {PROGRAM}")
    return found[0]
