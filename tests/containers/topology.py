"""The topologies of `compose/` on a real engine, as the drill's target; and what cuts a network."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from testcontainers.compose import DockerCompose

from myha.drill.containers import SETTINGS, seen_from_outside
from myha.drill.target import Target
from myha.sandbox.containers import Containers
from myha.waiting import wait_until

PROJECT = "myha-test"
PAIR_NETWORK = f"{PROJECT}_pair"
HEALTHY_DEADLINE_SECONDS = 120.0


class Topology:
    """A running topology. Addresses and names are those of compose.yaml and full.yaml."""

    def __init__(self, containers: Containers) -> None:
        self.containers = containers
        self.folder = containers.folder
        self.engine = docker.from_env()
        self.compose = DockerCompose(self.folder, compose_file_name=list(containers.files))

    def name(self, service: str) -> str:
        return self.containers.name(service)

    def container(self, service: str) -> Container:
        return self.engine.containers.get(self.name(service))

    def target(self) -> Target:
        """What the drill sees from this machine, of whichever supervisor acts."""
        return seen_from_outside(self.containers)

    def health(self, service: str) -> str:
        """What the health check of a service says: starting, healthy, unhealthy."""
        return str(self.container(service).health)

    def becomes_healthy(self, service: str) -> bool:
        return wait_until(lambda: self.health(service) == "healthy", HEALTHY_DEADLINE_SECONDS, 0.5)

    def log(self, service: str) -> str:
        return "".join(self.compose.get_logs(service))

    def run(self, service: str, *words: str) -> tuple[int, str]:
        """The exit status of a command in a service's container, and what it has said."""
        try:
            said, _, status = self.compose.exec_in_container(list(words), service)
        except subprocess.CalledProcessError as error:
            return error.returncode, error.stdout.decode(errors="replace")
        return status, said

    def cut_off(self, service: str) -> None:
        """Take the container's link to the pair's network."""
        self._pair_network.disconnect(self.name(service))

    def reconnect(self, service: str, address: str) -> None:
        """Give it back, with the address that it had; nothing to do where it is there."""
        try:
            self._pair_network.connect(self.name(service), ipv4_address=address)
        except APIError as error:
            if "already exists" not in str(error):
                raise

    @property
    def _pair_network(self) -> Network:
        return self.engine.networks.get(PAIR_NETWORK)


@contextmanager
def running(folder: Path, flavour: str, *, full: bool = False) -> Iterator[Topology]:
    """The whole of it, from nothing to nothing, as an operator brings it up: the same files."""
    containers = Containers(folder, PROJECT, flavour, full=full)
    try:
        containers.up(SETTINGS)
        parameters = "".join(f"{name}={one}\n" for name, one in containers.environment.items())
        (folder / ".env").write_text(parameters)  # where testcontainers' compose finds them
        topology = Topology(containers)
        topology.becomes_healthy("haproxy")
        yield topology
    finally:
        containers.down()
