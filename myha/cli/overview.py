"""`myha status` of many pairs: a line for each, the worst first."""

from __future__ import annotations

import json

import click
from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from myha.cli import live
from myha.config import ProcessConfig
from myha.errors import MyhaError, SupervisorAwayError
from myha.stores.factory import read_record
from myha.supervisor.client import ask
from myha.supervisor.control import socket_path
from myha.supervisor.overview import PairLine, away, worst_first


def lines_of(config: ProcessConfig, *, announce: bool = True) -> list[PairLine]:
    """What the supervisor says of each pair; where none answers, what is on record.

    With `announce` that there was no answer is said at once. Raises MyhaError when it cannot be
    asked.
    """
    try:
        answer = ask(socket_path(config.supervisor.state_dir), {"do": "overview"})
    except SupervisorAwayError as error:
        if announce:
            click.echo(f"myha: {error}", err=True)
        return worst_first(_on_record(config, str(error)))
    if not answer.get("ok"):
        raise MyhaError(str(answer.get("text")))
    return [PairLine.model_validate(one) for one in answer["pairs"]]


def _on_record(config: ProcessConfig, why: str) -> list[PairLine]:
    lines = []
    for name, one in config.pairs.items():
        try:
            record = read_record(one)
        except MyhaError as error:
            lines.append(away(name, str(error)))
            continue
        if record is None:
            line = away(name, why)
            sentence = f"there is no record: run `myha setup{one.option}`"
        else:
            line = away(name, why, writer=record.writer, epoch=record.epoch, sync=record.sync)
            sentence = "as on record; nobody looks after it"
        lines.append(line.model_copy(update={"sentence": sentence}))
    return lines


def print_overview(config: ProcessConfig, *, as_json: bool, watch: bool) -> bool:
    """Whether all are healthy."""
    if watch and not as_json:
        live.watch(
            Console(),
            lambda: lines_of(config, announce=False),
            lambda lines, _console, _height: picture(lines),
            lambda lines: lines,
        )
        return True
    lines = lines_of(config)
    if as_json:
        shown = [line.model_dump(mode="json") for line in lines]
        click.echo(json.dumps({"pairs": shown}, indent=2))
    else:
        Console().print(picture(lines))
    return all(line.healthy for line in lines)


def picture(lines: list[PairLine]) -> RenderableType:
    """A table, and how many are not healthy."""
    table = Table("pair", "verdict", "writer", "epoch", "", "what", box=SIMPLE)
    for line in lines:
        style = "green" if line.healthy else "yellow"
        what = f"under way: {line.running}" if line.running else line.sentence
        table.add_row(
            Text(line.name, style="bold"),
            Text(line.verdict, style=style),
            line.writer or "",
            "" if line.epoch is None else str(line.epoch),
            line.sync or "",
            Text("" if line.healthy and not line.running else what),
        )
    ill = sum(not line.healthy for line in lines)
    head = f"{len(lines)} pairs, " + (f"{ill} not healthy" if ill else "all healthy")
    changed = [line.name for line in lines if line.config_changed]
    notes = [Text(f"changed on disk: {', '.join(changed)}; `myha reload` has them use the new one")]
    return Group(Text(head, style="bold"), table, *(notes if changed else []))
