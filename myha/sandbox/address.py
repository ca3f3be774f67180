"""One address for the balancers of a sandbox: keepalived on their hosts, and who has it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from myha.balancers.keepalived.render import CHECK_SCRIPT, render_keepalived
from myha.config import Config
from myha.errors import MyhaError
from myha.files import replacing
from myha.hosts.local import LocalHost
from myha.sandbox import programs
from myha.sandbox.network import tools
from myha.sandbox.network.layout import CLIENTS, PREFIX_BITS
from myha.sandbox.network.network import Network
from myha.waiting import wait_until

ADDRESS = f"{CLIENTS.network}.100"
WITH_NETWORK = f"{ADDRESS}/{PREFIX_BITS}"
INTERFACE = CLIENTS.interface
START_DEADLINE_SECONDS = 20.0


class Keepalived(LocalHost):
    """keepalived on one host: a parent, and the child that speaks to the other hosts."""

    def __init__(self, host: str, folder: Path, launcher: tuple[str, ...]) -> None:
        self._own_files = folder / "parent.pid", folder / "vrrp.pid"
        parent_file, child_file = self._own_files
        argv = (
            *programs.fetch("keepalived").argv,
            *("--dont-fork", "--vrrp", "--log-console"),
            f"--use-file={folder / 'keepalived.conf'}",
            f"--pid={parent_file}",
            f"--vrrp_pid={child_file}",
        )
        super().__init__(
            f"keepalived {host}",
            argv,
            pid_file=folder / "keepalived.pid",
            log_file=folder / "keepalived.log",
            ready=self._is_speaking,
            launcher=launcher,
        )
        self._speaks = LocalHost(
            f"the child of {self.name}", argv, pid_file=child_file, log_file=self.log_file
        )

    def _is_speaking(self) -> bool:
        return self._speaks.running()

    def start(self, deadline_seconds: float) -> None:
        if not self.running():
            # A killed process that nobody has waited for has a pid still, and keepalived would take
            # it for one that runs.
            for file in self._own_files:
                file.unlink(missing_ok=True)
        super().start(deadline_seconds)

    def kill(self) -> None:
        """Both at once. A child whose parent is gone would say that it leaves, and a parent whose
        child is gone would start another."""
        self._speaks.kill()
        super().kill()

    def freeze(self) -> None:
        super().freeze()
        self._speaks.freeze()

    def thaw(self) -> None:
        self._speaks.thaw()
        super().thaw()


class SharedAddress:
    """The address of one sandbox, and keepalived on each balancer's host."""

    def __init__(self, directory: Path, network: Network, balancers: Iterable[str]) -> None:
        self._network = network
        self._folders = {name: directory / f"keepalived-{name}" for name in balancers}
        self.daemons = {
            name: Keepalived(name, folder, network.words(name))
            for name, folder in self._folders.items()
        }

    @property
    def folders(self) -> list[str]:
        return [folder.name for folder in self._folders.values()]

    def start(self, config: Config) -> None:
        """Write each one's configuration anew, start it, and wait until one has the address."""
        for name, folder in self._folders.items():
            folder.mkdir(mode=0o700, exist_ok=True)
            # A sandbox may lie where others than root may write, and its script with it.
            text = render_keepalived(config, name, check_script=CHECK_SCRIPT, script_security=False)
            with replacing(folder / "keepalived.conf") as file:
                file.write(text.encode())
            self.start_one(name)
        self.await_held()

    def start_one(self, name: str) -> None:
        """On a host that starts; one that is frozen goes on."""
        self.forget(name)
        if self.daemons[name].frozen():
            self.daemons[name].thaw()
        self.daemons[name].start(START_DEADLINE_SECONDS)

    def forget(self, name: str) -> None:
        """A host that starts has no address that a killed keepalived has left there."""
        if not self.daemons[name].running() and name in self.holders():
            where = self._network.namespaces.name(name)
            tools.ip("-n", where, "addr", "del", WITH_NETWORK, "dev", INTERFACE)

    def holders(self) -> list[str]:
        """The balancers' hosts that have the address now."""
        return [name for name in self.daemons if f" {ADDRESS}/" in self._addresses(name)]

    def _addresses(self, name: str) -> str:
        where = self._network.namespaces.name(name)
        return tools.ip("-n", where, "-4", "-o", "addr", "show", "dev", INTERFACE)

    def await_held(self) -> None:
        """Raises MyhaError when nobody has it in time."""
        if not wait_until(lambda: bool(self.holders()), START_DEADLINE_SECONDS):
            said = "; ".join(one.last_error() for one in self.daemons.values())
            raise MyhaError(f"no host has taken the address {ADDRESS}: {said}")
