"""How long a conflict takes to be told under load, and whose part of that is whose.

Conflicts are made one after the other while sysbench writes on both nodes as fast as it can. Each
delay, from the OK of the later of two crossing writes to the report, is of three parts, by this
machine's monotonic clock:

- server: until what completes the conflict arrived, the earliest moment at which it can have
- waiting: from there until the reader had it, which is the kernel's giving it a core
- ours: from there until it was told

Beside it a bare reader receives both logs and does nothing with them: what the servers' threads
that send the logs give to anybody. How long those threads stood ready to run and got no core is the
kernel's own count of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

from benchmarks.arrivals import Schedule, quantiles
from benchmarks.load import met, server
from benchmarks.pair import DEADLINE_SECONDS, Pair
from benchmarks.sysbench import Sysbench, transactions_per_second
from myha.config import load
from myha.errors import MyhaError

LOAD_SECONDS = int(os.environ.get("MYHA_BENCH_LOAD_SECONDS", "30"))  # less gives a first idea
LOAD_THREADS = 4
PROBE_EVERY_SECONDS = 0.1
PROBES = int(LOAD_SECONDS / PROBE_EVERY_SECONDS)
READERS = 3  # of each node's log: the peer, the reader, and the bare one
PARTS = ("server", "waiting", "ours")
TARGET_MS = 100  # for what is not the server's


def prepare(pair: Pair) -> None:
    """The load's tables, and a row for each conflict."""
    pair.run("a", "CREATE USER bench IDENTIFIED BY ''", "GRANT ALL ON `bench%`.* TO bench")
    pair.await_same()
    for node in "ab":
        _sysbench(pair, node).prepare(DEADLINE_SECONDS)
    table = "id INT PRIMARY KEY, mark VARCHAR(40) NOT NULL"
    pair.run("a", "CREATE DATABASE probe", f"CREATE TABLE probe.t ({table})")
    values = ", ".join(f"({number}, '')" for number in range(2 * PROBES))
    pair.run("a", f"INSERT INTO probe.t VALUES {values}")
    pair.await_same()


def measure(pair: Pair, first: int) -> dict[str, Any]:
    """Conflicts in rows that no other one uses, from `first` on."""
    reader = _Reading(pair)
    bare = _Child("benchmarks.bare_reader", config=str(pair.cluster.config_path))
    try:
        _await_readers(pair, reader)
        senders = _Senders(pair)
        written, outputs = _load(pair, first)
        starved = senders.starved()
        pair.await_same()
        time.sleep(1.0)
    finally:
        arrived = bare.end()
        metrics = reader.end()
    delays = [
        _split(max(written[number].values()), told)
        for number, told in reader.crossed.items()
        if number in written
    ]
    if not delays:
        raise MyhaError("no probe crossed: the delay cannot be told")
    return {
        "conflicts": len(delays),
        **quantiles([sum(one.values()) for one in delays]),
        "parts": {part: quantiles([one[part] for one in delays]) for part in PARTS},
        "waiting_and_ours": quantiles([one["waiting"] + one["ours"] for one in delays]),
        "bare": quantiles(_bare(written, arrived)),
        "senders_starved": starved,
        "rows_per_second": round(metrics["rows"] / LOAD_SECONDS),
        "transactions_per_second": [transactions_per_second(text) for text in outputs],
        "foreign_conflicts": metrics["conflicts"] - len(reader.crossed),
    }


def _split(written: float, told: dict[str, float]) -> dict[str, float]:
    """Seconds by part; what came before the OK counts for none of them."""
    arrived, received, end = (max(written, told[at]) for at in ("arrived", "received", "told"))
    return {"server": arrived - written, "waiting": received - arrived, "ours": end - received}


def _bare(written: dict[int, dict[str, float]], arrived: list[Any]) -> list[float]:
    """The server's part as the bare reader has it, of all that both nodes sent it."""
    seen: dict[int, list[float]] = {}
    for number, _node, at in arrived:
        seen.setdefault(number, []).append(at)
    return [
        max(0.0, max(at) - max(written[number].values()))
        for number, at in seen.items()
        if len(at) == len("ab") and number in written
    ]


def _load(pair: Pair, first: int) -> tuple[dict[int, dict[str, float]], list[str]]:
    """When each crossing write was acknowledged, and what sysbench said."""
    loads = [_sysbench(pair, node).run(LOAD_THREADS, LOAD_SECONDS) for node in "ab"]
    crossing = _Child(
        "benchmarks.crossing",
        nodes={node: pair.login(node) for node in "ab"},
        niceness=load(pair.cluster.config_path).timing.niceness,
        first=first,
        count=PROBES,
        every_seconds=PROBE_EVERY_SECONDS,
    )
    try:
        while all(one.poll() is None for one in loads):
            time.sleep(0.05)
    finally:
        written = crossing.end()
        outputs = [one.communicate(timeout=DEADLINE_SECONDS)[0] for one in loads]
    return {int(number): at for number, at in written.items()}, outputs


