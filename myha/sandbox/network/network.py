"""The network of one sandbox: its hosts, where each process of it runs, and what is cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path

from myha.errors import ConfigError
from myha.sandbox.network import tools
from myha.sandbox.network.faults import Faults
from myha.sandbox.network.layout import CLIENTS, Link, plan_hosts
from myha.sandbox.network.namespaces import Namespaces


class Network:
    """Made with the sandbox and removed with it."""

    def __init__(
        self, directory: Path, nodes: Sequence[str], replicas: Sequence[str], stray: str
    ) -> None:
        self.hosts = plan_hosts(nodes, replicas, stray)
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

    @staticmethod
    def need(progress: Callable[[str], None]) -> None:
        """Raises MyhaError where this user or machine can have no network of its own."""
        tools.need(progress)
