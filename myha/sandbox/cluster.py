"""A whole cluster on one machine: servers, HAProxy, the supervisor, in one directory.

`cluster.json` is written before anything is started, so that `down` finds every process and file of
a sandbox whose `up` was killed half way.
"""

import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from myha import config as configuration
from myha.balancers.haproxy.render import AWAIT_SCRIPT, render_haproxy
from myha.errors import ConfigError, MyhaError
from myha.hosts.local import LocalHost, accepts_unix, connects_tcp, end_processes
from myha.hosts.signals import ignored
from myha.sandbox import disks, programs, registry
from myha.sandbox.address import ADDRESS, SharedAddress
from myha.sandbox.configuration import BalancerPlace, ConfigurationText
from myha.sandbox.debian import Progress
from myha.sandbox.etcd import Member, member_names, members_of, process_of
from myha.sandbox.network.layout import BALANCERS, REPLICATION, SUPERVISOR, supervisor_name
from myha.sandbox.network.network import Network
from myha.sandbox.programs import Program
from myha.sandbox.registry import STATE_FILE
from myha.sandbox.servers import (
    NodeFiles,
    data_template,
    finish_first_start,
    make_data_dir,
    write_option_file,
    write_private,
)
from myha.sandbox.state import NODE_NAMES, STRAY, ClusterState, Durability, Mode

STRAY_SERVER_ID = 9
FIRST_REPLICA_SERVER_ID = 11
SERVER_START_DEADLINE_SECONDS = 90.0
ETCD_DEADLINE_SECONDS = 60.0
HAPROXY_START_DEADLINE_SECONDS = 20.0
SUPERVISOR_START_DEADLINE_SECONDS = 60.0
SUPERVISOR_STOP_DEADLINE_SECONDS = 10.0
SETUP_DEADLINE_SECONDS = 300.0
END_DEADLINE_SECONDS = 30.0
NETWORK_RUNTIME_PORT = 9999


@dataclass(frozen=True)
class ProcessStatus:
    """One process of a sandbox, for `status`."""

    name: str
    address: str
    pid: int | None
    state: Literal["running", "frozen", "stopped"]


