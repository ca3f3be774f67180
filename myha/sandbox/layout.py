"""What a sandbox consists of: its files, addresses, and the handles of its processes."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from myha.hosts.local import LocalHost, accepts_unix, connects_tcp
from myha.sandbox.address import SharedAddress
from myha.sandbox.configuration import BalancerAddresses
from myha.sandbox.etcd import Member, member_names, members_of, process_of
from myha.sandbox.network.layout import BALANCERS, REPLICATION, supervisor_name
from myha.sandbox.network.network import Network
from myha.sandbox.node_files import NodeFiles
from myha.sandbox.programs import fetch
from myha.sandbox.state import NODE_NAMES, STRAY, ClusterState

if TYPE_CHECKING:
    from myha.sandbox.etcd_disks import EtcdDisks

STRAY_SERVER_ID = 9
FIRST_REPLICA_SERVER_ID = 11
NETWORK_RUNTIME_PORT = 9999


class Layout:
    """Of one sandbox. Nothing here starts, ends or writes anything."""

    def __init__(self, directory: Path, state: ClusterState) -> None:
        self.directory = directory
        self.state = state

    @property
    def config_path(self) -> Path:
        return self.directory / "myha.toml"

    def config_path_of(self, supervisor: int) -> Path:
        """The file of the first, second ... supervisor: they differ in their state_dir."""
        return self.directory / ("myha.toml" if supervisor == 1 else f"myha-{supervisor}.toml")

    def state_dir_of(self, supervisor: int) -> Path:
        """Journal and control socket; the record too, where there is no etcd."""
        return self.run_dir / ("state" if supervisor == 1 else f"state-{supervisor}")

    @property
    def run_dir(self) -> Path:
        return Path(self.state.run_dir)

    @property
    def state_dir(self) -> Path:
        """The supervisor's state directory: record, journal, lock, control socket."""
        return self.state_dir_of(1)

    @cached_property
    def network(self) -> Network | None:
        """Its hosts; None where all is on this machine's own loopback address."""
        if not self.state.network:
            return None
        return Network(
            self.directory,
            NODE_NAMES,
            self.state.replica_names,
            STRAY,
            supervisors=self.state.supervisors,
            members=member_names(self.state.etcd),
        )

    @cached_property
    def balancer_addresses(self) -> dict[str, BalancerAddresses]:
        """Where each balancer listens. On a network there are two, on the side of one node each."""
        names = BALANCERS if self.network else BALANCERS[:1]
        return {name: self._addresses_of(name) for name in names}

    def _addresses_of(self, name: str) -> BalancerAddresses:
        socket, host = str(self.run_dir / "haproxy.sock"), "127.0.0.1"
        if self.network is not None:  # a file would be reached across every cut
            host = self.network.address(name)
            socket = f"{host}:{NETWORK_RUNTIME_PORT}"
        writer, reader = ((host, self.state.ports[pool]) for pool in ("writer", "reader"))
        return BalancerAddresses(name, socket, writer, reader)

    @cached_property
    def shared_address(self) -> SharedAddress | None:
        """The address in front of the balancers; None where each is reached at its own."""
        if self.network is None or not self.state.address:
            return None
        return SharedAddress(self.directory, self.network, BALANCERS)

    @property
    def writer_address(self) -> tuple[str, int]:
        return self.balancer_addresses[BALANCERS[0]].writer

    @cached_property
    def nodes(self) -> dict[str, NodeFiles]:
        return {name: self._files(name, number) for number, name in enumerate(NODE_NAMES, 1)}

    @cached_property
    def replicas(self) -> dict[str, NodeFiles]:
        """Read replicas beside the pair."""
        names = self.state.replica_names
        return {
            name: self._files(name, FIRST_REPLICA_SERVER_ID + n) for n, name in enumerate(names)
        }

    @property
    def machines(self) -> dict[str, NodeFiles]:
        """Every database server but the stray."""
        return {**self.nodes, **self.replicas}

    def _files(self, name: str, server_id: int) -> NodeFiles:
        network = self.network
        files = NodeFiles(
            name=name,
            flavour=self.state.flavour,
            program=fetch(self.state.flavour),
            directory=self.directory / name,
            socket=self.run_dir / f"{name}.sock",
            port=self.state.ports[name],
            server_id=server_id,
        )
        if network is None:
            return files
        return replace(
            files,
            host=network.address(name),
            replication_host=network.address(name, REPLICATION),
            launcher=network.words(name),
            reached=partial(network.seen_from, name),
        )

    @cached_property
    def stray(self) -> NodeFiles:
        """A server outside the pair; it is there from `start_stray` on."""
        return self._files(STRAY, STRAY_SERVER_ID)

    @cached_property
    def stray_server(self) -> LocalHost:
        return self.stray.local_host()

    @cached_property
    def servers(self) -> dict[str, LocalHost]:
        """The handles of the servers' processes, by name: the two nodes', then the replicas'."""
        return {name: node.local_host() for name, node in self.machines.items()}

    @cached_property
    def balancers(self) -> dict[str, LocalHost]:
        """The handles of the balancers' processes."""
        return {name: self._balancer(at) for name, at in self.balancer_addresses.items()}

    @property
    def haproxy(self) -> LocalHost:
        """The only balancer, or the first one."""
        return self.balancers[BALANCERS[0]]

    def balancer_dir(self, name: str) -> Path:
        return self.directory / ("haproxy" if self.network is None else f"haproxy-{name}")

    def _balancer(self, its: BalancerAddresses) -> LocalHost:
        folder, network = self.balancer_dir(its.name), self.network
        argv = (*fetch("haproxy").argv, "-db", "-f", str(folder / "haproxy.cfg"))
        ready: Callable[[], bool] = partial(accepts_unix, Path(its.socket))
        if network is not None:
            at = network.address(its.name), NETWORK_RUNTIME_PORT
            ready = network.seen_from(its.name, partial(connects_tcp, *at))
        return LocalHost(
            "haproxy" if network is None else f"haproxy {its.name}",
            argv,
            pid_file=folder / "haproxy.pid",
            log_file=folder / "haproxy.log",
            ready=ready,
            launcher=self.words_on(its.name),
        )

    def words_on(self, host: str) -> tuple[str, ...]:
        """What a command line begins with that runs on this host."""
        return () if self.network is None else self.network.words(host)

    @property
    def supervisor(self) -> LocalHost:
        """The only supervisor, or the first one."""
        return self.supervisors[0]

    @cached_property
    def supervisors(self) -> tuple[LocalHost, ...]:
        """The handles of their processes. Which of them acts on the pair, they settle in etcd."""
        return tuple(self._supervisor(n) for n in range(1, self.state.supervisors + 1))

    def _supervisor(self, number: int) -> LocalHost:
        name = supervisor_name(number)
        return LocalHost(
            name,
            (*self.myha_words(number), "run"),
            pid_file=self.directory / f"{name}.pid",
            log_file=self.directory / f"{name}.log",
            ready=lambda: accepts_unix(self.state_dir_of(number) / "myha.sock"),
            environment=environment(),
            launcher=self.words_on(name),
        )

    def myha_words(self, supervisor: int = 1) -> tuple[str, ...]:
        path = str(self.config_path_of(supervisor))
        return (sys.executable, "-m", "myha", "--config", path)

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """Of the etcd cluster."""
        members = members_of(self.directory, self.state.ports, self.state.etcd)
        network = self.network
        if network is None:
            return members
        return tuple(
            replace(
                one,
                host=network.address(one.name),
                launcher=network.words(one.name),
                reached=partial(network.seen_from, one.name),
            )
            for one in members
        )

    @cached_property
    def etcd(self) -> dict[str, LocalHost]:
        """The handles of the members' processes."""
        return {one.name: process_of(one, self.members, fetch("etcd")) for one in self.members}

    @property
    def etcd_disks(self) -> "EtcdDisks":
        from myha.sandbox.etcd_disks import EtcdDisks  # noqa: PLC0415  # an HTTP client comes with it

        return EtcdDisks(self.members, fetch("etcd"))

    def secret(self, name: str) -> str:
        """A password of this sandbox: admin, app, supervisor or replication."""
        return (self.directory / "secrets" / name).read_text().strip()

    def processes(self) -> list[LocalHost]:
        """All processes of the sandbox, in the order in which they are ended."""
        address = self.shared_address
        daemons = [] if address is None else address.daemons.values()
        return [
            *self.supervisors,
            *daemons,
            *self.balancers.values(),
            *self.servers.values(),
            *self.etcd.values(),
        ]


def environment() -> dict[str, str]:
    """Ours without the user's own passwords for myha, which would win over the sandbox's files."""
    return {
        key: value
        for key, value in os.environ.items()
        if not (key.startswith("MYHA_") and key.endswith("_PASSWORD"))
    }
