"""`python -m benchmarks.many`: one supervisor of many pairs, some of them real, others simulated.

What an idle pair costs, and how long a real one's clients cannot write after a crash: under a
supervisor of its own, and under one of all. Simulated pairs answer as one of the real ones did, at
the level of the protocol (`benchmarks.stub`). Only MariaDB's servers are small enough for some.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import pymysql

from benchmarks.results import write_results
from benchmarks.run import RESULTS, machine, say
from benchmarks.stub import CLAIM, Recording
from myha.core.record import Record, Sync
from myha.sandbox.cluster import Cluster
from myha.stores.local.record import LocalRecordStore, read_record
from myha.supervisor.client import ask
from myha.waiting import wait_until

RECORD_SECONDS = 12.0
IDLE_SECONDS = 30.0
DEADLINE_SECONDS = 60.0
FOLDER = Path(__file__).parent
KEPT = "sources.json"  # written last: without it a recording is none
PAIR_SECONDS = 0.5
SETTLE_SECONDS = 3.0
POLL_SECONDS = 0.05
# Of the simulated pairs, whose answers never change: one that was released, since a busy machine
# was late with an answer, would stay so. None of this makes a look or heartbeat cheaper.
PATIENCE = """[timing]
call_deadline_seconds = 20
deadtime_seconds = 60"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--real", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3, help="crashes of each real pair")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--interval", type=float, default=0.5, help="of looks and heartbeats, s")
    parser.add_argument("--flavours", default="mysql,mariadb", help="of the simulated pairs")
    parser.add_argument("--tls", default="auto", choices=("auto", "off"))
    parser.add_argument("--recordings", type=Path, help="kept there, and used if they are there")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", action="store_true", help="in results/, and in RESULTS.md")
    given = parser.parse_args()
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="myha-many-")))
        report = Many(given, folder, held).measure()
    text = json.dumps(report, indent=1)
    say(text)
    if given.out:
        given.out.write_text(text + "\n")
    if given.keep:
        kept = {"part": "many", **report, "machine": machine()}
        name = f"many-{given.pairs}" + ("" if given.interval == 0.5 else f"-{given.interval:g}s")
        (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")
        write_results(RESULTS, FOLDER / "RESULTS.md")


class Many:
    """The servers, the configuration of all, and what is measured."""

    def __init__(self, given: argparse.Namespace, folder: Path, held: ExitStack) -> None:
        self.given, self.folder, self.held = given, folder, held
        self.config = folder / "myha.toml"
        self.state = folder / "s"
        self.kept = given.recordings or folder / "recorded"
        self.clusters: list[Cluster] = []
        self.ports = free_ports()
        # By flavour: the record, where the nodes replicate from, and the version it was claimed by.
        self.records: dict[str, tuple[Record, list[int], int]] = {}

    def measure(self) -> dict[str, Any]:
        given = self.given
        simulated = given.pairs - given.real
        flavours = given.flavours.split(",")
        for flavour in flavours if simulated else []:
            self._record(flavour)
        report: dict[str, Any] = {
            "pairs": given.pairs,
            "real": given.real,
            "tls": given.tls,
            "interval_seconds": given.interval,
        }
        for number in range(given.real):
            self.clusters.append(self._cluster("mariadb", self.folder / f"r{number}"))
        if self.clusters:
            report["alone_ms"] = self._alone()
        self._configure(simulated, flavours)
        with self._supervisor(("--config", str(self.config))) as process:
            say(f"{given.pairs} pairs: waiting until all are healthy")
            began = time.monotonic()
            self._await_all()
            report["start_seconds"] = round(time.monotonic() - began, 1)
            time.sleep(SETTLE_SECONDS)
            report["idle"] = cost(process)
            say(str(report))
            if self.clusters:
                report["among_ms"] = self._crashes(self._one_by_one)
                report["together_ms"] = self._crashes(self._together)
        return report

    # -- servers -----------------------------------------------------------------------------------

    def _cluster(self, flavour: str, directory: Path) -> Cluster:
        say(f"a real pair of {flavour}")
        cluster = Cluster.create(directory, flavour)
        self.held.callback(cluster.down)
        cluster.up()
        _must(lambda: _healthy_alone(cluster), "a pair is healthy")
        cluster.supervisor.stop(30.0)
        _unname(cluster.state_dir)
        return cluster

    def _record(self, flavour: str) -> None:
        """Of a real pair that is taken down again: only what it answered is kept."""
        if not (self.kept / flavour / KEPT).exists():
            self._record_anew(flavour)
        folder = self.kept / flavour
        record = read_record(folder)
        assert record is not None
        claims = Recording(folder / "a.json").exact[CLAIM]
        sources = json.loads((folder / KEPT).read_text())
        self.records[flavour] = (record, sources, int(claims.value(0, 1)))

    def _record_anew(self, flavour: str) -> None:
        with ExitStack() as made:
            cluster = Cluster.create(self.folder / f"rec-{flavour}", flavour)
            made.callback(cluster.down)
            cluster.up()
            _must(lambda: _healthy_alone(cluster), "a pair is healthy")
            cluster.supervisor.stop(30.0)
            _change(cluster.state_dir, sync=Sync.SOLO)
            order = {
                "do": "record",
                "config": str(cluster.config_path),
                "recordings": str(self.kept / flavour),
                "seconds": RECORD_SECONDS,
            }
            say(f"recording {flavour} for {RECORD_SECONDS:g} s")
            path = self.folder / f"record-{flavour}.json"
            path.write_text(json.dumps(order))
            with (self.folder / "log").open("a") as log:
                words = (sys.executable, "-m", "benchmarks.stub", str(path))
                subprocess.run(words, check=True, stderr=log, cwd=FOLDER.parent)
            _unname(cluster.state_dir)
            kept = self.kept / flavour
            shutil.copytree(cluster.directory / "secrets", kept / "secrets")
            record = read_record(cluster.state_dir)
            assert record is not None
            assert record.sync is Sync.ARMED, "the pair was not armed again"
            store = LocalRecordStore(kept)
            store.compare_and_set(0, replace(record, version=1))
            store.close()
            (kept / KEPT).write_text(json.dumps([cluster.nodes[name].port for name in "ab"]))

    # -- all of them -------------------------------------------------------------------------------

    def _configure(self, simulated: int, flavours: list[str]) -> None:
        pairs = self.folder / "pairs.d"
        pairs.mkdir()
        # The servers are on other machines in life: the supervisor must not run ahead of them here.
        head = f'[supervisor]\nstate_dir = "{self.state}"\nworkers = {self.given.workers}\n'
        interval = self.given.interval
        timing = f"look_interval_seconds = {interval}\npulse_interval_seconds = {interval}\n"
        timing += f"deadtime_seconds = {max(1.5, 2 * interval)}\n"  # no less than two looks
        failover = "[failover]\nflap_limit = 100\n"  # each real pair has several
        self.config.write_text(f"{head}[timing]\nniceness = 0\n{timing}{failover}")
        for number, cluster in enumerate(self.clusters):
            text = re.sub(r'^name = "sandbox"\n', "", cluster.config_path.read_text(), flags=re.M)
            (pairs / f"real{number}.toml").write_text(_with_secrets(text, cluster.directory))
        for which, flavour in enumerate(flavours):
            order: dict[str, Any] = {
                "do": "serve",
                "recordings": str(self.kept / flavour),
                "tls": self.given.tls != "off",
                "pairs": [],
            }
            for number in range(which, simulated, len(flavours)):
                order["pairs"].append(self._simulated(number, flavour))
            self.held.enter_context(_stub(order, self.folder / f"serve-{flavour}.json"))

    def _simulated(self, number: int, flavour: str) -> dict[str, Any]:
        name, first, second = f"sim{number:03}", next(self.ports), next(self.ports)
        record, sources, term = self.records[flavour]
        state, through = self.folder / "t" / name, self.folder / "k" / name
        through.parent.mkdir(exist_ok=True)
        state.mkdir(parents=True)
        store = LocalRecordStore(state)
        store.compare_and_set(0, replace(record, version=term, pair=""))
        store.close()
        secrets = self.kept / flavour / "secrets"
        (self.folder / "pairs.d" / f"{name}.toml").write_text(f"""
[cluster]
state_dir = "{state}"
[nodes.a]
host = "127.0.0.1"
port = {first}
replication_port = {sources[0]}
[nodes.b]
host = "127.0.0.1"
port = {second}
replication_port = {sources[1]}
{PATIENCE}
[accounts]
tls = "{self.given.tls}"
supervisor_password_file = "{secrets}/supervisor"
replication_password_file = "{secrets}/replication"
[balancers.lb1]
socket = "{through}"
writer_listen = "127.0.0.1:1"
reader_listen = "127.0.0.1:2"
""")
        return {"ports": {"a": first, "b": second}, "socket": str(through)}

    @contextmanager
    def _supervisor(self, words: tuple[str, ...]) -> Iterator[psutil.Process]:
        with (self.folder / "log").open("a") as log:
            process = subprocess.Popen(
                (sys.executable, "-m", "myha", *words, "run"), stderr=log, start_new_session=True
            )
        try:
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(120)

    def _lines(self) -> list[dict[str, Any]]:
        with suppress(Exception):
            found: list[dict[str, Any]] = ask(self.state / "myha.sock", {"do": "overview"})["pairs"]
            return found
        return []

    def _await_all(self) -> None:
        def healthy() -> bool:
            lines = self._lines()
            return len(lines) == self.given.pairs and all(one["healthy"] for one in lines)

        # They begin one after the other, each with a dozen logins.
        deadline = DEADLINE_SECONDS + PAIR_SECONDS * self.given.pairs
        if not wait_until(healthy, deadline, 0.5):
            ill = [one for one in self._lines() if not one["healthy"]]
            say((self.folder / "log").read_text()[-6000:])
            raise SystemExit(f"{len(ill)} pairs are not healthy: {ill[:3]}")

    # -- crashes -----------------------------------------------------------------------------------

    def _alone(self) -> list[float]:
        """Each pair under a supervisor of its own, one after the other."""
        found = []
        for cluster in self.clusters:
            text = re.sub(
                r'^name = ".*"$', 'name = "alone"', cluster.config_path.read_text(), flags=re.M
            )
            path = cluster.directory / "alone.toml"
            path.write_text(text)
            with self._supervisor(("--config", str(path))):
                for _ in range(self.given.rounds):
                    _must(partial(_healthy_alone, cluster), "a pair is healthy")
                    time.sleep(SETTLE_SECONDS)
                    found += crash([cluster], [_writer_alone(cluster)])
                _must(partial(_healthy_alone, cluster), "a pair is healthy")
            _unname(cluster.state_dir)
        say(f"alone: {found}")
        return found

    def _writer(self, number: int) -> str:
        return next(str(one["writer"]) for one in self._lines() if one["name"] == f"real{number}")

    def _crashes(self, how: Callable[[], list[float]]) -> list[float]:
        found: list[float] = []
        for _ in range(self.given.rounds):
            found += how()
        say(f"{how.__name__}: {found}")
        return found

    def _one_by_one(self) -> list[float]:
        found = []
        for number, cluster in enumerate(self.clusters):
            self._await_all()
            time.sleep(SETTLE_SECONDS)
            found += crash([cluster], [self._writer(number)])
        return found

    def _together(self) -> list[float]:
        self._await_all()
        time.sleep(SETTLE_SECONDS)
        return crash(self.clusters, [self._writer(n) for n in range(len(self.clusters))])


def _must(reached: Callable[[], bool], what: str) -> None:
    """Wait for that; a figure of anything else would be none."""
    if not wait_until(reached, DEADLINE_SECONDS, POLL_SECONDS / 5):
        raise SystemExit(f"not within {DEADLINE_SECONDS:g} s: {what}")


def crash(clusters: list[Cluster], writers: list[str]) -> list[float]:
    """Kill these writers at once while a client of each writes; how long each could not, in ms.

    They are started again at the end.
    """
    clients = [Client(cluster) for cluster in clusters]
    for client in clients:
        client.start()
    _must(lambda: all(one.oks > 20 for one in clients), "every pair's client writes")
    for cluster, writer in zip(clusters, writers, strict=True):
        pid = cluster.servers[writer].pid()
        assert pid is not None
        os.kill(pid, 9)
    _must(lambda: all(one.gap_ms > 0 for one in clients), "every pair's client writes again")
    for client in clients:
        client.ending = True
    for client in clients:
        client.join()
    for cluster, writer in zip(clusters, writers, strict=True):
        cluster.servers[writer].start(60.0)
    return [round(one.gap_ms) for one in clients]


class Client(threading.Thread):
    """Writes through the balancer without a pause; notes for how long it could not."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(daemon=True)
        self.cluster = cluster
        self.oks = 0
        self.gap_ms = 0.0
        self.ending = False

    def run(self) -> None:
        last, broken, connection = time.monotonic(), False, None
        while not self.ending:
            try:
                if connection is None:
                    connection = self._connect()
                with connection.cursor() as cursor:
                    cursor.execute("REPLACE INTO app.t VALUES (1, %s)", (self.oks,))
            except pymysql.MySQLError:
                broken, connection = broken or self.oks > 0, None
                time.sleep(0.002)
                continue
            now = time.monotonic()
            if broken:
                self.gap_ms, broken = max(self.gap_ms, (now - last) * 1000), False
            last, self.oks = now, self.oks + 1
            time.sleep(0.002)

    def _connect(self) -> Any:
        connection = pymysql.connect(
            host="127.0.0.1",
            port=self.cluster.writer_address[1],
            user="app",
            password=self.cluster.secret("app"),
            autocommit=True,
            connect_timeout=5,
            read_timeout=5,
            ssl_disabled=True,
        )
        if not self.oks:
            with connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE IF NOT EXISTS app")
                cursor.execute("CREATE TABLE IF NOT EXISTS app.t (id INT PRIMARY KEY, v INT)")
        return connection


def cost(parent: psutil.Process) -> dict[str, Any]:
    """CPU in percent of a core, memory and threads of a supervisor and its workers."""
    processes = [parent, *parent.children()]
    before = [sum(one.cpu_times()[:2]) for one in processes]
    time.sleep(IDLE_SECONDS)
    after = [sum(one.cpu_times()[:2]) for one in processes]
    percent = [(b - a) / IDLE_SECONDS * 100 for a, b in zip(before, after, strict=True)]
    return {
        "cpu_percent": round(sum(percent), 1),
        "processes_percent": [round(one, 1) for one in percent],
        "pss_mib": round(sum(one.memory_full_info().pss for one in processes) / 2**20),
        "threads": sum(one.num_threads() for one in processes),
        "descriptors": sum(one.num_fds() for one in processes),
    }


@contextmanager
def _stub(order: dict[str, Any], path: Path) -> Iterator[subprocess.Popen[str]]:
    path.write_text(json.dumps(order))
    process = subprocess.Popen(
        (sys.executable, "-m", "benchmarks.stub", str(path)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=FOLDER.parent,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise SystemExit("the stub did not begin")
        yield process
    finally:
        process.terminate()
        process.wait(30)


def _unname(directory: Path) -> None:
    """Another configuration may know the pair by another name."""
    _change(directory, pair="")


def _change(directory: Path, **values: Any) -> None:
    """The record of a pair that nobody supervises."""
    store = LocalRecordStore(directory)
    record = store.read()
    assert record is not None
    store.compare_and_set(record.version, replace(record, version=record.version + 1, **values))
    store.close()


def _healthy_alone(cluster: Cluster) -> bool:
    with suppress(Exception):
        return bool(ask(cluster.state_dir / "myha.sock", {"do": "status"})["healthy"])
    return False


def _writer_alone(cluster: Cluster) -> str:
    return str(ask(cluster.state_dir / "myha.sock", {"do": "status"})["writer"])


def _with_secrets(text: str, directory: Path) -> str:
    files = {"admin": "admin", "supervisor": "supervisor", "replication": "replication"}
    lines = [f'{role}_password_file = "{directory}/secrets/{file}"' for role, file in files.items()]
    return text.replace("[accounts]", "\n".join(["[accounts]", *lines]), 1)


def free_ports() -> Iterator[int]:
    """Below those that the kernel gives to clients, of which there are thousands here."""
    for port in range(12_000, 30_000):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        yield port


def section(reports: list[dict[str, Any]]) -> str:
    """RESULTS.md's, of every number of pairs that was kept."""
    lines = [
        "## Many pairs",
        "",
        "One supervisor of so many pairs, its workers one for each core: `real` ones of MariaDB,"
        " the others simulated at the level of the protocol, by processes on the same machine"
        " (`python -m benchmarks.many`). Idle: CPU of all of its processes, for each pair and as a"
        " whole. Failovers (median / worst of so many): how long the clients of a real pair whose"
        " writer is killed cannot write, under a supervisor of its own, as one of all, and when all"
        " real ones are killed at once. The interval is that of looks and heartbeats.",
        "",
        "| pairs | real | interval, s | at rest after, s | idle, ms a second a pair | % of a core"
        " | MiB | load before | alone, ms | among all, ms | at once, ms |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|---|---|---|",
    ]
    for one in sorted(reports, key=lambda report: (report["pairs"], _interval(report))):
        idle = one["idle"]
        each = 10 * idle["cpu_percent"] / one["pairs"]
        crashes = " | ".join(
            summary(one.get(name, ())) for name in ("alone_ms", "among_ms", "together_ms")
        )
        lines.append(
            f"| {one['pairs']} | {one['real']} | {_interval(one):g}"
            f" | {one['start_seconds']:.0f} | {each:.1f}"
            f" | {idle['cpu_percent']:.0f} | {idle['pss_mib']} | {one['machine']['load_before']}"
            f" | {crashes} |"
        )
    lines += [
        "",
        "To be reached with 500: at rest at all, 150 % of a core, 2048 MiB; among all at most 1.5"
        " times as long as alone, and at once within 1000 ms.",
        "",
    ]
    return "\n".join(lines)


def _interval(report: dict[str, Any]) -> float:
    """Of looks and heartbeats; the default in reports from before it could be another."""
    return float(report.get("interval_seconds", 0.5))


def summary(values: Sequence[float]) -> str:
    """Median, worst and how many."""
    return f"{median(values):.0f} / {max(values):.0f} of {len(values)}" if values else "-"


if __name__ == "__main__":
    main()
