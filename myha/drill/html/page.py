"""The page: what a drill has found, for people, from its reports alone."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from myha import __version__
from myha.drill.html import charts, svg
from myha.drill.html.charts import Marks
from myha.drill.html.pair import pair
from myha.drill.report import Report, RoundResult, long_waits, phase_spread, verdict

ROUNDS_OPEN = 4  # with more of them only those that failed are open, and the longest


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the judge has looked at."""

    good: bool
    what: str
    found: str


def page(reports: Sequence[Report], now: float) -> str:
    """The whole file; `now` in seconds since the epoch. Raises nothing: it shows what there is."""
    environment = Environment(
        loader=PackageLoader("myha.drill.html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (
        environment.loader.get_source(environment, "report.css")[0] if environment.loader else ""
    )
    return environment.get_template("report.html.j2").render(
        style=Markup(style),  # our own file
        reports=[_report(one) for one in reports],
        good=all(one.good for one in reports),
        title=", ".join(dict.fromkeys(one.scenario for one in reports)),
        when=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        machine=f"{platform.system()} {platform.release()}, {os.cpu_count()} cores",
        version=__version__,
        span=svg.span,
    )


def _report(report: Report) -> dict[str, Any]:
    summary = report.data()["summary"]
    outages = [one.outage_ms for one in report.rounds]
    longest = max(report.rounds, key=lambda one: one.outage_ms, default=None)
    return {
        "it": report,
        "verdict": _sentence(verdict(report)),
        "summary": summary,
        "outages": charts.outages(outages) if len(outages) > 1 else "",
        "spread": phase_spread(report) if len(outages) > 1 else {},
        "command": _command(report),
        "rounds": [
            _round(report, one, number, is_open=_is_open(report, one, longest))
            for number, one in enumerate(report.rounds, 1)
        ],
    }


def _sentence(verdict: str) -> str:
    """Without the name and `passed`, which are said beside it."""
    said = verdict.partition(": ")[2].removeprefix("passed. ")
    return said[:1].upper() + said[1:]


def _is_open(report: Report, one: RoundResult, longest: RoundResult | None) -> bool:
    return len(report.rounds) <= ROUNDS_OPEN or not one.good or one is longest


def _command(report: Report) -> str:
    """What plays it again."""
    words = [
        f"myha drill {report.scenario} --flavour {report.flavour} --mode {report.mode}",
        f"--durability {report.durability} --rounds {len(report.rounds)} --seed {report.seed}",
    ]
    return " ".join(words) + (f" --clients {report.clients}" if report.clients else "")


def _round(report: Report, one: RoundResult, number: int, *, is_open: bool) -> dict[str, Any]:
    marks = Marks(one.gap_began_ms, one.gap_began_ms + one.outage_ms, one.phases_ms)
    picture = one.picture
    drawn: dict[str, Any] = {}
    if picture is not None:
        drawn = {
            "rate": charts.rate(picture.near, marks),
            "latency": charts.latency(picture.near, marks),
            "lanes": charts.lanes(picture.near, marks),
            "whole": charts.rate(picture.whole, marks, charts.WHOLE_HEIGHT),
            "before": pair(picture.before, "The pair before the fault") if picture.before else "",
            "after": pair(picture.after, "The pair at the end") if picture.after else "",
            "epochs": (
                picture.before.epoch if picture.before else None,
                picture.after.epoch if picture.after else None,
            ),
            "story": picture.story,
        }
    return {
        "it": one,
        "number": number,
        "open": is_open,
        "checks": checks(report, one),
        "waits": long_waits(one),
        "phases": charts.phases(marks),
        **drawn,
    }


def checks(report: Report, one: RoundResult) -> list[Check]:
    """What the judge has looked at, and found."""
    there = one.acknowledged - one.acknowledged_lost
    found = [
        Check(
            not one.acknowledged_lost,
            "every acknowledged transaction is there",
            f"{there:,} of {one.acknowledged:,}",
        ),
        Check(not one.duplicated, "none is there twice", f"{one.duplicated:,} twice"),
        Check(
            not one.overlapping,
            "one node acknowledged at a time",
            f"{one.overlapping:,} overlap",
        ),
        Check(
            not one.stale_reads,
            "no read of the past",
            f"{one.stale_reads:,} of {one.reads:,} stale",
        ),
        Check(one.converged, "the servers have the same rows", "equal" if one.converged else "no"),
        Check(
            one.whole_ms is not None,
            "the pair is whole again",
            "never" if one.whole_ms is None else f"after {svg.span(one.whole_ms)}",
        ),
    ]
    if one.errant:
        kept = one.errant - one.destroyed
        what = "what was written where it should not is kept"
        found.append(Check(not one.destroyed, what, f"{kept:,} of {one.errant:,}"))
    if report.mode == "dual-writer":  # each node takes writes: there is nothing to overlap
        found = [check for check in found if check.what != "one node acknowledged at a time"]
    return found
