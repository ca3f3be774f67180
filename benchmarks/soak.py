"""No false failover on a saturated machine: full load on both cores, and a count of what was done.

    python -m benchmarks.soak [--minutes 30] [--flavour mysql]

Prints what the supervisor decided meanwhile; exit status 1 if the writer changed or was released.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from myha.drill.target import Target, sandbox
from myha.drill.worker import Order
from myha.drill.workload import Workload

REPORT_SECONDS = 60.0
FALSE_PLANS = frozenset({"failover", "release", "install", "reinstate", "fence"})


def order(target: Target, directory: Path, clients: int) -> Order:
    host, port = target.writer_address
    return Order(
        host=host,
        port=port,
        user=target.account.user,
        password=target.account.password.get_secret_value(),
        database=target.database,
        flavour=target.flavour,
        directory=str(directory),
        clients=clients,
        seed=1,
    )


def soak(target: Target, minutes: float, clients: int) -> int:
    target.learn()
    target.make_tables()
    plans: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    after = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        Workload(order(target, Path(folder), clients)) as workload,
    ):
        workload.await_acknowledged(clients, 30.0)
        after = target.last_event_id()
        epoch = target.status()["epoch"]
        ends = time.monotonic() + minutes * 60
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(REPORT_SECONDS, left))
            events = target.events(after)
            plans.update(one["plan"] for one in events if one["kind"] == "plan")
            verdicts.update(one["verdict"] for one in events if one["kind"] == "verdict")
            after = max((one["id"] for one in events), default=after)
            workload.ledger.advance()
            print(  # noqa: T201  # a report for a terminal
                f"{(minutes * 60 - left) / 60:5.1f} min  {workload.ledger.acknowledged} OKs  load "
                f"{os.getloadavg()[0]:.1f}  plans {dict(plans)}  verdicts {dict(verdicts)}",
                flush=True,
            )
        changed = target.status()["epoch"] - epoch
        workload.stop()
    false = sum(plans[kind] for kind in FALSE_PLANS)
    print(f"changes of writer: {changed}; false plans: {false}")  # noqa: T201
    return 1 if changed or false else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--flavour", default="mysql", choices=["mysql", "mariadb"])
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with sandbox(options.flavour, "single-writer", None, print) as target:
        status = soak(target, options.minutes, options.clients)
    sys.exit(status)


if __name__ == "__main__":
    main()
