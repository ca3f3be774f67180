"""The node's server process, as far as a reseed has to end and start it, and its data directory.

A node whose `start_command` is configured is started from here. For any other one its own service
manager has to do it, and this waits.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from myha.binlog.errors import HealRefusedError
from myha.config import Config
from myha.errors import MyhaError, ServerGoneError, ServerSilentError
from myha.hosts.local import LocalHost, accepts_tcp
from myha.operations.heal.reseed.session import ReseedSession
from myha.operations.progress import Meter, Reporter, go_on

START_DEADLINE_SECONDS = 600.0  # a large buffer pool, a long recovery
END_DEADLINE_SECONDS = 300.0
RETURN_DEADLINE_SECONDS = 300.0
INIT_DEADLINE_SECONDS = 300.0
ASIDE_SUFFIX = ".reseed-aside"
LOOK_SECONDS = 0.05
_LOGIN_DEADLINE_SECONDS = 30.0


class NodeProcess:
    """One node's server process. Every method raises MyhaError with one line."""

    def __init__(self, config: Config, name: str, reporter: Reporter) -> None:
        self.name = name
        self._config = config
        self._node = config.nodes[name]
        self._reporter = reporter
        self.host = self._host()

    def _host(self) -> LocalHost | None:
        node = self._node
        if node.pid_file is None or not node.start_command:
            return None
        return LocalHost(
            self.name,
            node.start_command,
            pid_file=node.pid_file,
            log_file=self._config.cluster.state_dir / f"server-{self.name}.log",
            ready=lambda: accepts_tcp(node.host, node.port),
        )

    @property
    def data_dir(self) -> Path | None:
        """The configured data directory, without symbolic links on the way; None: none is."""
        path = self._node.data_dir
        return None if path is None else Path(os.path.realpath(path))

    @property
    def data_is_lost(self) -> bool:
        """Whether the configured data directory is not there or has nothing in it."""
        path = self.data_dir
        try:
            return path is not None and (not path.exists() or not any(path.iterdir()))
        except OSError as error:
            raise MyhaError(f"{self.name}: cannot look into {path}: {error.strerror}") from error

    def initialise(self) -> None:
        """Make an empty data directory with the configured command."""
        command = self._node.init_command
        if not command:
            raise HealRefusedError(
                f"{self.name}: its data directory {self.data_dir} is lost; make an empty one there "
                f"by hand and start the server, or set nodes.{self.name}.init_command"
            )
        self._reporter.event("reseed", f"{self.name}: makes an empty data directory")
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=INIT_DEADLINE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MyhaError(f"{self.name}: init_command does not work: {error}") from error
        if done.returncode != 0:
            said = " / ".join((done.stderr or done.stdout).strip().splitlines()[-2:])[:400]
            raise MyhaError(
                f"{self.name}: init_command ended with status {done.returncode}: {said}"
            )

    @property
    def _aside(self) -> Path:
        data = self.data_dir
        if data is None:
            raise MyhaError(f"{self.name}: nodes.{self.name}.data_dir is not set")
        return data.with_name(f"{data.name}{ASIDE_SUFFIX}")

    def move_data_aside(self) -> None:
        """Keep what does not serve any more until something serves in its place."""
        data, aside = self.data_dir, self._aside
        remove(aside)
        try:
            if data is not None and data.exists():
                data.rename(aside)
        except OSError as error:
            raise MyhaError(f"cannot move {data} to {aside}: {error.strerror}") from error

    def forget_aside(self) -> None:
        if self.data_dir is not None:
            remove(self._aside)

    def start(self) -> None:
        """Start it where that is configured, else wait until somebody has."""
        if self.host is not None:
            self.host.start(START_DEADLINE_SECONDS)
            return
        self._await(
            lambda: accepts_tcp(self._node.host, self._node.port),
            RETURN_DEADLINE_SECONDS,
            f"{self.name}: its server has ended and nothing starts it again; start it on its host, "
            "then run this again",
            "waits for its service manager to start the server",
        )

    def await_gone(self) -> None:
        """Wait until the process is gone: a second one on the same data would ruin it."""
        if self.host is not None:
            gone = self.host.await_gone(END_DEADLINE_SECONDS)
            if not gone:
                raise MyhaError(f"{self.name}: the server (pid {self.host.pid()}) does not end")
            return
        self._await(
            lambda: not _listens(self._node.host, self._node.port),
            END_DEADLINE_SECONDS,
            f"{self.name}: the server does not end",
            "waits for the server to end",
        )

    def stop(self) -> None:
        if self.host is None:
            raise MyhaError(f"{self.name}: has no start_command, so it is not stopped from here")
        self.host.stop(END_DEADLINE_SECONDS)

    def session(self) -> ReseedSession:
        """A session on a server that has just started: it may still refuse for a moment."""
        ends = time.monotonic() + _LOGIN_DEADLINE_SECONDS
        while True:
            try:
                return ReseedSession(self._config, self.name)
            except (ServerGoneError, ServerSilentError):
                if time.monotonic() > ends:
                    raise
            time.sleep(LOOK_SECONDS)

    def _await(
        self, holds: Callable[[], bool], deadline_seconds: float, told: str, doing: str
    ) -> None:
        meter = Meter(self._reporter, doing)
        ends = time.monotonic() + deadline_seconds
        while not holds():
            go_on(self._reporter)
            if time.monotonic() > ends:
                raise MyhaError(told)
            meter.to(0)
            time.sleep(LOOK_SECONDS)


def session_or_none(config: Config, name: str) -> ReseedSession | None:
    """A session on a node; None when no server is there. Raises ServerError for all else."""
    try:
        return ReseedSession(config, name)
    except ServerGoneError:
        return None
    except ServerSilentError as error:
        raise HealRefusedError(
            f"{error}: it may hang, and cannot be told from one that works; end that process first"
        ) from error


def is_local_server(session: ReseedSession, directory: Path | None = None) -> bool:
    """Whether the server works on this machine, in `directory` or the one that it names itself.

    A loopback address proves nothing: a container's port may be forwarded. The working directory of
    the server's process is its data directory.
    """
    row = session.rows("SELECT @@GLOBAL.pid_file AS pid, @@GLOBAL.datadir AS data")[0]
    data = Path(os.path.realpath(directory or str(row["data"])))
    try:
        pid_file = Path(str(row["data"])) / str(row["pid"])
        pid = int(pid_file.read_text().split()[0])
        return Path(f"/proc/{pid}/cwd").resolve().samefile(data)
    except (OSError, ValueError, IndexError):
        return False


def free_bytes(path: Path) -> int:
    """Free bytes for this user where `path` is, or where it would be made."""
    while not path.exists() and path != path.parent:
        path = path.parent
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def size_bytes(path: Path) -> int:
    """What the files below a directory take on disk; files that vanish meanwhile do not count."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(Path(folder) / name).st_blocks * 512
            except OSError:
                continue
    return total


def remove(path: Path) -> None:
    """Remove a directory with all that is in it; one that is not there is fine."""
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except OSError as error:
        raise MyhaError(f"cannot remove {path}: {error.strerror}") from error


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # not to be reached is not gone
