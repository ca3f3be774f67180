"""What the pairs of one supervisor share, and what they must not have in common."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import Field

from myha.config.api import ApiConfig
from myha.config.document import Config
from myha.config.relations import same_host
from myha.config.tables import LogConfig
from myha.config.values import FilePath, Problem, Table, is_unix_socket, split_address
from myha.core.values import value

API = "api"  # the table of the process that answers HTTP
SUPERVISOR = "supervisor"  # the table of what the pairs share; with it or PAIRS a file is of many
PAIRS = "pairs"
LOG = "log"  # of the process too: there is one standard error
PAIRS_FOLDER = "pairs.d"
# Tables that stand for all pairs when they stand beside [pairs.NAME].
SHARED = (
    "cluster",
    "accounts",
    "etcd",
    "dns",
    "timing",
    "lag",
    "failover",
    "heal",
    "conflicts",
    "verify",
    "notify",
    "hooks",
)
PAIR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class SupervisorConfig(Table):
    """What the pairs of one supervisor share."""

    state_dir: FilePath = Field(
        Path("/var/lib/myha"),
        description="Folder of the control socket. What belongs to a pair is in pairs/NAME below "
        "it, unless the pair has a cluster.state_dir of its own.",
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        description="Over how many processes the pairs are spread; 0: one for each core that the "
        "supervisor may use.",
    )


@value(frozen=True, slots=True)
class ProcessConfig:
    """All that one `myha run` supervises; `alone`: the file is of one pair and has no other."""

    path: Path
    supervisor: SupervisorConfig
    pairs: dict[str, Config]
    alone: bool
    log: LogConfig
    api: ApiConfig

    @property
    def niceness(self) -> int:
        """That of the pair which is to go first."""
        return min((one.timing.niceness for one in self.pairs.values()), default=0)


def pair_problems(pairs: Mapping[str, Config]) -> Iterator[Problem]:
    """What two pairs must not have in common."""
    taken: dict[object, str] = {}
    for name, config in pairs.items():
        for key, what, own in _own(config):
            where = f"{PAIRS}.{name}.{key}"
            if own in taken:
                yield where, f"is the same {what} as {taken[own]}; give each pair its own"
            taken.setdefault(own, where)


def _own(config: Config) -> Iterator[tuple[str, str, object]]:
    """Key, what it is, and a value that no other pair has."""
    for name, server in config.servers.items():
        yield f"{config.table_of(name)}.host", "server", (same_host(server.host), server.port)
    for name, balancer in config.balancers.items():
        key = f"balancers.{name}.socket"
        if is_unix_socket(balancer.socket):
            yield key, "balancer", balancer.socket
        else:
            host, port = split_address(balancer.socket)
            yield key, "balancer", ("balancer", same_host(host), port)
    if config.address.ip:
        yield "address.ip", "address", ("address", config.address.host)
    yield "cluster.state_dir", "folder", config.cluster.state_dir
