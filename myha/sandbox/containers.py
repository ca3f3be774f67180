"""The topologies of `compose/` on this machine's Docker engine, for one run: up, and gone again.

The files are the ones that an operator uses, copied into a folder of its own, so that passwords,
names and settings are this run's. What is seen from outside the containers (the same addresses, the
states in their volumes) is a configuration for each supervisor.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import myha
from myha.errors import MissingProgramError, MyhaError, RefusedError
from myha.hosts.commands import output_of
from myha.hosts.docker import docker

UP_DEADLINE_SECONDS, DOWN_DEADLINE_SECONDS, PREPARE_SECONDS = 600.0, 180.0, 30.0
SMALL, FULL = ("compose.yaml",), ("compose.yaml", "full.yaml")
NODES = ("db1", "db2")
_OF_FULL = {"MYHA_ETCD_IMAGE": "myha-etcd", "MYHA_KEEPALIVED_IMAGE": "myha-keepalived"}
_NOT_OF_THE_TOPOLOGY = ("secrets", ".env", "images", "__pycache__")


def compose_folder() -> Path:
    """Where the files are: in a checkout beside the package. MissingProgramError without them."""
    folder = Path(myha.__file__).resolve().parent.parent / "compose"
    if not (folder / SMALL[0]).exists():
        raise MissingProgramError(
            f"{folder} is not there: containers are made of the files of myha's source tree, and"
            " this myha is installed without them"
        )
    return folder


class Containers:
    """One topology. `folder` must not exist; `project` is what all names begin with.

    The images are those of the variables that compose.yaml reads, else the ones that
    compose/images/build.py makes. Every method raises MyhaError with one line.
    """

    def __init__(self, folder: Path, project: str, flavour: str, *, full: bool = False) -> None:
        self.folder = folder
        self.project = project
        self.full = full
        self.files = FULL if full else SMALL
        images = {
            "MYHA_SERVER_IMAGE": f"myha-{flavour}",
            "MYHA_HAPROXY_IMAGE": "myha-haproxy",
            "MYHA_SUPERVISOR_IMAGE": "myha-supervisor",
            **(_OF_FULL if full else {}),
        }
        self.images = {name: os.environ.get(name, image) for name, image in images.items()}
        self.environment = {
            **self.images,
            "COMPOSE_PROJECT_NAME": project,
            "MYHA_NAME": project,
            "MYHA_FLAVOUR": flavour,
            "MYHA_WRITER_PORT": "0",  # any: whoever is outside uses the containers' addresses
            "MYHA_READER_PORT": "0",
        }

    @property
    def supervisors(self) -> tuple[str, ...]:
        return ("supervisor", "supervisor2") if self.full else ("supervisor",)

    @property
    def etcd(self) -> tuple[str, ...]:
        """The members, in the order of the endpoints in its configuration."""
        return ("etcd1", "etcd2", "etcd3") if self.full else ()

    def name(self, service: str) -> str:
        """What the container of a service is called."""
        return f"{self.project}-{service}"

    def check(self) -> None:
        """Refuse what would not come up: MissingProgramError with the remedy, RefusedError when
        there is one of this name already."""
        if os.geteuid() != 0:
            raise RefusedError("what is in containers is reached by root only: run this as root")
        compose_folder()
        try:
            docker("containers", "compose", "version")
            docker("containers", "version", "--format", "{{.Server.Version}}")
        except MyhaError as error:
            raise MissingProgramError(
                f"no Docker engine with compose answers here: {error}"
            ) from None
        here = docker("containers", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
        for image in self.images.values():
            if image not in here and f"{image}:latest" not in here:
                raise MissingProgramError(
                    f"the image {image} is not here: build it with"
                    " `python compose/images/build.py`, or name another one"
                    f" ({', '.join(self.images)})"
                )
        of_this_name = f"label=com.docker.compose.project={self.project}"
        if docker("containers", "ps", "--all", "--quiet", "--filter", of_this_name).strip():
            raise RefusedError(
                f"there are containers of {self.project} already: another one runs, or was killed;"
                f" remove them with `docker compose -p {self.project} down -v`"
            )

    def up(self, settings: str = "") -> None:
        """Bring it up, with `settings` at the end of its myha.toml; then the pair is being armed.

        What has come up before it fails is left for `down`.
        """
        ignored = shutil.ignore_patterns(*_NOT_OF_THE_TOPOLOGY)
        shutil.copytree(compose_folder(), self.folder, ignore=ignored)
        output_of("making the passwords", (str(self.folder / "prepare"),), PREPARE_SECONDS)
        with self._config.open("a") as file:
            file.write(settings)
        try:
            self.compose("up", "--detach", deadline_seconds=UP_DEADLINE_SECONDS)
        except MyhaError as error:
            raise MyhaError(f"{error}{self._said_by_setup()}") from None

    def down(self) -> None:
        """Remove its containers, networks and volumes, whichever there are, and its folder."""
        if self.folder.exists():
            words = ("down", "--volumes", "--remove-orphans", "--timeout", "2")
            self.compose(*words, deadline_seconds=DOWN_DEADLINE_SECONDS)
            shutil.rmtree(self.folder)

    def compose(self, *words: str, deadline_seconds: float = UP_DEADLINE_SECONDS) -> str:
        """What `docker compose` says."""
        files = (word for name in self.files for word in ("-f", str(self.folder / name)))
        return docker(
            "containers",
            *("compose", "--progress", "quiet", *files, *words),
            deadline_seconds=deadline_seconds,
            environment=self.environment,
        )

    def outside(self, supervisor: str = "supervisor") -> Path:
        """The configuration of one supervisor for this machine, written anew: the same addresses,
        its state's volume, and the containers by name."""
        volume = "state" if supervisor == "supervisor" else "state2"
        state = self._mount_point(volume)
        text = self._config.read_text()
        text = text.replace('"/var/lib/myha"', f'"{state}"')
        text = text.replace("/run/secrets/", f"{self.folder}/secrets/")
        for node in NODES:
            table = f"[nodes.{node}]\n"
            text = text.replace(table, f'{table}container = "{self.name(node)}"\n')
        path = self.folder / f"outside-{supervisor}.toml"
        path.write_text(text)
        return path

    @property
    def _config(self) -> Path:
        return self.folder / ("full.toml" if self.full else "myha.toml")

    def _mount_point(self, volume: str) -> str:
        words = ("volume", "inspect", "--format", "{{.Mountpoint}}", f"{self.project}_{volume}")
        return docker("containers", *words).strip()

    def _said_by_setup(self) -> str:
        """The last line of the container that makes a pair of the servers, if it has one."""
        try:
            said = self.compose("logs", "--no-log-prefix", "--tail", "1", "setup").strip()
        except MyhaError:
            return ""
        return f" (setup: {said})" if said else ""
