"""No false failover on a saturated machine: full load on both cores, and a count of what was done.

    python -m benchmarks.soak [--minutes 30] [--flavour mysql] [--sysbench 16]

The load is the drill's clients at full speed, or, with `--sysbench`, so many threads of that
(oltp_read_write, through the balancer) beside two of the drill's clients, who keep the ledger.

Prints what the supervisor decided meanwhile, and keeps it in results/soak-FLAVOUR.json; exit
status 1 if the writer changed or was released. Too long to be part of `make bench`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.load import order, server
from benchmarks.run import keep_part
from benchmarks.sysbench import Sysbench, transactions_per_second
from myha.drill.target import DATABASE, Target, sandbox
from myha.drill.workload import Workload

REPORT_SECONDS = 60.0
PREPARE_DEADLINE_SECONDS = 300.0
FALSE_PLANS = frozenset({"failover", "release", "install", "reinstate", "fence"})


def soak(target: Target, minutes: float, clients: int, threads: int) -> dict[str, Any]:
    target.learn()
    target.make_tables()
    load = _sysbench(target)
    if threads:
        load.prepare(PREPARE_DEADLINE_SECONDS)
    plans: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    loads: list[float] = []
    with (
        ExitStack() as stack,
        tempfile.TemporaryDirectory() as folder,
        Workload(order(target, Path(folder), clients)) as workload,
    ):
        workload.await_acknowledged(clients, 30.0)
        after = target.last_event_id()
        epoch = target.status().epoch or 0
        ends = time.monotonic() + minutes * 60
        running = load.run(threads, minutes * 60) if threads else None
        if running is not None:
            stack.callback(_end, running)
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(REPORT_SECONDS, left))
            events = target.events(after)
            plans.update(one.plan for one in events if one.kind == "plan")
            verdicts.update(one.verdict for one in events if one.kind == "verdict")
            after = max((one.id for one in events), default=after)
            workload.ledger.advance()
            loads.append(round(os.getloadavg()[0], 1))
            gone, oks = minutes - (ends - time.monotonic()) / 60, workload.ledger.acknowledged
            print(  # noqa: T201  # a report for a terminal
                f"{gone:5.1f} min  {oks} OKs  load {loads[-1]:.1f}  plans {dict(plans)}"
                f"  verdicts {dict(verdicts)}",
                flush=True,
            )
        changed = (target.status().epoch or 0) - epoch
        workload.stop()
        rate = None
        if running is not None:
            output, _ = running.communicate(timeout=PREPARE_DEADLINE_SECONDS)
            rate = transactions_per_second(output)
    return {
        "server_version": target.server_version,
        "clients": clients,
        "sysbench_threads": threads,
        "sysbench_transactions_per_second": rate,
        "minutes": minutes,
        "acknowledged": workload.ledger.acknowledged,
        "load": loads,
        "plans": dict(plans),
        "verdicts": dict(verdicts),
        "changes_of_writer": changed,
        "false_plans": sum(plans[kind] for kind in FALSE_PLANS),
    }


def _sysbench(target: Target) -> Sysbench:
    account = target.account
    password = account.password.get_secret_value()
    return Sysbench(*target.writer_address, account.user, password, DATABASE, "oltp_read_write")


def _end(process: subprocess.Popen[str]) -> None:
    """Of a run that was broken off, or at the end of its own."""
    if process.poll() is None:
        process.kill()
    process.wait()


def section(reports: list[dict[str, Any]]) -> str:
    lines = [
        "## No false failover",
        "",
        "The drill's clients at full speed, or sysbench's threads (oltp_read_write) beside two of"
        " them, on a machine whose cores they saturate, and what the supervisor decided meanwhile"
        " (`python -m benchmarks.soak`).",
        "",
        "| server | minutes | clients | sysbench | load, min to max | OKs | plans"
        " | changes of writer |",
        "|---|--:|--:|---|---|--:|---|--:|",
    ]
    for one in reports:
        plans = ", ".join(f"{kind} {n}" for kind, n in sorted(one["plans"].items())) or "none"
        lines.append(
            f"| {server(one)} | {one['minutes']:.0f} | {one['clients']} | {_said(one)}"
            f" | {min(one['load']):.1f} to {max(one['load']):.1f} | {one['acknowledged']}"
            f" | {plans} | {one['changes_of_writer']} |"
        )
    return "\n".join([*lines, ""])


def _said(one: dict[str, Any]) -> str:
    threads, rate = one["sysbench_threads"], one["sysbench_transactions_per_second"]
    return f"{threads} threads, {rate:.0f}/s" if threads else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--flavour", default="mysql", choices=["mysql", "mariadb"])
    parser.add_argument("--clients", type=int)
    parser.add_argument("--sysbench", type=int, default=0, metavar="THREADS")
    options = parser.parse_args()
    clients = options.clients or (2 if options.sysbench else 8)
    with sandbox(options.flavour, "single-writer", None, print) as target:
        data = soak(target, options.minutes, clients, options.sysbench)
    keep_part("soak", options.flavour, data)
    changed, false = data["changes_of_writer"], data["false_plans"]
    print(f"changes of writer: {changed}; false plans: {false}")  # noqa: T201
    sys.exit(1 if changed or false else 0)


if __name__ == "__main__":
    main()