class Cluster:
    """A sandbox. `create` or `open` it, then `up`, `status`, `down`."""

    def __init__(self, directory: Path, state: ClusterState, progress: Progress) -> None:
        self.directory = directory
        self.state = state
        self._progress = progress
        self._ended = False

    @classmethod
    def create(
        cls,
        directory: Path | None = None,
        flavour: str = "mysql",
        mode: Mode = "single-writer",
        durability: Durability | None = None,
        progress: Progress = lambda _: None,
        *,
        replicas: int = 0,
        network: bool = False,
        address: bool = False,
        etcd: int = 0,
        supervisors: int = 1,
        api: bool = True,
    ) -> "Cluster":
        """Lay out a new sandbox; `directory` must be absent or empty, None means a fresh default.

        `network` gives each process a host of its own, `address` the balancers one that they share.
        `etcd` members keep the record, which several `supervisors` need. Fetches the programs it
        needs. Raises ConfigError for a wrong call, MyhaError otherwise; nothing is left then.
        """
        if durability is None:
            durability = "bounded" if mode == "dual-writer" else "lossless"
        wanted = ClusterState(
            flavour,
            mode,
            durability,
            made_directory=directory is None or not directory.exists(),
            replicas=replicas,
            network=network,
            address=address,
            etcd=etcd,
            supervisors=supervisors,
            api=api,
        )
        wanted.require_sense()
        if network:
            Network.need(progress)
        more = [*(["keepalived"] if address else []), *(["etcd"] if etcd else [])]
        for name in (flavour, "haproxy", *more):
            programs.fetch(name, progress)
        if directory is not None:
            directory = directory.expanduser().absolute()
            made = wanted.made_directory
            if not made and (not directory.is_dir() or any(directory.iterdir())):
                raise ConfigError(f"{directory} is not an empty directory: name another with --dir")
        directory, _ = registry.claim(directory, len(wanted.ports_to_claim), wanted.save)
        cluster = cls.open(directory, progress)
        with cluster._taken_down_on_failure():
            if cluster.network is not None:
                cluster.network.make()
            cluster._write_files()
        return cluster

    @classmethod
    def open(cls, directory: Path, progress: Progress = lambda _: None) -> "Cluster":
        """The sandbox in a directory. Raises ConfigError when there is none."""
        directory = directory.expanduser().absolute()
        return cls(directory, ClusterState.read(directory), progress)

    # --- what it consists of

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
    def balancer_places(self) -> dict[str, BalancerPlace]:
        """Where each balancer listens. On a network there are two, on the side of one node each."""
        names = BALANCERS if self.network else BALANCERS[:1]
        return {name: self._place(name) for name in names}

    def _place(self, name: str) -> BalancerPlace:
        socket, host = str(self.run_dir / "haproxy.sock"), "127.0.0.1"
        if self.network is not None:  # a file would be reached across every cut
            host = self.network.address(name)
            socket = f"{host}:{NETWORK_RUNTIME_PORT}"
        writer, reader = ((host, self.state.ports[pool]) for pool in ("writer", "reader"))
        return BalancerPlace(name, socket, writer, reader)

    @cached_property
    def shared_address(self) -> SharedAddress | None:
        """The address in front of the balancers; None where each is reached at its own."""
        if self.network is None or not self.state.address:
            return None
        return SharedAddress(self.directory, self.network, BALANCERS)

    @property
    def writer_address(self) -> tuple[str, int]:
        return self.balancer_places[BALANCERS[0]].writer

    @property
    def reader_address(self) -> tuple[str, int]:
        return self.balancer_places[BALANCERS[0]].reader

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
            program=_program(self.state.flavour),
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
        return {name: self._balancer(place) for name, place in self.balancer_places.items()}

    @property
    def haproxy(self) -> LocalHost:
        """The only balancer, or the first one."""
        return self.balancers[BALANCERS[0]]

    def _balancer_dir(self, name: str) -> Path:
        return self.directory / ("haproxy" if self.network is None else f"haproxy-{name}")

    def _balancer(self, place: BalancerPlace) -> LocalHost:
        folder, network = self._balancer_dir(place.name), self.network
        argv = (*_program("haproxy").argv, "-db", "-f", str(folder / "haproxy.cfg"))
        ready: Callable[[], bool] = partial(accepts_unix, Path(place.socket))
        if network is not None:
            at = network.address(place.name), NETWORK_RUNTIME_PORT
            ready = network.seen_from(place.name, partial(connects_tcp, *at))
        return LocalHost(
            "haproxy" if network is None else f"haproxy {place.name}",
            argv,
            pid_file=folder / "haproxy.pid",
            log_file=folder / "haproxy.log",
            ready=ready,
            launcher=self._words(place.name),
        )

    def _words(self, host: str) -> tuple[str, ...]:
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
            (*self._myha(number), "run"),
            pid_file=self.directory / f"{name}.pid",
            log_file=self.directory / f"{name}.log",
            ready=lambda: accepts_unix(self.state_dir_of(number) / "myha.sock"),
            environment=_environment(),
            launcher=self._words(name),
        )

    def _myha(self, supervisor: int = 1) -> tuple[str, ...]:
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
        return {one.name: process_of(one, self.members, _program("etcd")) for one in self.members}

    def secret(self, name: str) -> str:
        """A password of this sandbox: admin, app, supervisor or replication."""
        return (self.directory / "secrets" / name).read_text().strip()

    # --- what can be done with it

    def up(self, *, bare: bool = False, output: Callable[[str], None] | None = None) -> None:
        """Start the servers and HAProxy, set the pair up and start the supervisor.

        `bare` stops before the setup, whose lines go to `output`. Whatever fails, or Ctrl-C: all of
        it is taken down again and the error says so.
        """
        with self._taken_down_on_failure():
            self.start_etcd()
            self.start_servers()
            self.start_haproxy()
            if not bare:
                self.setup(output)
                self.start_supervisor()

    def start_servers(self) -> None:
        """Start all servers, at the same time; makes their data directories if there are none."""
        if not all(node.data_dir.exists() for node in self.machines.values()):
            data_template(self.state.flavour, _program(self.state.flavour), self._progress)
        with ThreadPoolExecutor(len(self.machines)) as pool:
            starts = [pool.submit(self._start_server, node) for node in self.machines.values()]
            wait(starts, timeout=SERVER_START_DEADLINE_SECONDS * 3)
        for start in starts:
            start.result()

    def _start_server(self, node: NodeFiles) -> None:
        if not node.data_dir.exists():
            make_data_dir(node, self.secret("admin"), self.secret("app"), self._progress)
        began = time.monotonic()
        self._progress(f"starting {node.flavour} {node.program.version} as node {node.name}")
        if self._ended:
            return
        self.servers[node.name].start(SERVER_START_DEADLINE_SECONDS)
        finish_first_start(node)
        self._progress(
            f"node {node.name} serves on {node.host}:{node.port}"
            f" after {time.monotonic() - began:.1f} s"
        )

    def start_stray(self) -> None:
        """Start the server outside the pair, empty but for the accounts."""
        node = self.stray
        node.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_option_file(node)
        make_data_dir(node, self.secret("admin"), self.secret("app"), self._progress)
        self.stray_server.start(SERVER_START_DEADLINE_SECONDS)
        finish_first_start(node)

    def end_stray(self) -> None:
        """End it, as if it had never been. Raises MyhaError when it does not end."""
        self.stray_server.kill()
        if not self.stray_server.await_gone(END_DEADLINE_SECONDS):
            raise MyhaError(f"{self.stray_server.name} does not end after SIGKILL")
        shutil.rmtree(self.stray.directory, ignore_errors=True)

    def start_haproxy(self) -> None:
        """Write each balancer's configuration anew and start it."""
        loaded = configuration.load(self.config_path)
        script = AWAIT_SCRIPT if _has_lua(_program("haproxy")) else None
        for name, balancer in self.balancers.items():
            text = render_haproxy(loaded, name, await_script=script)
            write_private(self._balancer_dir(name) / "haproxy.cfg", text)
            self._progress(f"starting {balancer.name}")
            balancer.start(HAPROXY_START_DEADLINE_SECONDS)
        if self.shared_address is not None:
            self._progress("starting keepalived")
            self.shared_address.start(loaded)

    def start_balancers(self, deadline_seconds: float) -> None:
        """Those that do not run, and keepalived beside them; one that is frozen goes on."""
        for balancer in self.balancers.values():
            if balancer.frozen():
                balancer.thaw()
            balancer.start(deadline_seconds)
        if self.shared_address is not None:
            for name in self.shared_address.daemons:
                self.shared_address.start_one(name)

    def setup(self, output: Callable[[str], None] | None = None) -> None:
        """Run `myha setup` on the sandbox and pass its lines on. Raises MyhaError if it fails."""
        self._progress("setting the pair up")
        tell = output or self._progress
        last = ""
        ends = time.monotonic() + SETUP_DEADLINE_SECONDS
        with subprocess.Popen(
            (*self._words(SUPERVISOR), *self._myha(), "setup", "--yes"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
            text=True,
            errors="replace",
        ) as process:
            try:
                for line in process.stdout or ():
                    if line.strip():
                        last = line.strip()
                        tell(line.rstrip())
                    if time.monotonic() > ends:
                        process.kill()
            except BaseException:
                process.terminate()
                raise
        if process.returncode != 0:
            raise MyhaError(f"setup of the sandbox failed: {last or 'it gave no reason'}")

    def start_etcd(self) -> None:
        """Start all members at the same time: one alone has nobody to agree with."""
        if not self.etcd:
            return
        self._progress(f"starting {len(self.etcd)} members of etcd")
        with ThreadPoolExecutor(len(self.etcd)) as pool:
            starts = [pool.submit(one.start, ETCD_DEADLINE_SECONDS) for one in self.etcd.values()]
        for start in starts:
            start.result()

    def start_supervisor(self) -> None:
        """Start `myha run` in the background, as often as there are supervisors."""
        for one in self.supervisors:
            self._progress(f"starting the {one.name}")
            one.start(SUPERVISOR_START_DEADLINE_SECONDS)

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

    def status(self) -> list[ProcessStatus]:
        """Every process with its address, pid and state."""
        addresses = {
            **{
                one.name: str(self.state_dir_of(number) / "myha.sock")
                for number, one in enumerate(self.supervisors, 1)
            },
            **{f"etcd {one.name}": f"{one.host}:{one.client_port}" for one in self.members},
            **{
                self.balancers[name].name: "{}:{} (writer), {}:{} (reader)".format(
                    *place.writer, *place.reader
                )
                for name, place in self.balancer_places.items()
            },
            **{f"node {name}": f"{node.host}:{node.port}" for name, node in self.machines.items()},
            **self._keepalived_addresses(),
        }
        return [
            ProcessStatus(
                host.name,
                addresses[host.name],
                pid := host.pid(),
                "stopped" if pid is None else "frozen" if host.frozen() else "running",
            )
            for host in self.processes()
        ]

    def _keepalived_addresses(self) -> dict[str, str]:
        if self.shared_address is None:
            return {}
        holders = self.shared_address.holders()
        return {
            daemon.name: f"{ADDRESS} is here" if name in holders else ""
            for name, daemon in self.shared_address.daemons.items()
        }

    def down(self) -> None:
        """End every process and remove all files. Raises MyhaError when a process does not end."""
        processes = [*self.processes(), self.stray_server]
        self._ended = True
        for supervisor in self.supervisors[::-1]:
            with suppress(MyhaError):  # it is killed below, like all the others
                supervisor.stop(SUPERVISOR_STOP_DEADLINE_SECONDS)
        disks.thaw_all(self.directory)
        for host in processes:
            host.kill()  # nothing of the data is kept, so there is nothing to flush
        ends = time.monotonic() + END_DEADLINE_SECONDS
        for host in processes:
            if not host.await_gone(max(0.0, ends - time.monotonic())):
                raise MyhaError(f"{host.name} (pid {host.pid()}) does not end after SIGKILL")
        # A process whose pid file is gone is still known by its command line.
        end_processes([host.argv for host in processes], END_DEADLINE_SECONDS)
        disks.unmount_all(self.directory)
        if self.network is not None:
            self.network.remove()
        self._remove_files()

    def _remove_files(self) -> None:
        shutil.rmtree(self.run_dir, ignore_errors=True)
        ours = [
            *NODE_NAMES,
            *self.replicas,
            STRAY,
            *(self._balancer_dir(name).name for name in self.balancer_places),
            *([] if self.shared_address is None else self.shared_address.folders),
            "secrets",
            "myha.toml",
            *(one.name for one in self.members),
            *(f"{one.name}.{kind}" for one in self.supervisors for kind in ("pid", "log")),
            *(self.config_path_of(n).name for n in range(2, len(self.supervisors) + 1)),
        ]
        # A directory that we made goes as a whole; in another one only what is ours.
        names = [p.name for p in self.directory.iterdir()] if self.state.made_directory else ours
        for path in (self.directory / name for name in names if name != STATE_FILE):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        # Last: without it nothing could find what is left.
        (self.directory / STATE_FILE).unlink(missing_ok=True)
        if self.state.made_directory:
            self.directory.rmdir()
        registry.release(self.directory)

    @contextmanager
    def _taken_down_on_failure(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self._progress("taking the sandbox down again")
            with ignored():
                self.down()
            if isinstance(error, MyhaError):
                raise MyhaError(f"{error}; the sandbox was taken down again") from error
            raise

    def _write_files(self) -> None:
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in ("admin", "app", "supervisor", "replication"):
            write_private(self.directory / "secrets" / name, secrets.token_urlsafe(18) + "\n")
        for node in self.machines.values():
            node.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_option_file(node)
        text = ConfigurationText(
            directory=self.directory,
            mode=self.state.mode,
            durability=self.state.durability,
            state_dir=self.state_dir,
            nodes=self.nodes,
            replicas=self.replicas,
            balancers=self.balancer_places.values(),
            # Ending a process is a signal on this machine: it would reach across every cut.
            fences=self.network is None,
            address=self.state.address,
            etcd=tuple(one.endpoint for one in self.members),
            api=self.state.api,
        )
        for member in self.members:
            member.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for number in range(1, self.state.supervisors + 1):
            path = self.config_path_of(number)
            path.write_text(replace(text, state_dir=self.state_dir_of(number)).text())
            configuration.load(path)  # what we write must be what myha accepts


def _environment() -> dict[str, str]:
    """Ours without the user's own passwords for myha, which would win over the sandbox's files."""
    return {
        key: value
        for key, value in os.environ.items()
        if not (key.startswith("MYHA_") and key.endswith("_PASSWORD"))
    }


def _has_lua(program: Program) -> bool:
    done = subprocess.run(
        (*program.argv, "-vv"), capture_output=True, text=True, check=False, timeout=20
    )
    return "Built with Lua" in done.stdout


def _program(name: str) -> Program:
    return programs.fetch(name)
