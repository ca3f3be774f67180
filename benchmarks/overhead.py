"""What the daemon costs: its own CPU and memory, and what the server's throughput loses to it."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import order, server
from benchmarks.parts import Say
from myha.drill import target
from myha.drill.target import Target
from myha.drill.workload import Workload
from myha.errors import MyhaError
from myha.hosts.local import LocalHost

CLIENTS = 8
WATCH_SECONDS = 30.0
SLICE_SECONDS = 1.5
SLICES = 64  # each way: many short ones, since the machine's own drift is larger than the effect
SETTLE_SECONDS = 0.3
COST_SECONDS = 20.0
COST_ROUNDS = 2
RESAMPLES = 2000
READY_DEADLINE_SECONDS = 60.0


def measure(flavour: str, say: Say) -> dict[str, Any]:
    """Idle, under load, and the load with and without the daemon in turns."""
    with target.sandbox(flavour, "single-writer", None, lambda _text: None) as pair:
        pair.learn()
        _await_healthy(pair)
        idle = _watch(pair)
        say(f"overhead {flavour}, idle: {idle}")
        servers = _servers_cost(pair)
        say(f"overhead {flavour}, on the servers: {servers} % of a core")
        pair.make_tables()
        with (
            tempfile.TemporaryDirectory() as folder,
            Workload(order(pair, Path(folder), CLIENTS)) as load,
        ):
            load.await_acknowledged(CLIENTS * 10, READY_DEADLINE_SECONDS)
            loaded = _watch(pair)
            say(f"overhead {flavour}, under load: {loaded}")
            throughput = _alternate(pair, load)
            say(f"overhead {flavour}, throughput: ratio {throughput['ratio']}")
            load.stop()
    return {
        "server_version": pair.server_version,
        "clients": CLIENTS,
        "idle": idle,
        "servers_cpu_percent": servers,
        "under_load": loaded,
        "throughput": throughput,
    }


def _await_healthy(pair: Target) -> None:
    ends = time.monotonic() + READY_DEADLINE_SECONDS
    while not pair.status().healthy:
        if time.monotonic() > ends:
            raise MyhaError("the sandbox is not healthy")
        time.sleep(0.1)


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


def _servers_cost(pair: Target) -> dict[str, float]:
    """What the looks and heartbeats cost each idle server: its CPU with the daemon less without."""
    supervisor = pair.supervisor
    if supervisor is None:
        raise MyhaError("the supervisor does not run")
    used = {name: {"with": 0.0, "without": 0.0} for name in pair.hosts}
    try:
        for _ in range(COST_ROUNDS):
            for kind in ("with", "without"):
                if kind == "without":
                    supervisor.freeze()
                time.sleep(1.0)
                before = {name: _cpu_seconds(pair, name) for name in used}
                time.sleep(COST_SECONDS)
                for name, one in used.items():
                    one[kind] += _cpu_seconds(pair, name) - before[name]
                if kind == "without":
                    supervisor.thaw()
    finally:
        if supervisor.frozen():
            supervisor.thaw()
    share = 100 / (COST_SECONDS * COST_ROUNDS)
    return {name: round(share * (one["with"] - one["without"]), 2) for name, one in used.items()}


def _cpu_seconds(pair: Target, name: str) -> float:
    host = pair.hosts[name]
    assert isinstance(host, LocalHost), "a sandbox's servers run here"
    pid = host.pid()
    if pid is None:
        raise MyhaError(f"{host.name} has ended: what it used cannot be measured")
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


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
    low, high = _interval(rates["with"], rates["without"])
    return {
        "transactions_per_second_with": [round(rate, 1) for rate in rates["with"]],
        "transactions_per_second_without": [round(rate, 1) for rate in rates["without"]],
        "ratio": round(sum(rates["with"]) / sum(rates["without"]), 4),
        "ratio_90_percent": [round(low, 4), round(high, 4)],
        "slice_seconds": SLICE_SECONDS,
    }


def _interval(with_daemon: list[float], without: list[float]) -> tuple[float, float]:
    """Between which ratios the true one lies with 90 %, by the bootstrap over neighbours."""
    pairs = list(zip(with_daemon, without, strict=True))
    chance = random.Random(1)
    ratios = []
    for _ in range(RESAMPLES):
        drawn = chance.choices(pairs, k=len(pairs))
        ratios.append(sum(a for a, _ in drawn) / sum(b for _, b in drawn))
    ratios.sort()
    return ratios[RESAMPLES // 20], ratios[-RESAMPLES // 20]


def _rate(load: Workload) -> float:
    load.ledger.advance()
    before, began = load.ledger.acknowledged, time.monotonic()
    time.sleep(SLICE_SECONDS)
    load.ledger.advance()
    return (load.ledger.acknowledged - before) / (time.monotonic() - began)


def section(reports: list[dict[str, Any]]) -> str:
    lines = [
        "## The daemon's cost",
        "",
        f"Its CPU time and resident memory over {WATCH_SECONDS:.0f} s, idle and under the load of"
        f" {CLIENTS} clients; and what its looks and heartbeats cost each server, idle: with the"
        " daemon running, less with it frozen (SIGSTOP). All of that repeats well. What the"
        " server's throughput loses to it is measured in turns of"
        f" {SLICE_SECONDS:g} s with the daemon running and frozen, in the order ABBA (90 %: between"
        " which ratios the true one lies, by the bootstrap over neighbours): on this machine, whose"
        " own rate wanders by a tenth from slice to slice, it is a rough number.",
        "",
        "| server | daemon idle, % of a core | under load | resident, MB | each server, % of a core"
        " | throughput with : without | 90 % |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for one in reports:
        resident = max(one["idle"]["rss_mb_max"], one["under_load"]["rss_mb_max"])
        lines.append(
            f"| {server(one)} | {one['idle']['cpu_percent']:.1f}"
            f" | {one['under_load']['cpu_percent']:.1f} | {resident:.0f}"
            f" | {max(one['servers_cpu_percent'].values()):.1f}"
            f" | {one['throughput']['ratio']:.3f}"
            f" | {' to '.join(f'{end:.3f}' for end in one['throughput']['ratio_90_percent'])} |"
        )
    lines += ["", "To be reached: at most 3 % of a core, 100 MB, and a ratio of 0.98 or more.", ""]
    return "\n".join(lines)
