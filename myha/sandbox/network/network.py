"""The network of one sandbox: its hosts, where each process of it runs, and what is cut."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from itertools import permutations
from pathlib import Path

from myha.errors import ConfigError, MyhaError
from myha.progress import Tell
from myha.sandbox.network import slow, tools
from myha.sandbox.network.faults import Faults, both_ways
from myha.sandbox.network.layout import CLIENTS, Link, plan_hosts
from myha.sandbox.network.namespaces import SWITCH, Namespaces


class Network:
    """Made with the sandbox and removed with it."""

    def __init__(
        self,
        directory: Path,
        nodes: Sequence[str],
        replicas: Sequence[str],
        stray: str,
        *,
        supervisors: int = 1,
        members: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.hosts = plan_hosts(nodes, replicas, stray, supervisors=supervisors, members=members)
        self.namespaces = Namespaces(directory, self.hosts)

    @cached_property
    def faults(self) -> Faults:
        return Faults(self.namespaces)

    def make(self) -> None:
        """Raises MyhaError, in one line, where this machine cannot do that."""
        self.namespaces.make()
        self.faults.prepare()

    def remove(self) -> None:
        self.namespaces.remove()

    def address(self, host: str, link: Link = CLIENTS) -> str:
        return self.hosts[host].address(link)

    def words(self, host: str) -> tuple[str, ...]:
        """What a command line begins with that is to run on this host. Raises ConfigError."""
        if host not in self.hosts:
            raise ConfigError(f"there is no host {host!r}: choose from {', '.join(self.hosts)}")
        return self.namespaces.words(host)

    def inside(self, host: str) -> AbstractContextManager[None]:
        """This thread, and what it starts, is on that host during the block."""
        return self.namespaces.inside(host)

    def seen_from(self, host: str, check: Callable[[], bool]) -> Callable[[], bool]:
        """The same check, made on that host."""

        def checked() -> bool:
            with self.inside(host):
                return check()

        return checked

    @contextmanager
    def slowed(
        self, pairs: Sequence[tuple[str, str]], delay_seconds: float, loss: float, seed: int
    ) -> Iterator[None]:
        """During the block the links between these hosts are slow in both directions, and lossy."""
        ways = [
            (one.port(link), other.port(link), other.hardware_address(link))
            for names in pairs
            for one, other in permutations(self.hosts[name] for name in names)
            for link in one.links
            if link in other.links
        ]
        cuts = [cut for one, other in pairs for cut in both_ways([one], [other])]
        words = (*self.namespaces.words(SWITCH), sys.executable, "-m", slow.__name__)
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for us, who end it then
        )
        try:
            with self.faults.cutting(cuts):
                if process.stdin is None or process.stdout is None:
                    raise MyhaError("the slow link has no input")
                process.stdin.write(slow.Order(ways, delay_seconds, loss, seed).line())
                process.stdin.flush()
                if process.stdout.readline().strip() != slow.READY:
                    raise MyhaError(
                        "the links cannot be made slow: packet sockets are not to be had"
                    )
                try:
                    yield
                finally:  # before the switch passes frames on again, or each would come twice
                    process.kill()
                    process.wait()
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    @staticmethod
    def need(progress: Tell) -> None:
        """Raises MyhaError where this user or machine can have no network of its own."""
        tools.need(progress)
