"""The etcd cluster of a sandbox: its members as processes, on this machine's loopback address or on
hosts of their own."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from myha.errors import StoreError
from myha.hosts.local import LocalHost
from myha.sandbox.programs import Program

READY_SECONDS = 1.0


@dataclass(frozen=True)
class Member:
    """One member: where it serves clients and where its peers, and its folder.

    On a host of its own `launcher` begins its command line, and `reached` makes a check there.
    """

    name: str
    client_port: int
    peer_port: int
    directory: Path
    scheme: str = "http"  # of its clients
    host: str = "127.0.0.1"
    launcher: tuple[str, ...] = ()
    reached: Callable[[Callable[[], bool]], Callable[[], bool]] = lambda check: check

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://{self.host}:{self.client_port}"

    @property
    def peer(self) -> str:
        return f"http://{self.host}:{self.peer_port}"


def member_names(count: int) -> tuple[str, ...]:
    return tuple(f"e{number}" for number in range(1, count + 1))


def port_names(count: int) -> tuple[str, ...]:
    """`e1`, `e1-peer` and so on, for so many members."""
    return tuple(port for name in member_names(count) for port in (name, f"{name}-peer"))


def members_of(directory: Path, ports: Mapping[str, int], count: int) -> tuple[Member, ...]:
    """`ports` has those of `port_names`."""
    return tuple(
        Member(name, ports[name], ports[f"{name}-peer"], directory / name)
        for name in member_names(count)
    )


def process_of(
    member: Member,
    all_members: tuple[Member, ...],
    program: Program,
    *options: str,
    tls: ssl.SSLContext | None = None,
) -> LocalHost:
    """The handle of its process. It is ready when the cluster has a leader, which takes more than
    half of the members: start them all before waiting. `tls` is for asking that."""
    argv = (
        *program.argv,
        *("--name", member.name),
        *("--data-dir", str(member.directory / "data")),
        *("--listen-client-urls", member.endpoint),
        *("--advertise-client-urls", member.endpoint),
        *("--listen-peer-urls", member.peer),
        *("--initial-advertise-peer-urls", member.peer),
        *("--initial-cluster", ",".join(f"{one.name}={one.peer}" for one in all_members)),
        *("--initial-cluster-token", str(member.directory.parent)),
        *("--logger", "zap", "--log-level", "warn"),
        *options,
    )
    return LocalHost(
        f"etcd {member.name}",
        argv,
        pid_file=member.directory / "etcd.pid",
        log_file=member.directory / "etcd.log",
        ready=member.reached(partial(_answers, member, tls)),
        launcher=member.launcher,
    )


def _answers(member: Member, tls: ssl.SSLContext | None) -> bool:
    from myha.stores.etcd.client import EtcdClient  # noqa: PLC0415  # an HTTP client comes with it

    try:
        EtcdClient((member.endpoint,), seconds=READY_SECONDS, tls=tls).get("/")
    except StoreError:
        return False
    return True
