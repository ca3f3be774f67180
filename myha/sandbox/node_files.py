"""Where one server of a sandbox keeps what, and how it is reached."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from myha.hosts.local import LocalHost, accepts_tcp
from myha.sandbox.programs import Program

Reached: TypeAlias = Callable[[Callable[[], bool]], Callable[[], bool]]


@dataclass(frozen=True)
class NodeFiles:
    """Where one server of a sandbox keeps what, and how it is reached."""

    name: str
    flavour: str
    program: Program
    directory: Path
    socket: Path
    port: int
    server_id: int
    host: str = "127.0.0.1"
    replication_host: str = ""  # where its peer reaches it, if not there
    launcher: tuple[str, ...] = ()  # what its command line begins with, where it has its own host
    reached: Reached = field(default=lambda check: check)  # a check, made where it can be reached

    @property
    def bind(self) -> str:
        return "*" if self.launcher else self.host

    @property
    def client_hosts(self) -> str:
        """From where its accounts may log in."""
        return "%" if self.launcher else self.host

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def option_file(self) -> Path:
        return self.directory / "server.cnf"

    @property
    def fragment(self) -> Path:
        """Where `myha setup` installs its options; the server reads this folder last."""
        return self.directory / "conf.d" / "myha.cnf"

    @property
    def pid_file(self) -> Path:
        return self.directory / "server.pid"

    @property
    def log_file(self) -> Path:
        return self.directory / "server.log"

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.program.argv, f"--defaults-file={self.option_file}")

    def local_host(self) -> LocalHost:
        """The handle that starts, stops, kills and freezes this server."""
        return LocalHost(
            f"node {self.name}",
            self.argv,
            pid_file=self.pid_file,
            log_file=self.log_file,
            ready=self.reached(lambda: accepts_tcp(self.host, self.port)),
            launcher=self.launcher,
            lock_file=self.socket.with_name(f"{self.socket.name}.lock"),
        )
