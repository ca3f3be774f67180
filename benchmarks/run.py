"""`python -m benchmarks.run`: the drills many times over, the other parts, and RESULTS.md.

Each series has a sandbox of its own and its numbers in results/*.json; RESULTS.md is written from
all of those files, also from ones of an earlier run (`--report` does nothing else). A part is a
module with `measure(flavour, say)`, which returns plain data, and `section(reports)`, which makes
the part's text of them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.parts import PARTS, part
from benchmarks.results import write_results
from benchmarks.series import SERIES, Series
from myha.drill.options import Options
from myha.errors import MyhaError

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
FLAVOURS: tuple[str, ...] = ("mysql", "mariadb")


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)  # noqa: T201


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    try:
        commit = subprocess.run(
            ("git", "rev-parse", "--short", "HEAD"),
            capture_output=True,
            text=True,
            check=True,
            cwd=FOLDER,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        commit = "unknown"
    return {
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "commit": commit,
        "date": time.strftime("%Y-%m-%d"),
    }


@contextlib.contextmanager
def series_failures(failed: list[str], name: str) -> Iterator[None]:
    """One series that cannot be played does not cost the others."""
    try:
        yield
    except MyhaError as error:
        say(f"{name}: {error}")
        failed.append(name)


def play(flavour: str, one: Series, clients: int) -> bool:
    """Play a series and keep its report. True when no round went wrong."""
    about = machine()
    options = Options(rounds=one.rounds, clients=clients)
    [report] = one.sandboxes(flavour).play([one.played], options, lambda _text: None)
    data = {**report.data(), "clients": clients, "extras": one.extras, "machine": about}
    name = f"{one.name}-drill" if one.name in PARTS else one.name
    (RESULTS / f"{name}-{flavour}.json").write_text(json.dumps(data, indent=1) + "\n")
    outage = data["summary"]["outage_ms"]
    say(f"{one.name} {flavour}: {outage}, {'passed' if report.good else 'FAILED'}")
    return report.good


def keep_part(name: str, flavour: str, data: dict[str, Any]) -> None:
    """One part's numbers for one flavour, where the report finds them."""
    RESULTS.mkdir(exist_ok=True)
    kept = {"part": name, "flavour": flavour, **data, "machine": machine()}
    (RESULTS / f"{name}-{flavour}.json").write_text(json.dumps(kept, indent=1) + "\n")


def end_by_signal(number: int, _frame: object) -> None:
    """As Ctrl-C does: whoever has servers running ends them on the way out."""
    raise KeyboardInterrupt(signal.Signals(number).name)


def main() -> int:
    signal.signal(signal.SIGTERM, end_by_signal)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", action="store_true", help="only write RESULTS.md anew")
    parser.add_argument("--only", action="append", default=[], metavar="SCENARIO|PART")
    parser.add_argument("--flavour", action="append", default=[], choices=FLAVOURS)
    parser.add_argument("--rounds", type=int, help="instead of each series' own number")
    parser.add_argument("--clients", type=int, default=8)
    chosen = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    failed: list[str] = []
    for flavour in chosen.flavour or FLAVOURS if not chosen.report else ():
        for one in SERIES:
            if chosen.only and one.name not in chosen.only:
                continue
            name = f"{one.name} {flavour}"
            say(f"{name}: {chosen.rounds or one.rounds} rounds")
            with series_failures(failed, name):
                rounds = chosen.rounds or one.rounds
                if not play(flavour, replace(one, rounds=rounds), chosen.clients):
                    failed.append(name)
        for name in PARTS:
            if not chosen.only or name in chosen.only:
                with series_failures(failed, f"{name} {flavour}"):
                    say(f"{name} {flavour}")
                    keep_part(name, flavour, part(name).measure(flavour, say))
    write_results(RESULTS, FOLDER / "RESULTS.md")
    say(f"written: {FOLDER / 'RESULTS.md'}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
