"""What the daemon costs: its own CPU and memory, and what the server's throughput loses to it."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from myha.drill import target
from myha.drill.target import Target
from myha.drill.worker import Order
from myha.drill.workload import Workload
from myha.errors import MyhaError
from myha.sandbox.servers import Flavour

WATCH_SECONDS = 30.0
SLICE_SECONDS = 10.0
SLICES = 5  # each way
SETTLE_SECONDS = 2.0
READY_DEADLINE_SECONDS = 60.0


def measure(flavour: Flavour, clients: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Idle, under load, and the load with and without the daemon in turns."""
    with target.sandbox(flavour, "single-writer", None, lambda _text: None) as pair:
        pair.learn()
        _await_healthy(pair)
        idle = _watch(pair)
        say(f"overhead {flavour}, idle: {idle}")
        pair.make_tables()
        with (
            tempfile.TemporaryDirectory() as folder,
            Workload(_order(pair, clients, folder)) as load,
        ):
            load.await_acknowledged(clients * 10, READY_DEADLINE_SECONDS)
            loaded = _watch(pair)
            say(f"overhead {flavour}, under load: {loaded}")
            throughput = _alternate(pair, load)
            say(f"overhead {flavour}, throughput: ratio {throughput['ratio_median']}")
            load.stop()
    return {
        "flavour": flavour,
        "server_version": pair.server_version,
        "clients": clients,
        "idle": idle,
        "under_load": loaded,
        "throughput": throughput,
    }


def _await_healthy(pair: Target) -> None:
    ends = time.monotonic() + READY_DEADLINE_SECONDS
    while not pair.status().get("healthy"):
        if time.monotonic() > ends:
            raise MyhaError("the sandbox is not healthy")
        time.sleep(0.1)


def _order(pair: Target, clients: int, folder: str) -> Order:
    host, port = pair.writer_address
    return Order(
        host=host,
        port=port,
        user=pair.account.user,
        password=pair.account.password.get_secret_value(),
        database=pair.database,
        flavour=pair.flavour,
        directory=str(Path(folder)),
        clients=clients,
        seed=1,
    )


def _watch(pair: Target) -> dict[str, float]:
    pid = pair.supervisor.pid() if pair.supervisor is not None else None
    if pid is None:
        raise MyhaError("the supervisor does not run")
    process = psutil.Process(pid)
    before, began = process.cpu_times(), time.monotonic()
    resident = 0
    while time.monotonic() - began < WATCH_SECONDS:
        time.sleep(1.0)
        resident = max(resident, process.memory_info().rss)
    after, seconds = process.cpu_times(), time.monotonic() - began
    used = after.user + after.system - before.user - before.system
    return {
        "cpu_percent": round(100 * used / seconds, 2),
        "rss_mb_max": round(resident / 2**20, 1),
        "seconds": round(seconds, 1),
    }


def _alternate(pair: Target, load: Workload) -> dict[str, Any]:
    """Slices of the same load in turns, so that what drifts on the machine hits both alike.

    The daemon is frozen for its off-slices: starting it anew would cost more than it does, and the
    servers stay as it has set them (commits go on waiting for the standby).
    """
    supervisor = pair.supervisor
    if supervisor is None:
        raise MyhaError("the supervisor does not run")
    rates: dict[str, list[float]] = {"with": [], "without": []}
    try:
        for number in range(2 * SLICES):
            # ABBA: a steady drift cancels out.
            off = number % 4 in (1, 2)
            if off and not supervisor.frozen():
                supervisor.freeze()
            elif not off and supervisor.frozen():
                supervisor.thaw()
            time.sleep(SETTLE_SECONDS)
            rates["without" if off else "with"].append(_rate(load))
    finally:
        if supervisor.frozen():
            supervisor.thaw()
    pairs = [a / b for a, b in zip(rates["with"], rates["without"], strict=True)]
    return {
        "transactions_per_second_with": [round(rate, 1) for rate in rates["with"]],
        "transactions_per_second_without": [round(rate, 1) for rate in rates["without"]],
        "ratio_median": round(statistics.median(pairs), 4),
        "ratio_of_medians": round(
            statistics.median(rates["with"]) / statistics.median(rates["without"]), 4
        ),
        "slice_seconds": SLICE_SECONDS,
    }


def _rate(load: Workload) -> float:
    load.ledger.advance()
    before, began = load.ledger.acknowledged, time.monotonic()
    time.sleep(SLICE_SECONDS)
    load.ledger.advance()
    return (load.ledger.acknowledged - before) / (time.monotonic() - began)
