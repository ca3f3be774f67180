"""Supervisors that look at no server: for tests of who has which pair."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from myha.config import Config, load
from myha.core.record import Record
from myha.core.verdicts import HEALTHY
from myha.ports import Lease
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.pairs import Pairs
from tests.configurations import write_config

SHARE_SECONDS = 0.3


class Acting:
    """Holds the lease of a pair at which all is well, until it is told to end."""

    def __init__(self, host: Host, name: str, lease: Lease, record: Record) -> None:
        self.host, self.name, self.lease = host, name, lease
        self.ended = threading.Event()
        self.on_surveyed: Callable[[], None] = lambda: None
        self.loop = SimpleNamespace(
            view=SimpleNamespace(record=record, jobs=()),
            decision=SimpleNamespace(verdicts=(HEALTHY,), fresh=True),
            running=None,
        )

    def run(self) -> None:
        self.host.begins(self.name)
        self.on_surveyed()
        self.ended.wait()

    def stop(self, _reason: str) -> None:
        self.ended.set()

    def announce_to(self, to: Callable[[], None]) -> None:
        """There are none."""

    def close(self) -> None:
        self.host.ends(self.name)
        self.lease.release()


class Host:
    """A process that supervises pairs. `acting` is shared by all: by whom each is supervised."""

    def __init__(self, folder: Path, acting: dict[str, Path], record: Record) -> None:
        self.folder, self.acting, self._record = folder, acting, record
        self.twice: list[str] = []
        self.pairs = Pairs(make=self._make, share_seconds=SHARE_SECONDS)

    def _make(self, config: Config, _leave: threading.Event, lease: Lease | None) -> PairSupervisor:
        assert lease is not None
        one = Acting(self, config.cluster.name, lease, self._record)
        return cast("PairSupervisor", one)

    def begins(self, name: str) -> None:
        if name in self.acting:
            self.twice.append(name)
        self.acting[name] = self.folder

    def ends(self, name: str) -> None:
        if self.acting.get(name) == self.folder:
            del self.acting[name]

    def start(self, names: list[str], endpoints: list[str], prefix: str) -> None:
        self.pairs.apply({name: self._config(name, endpoints, prefix) for name in names}, "start")

    def _config(self, name: str, endpoints: list[str], prefix: str) -> Config:
        folder = self.folder / name
        folder.mkdir(parents=True)
        etcd = f'[etcd]\nendpoints = {endpoints}\nprefix = "{prefix}"\nlease_seconds = 2'
        return load(write_config(folder, etcd, cluster=f'name = "{name}"\nstore = "etcd"'))

    def stop(self) -> None:
        self.pairs.stop("the test ends")
        self.pairs.join()
