"""The topology of `compose/` on a real engine, as the drill's target; and what cuts its network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import APIError
from docker.models.networks import Network
from testcontainers.compose import DockerCompose

from myha.drill.target import Target, of_config
from myha.errors import MyhaError
from myha.waiting import wait_until

COMPOSE = Path(__file__).resolve().parents[2] / "compose"
PROJECT = "myha-test"
PAIR_NETWORK = f"{PROJECT}_pair"
HEALTHY_DEADLINE_SECONDS = 120.0
# The guard against flapping would end a row of drills, and rightly.
FOR_DRILLS = "\n[failover]\nflap_limit = 100\nflap_window_seconds = 60.0\n"


class Topology:
    """A running topology. Addresses and names are those of compose.yaml."""

    def __init__(self, folder: Path, compose: DockerCompose) -> None:
        self.folder = folder
        self.compose = compose
        self.engine = docker.from_env()

    def name(self, service: str) -> str:
        return f"{PROJECT}-{service}"

    def target(self) -> Target:
        """What the drill sees from this machine: the same addresses, the state in its volume."""
        state = self.engine.volumes.get(f"{PROJECT}_state").attrs["Mountpoint"]
        text = (self.folder / "myha.toml").read_text()
        text = text.replace('"/var/lib/myha"', f'"{state}"')
        text = text.replace("/run/secrets/", f"{self.folder}/secrets/")
        for node in ("db1", "db2"):
            text = text.replace(
                f"[nodes.{node}]\n", f'[nodes.{node}]\ncontainer = "{self.name(node)}"\n'
            )
        path = self.folder / "from-outside.toml"
        path.write_text(text)
        return of_config(path)

    def health(self, service: str) -> str:
        """What the health check of a service says: starting, healthy, unhealthy."""
        return str(self.engine.containers.get(self.name(service)).health)

    def log(self, service: str) -> str:
        said: bytes = self.engine.containers.get(self.name(service)).logs()
        return said.decode(errors="replace")

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


def _write_parameters(folder: Path, flavour: str) -> None:
    """Those of compose.yaml, where compose looks for them."""
    parameters = {
        "COMPOSE_PROJECT_NAME": PROJECT,
        "MYHA_NAME": PROJECT,
        "MYHA_FLAVOUR": flavour,
        "MYHA_SERVER_IMAGE": f"myha-{flavour}",
        "MYHA_HAPROXY_IMAGE": "myha-haproxy",
        "MYHA_SUPERVISOR_IMAGE": "myha-supervisor",
        "MYHA_WRITER_PORT": "33306",
        "MYHA_READER_PORT": "33307",
    }
    (folder / ".env").write_text("".join(f"{k}={v}\n" for k, v in parameters.items()))
    for name in parameters:
        os.environ.pop(name, None)  # it would go before the file


@contextmanager
def running(folder: Path, flavour: str) -> Iterator[Topology]:
    """The whole of it, from nothing to nothing, as an operator brings it up: the same files."""
    shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns("secrets", ".env", "images"))
    subprocess.run([folder / "prepare"], check=True, stdout=subprocess.DEVNULL)
    _write_parameters(folder, flavour)
    with (folder / "myha.toml").open("a") as file:
        file.write(FOR_DRILLS)
    compose = DockerCompose(folder, compose_file_name="compose.yaml", wait=False)
    try:
        try:
            compose.start()
        except subprocess.CalledProcessError as error:
            logs = "".join(compose.get_logs())
            raise MyhaError(f"docker compose up: {error.stderr!r}\n{logs[-4000:]}") from error
        topology = Topology(folder, compose)
        wait_until(lambda: topology.health("haproxy") == "healthy", HEALTHY_DEADLINE_SECONDS, 0.5)
        yield topology
    finally:
        compose.stop(down=True)
