"""The HTTP API: reads a second on one core, and what reads cost a failover.

`python -m benchmarks.api` brings up a sandbox for each flavour, asks the process that answers HTTP
for one pair's status over kept connections, and kills the writer again and again, with and without
1,000 requests a second on it. It prints what it measured.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import psutil

from myha.database.flavours import FLAVOURS
from myha.sandbox.cluster import Cluster
from myha.supervisor.client import ask
from myha.supervisor.control import socket_path

WANTED_PER_SECOND = 1000
CLIENTS = 4
URL_DEADLINE_SECONDS = 60.0


class Reader(threading.Thread):
    """Asks over one connection, `pause_seconds` between the beginnings of two requests."""

    def __init__(self, url: str, pause_seconds: float) -> None:
        super().__init__(daemon=True)
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        self._address = (where.hostname, where.port)
        self._request = (
            f"GET /api/v1/pairs/sandbox HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()
        )
        self._pause_seconds = pause_seconds
        self.answered = 0
        self.stop = threading.Event()

    def run(self) -> None:
        with socket.create_connection(self._address, 60) as one, one.makefile("rb") as lines:
            due = time.monotonic()
            while not self.stop.is_set():
                one.sendall(self._request)
                self._read(lines)
                self.answered += 1
                due = max(due + self._pause_seconds, time.monotonic() - 1.0)
                time.sleep(max(0.0, due - time.monotonic()))

    def _read(self, lines: Any) -> None:
        length, status = 0, lines.readline()
        assert b" 200 " in status, status
        while (line := lines.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        lines.read(length)


@contextmanager
def reading(url: str, per_second: float, clients: int = CLIENTS) -> Iterator[list[Reader]]:
    """`per_second` 0: as many as are answered."""
    pause_seconds = clients / per_second if per_second else 0.0
    readers = [Reader(url, pause_seconds) for _ in range(clients)]
    for one in readers:
        one.start()
    try:
        yield readers
    finally:
        for one in readers:
            one.stop.set()
        for one in readers:
            one.join(70)


def url_of(cluster: Cluster) -> tuple[str, psutil.Process]:
    """Where HTTP is answered, and by which process."""
    ends = time.monotonic() + URL_DEADLINE_SECONDS
    while time.monotonic() < ends:
        status = ask(socket_path(cluster.state_dir), {"do": "status"})
        if status.get("url"):
            children = psutil.Process(status["pid"]).children()
            return status["url"], next(one for one in children if "myha.api" in one.cmdline())
        time.sleep(0.1)
    raise SystemExit("nobody answers HTTP")


def reads_a_second(cluster: Cluster, seconds: float) -> dict[str, float]:
    """Answered in a second, and a second of the process's CPU."""
    url, process = url_of(cluster)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(process.pid, cores[:1])
    try:
        with reading(url, 0) as readers:
            time.sleep(1)
            before, cpu = sum(one.answered for one in readers), process.cpu_times()
            began = time.monotonic()
            time.sleep(seconds)
            took, used = time.monotonic() - began, process.cpu_times()
            answered = sum(one.answered for one in readers) - before
    finally:
        os.sched_setaffinity(process.pid, cores)
    cpu_seconds = used.user + used.system - cpu.user - cpu.system
    return {
        "reads_per_second": answered / took,
        "reads_per_cpu_second": answered / cpu_seconds,
        "resident_mib": process.memory_info().rss / 2**20,
    }


def crashes(cluster: Cluster, rounds: int) -> list[float]:
    """For how long writes stopped in each round of the drill, in ms."""
    command = [sys.executable, "-m", "myha", "drill", "crash", "--yes"]
    command += ["--config", str(cluster.config_path), "--rounds", str(rounds)]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        done = subprocess.run(
            [*command, "--json", str(report)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        return [one["outage_ms"] for one in json.loads(report.read_text())["rounds"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="Crashes with, and without, reads.")
    parser.add_argument("--seconds", type=float, default=10.0, help="How long reads are counted.")
    parser.add_argument("--flavour", choices=[*FLAVOURS], action="append")
    chosen = parser.parse_args()
    for flavour in chosen.flavour or [*FLAVOURS]:
        with sandbox(flavour) as cluster:
            found = reads_a_second(cluster, chosen.seconds)
            shown = " ".join(f"{name} {value:.0f}" for name, value in found.items())
            click.echo(f"{flavour} {shown}")
            alone = crashes(cluster, chosen.rounds)
            click.echo(f"{flavour} alone: {_shown(alone)}")
            with reading(url_of(cluster)[0], WANTED_PER_SECOND) as readers:
                began = time.monotonic()
                read = crashes(cluster, chosen.rounds)
                rate = sum(one.answered for one in readers) / (time.monotonic() - began)
            click.echo(f"{flavour} with {rate:.0f} reads a second: {_shown(read)}")


@contextmanager
def sandbox(flavour: str) -> Iterator[Cluster]:
    """One that lets through as many failovers and requests as a benchmark makes."""
    cluster = Cluster.create(flavour=flavour)
    try:
        _allow_many(cluster)
        _bring_up(cluster)
        yield cluster
    finally:
        cluster.down()


def _bring_up(cluster: Cluster) -> None:
    """By a process that ends: a server that is killed would stay a zombie of this one."""
    code = "import sys, pathlib; from myha.sandbox.cluster import Cluster; "
    code += "Cluster.open(pathlib.Path(sys.argv[1])).up()"
    subprocess.run([sys.executable, "-c", code, str(cluster.directory)], check=True)


def _allow_many(cluster: Cluster) -> None:
    """Failovers in a row, and requests of one address: there are guards against both."""
    with cluster.config_path.open("a") as file:
        file.write("\n[failover]\nflap_limit = 100\n[api]\nrequests_per_second = 100000\n")


def _shown(outages_ms: list[float]) -> str:
    median = statistics.median(outages_ms)
    return f"median {median:.0f} ms, {min(outages_ms):.0f} to {max(outages_ms):.0f}"


if __name__ == "__main__":
    main()
