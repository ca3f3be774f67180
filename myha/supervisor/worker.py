"""A process that supervises some of the pairs of `myha run`, which starts it and tells it which.

One JSON object a line on standard input: `{"pairs": {NAME: Config.order, ...}}`, the first one with
`socket`, `niceness` and `log` (its form) too. Each names all the pairs that it is to have from then
on. The end of the input says that it is to end, at rest. It answers on its socket as `myha run`
does.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from myha.config import Config, load_ordered
from myha.core.events import Kind
from myha.core.values import compile_all
from myha.hosts.priority import go_first
from myha.hosts.signals import heard_by_a_thread
from myha.supervisor.control import ControlServer
from myha.supervisor.journal import ITSELF, log
from myha.supervisor.log import LOG
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.pairs import Pairs
from myha.supervisor.runner import Make
from myha.supervisor.stillness import Stillness

MODULE = "myha.supervisor.worker"
MAX_CLIENTS = 64


def main(make: Make = PairSupervisor) -> int:
    """Exit status 0 when it was told to end and has."""
    first = json.loads(sys.stdin.readline())
    LOG.format = first["log"]
    take_all_descriptors()
    go_first(first["niceness"])
    pairs, told = Pairs(part=Path(first["socket"]).stem, make=make), threading.Event()
    control = ControlServer(Path(first["socket"]), pairs.handle, MAX_CLIENTS)
    control.start()
    stillness = Stillness(pairs.runners)
    stillness.start()
    reasons: list[str] = []

    def leave(reason: str) -> None:
        reasons.append(reason)
        told.set()

    def listen() -> None:
        for line in sys.stdin:
            try:
                pairs.apply(_configs(json.loads(line)["pairs"]))
            except Exception as error:  # noqa: BLE001  # the parent has checked it: a defect
                log(ITSELF, Kind.WORKER, f"an order was not understood: {error!r}")
        leave("the supervisor ends")

    with heard_by_a_thread((signal.SIGTERM, signal.SIGINT), lambda number: leave(number.name)):
        pairs.apply(_configs(first["pairs"]), "start")
        threading.Thread(target=listen, name="orders", daemon=True).start()
        compile_all()  # else the first failover would
        told.wait()
        pairs.stop(reasons[0])
        pairs.join()
        control.stop()
    return 0


def take_all_descriptors() -> None:
    """A pair needs some twenty, and the usual limit is that of old programs which count to 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _configs(orders: Mapping[str, Mapping[str, Any]]) -> dict[str, Config]:
    return {name: load_ordered(order) for name, order in orders.items()}


if __name__ == "__main__":
    sys.exit(main())
