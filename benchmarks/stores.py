"""What a record in etcd costs when the writer crashes: rounds with it and with a file, in turns.

Two pairs are up at the same time, one with its record in a file and one in three members of etcd
with two supervisors; a round is played on the one, then on the other, so that whatever else the
machine does strikes both alike. The pair whose turn it is not is idle.
"""

from __future__ import annotations

import os
import statistics
from typing import Any

from benchmarks.load import met, server
from benchmarks.parts import Say
from myha.cli.drill_play import play
from myha.drill.options import Options
from myha.drill.scenarios import SCENARIOS
from myha.drill.target import HEAL_POLICY
from myha.drill.target import sandbox as in_sandbox

ROUNDS = int(os.environ.get("MYHA_BENCH_STORE_ROUNDS", "20"))  # of each; less gives a first idea
STORES = {"local": 1, "etcd": 2}  # supervisors
LIMIT_MS = 25
PHASES = ("detected", "recorded", "opened", "routed", "written")


def measure(flavour: str, say: Say) -> dict[str, Any]:
    """Crashes of the writer, by turns."""
    rounds: dict[str, list[dict[str, Any]]] = {store: [] for store in STORES}
    crash, version = SCENARIOS["crash"], ""

    def quiet(_line: str) -> None:
        """The rounds' own words."""

    with (
        in_sandbox(flavour, "single-writer", None, quiet, HEAL_POLICY) as local,
        in_sandbox(flavour, "single-writer", None, quiet, HEAL_POLICY, supervisors=2) as etcd,
    ):
        targets = {"local": local, "etcd": etcd}
        for number in range(1, ROUNDS + 1):
            for store, target in targets.items():
                [report] = play(target, [crash], Options(seed=number), quiet)
                data = report.data()
                version = data["server_version"]
                (one,) = data["rounds"]
                rounds[store].append(one)
                say(f"  {number} of {ROUNDS}, {store}: {one['outage_ms']} ms")
    return {"server_version": version, "rounds_of": rounds, "load": os.getloadavg()}


def section(reports: list[dict[str, Any]]) -> str:
    lines = [
        "## A crash of the writer with the record in etcd",
        "",
        "A round with the record in a file and one with it in etcd, in turns, on two pairs that are"
        " up at the same time (`benchmarks/stores.py`). ms, min / median / max of the outage; then"
        " the medians of when things happened, from the fault on.",
        "",
        f"| server | store | rounds | lost | outage | {' | '.join(PHASES)} |",
        f"|---|---|--:|--:|--:|{'--:|' * len(PHASES)}",
    ]
    for report in reports:
        for store in STORES:
            rounds = report["rounds_of"][store]
            outages = _outages(report, store)
            shown = [statistics.median(one["phases_ms"][name] for one in rounds) for name in PHASES]
            lines.append(
                f"| {server(report)} | {store} | {len(rounds)}"
                f" | {sum(one['acknowledged_lost'] for one in rounds)}"
                f" | {min(outages):.0f} / {statistics.median(outages):.0f} / {max(outages):.0f}"
                f" | {' | '.join(f'{one:.0f}' for one in shown)} |"
            )
    lines += ["", f"Target: the median with etcd at most {LIMIT_MS} ms over that with a file.", ""]
    for report in reports:
        file, etcd = (statistics.median(_outages(report, store)) for store in STORES)
        more = etcd - file
        lines.append(f"- {server(report)}: {more:+.0f} ms, {met(more <= LIMIT_MS)}")
    return "\n".join([*lines, ""])


def _outages(report: dict[str, Any], store: str) -> list[float]:
    return [one["outage_ms"] for one in report["rounds_of"][store]]
