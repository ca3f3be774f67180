"""What a drill has found: plain data for `--json`, a table and a sentence for the terminal."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from myha.drill.following import ReplicaResult
from myha.drill.history import Wait
from myha.drill.judge import Counts
from myha.drill.picture import RoundPicture

BAR_WIDTH = 40
TIMELINES_LIMIT = 3
JOURNAL_LINES = 40
WAITS_LIMIT = 5  # of a round, for people

# What became of errant rows: the key in the report, and the words for it.
_FATES = {
    "quarantined": "in quarantine",
    "merged": "merged",
    "left": "left on the fenced node",
    "destroyed": "destroyed",
}
# What is summed up over the rounds.
_COUNTED = (
    *("acknowledged", "acknowledged_lost", "duplicated", "overlapping", "reads", "stale_reads"),
    *("errant", *_FATES, "conflicts", "undone"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundResult(Counts):
    """One round. Times in milliseconds; `phases_ms` and `gap_began_ms` count from the fault.

    `change_ms` is the longest gap around the change of writer itself, `before_ms` the longest one
    in as long a time before the fault; None where there was none. `long_waits` are those of single
    clients that are longer than `explained_ms`, which is as long as the fault is a reason for.
    """

    node: str
    outage_ms: float
    client_outage_ms_max: float
    gap_began_ms: float
    phases_ms: dict[str, float]
    returned: str
    whole_ms: float | None
    converged: bool
    writer_lost: bool
    problems: tuple[str, ...]
    journal: tuple[str, ...] = ()  # of a round that went wrong
    clients: dict[str, Any] = field(default_factory=dict)
    conflicts: int = 0
    change_ms: float | None = None
    before_ms: float | None = None
    undone: int = 0  # switchovers that were taken back, since they would have cost too much
    replicas: dict[str, ReplicaResult] = field(default_factory=dict)
    overlapping: int = 0
    reads: int = 0
    stale_reads: int = 0
    explained_ms: float = 0.0
    long_waits: tuple[Wait, ...] = ()
    picture: RoundPicture | None = None  # for people, and no part of the data

    @property
    def good(self) -> bool:
        return not self.problems and self.converged and self.whole_ms is not None

    def data(self) -> dict[str, Any]:
        data = asdict(replace(self, picture=None))
        del data["picture"]
        return data


@dataclass(frozen=True, slots=True)
class Report:
    """All rounds of one scenario."""

    scenario: str
    flavour: str
    server_version: str
    mode: str
    durability: str
    seed: int
    rounds: tuple[RoundResult, ...]
    sentence: str = ""  # what the scenario does
    clients: int = 0

    @property
    def good(self) -> bool:
        return bool(self.rounds) and all(one.good for one in self.rounds)

    @property
    def follows_ms(self) -> list[float]:
        """How long each replica took that followed without a heal, in every round."""
        return [
            replica.follows_ms
            for one in self.rounds
            for replica in one.replicas.values()
            if replica.follows_ms is not None and not replica.healed
        ]

    def data(self) -> dict[str, Any]:
        """The report as `--json` writes it."""
        outages = [one.outage_ms for one in self.rounds]
        return {
            "scenario": self.scenario,
            "flavour": self.flavour,
            "server_version": self.server_version,
            "mode": self.mode,
            "durability": self.durability,
            "seed": self.seed,
            "rounds": [one.data() for one in self.rounds],
            "summary": {
                "outage_ms": {
                    "min": min(outages),
                    "median": round(statistics.median(outages), 1),
                    "max": max(outages),
                }
                if outages
                else None,
                **{name: sum(getattr(one, name) for one in self.rounds) for name in _COUNTED},
                "long_waits": sum(len(one.long_waits) for one in self.rounds),
                "converged": all(one.converged for one in self.rounds),
                "follows_ms_max": max(self.follows_ms, default=None),
            },
        }


def print_report(report: Report, console: Console) -> None:
    """The rounds as a table, the phases as a timeline, and what it comes to in one sentence."""
    console.print(_rounds_table(report))
    if any(one.errant for one in report.rounds):
        console.print(_errant_table(report))
    if any(one.replicas for one in report.rounds):
        console.print(_replicas_table(report))
    for number, one in list(enumerate(report.rounds, 1))[:TIMELINES_LIMIT]:
        if one.phases_ms:
            console.print(_timeline(one, number))
    if len(report.rounds) > TIMELINES_LIMIT and phase_spread(report):
        console.print(_phases_table(report))
    for number, one in enumerate(report.rounds, 1):
        for line in long_waits(one):
            console.print(Text(f"round {number}: {line}", style="yellow"))
        for problem in one.problems:
            console.print(Text(f"round {number}: {problem}", style="bold red"))
        for line in one.journal[-JOURNAL_LINES:]:
            console.print(Text(f"  {line}"), soft_wrap=True)
    console.print(Text(verdict(report), style="bold green" if report.good else "bold red"))


def long_waits(one: RoundResult) -> list[str]:
    """The longest waits that the fault is no reason for, a line each."""
    lines = [str(wait) for wait in one.long_waits[:WAITS_LIMIT]]
    if lines:
        lines[0] += f"; the fault explains {one.explained_ms:.0f} ms"
    if len(one.long_waits) > WAITS_LIMIT:
        lines.append(f"and {len(one.long_waits) - WAITS_LIMIT} shorter waits of that kind")
    return lines


def _rounds_table(report: Report) -> Table:
    title = f"{report.scenario}: {report.flavour} {report.server_version}"
    table = Table(title=f"{title}, {report.mode}, {report.durability}", title_justify="left")
    table.add_column("round", justify="right")
    table.add_column("hit")
    for name in (
        *("outage ms", "one client ms", "OKs", "lost", "twice", "no answer, there"),
        *("overlap", "stale"),
    ):
        table.add_column(name, justify="right")
    table.add_column("returned")
    table.add_column("whole s", justify="right")
    table.add_column("equal")
    for number, one in enumerate(report.rounds, 1):
        table.add_row(
            str(number),
            one.node,
            f"{one.outage_ms:.0f}",
            f"{one.client_outage_ms_max:.0f}",
            str(one.acknowledged),
            str(one.acknowledged_lost),
            str(one.duplicated),
            str(one.unacknowledged_present),
            str(one.overlapping),
            f"{one.stale_reads}/{one.reads}",
            one.returned or "-",
            "never" if one.whole_ms is None else f"{one.whole_ms / 1000:.1f}",
            "yes" if one.converged else "no",
        )
    return table


def _errant_table(report: Report) -> Table:
    table = Table(title="rows written where they should not have been", title_justify="left")
    table.add_column("round", justify="right")
    for name in ("errant", *_FATES.values()):
        table.add_column(name, justify="right")
    for number, one in enumerate(report.rounds, 1):
        counts = (one.errant, *(getattr(one, name) for name in _FATES))
        table.add_row(str(number), *(str(count) for count in counts))
    return table


def _replicas_table(report: Report) -> Table:
    table = Table(title="replicas: from the new writer's first client", title_justify="left")
    table.add_column("round", justify="right")
    table.add_column("replica")
    table.add_column("follows after ms", justify="right")
    table.add_column("healed by")
    for number, one in enumerate(report.rounds, 1):
        for name, replica in one.replicas.items():
            after = "-" if replica.follows_ms is None else f"{replica.follows_ms:.0f}"
            table.add_row(str(number), name, after, replica.healed or "-")
    return table


def _timeline(one: RoundResult, number: int) -> Table:
    table = Table(title=f"round {number}: from the fault", title_justify="left", box=None)
    table.add_column("phase")
    table.add_column("ms", justify="right")
    table.add_column("", no_wrap=True)
    longest = max(one.phases_ms.values()) or 1.0
    before = 0.0
    for name, at in sorted(one.phases_ms.items(), key=lambda item: item[1]):
        start = round(BAR_WIDTH * before / longest)
        length = max(1, round(BAR_WIDTH * at / longest) - start)
        table.add_row(name.replace("_", " "), f"{at:.0f}", " " * start + "=" * length)
        before = at
    return table


def phase_spread(report: Report) -> dict[str, tuple[float, float, float]]:
    """Minimum, median and maximum of every phase that any round had, in order of the medians."""
    names = {name for one in report.rounds for name in one.phases_ms}
    spread = {}
    for name in names:
        times = [one.phases_ms[name] for one in report.rounds if name in one.phases_ms]
        spread[name] = (min(times), statistics.median(times), max(times))
    return dict(sorted(spread.items(), key=lambda item: item[1][1]))


def _phases_table(report: Report) -> Table:
    table = Table(title="phases, ms from the fault", title_justify="left")
    table.add_column("phase")
    for name in ("min", "median", "max"):
        table.add_column(name, justify="right")
    for name, times in phase_spread(report).items():
        table.add_row(name.replace("_", " "), *(f"{time:.0f}" for time in times))
    return table


def _errant(data: dict[str, Any]) -> str:
    """What became of what was written where it should not; nothing where there was none."""
    if not data["errant"]:
        return ""
    fates = [f"{data[n]} {words}" for n, words in _FATES.items() if data[n] or n == "destroyed"]
    return f"; of {data['errant']} errant rows {', '.join(fates)}"


def _conflicts(data: dict[str, Any]) -> str:
    return f"; {data['conflicts']} conflicts reported" if data["conflicts"] else ""


def _undone(data: dict[str, Any]) -> str:
    return f"; {data['undone']} undone and asked for again" if data["undone"] else ""


def _who(report: Report) -> str:
    return "nodes and replicas" if any(one.replicas for one in report.rounds) else "both nodes"


def _follows(data: dict[str, Any]) -> str:
    longest = data["follows_ms_max"]
    return "" if longest is None else f"; replicas followed within {longest:.0f} ms"


def verdict(report: Report) -> str:
    """The closing sentence."""
    data = report.data()["summary"]
    if not report.rounds:
        return f"{report.scenario}: no round was played."
    times = data["outage_ms"]
    rounds = len(report.rounds)
    stopped = (
        f"writes stopped for {times['max']:.0f} ms"
        if rounds == 1
        else f"writes stopped for {times['median']:.0f} ms (median of {rounds} rounds,"
        f" at most {times['max']:.0f} ms)"
    )
    facts = (
        f"{data['acknowledged_lost']} of {data['acknowledged']} acknowledged transactions lost,"
        f" {data['duplicated']} duplicated, {data['overlapping']} overlapping,"
        f" {data['stale_reads']} of {data['reads']} reads stale{_errant(data)}"
        f"{_conflicts(data)}{_undone(data)}{_follows(data)}"
    )
    if report.good:
        return (
            f"{report.scenario}: passed. {stopped}; {facts}; {_who(report)} equal and whole again."
        )
    bad = sum(not one.good for one in report.rounds)
    return f"{report.scenario}: FAILED in {bad} of {rounds} rounds. {stopped}; {facts}."
