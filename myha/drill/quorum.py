"""The supervisors of a cluster, and the members of etcd by which they settle who acts: processes of
a sandbox or containers, which a drill may end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from myha.ports import Host

START_DEADLINE_SECONDS, GONE_DEADLINE_SECONDS = 90.0, 60.0


@dataclass(frozen=True)
class Quorum:
    """`supervisors` in the order of the drill's client. Every method raises MyhaError."""

    supervisors: Sequence[Host]
    etcd: Mapping[str, Host]

    def start_etcd(self) -> None:
        """All members that do not run, at the same time: one alone has nobody to agree with."""
        lost = [one for one in self.etcd.values() if not one.running()]
        if not lost:
            return
        with ThreadPoolExecutor(len(lost)) as pool:
            for start in [pool.submit(_start, one) for one in lost]:
                start.result()

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
