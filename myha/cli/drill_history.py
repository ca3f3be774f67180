"""`myha drill history`: the drills that this user has played, and two of them compared."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from myha.cli.options import json_lines_option
from myha.drill import runs
from myha.drill.runs import Comparison, Run

STYLES = {"slower": "yellow", "faster": "green", "broken": "bold red", "mended": "bold green"}


@click.group()
def history() -> None:
    """The drills that were played: a short note of each is kept."""


@history.command("list")
@click.option(
    "-n",
    "limit",
    type=click.IntRange(1, runs.RUNS_KEPT),
    default=20,
    show_default=True,
    help="So many, the latest.",
)
@click.option("--scenario", metavar="NAME", help="Only runs that have played this scenario.")
@json_lines_option
def list_runs(limit: int, scenario: str | None, as_json: bool) -> None:
    """List the runs, the latest last."""
    found = [
        one
        for one in runs.runs()
        if scenario is None or any(scenario == played.scenario for played in one.played)
    ][-limit:]
    if as_json:
        for one in found:
            click.echo(json.dumps(one.data()))
        return
    if not found:
        click.echo("no drill has been played yet", err=True)
        return
    _console().print(_list(found))


def _list(found: list[Run]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("run", "when (UTC)", "scenario", "flavour", "mode", "durability"):
        table.add_column(name, justify="right" if name == "run" else "left", no_wrap=True)
    for name in ("rounds", "stopped ms", "at most", "lost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for one in found:
        when = datetime.fromtimestamp(one.wall, UTC).strftime("%Y-%m-%d %H:%M")
        for number, it in enumerate(one.played):
            table.add_row(
                "" if number else str(one.id),
                "" if number else when,
                it.scenario,
                it.flavour,
                it.mode,
                it.durability,
                str(it.rounds),
                f"{it.outage_ms_median:.0f}",
                f"{it.outage_ms_max:.0f}",
                str(it.lost),
                Text("passed", "green") if it.good else Text("FAILED", "bold red"),
            )
    return table


@history.command("compare")
@click.argument("before")
@click.argument("after", default="last")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def compare(before: str, after: str, as_json: bool) -> None:
    """Compare the medians of two runs.

    BEFORE and AFTER are numbers of runs, `last`, or files that `myha drill --json` wrote. A time
    has changed when it differs by more than a quarter and by more than 20 ms; less is noise.
    """
    old, new = runs.find(before), runs.find(after)
    found = runs.compare(old, new)
    if as_json:
        document = {"before": old.data(), "after": new.data()}
        click.echo(json.dumps(document | {"compared": [one.data() for one in found]}, indent=1))
        return
    console = _console()
    for one in found:
        console.print(_compared(one, _name(old), _name(new)))


def _compared(one: Comparison, before: str, after: str) -> Table | Text:
    scenario, *kind = one.kind
    title = f"{scenario} ({', '.join(kind)})"
    if one.before is None or one.after is None:
        where = after if one.before is None else before
        return Text(f"{title}: played in {where} alone")
    what = f"{title}: {one.change}" if one.change else title
    table = Table(title=Text(what, STYLES.get(one.change, "bold")), title_justify="left", box=None)
    table.add_column("median ms (of rounds)")
    for name, played in ((before, one.before), (after, one.after)):
        table.add_column(f"{name} ({played.rounds})", justify="right")
    table.add_column("")
    for time in one.times:
        table.add_row(
            time.name.replace("_", " "),
            *("-" if ms is None else f"{ms:.0f}" for ms in (time.before_ms, time.after_ms)),
            Text(time.change, STYLES.get(time.change, "")),
        )
    words = ["passed" if it.good else "FAILED" for it in (one.before, one.after)]
    table.add_row("judge", *words, Text("" if words[0] == words[1] else one.change))
    return table


def _name(run: Run) -> str:
    return f"run {run.id}" if run.id else run.where


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=120)
