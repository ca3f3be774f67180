"""The node's server process, as far as a reseed has to end and start it, and its data directory.

A node whose `start_command` is configured is started from here, and ended by its process on this
machine or by its `stop_command`. For any other one its own service manager has to do it, and this
waits.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from myha.binlog.errors import HealRefusedError
from myha.config import Config
from myha.core.events import Kind
from myha.errors import MyhaError, ServerGoneError, ServerSilentError
from myha.hosts.commands import run_to_end
from myha.hosts.local import LocalHost, accepts_tcp
from myha.hosts.shell import ShellError
from myha.operations.heal.reseed.node_host import NodeHost
from myha.operations.heal.reseed.session import ReseedSession
from myha.progress import Meter, Reporter
from myha.waiting import wait_until

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
        self.host = NodeHost(config, name)
        self._config = config
        self._node = config.servers[name]
        self._table = config.table_of(name)
        self._reporter = reporter
        self._host = self._local_host()

    def _local_host(self) -> LocalHost | None:
        node = self._node
        if node.pid_file is None:
            return None
        return LocalHost(
            self.name,
            node.start_command,
            pid_file=node.pid_file,
            log_file=self._config.cluster.state_dir / f"server-{self.name}.log",
            ready=lambda: accepts_tcp(node.host, node.port),
        )

    @property
    def is_ours(self) -> bool:
        """Whether it is ended and started from here."""
        return bool(self._node.start_command)

    def running(self) -> bool:
        """Whether there is a server, as far as that can be told."""
        if self._host is not None:
            return self._host.running()
        return _listens(self._node.host, self._node.port)

    @cached_property
    def data_dir(self) -> Path | None:
        """The configured data directory, without symbolic links on the way; None: none is."""
        path = self._node.data_dir
        return None if path is None else self.host.real(path)

    @property
    def data_is_lost(self) -> bool:
        """Whether the configured data directory is not there or has nothing in it."""
        return self.data_dir is not None and self.host.is_empty(self.data_dir)

    def initialise(self) -> None:
        """Make an empty data directory with the configured command."""
        if not self._node.init_command:
            raise HealRefusedError(
                f"{self.name}: its data directory {self.data_dir} is lost; make an empty one there "
                f"by hand and start the server, or set {self._table}.init_command"
            )
        self._reporter.event(Kind.RESEED, f"{self.name}: makes an empty data directory")
        self._command("init_command", INIT_DEADLINE_SECONDS)

    def _command(self, key: str, deadline_seconds: float) -> None:
        """Run a configured command, which has done its work when it ends."""
        words: tuple[str, ...] = getattr(self._node, key)
        run_to_end(f"{self.name}: {key}", words, deadline_seconds)

    @property
    def _aside(self) -> Path:
        data = self.data_dir
        if data is None:
            raise MyhaError(f"{self.name}: {self._table}.data_dir is not set")
        return data.with_name(f"{data.name}{ASIDE_SUFFIX}")

    def move_data_aside(self) -> None:
        """Keep what does not serve any more until something serves in its place."""
        data, aside = self.data_dir, self._aside
        self.host.remove(aside)
        if data is not None and self.host.exists(data):
            self.host.move(data, aside)

    def forget_aside(self) -> None:
        """Remove it, and what an earlier run has left of the kind."""
        if self._node.data_dir is None:
            return
        try:
            self.host.remove(self._aside)
        except ShellError as error:
            # The node has its data; what is left over here costs room, and no more.
            self._reporter.event(
                Kind.RESEED, f"the old data directory could not be removed: {error}"
            )

    def start(self) -> None:
        """Start it where that is configured, else wait until somebody has."""
        if self._host is not None:
            self._host.start(START_DEADLINE_SECONDS)
        elif self.is_ours:
            self._command("start_command", START_DEADLINE_SECONDS)
            self._await(
                self._serves,
                START_DEADLINE_SECONDS,
                f"{self.name}: start_command has ended, but the server accepts no connections",
                "waits for the server to accept connections",
            )
        else:
            self._await(
                self._serves,
                RETURN_DEADLINE_SECONDS,
                f"{self.name}: its server has ended and nothing starts it again; start it on its "
                "host, then run this again",
                "waits for its service manager to start the server",
            )

    def _serves(self) -> bool:
        return accepts_tcp(self._node.host, self._node.port)

    def await_gone(self) -> None:
        """Wait until the process is gone: a second one on the same data would ruin it."""
        if self._host is not None:
            if not self._host.await_gone(END_DEADLINE_SECONDS):
                raise MyhaError(f"{self.name}: the server (pid {self._host.pid()}) does not end")
        elif self.is_ours:
            self.stop()  # a command that returns when it has ended
        else:
            self._await_deaf()

    def _await_deaf(self) -> None:
        self._await(
            lambda: not _listens(self._node.host, self._node.port),
            END_DEADLINE_SECONDS,
            f"{self.name}: the server does not end",
            "waits for the server to end",
        )

    def stop(self) -> None:
        """End it, and see that it has: two servers on one data directory ruin it."""
        if self._host is not None:
            self._host.stop(END_DEADLINE_SECONDS)
            return
        if not self.is_ours:
            raise MyhaError(f"{self.name}: has no start_command, so myha does not stop it")
        self._command("stop_command", END_DEADLINE_SECONDS)
        self._await_deaf()
        data = self.data_dir
        if data is not None:
            self._await(
                lambda: not self.host.works_in(data),
                END_DEADLINE_SECONDS,
                f"{self.name}: stop_command has ended, but a process still uses {data}",
                "waits for the server to end",
            )

    def session(self) -> ReseedSession:
        """A session on a server that has just started: it may still refuse for a moment."""
        retrying = Retrying(
            retry=retry_if_exception_type((ServerGoneError, ServerSilentError)),
            stop=stop_after_delay(_LOGIN_DEADLINE_SECONDS),
            wait=wait_fixed(LOOK_SECONDS),
            reraise=True,
        )
        return retrying(ReseedSession, self._config, self.name)

    def _await(
        self, holds: Callable[[], bool], deadline_seconds: float, told: str, doing: str
    ) -> None:
        meter = Meter(self._reporter, doing)

        def reported() -> bool:
            if holds():
                return True
            self._reporter.permit.require()
            meter.to(0)
            return False

        if not wait_until(reported, deadline_seconds, LOOK_SECONDS):
            raise MyhaError(told)


def session_or_none(config: Config, name: str) -> ReseedSession | None:
    """A session on a node; None when no server is there. Raises ServerError for all else."""
    try:
        return ReseedSession(config, name)
    except ServerGoneError:
        return None
    except ServerSilentError as error:
        raise HealRefusedError(
            f"{error}: the server may hang or may work, which cannot be told; stop it first"
        ) from error


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1.0):
            return True
    except ConnectionRefusedError:
        return False
    except OSError:
        return True  # not to be reached is not gone
