"""A cluster of the drill's own in containers: a topology of `compose/` on this machine's engine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from myha.config import Config, load
from myha.drill.acting import ActingClient
from myha.drill.fitness import is_whole, why_not_whole
from myha.drill.quorum import Quorum
from myha.drill.stage import WHOLE_DEADLINE_SECONDS
from myha.drill.target import Target, of_config
from myha.errors import MyhaError, StoreError
from myha.hosts.docker import DockerHost
from myha.hosts.signals import ignored
from myha.progress import Tell
from myha.sandbox.containers import Containers
from myha.supervisor.control import PING, exchange, socket_path
from myha.waiting import wait_until

PROJECT = "myha-drill"
READY_SECONDS = 1.0
# The guard against flapping would end a row of rounds, and rightly.
SETTINGS = "\n[failover]\nflap_limit = 100\nflap_window_seconds = 60.0\n"


def seen_from_outside(containers: Containers) -> Target:
    """What runs in them, with the servers' processes, and whichever supervisor acts."""
    paths = {one: containers.outside(one) for one in containers.supervisors}
    target = of_config(paths[containers.supervisors[0]])
    target.in_containers = True
    if len(paths) > 1:
        configs = {one: load(path) for one, path in paths.items()}
        target.client = ActingClient(tuple(configs.values()))
        target.quorum = _quorum(containers, configs)
    return target


def _quorum(containers: Containers, configs: Mapping[str, Config]) -> Quorum:
    supervisors = [
        DockerHost(one, containers.name(one), ready=partial(_answers, socket_path(at.control_dir)))
        for one, at in configs.items()
    ]
    endpoints = next(iter(configs.values())).etcd.endpoints
    members = {
        name: DockerHost(name, containers.name(name), ready=partial(_agrees, endpoint))
        for name, endpoint in zip(containers.etcd, endpoints, strict=True)
    }
    return Quorum(supervisors, members)


def _answers(path: Path) -> bool:
    try:
        exchange(path, {"do": PING}, READY_SECONDS)
    except (OSError, ValueError):
        return False
    return True


def _agrees(endpoint: str) -> bool:
    """Whether that member of etcd answers, which takes a majority of them."""
    from myha.stores.etcd.client import EtcdClient  # noqa: PLC0415  # an HTTP client comes with it

    try:
        EtcdClient((endpoint,), seconds=READY_SECONDS).get("/")
    except StoreError:
        return False
    return True


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

    if not wait_until(whole, WHOLE_DEADLINE_SECONDS):
        raise MyhaError(
            f"the containers are up, but the pair is not whole: {why_not_whole(target)}"
        )
