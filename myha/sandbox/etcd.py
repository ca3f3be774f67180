"""The etcd cluster of a sandbox: its members as processes on this machine's loopback address."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from myha.errors import StoreError
from myha.hosts.local import LocalHost
from myha.sandbox.programs import Program
from myha.stores.etcd.client import EtcdClient

READY_SECONDS = 1.0


@dataclass(frozen=True)
class Member:
    """One member: where it serves clients and where its peers, and its folder."""

    name: str
    client_port: int
    peer_port: int
    directory: Path
    scheme: str = "http"  # of its clients

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.client_port}"

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self.peer_port}"


def port_names(count: int) -> tuple[str, ...]:
    """`e1`, `e1-peer` and so on, for so many members."""
    names = (f"e{number}" for number in range(1, count + 1))
    return tuple(port for name in names for port in (name, f"{name}-peer"))


def members_of(directory: Path, ports: Mapping[str, int], count: int) -> tuple[Member, ...]:
    """`ports` has those of `port_names`."""
    names = port_names(count)
    return tuple(
        Member(name, ports[name], ports[peer], directory / name)
        for name, peer in zip(names[::2], names[1::2], strict=True)
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
        ready=partial(_answers, member, tls),
    )


def _answers(member: Member, tls: ssl.SSLContext | None) -> bool:
    try:
        EtcdClient((member.endpoint,), seconds=READY_SECONDS, tls=tls).get("/")
    except StoreError:
        return False
    return True