class _Child:
    """A process that takes an order on its input, until that ends, and answers with JSON."""

    def __init__(self, module: str, **order: Any) -> None:
        self._process = subprocess.Popen(
            (sys.executable, "-m", module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def end(self) -> Any:
        output, _ = self._process.communicate(timeout=DEADLINE_SECONDS)
        if self._process.returncode != 0:
            raise MyhaError("a process of the benchmark failed; its own words are above")
        return json.loads(output)


class _Reading:
    """The reader as the daemon runs it: a job in a session of its own, at the daemon's niceness.

    Where that is not permitted (only root may), it runs like all else.
    """

    def __init__(self, pair: Pair) -> None:
        self.crossed: dict[int, dict[str, float]] = {}  # each probe's conflict: when it was what
        self._metrics: dict[str, Any] = {}
        path = pair.cluster.config_path
        niceness = str(load(path).timing.niceness)
        self._process = subprocess.Popen(
            ("nice", "-n", niceness, sys.executable, "-m", "benchmarks.traced_reader"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        order = {"kind": "conflicts", "node": "", "config": str(path), "parent": os.getpid()}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            self._metrics = said.get("done", self._metrics)
            told = said.get("event", {}).get("fields", {})
            if told.get("table") == "probe.t" and "values" in told:
                number = int(json.loads(told["values"])["id"])
                times = {name: float(told[name]) for name in ("arrived", "received", "told")}
                self.crossed.setdefault(number, times)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> dict[str, Any]:
        """Its counts; MyhaError when it gave none."""
        self._process.terminate()
        self._process.wait(30)
        self._thread.join(30)
        if not self._metrics:
            raise MyhaError("the reader of conflicts ended without a summary")
        return self._metrics


def _await_readers(pair: Pair, reader: _Reading) -> None:
    """Until both nodes send their logs to all that read them."""
    ends = time.monotonic() + DEADLINE_SECONDS
    while any(len(pair.senders(node)) < READERS for node in "ab"):
        if time.monotonic() > ends or reader.ended:
            raise MyhaError("the readers have not begun to read")
        time.sleep(0.05)


class _Senders:
    """The servers' threads that send the binary logs, from now on."""

    def __init__(self, pair: Pair) -> None:
        self._schedules = [
            Schedule(pair.pid(node), thread) for node in "ab" for thread in pair.senders(node)
        ]
        self._begun_at = time.monotonic()
        self._before = [one.seconds() for one in self._schedules]

    def starved(self) -> dict[str, float]:
        """Of their time, in per cent: on a core, and ready for one without getting it. The mean."""
        elapsed = (time.monotonic() - self._begun_at) * len(self._schedules)
        now = [one.seconds() for one in self._schedules]
        pairs = list(zip(now, self._before, strict=True))
        for one in self._schedules:
            one.close()
        ran, waited = (sum(after[n] - before[n] for after, before in pairs) for n in (0, 1))
        return {
            "ran_percent": round(100 * ran / elapsed, 1),
            "waited_percent": round(100 * waited / elapsed, 1),
        }


def _sysbench(pair: Pair, node: str) -> Sysbench:
    where = pair.cluster.nodes[node]
    return Sysbench(where.host, where.port, "bench", "", f"bench_{node}")


# ---- report


def section(reports: list[dict[str, Any]]) -> list[str]:
    """A row for each part of the delay, and for what stands beside it."""
    lines = [
        "",
        "From the OK of the later of two crossing writes to the report, while sysbench"
        f" (oltp_write_only, {LOAD_THREADS} threads a node) writes on both as fast as it can."
        " default: each commit is on disk, as docs/guarantees.md asks for; relaxed: sync_binlog ="
        " 0, innodb_flush_log_at_trx_commit = 2, and the cores are used up. The reader runs as the"
        " daemon's job does, at its niceness, and so does the client that makes the conflicts, so"
        " that it notes an OK when it comes. One clock, the machine's monotonic one.",
        "",
        "- server: until what completes the conflict arrived in the reader's kernel, by the"
        " earliest moment at which it can have: when the reader's poll was woken, which is its"
        " return less the time for which the kernel says that it waited for a core. So a reader"
        " that comes late never counts for the server.",
        "- waiting: from there until the reader had it. ours: from there until the line with the"
        " conflict is written to the supervisor. The target is for the two together.",
        "- bare reader: from the same OK until both writes had reached a process that receives both"
        " logs and does nothing with them, in the same run; for it the server's part is all.",
        "- sending threads: of their time, what they ran, and what they were ready to run and got"
        " no core (the kernel's schedstat), the mean of those of both servers.",
        "",
        "| server | durability | transactions/s | row changes/s | conflicts | part | median, ms"
        " | 99 %, ms | max, ms | target |",
        "|---|---|--:|--:|--:|---|--:|--:|--:|---|",
    ]
    for one in reports:
        for durability, found in one["delay"].items():
            head = (
                f"| {server(one)} | {durability} | {sum(found['transactions_per_second']):,.0f}"
                f" | {found['rows_per_second']:,} | {found['conflicts']}"
            )
            lines.append(f"{head} | whole | {_times(found)} | |")
            lines += _parts(found)
    return lines


def _parts(found: dict[str, Any]) -> list[str]:
    if "parts" not in found:  # measured before the delay was split
        return []
    judged, sending = found["waiting_and_ours"], found["senders_starved"]
    rows = [(part, found["parts"][part], "") for part in PARTS]
    rows += [
        (
            "waiting and ours",
            judged,
            f"max {TARGET_MS}: {met(judged['max_ms'] <= TARGET_MS)}",
        ),
        ("beside: bare reader", found["bare"], ""),
    ]
    shares = f"ran {sending['ran_percent']} %, waited {sending['waited_percent']} %"
    return [
        *(f"| | | | | | {name} | {_times(times)} | {target} |" for name, times, target in rows),
        f"| | | | | | beside: sending threads | | | | {shares} |",
    ]


def _times(found: dict[str, float]) -> str:
    return " | ".join(f"{found[name]:.1f}" for name in ("median_ms", "p99_ms", "max_ms"))
