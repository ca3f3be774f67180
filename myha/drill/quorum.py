"""The supervisors of a cluster, and the members of etcd by which they settle who acts: processes of
a sandbox or containers, which a drill may end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from myha.ports import Host

if TYPE_CHECKING:
    from myha.sandbox.etcd_disks import EtcdDisks

START_DEADLINE_SECONDS, GONE_DEADLINE_SECONDS = 90.0, 60.0


@dataclass(frozen=True)
class Quorum:
    """`supervisors` in the order of the drill's client; `disks` where they may be lost.

    Every method raises MyhaError.
    """

    supervisors: Sequence[Host]
    etcd: Mapping[str, Host]
    disks: EtcdDisks | None = None

    def start_etcd(self) -> None:
        """All members that do not run, at the same time: one alone has nobody to agree with.

        One that has lost its disk joins anew, and the others have to be there for that.
        """
        empty = frozenset[str]() if self.disks is None else self.disks.lost()
        lost = [one for name, one in self.etcd.items() if not one.running() and name not in empty]
        if lost:
            with ThreadPoolExecutor(len(lost)) as pool:
                for start in [pool.submit(_start, one) for one in lost]:
                    start.result()
        for name in empty:
            self.etcd[name].await_gone(GONE_DEADLINE_SECONDS)
            if self.disks is not None:
                self.disks.replace(name, START_DEADLINE_SECONDS)

    def lose_disk(self, name: str) -> None:
        """The member is killed, and what it had is gone."""
        if self.disks is not None:
            self.etcd[name].kill()
            self.etcd[name].await_gone(GONE_DEADLINE_SECONDS)
            self.disks.lose(name)

    def start_supervisors(self) -> None:
        """Those that were killed; one that is frozen goes on."""
        for one in self.supervisors:
            if one.frozen():
                one.thaw()
            elif not one.running():
                _start(one)


def _start(host: Host) -> None:
    host.await_gone(GONE_DEADLINE_SECONDS)
    host.start(START_DEADLINE_SECONDS)
