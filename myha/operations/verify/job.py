"""A comparison as a job of the daemon: what an order says, and what is told at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from myha.config import Config, load_ordered
from myha.core.events import Kind
from myha.operations.verify.nodes import supervised
from myha.operations.verify.pace import Throttle
from myha.operations.verify.report import VerifyReport
from myha.operations.verify.run import verify
from myha.operations.verify.state import only_one
from myha.progress import Reporter

ROWS_TOLD = 20


def throttle_of(config: Config, busy_percent: float | None = None) -> Throttle:
    """The configured throttle, with another share of the time if one is given."""
    one = Throttle(
        busy_percent=config.verify.busy_percent,
        chunk_seconds=config.verify.chunk_seconds,
        lag_limit_seconds=config.verify.lag_limit_seconds,
    )
    return one if busy_percent is None else replace(one, busy_percent=busy_percent)


def run(order: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Carry an order out: `config`, and optionally `tables` (a list). The outcome, for `done`.

    Raises what `verify` does.
    """
    config = load_ordered(order)
    names = order.get("tables") or config.verify.tables
    report = verify_pair(config, reporter, tables=tuple(names) or None)
    for line in report.lines()[:ROWS_TOLD]:
        reporter.event(Kind.VERIFY, line)
    return {
        "text": report.text(),
        "equal": report.equal,
        "complete": report.complete,
        "rows": report.rows,
        "differences": sum(one.differences for one in report.tables),
    }


def verify_pair(
    config: Config,
    reporter: Reporter,
    *,
    tables: tuple[str, ...] | None = None,
    busy_percent: float | None = None,
    restart: bool = False,
) -> VerifyReport:
    """Compare the pair of a configuration with the supervisor's account, one run at a time."""
    pair = supervised(config)  # before anything is made in the folder: there may be no pair
    with only_one(config.cluster.state_dir):
        return verify(
            pair.connect(pair.writer),
            pair.connect(pair.standby),
            pair.flavour,
            reporter=reporter,
            tables=tables,
            throttle=throttle_of(config, busy_percent),
            state=config.cluster.state_dir,
            restart=restart,
            names=(pair.writer, pair.standby),
            both_ways=pair.both_ways,
        )
