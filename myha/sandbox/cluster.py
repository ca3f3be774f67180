"""A whole cluster on one machine: made, started, looked at and taken down, in one directory.

`cluster.json` is written before anything is started, so that `down` finds every process and file of
a sandbox whose `up` was killed half way.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from myha import config as configuration
from myha.balancers.haproxy.render import AWAIT_SCRIPT, render_haproxy
from myha.errors import ConfigError, MyhaError
from myha.files import write_private
from myha.hosts.commands import output_of
from myha.hosts.local import end_processes
from myha.hosts.signals import ignored
from myha.progress import Tell
from myha.sandbox import disks, programs, registry
from myha.sandbox.address import ADDRESS
from myha.sandbox.files import remove_files, write_files
from myha.sandbox.layout import Layout, environment
from myha.sandbox.network.layout import SUPERVISOR
from myha.sandbox.network.network import Network
from myha.sandbox.node_files import NodeFiles
from myha.sandbox.programs import Program
from myha.sandbox.servers import (
    data_template,
    finish_first_start,
    make_data_dir,
    write_option_file,
)
from myha.sandbox.state import ClusterState, Durability, Mode

SERVER_START_DEADLINE_SECONDS = 90.0
ETCD_DEADLINE_SECONDS = 60.0
HAPROXY_START_DEADLINE_SECONDS = 20.0
SUPERVISOR_START_DEADLINE_SECONDS = 60.0
SUPERVISOR_STOP_DEADLINE_SECONDS = 10.0
SETUP_DEADLINE_SECONDS = 300.0
END_DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class ProcessStatus:
    """One process of a sandbox, for `status`."""

    name: str
    address: str
    pid: int | None
    state: Literal["running", "frozen", "stopped"]


class Cluster(Layout):
    """A sandbox. `create` or `open` it, then `up`, `status`, `down`."""

    def __init__(self, directory: Path, state: ClusterState, progress: Tell) -> None:
        super().__init__(directory, state)
        self._progress = progress
        self._ended = False

    @classmethod
    def create(
        cls,
        directory: Path | None = None,
        flavour: str = "mysql",
        mode: Mode = "single-writer",
        durability: Durability | None = None,
        progress: Tell = lambda _: None,
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
            write_files(cluster)
        return cluster

    @classmethod
    def open(cls, directory: Path, progress: Tell = lambda _: None) -> "Cluster":
        """The sandbox in a directory. Raises ConfigError when there is none."""
        directory = directory.expanduser().absolute()
        return cls(directory, ClusterState.read(directory), progress)

    def up(self, *, bare: bool = False, output: Tell | None = None) -> None:
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
            data_template(self.state.flavour, programs.fetch(self.state.flavour), self._progress)
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
        script = AWAIT_SCRIPT if _has_lua(programs.fetch("haproxy")) else None
        for name, balancer in self.balancers.items():
            text = render_haproxy(loaded, name, await_script=script)
            write_private(self.balancer_dir(name) / "haproxy.cfg", text)
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

    def setup(self, output: Tell | None = None) -> None:
        """Run `myha setup` on the sandbox and pass its lines on. Raises MyhaError if it fails."""
        self._progress("setting the pair up")
        tell = output or self._progress
        last = ""
        ends = time.monotonic() + SETUP_DEADLINE_SECONDS
        with subprocess.Popen(
            (*self.words_on(SUPERVISOR), *self.myha_words(), "setup", "--yes"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment(),
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
                    *one.writer, *one.reader
                )
                for name, one in self.balancer_addresses.items()
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
        remove_files(self)

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


def _has_lua(program: Program) -> bool:
    return "Built with Lua" in output_of("haproxy -vv", (*program.argv, "-vv"), 20)
