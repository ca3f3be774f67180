"""What is remembered of a sandbox in cluster.json: what it consists of, and where that listens."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from myha.errors import ConfigError
from myha.files import write_private
from myha.sandbox import etcd
from myha.sandbox.registry import STATE_FILE

Mode = Literal["single-writer", "dual-writer"]
Durability = Literal["lossless", "bounded", "async"]

NODE_NAMES = ("a", "b")
STRAY = "stray"  # a server outside the pair, for the drill
REPLICAS_LIMIT = 8
MEMBERS_LIMIT = 5
SUPERVISORS_LIMIT = 5
# Hosts of their own have all ports free.
_NETWORK_SERVER_PORT, _NETWORK_WRITER_PORT, _NETWORK_READER_PORT = 3306, 3307, 3308
_NETWORK_ETCD_PORT, _NETWORK_PEER_PORT = 2379, 2380
# A unix socket's path has at most 107 bytes, and HAProxy binds to a longer one first.
_SOCKET_PATH_LIMIT_BYTES = 75


@dataclass(frozen=True)
class ClusterState:
    """One sandbox."""

    flavour: str
    mode: Mode
    durability: Durability
    made_directory: bool
    run_dir: str = ""  # sockets and the supervisor's state; short enough for a socket's path
    ports: dict[str, int] = field(default_factory=dict)  # a, b, writer, reader, stray, r1, e1 ...
    replicas: int = 0
    network: bool = False  # every process on a host of its own
    address: bool = False  # one that the balancers share
    etcd: int = 0  # members of the cluster that keeps the record; 0: it is a file
    supervisors: int = 1
    api: bool = True  # HTTP is answered

    def require_sense(self) -> None:
        """Raises ConfigError for what does not go together."""
        if self.mode == "dual-writer" and self.durability == "lossless":
            raise ConfigError(
                "--durability lossless needs --mode single-writer: choose bounded or async"
            )
        if self.supervisors > 1 and not self.etcd:
            raise ConfigError("--supervisors needs a store that they share: add --etcd 3")
        if self.address and not self.network:
            raise ConfigError("--address is for balancers on hosts of their own: add --network")

    @property
    def replica_names(self) -> tuple[str, ...]:
        return tuple(f"r{number}" for number in range(1, self.replicas + 1))

    @property
    def ports_to_claim(self) -> tuple[str, ...]:
        """What needs a port of this machine's own address."""
        if self.network:
            return ()
        servers = (*NODE_NAMES, STRAY, *self.replica_names)
        return (*servers, "writer", "reader", *etcd.port_names(self.etcd))

    def save(self, directory: Path, ports: list[int]) -> None:
        """Into the sandbox's directory, with the ports that it was given for `ports_to_claim`."""
        members = etcd.member_names(self.etcd)
        fixed = {
            **dict.fromkeys((*NODE_NAMES, STRAY, *self.replica_names), _NETWORK_SERVER_PORT),
            "writer": _NETWORK_WRITER_PORT,
            "reader": _NETWORK_READER_PORT,
            **dict.fromkeys(members, _NETWORK_ETCD_PORT),
            **dict.fromkeys((f"{name}-peer" for name in members), _NETWORK_PEER_PORT),
        }
        given = dict(zip(self.ports_to_claim, ports, strict=True))
        whole = replace(self, run_dir=str(_run_dir(directory)), ports=fixed | given)
        write_private(directory / STATE_FILE, json.dumps(asdict(whole), indent=1) + "\n")

    @staticmethod
    def read(directory: Path) -> ClusterState:
        """Raises ConfigError when there is none, or none that can be read."""
        try:
            return ClusterState(**json.loads((directory / STATE_FILE).read_text()))
        except FileNotFoundError:
            raise ConfigError(
                f"{directory} holds no sandbox: `myha sandbox up --dir {directory}` makes one"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{directory / STATE_FILE} cannot be read ({error}): remove {directory}"
            ) from error


def _run_dir(directory: Path) -> Path:
    """A folder for sockets: in the sandbox if their paths are short enough there, else in /tmp."""
    run_dir = directory / "run"
    if len(os.fsencode(run_dir / "state" / "myha.sock")) <= _SOCKET_PATH_LIMIT_BYTES:
        return run_dir
    return Path(tempfile.mkdtemp(prefix="myha-", dir="/tmp"))
