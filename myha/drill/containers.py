"""A cluster of the drill's own in containers: a topology of `compose/` on this machine's engine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from myha.config import load
from myha.drill.acting import ActingClient
from myha.drill.fitness import is_whole, why_not_whole
from myha.drill.stage import WHOLE_DEADLINE_SECONDS
from myha.drill.target import Target, of_config
from myha.errors import MyhaError
from myha.hosts.signals import ignored
from myha.progress import Tell
from myha.sandbox.containers import Containers
from myha.waiting import wait_until

PROJECT = "myha-drill"
POLL_SECONDS = 0.2
# The guard against flapping would end a row of rounds, and rightly.
SETTINGS = "\n[failover]\nflap_limit = 100\nflap_window_seconds = 60.0\n"


def seen_from_outside(containers: Containers) -> Target:
    """What runs in them, with the servers' processes and whichever supervisor acts."""
    paths = [containers.outside(one) for one in containers.supervisors]
    target = of_config(paths[0])
    if len(paths) > 1:
        target.client = ActingClient(tuple(load(path) for path in paths))
    return target


@contextmanager
def in_containers(
    flavour: str, tell: Tell, heal: Sequence[str] = (), *, full: bool = False
) -> Iterator[Target]:
    """Up and whole at the start of the block, gone at its end. `heal`: another heal.policy.

    MissingProgramError where there is no engine, or no image to make it of.
    """
    with tempfile.TemporaryDirectory(prefix="myha-drill-") as folder:
        containers = Containers(Path(folder) / "compose", PROJECT, flavour, full=full)
        containers.check()
        try:
            tell("starting the containers; the first time the servers make their data")
            policy = f"\n[heal]\npolicy = {json.dumps(list(heal))}\n" if heal else ""
            containers.up(SETTINGS + policy)
            target = seen_from_outside(containers)
            tell("waiting for the pair to be whole")
            _await_whole(target)
            yield target
        finally:
            tell("removing the containers")
            with ignored():
                containers.down()


def _await_whole(target: Target) -> None:
    def whole() -> bool:
        try:
            return is_whole(target, target.status())
        except MyhaError:
            return False

    if not wait_until(whole, WHOLE_DEADLINE_SECONDS, POLL_SECONDS):
        raise MyhaError(
            f"the containers are up, but the pair is not whole: {why_not_whole(target)}"
        )
