"""The drills that were played: a short note of each, kept for this user, and two of them compared.

What counts of a run are its medians by kind: the scenario, with the flavour, mode and durability
that it was played with.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import platformdirs

from myha import __version__
from myha.drill.report import Report
from myha.errors import MyhaError
from myha.files import locked, replacing

RUNS_KEPT = 500
FILE = "drills.json"
LOCK_SECONDS = 10.0
# Two medians differ when they do by more than both: less is this machine's noise.
DIFFERS_SHARE, DIFFERS_MS = 0.25, 20.0

Data: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Played:
    """One scenario of a run. Times in milliseconds; `phases_ms` are medians, from the fault."""

    scenario: str
    flavour: str
    server_version: str
    mode: str
    durability: str
    seed: int
    rounds: int
    good: bool
    acknowledged: int
    lost: int
    outage_ms_min: float
    outage_ms_median: float
    outage_ms_max: float
    phases_ms: dict[str, float]

    @property
    def kind(self) -> tuple[str, str, str, str]:
        return self.scenario, self.flavour, self.mode, self.durability


@dataclass(frozen=True, slots=True)
class Run:
    """What one `myha drill` has played. `wall` is when it ended, in seconds since the epoch; `id`
    is 0 for one that was read from a report."""

    id: int
    wall: float
    myha: str
    where: str  # `sandbox`, or the configuration file
    played: tuple[Played, ...]

    @property
    def good(self) -> bool:
        return all(one.good for one in self.played)

    def data(self) -> Data:
        return asdict(self)


def played_of(report: Data) -> Played:
    """Of a report as `--json` writes it."""
    outages = [one["outage_ms"] for one in report["rounds"]] or [0.0]
    phases: dict[str, list[float]] = {}
    for one in report["rounds"]:
        for name, at in one["phases_ms"].items():
            phases.setdefault(name, []).append(at)
    good = [
        not one["problems"] and one["converged"] and one["whole_ms"] is not None
        for one in report["rounds"]
    ]
    return Played(
        **{key: report[key] for key in ("scenario", "flavour", "server_version", "mode")},
        durability=report["durability"],
        seed=report["seed"],
        rounds=len(report["rounds"]),
        good=bool(good) and all(good),
        acknowledged=report["summary"]["acknowledged"],
        lost=report["summary"]["acknowledged_lost"],
        outage_ms_min=min(outages),
        outage_ms_median=round(statistics.median(outages), 1),
        outage_ms_max=max(outages),
        phases_ms={name: round(statistics.median(times), 1) for name, times in phases.items()},
    )


# -- the file -------------------------------------------------------------------------------------


def folder() -> Path:
    return Path(platformdirs.user_state_dir("myha"))


def runs() -> list[Run]:
    """All that are kept, oldest first. Raises MyhaError when the file cannot be read."""
    path = folder() / FILE
    try:
        return [run_of(one) for one in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MyhaError(
            f"{path} cannot be read ({error}): remove it to begin a new history"
        ) from None


def run_of(data: Data) -> Run:
    played = tuple(Played(**one) for one in data["played"])
    return Run(**data | {"played": played})


def keep(reports: Sequence[Report], where: str, wall: float) -> Run:
    """Add a run, and forget the oldest where there are too many. Raises MyhaError."""
    path = folder() / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_suffix(".lock"), wait_seconds=LOCK_SECONDS):
            before = runs()
            number = before[-1].id + 1 if before else 1
            played = tuple(played_of(one.data()) for one in reports)
            made = Run(number, round(wall, 3), __version__, where, played)
            kept = [*before, made][-RUNS_KEPT:]
            with replacing(path) as file:
                file.write(json.dumps([one.data() for one in kept]).encode())
    except OSError as error:
        raise MyhaError(f"{path} cannot be written: {error.strerror or error}") from None
    return made


def find(name: str) -> Run:
    """By its number, as `last`, or from a file that `--json` wrote. Raises MyhaError."""
    if name != "last" and not name.isdigit():
        return _of_file(Path(name))
    known = runs()
    found = [one for one in known if name == "last" or one.id == int(name)]
    if not found:
        has = f"{known[0].id} to {known[-1].id} are kept" if known else "none is kept"
        raise MyhaError(f"there is no run {name}: {has}; see `myha drill history list`")
    return found[-1]


def _of_file(path: Path) -> Run:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        reports = data.get("reports", [data])
        played = tuple(played_of(one) for one in reports)
        return Run(0, path.stat().st_mtime, "", str(path), played)
    except FileNotFoundError:
        raise MyhaError(
            f"{path} is neither a run's number nor a file: see `myha drill history list`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MyhaError(f"{path} is no report of a drill ({error})") from None


# -- two of them ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One time of two runs, in ms; None: it was not measured there. `change`: `slower`, `faster`,
    or nothing where they do not differ by more than noise."""

    name: str
    before_ms: float | None
    after_ms: float | None
    change: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One kind in both runs; None where one has not played it."""

    kind: tuple[str, str, str, str]
    before: Played | None
    after: Played | None
    times: tuple[Change, ...] = ()

    @property
    def change(self) -> str:
        """What is to be said of it first: `broken`, `mended`, `slower`, `faster`, or nothing."""
        if self.before is None or self.after is None:
            return ""
        if self.before.good != self.after.good:
            return "mended" if self.after.good else "broken"
        return self.times[0].change if self.times else ""

    def data(self) -> Data:
        names = ("scenario", "flavour", "mode", "durability")
        both = {"before": self.before, "after": self.after}
        return {
            **dict(zip(names, self.kind, strict=True)),
            **{name: None if one is None else asdict(one) for name, one in both.items()},
            "change": self.change,
            "times": [asdict(one) for one in self.times],
        }


def compare(before: Run, after: Run) -> list[Comparison]:
    """Every kind that either has, in the order in which they were played."""
    old, new = ({one.kind: one for one in run.played} for run in (before, after))
    return [
        Comparison(kind, old.get(kind), new.get(kind), tuple(_times(old.get(kind), new.get(kind))))
        for kind in dict.fromkeys((*old, *new))
    ]


def _times(before: Played | None, after: Played | None) -> Iterable[Change]:
    if before is None or after is None:
        return
    stopped = before.outage_ms_median, after.outage_ms_median
    yield Change("writes stopped", *stopped, changed(*stopped))
    old, new = before.phases_ms, after.phases_ms
    for name in sorted(new | old, key=(new | old).__getitem__):
        yield Change(name, old.get(name), new.get(name), changed(old.get(name), new.get(name)))


def changed(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    by = abs(after - before)
    if by <= DIFFERS_MS or by <= DIFFERS_SHARE * min(abs(before), abs(after)):
        return ""
    return "slower" if after > before else "faster"
