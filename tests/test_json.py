"""Every command that reads has --json, and docs/json.md names the fields that it has."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from myha.cli import api, drill, quarantine, sandbox, status
from myha.cli.main import cli
from myha.conflicts.watch import Watch
from myha.core.planning import decide
from myha.core.record import Record, Sync, member
from myha.drill.runs import Change, Comparison, Played, Run
from myha.operations.divergence.look import Divergence
from myha.operations.quarantine.incidents import Incident
from myha.operations.verify.report import RowDifference, TableReport, VerifyReport
from myha.sandbox.cluster import ProcessStatus
from myha.stores.contents import Contents
from myha.supervisor.overview import PairLine
from myha.supervisor.status_builder import build_status
from tests.core.views import view

JSON_DOCS = (Path(__file__).parent.parent / "docs" / "json.md").read_text()
# They change something, start something, or print what is made for another program.
NOT_READING = {
    *("init", "setup", "release", "run", "reload", "switchover", "failover", "fence", "unfence"),
    *("heal", "maintenance", "repair", "notify test", "store export", "store import", "store move"),
    *("quarantine export", "quarantine prune", "quarantine replay", "api token add"),
    *("api token remove", "balancer await-script", "balancer check-script", "balancer render"),
    *("sandbox down", "sandbox exec", "sandbox fetch", "sandbox heal", "sandbox up"),
    *("check", "completion", "simulate"),
}
SECTIONS = {
    part.split("`", 1)[0].removeprefix("myha "): part for part in JSON_DOCS.split("\n### `")[1:]
}


def commands(group: click.Group, words: tuple[str, ...] = ()) -> Iterator[tuple[str, set[str]]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        opts = {one for p in command.params for one in p.opts}
        if isinstance(command, click.Group) and "--json" in opts:  # it does something by itself
            yield " ".join((*words, name)), opts
        if isinstance(command, click.Group):
            yield from commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), opts


COMMANDS = dict(commands(cli))


def test_every_command_that_reads_has_it_and_a_section() -> None:
    reading = {name for name in COMMANDS if name not in NOT_READING}
    assert {name for name in reading if "--json" not in COMMANDS[name]} == set()
    assert {name for name in reading if name not in SECTIONS} == set()
    assert set(SECTIONS) <= COMMANDS.keys()


def documented(name: str) -> set[str]:
    """The fields of a command: what stands in the first column of its table."""
    rows = re.findall(r"^\| (`.*?`) \|", SECTIONS[name], re.M)
    return {word for row in rows for word in re.findall(r"`(\w+)`", row)}


def keys_in(function: Any) -> set[str]:
    """The keys of the dictionary that a function returns, from its text."""
    returned = inspect.getsource(function).rpartition("return {")[2]
    return set(re.findall(r'^\s+"(\w+)":', returned, re.M))


def in_words(name: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", SECTIONS[name]))


def test_of_many_pairs() -> None:
    assert documented("status") == set(PairLine.model_fields)


def test_of_a_comparison() -> None:
    made = VerifyReport("a", "b", (), (), (), 1.0).as_json()
    assert documented("verify") == set(made)
    inner = {one.name for kind in (TableReport, RowDifference) for one in fields(kind)}
    assert inner <= in_words("verify")


def test_of_a_divergence() -> None:
    assert documented("divergence show") == keys_in(Divergence.as_json)
    inner = keys_in(Divergence._transactions) | {"set", "count", "on_its_way"}
    assert inner <= in_words("divergence show")


def test_of_conflicts() -> None:
    assert documented("conflicts watch") == keys_in(Watch.metrics)


def test_of_the_quarantine() -> None:
    line = quarantine._line(Incident(Path("none"), {}), {})
    assert documented("quarantine list") == set(line)


def test_of_the_store() -> None:
    nodes = (("a", member("1")), ("b", member("2")))
    made = Contents(Record(1, 1, "a", Sync.SOLO, nodes), {}).as_json()
    assert documented("store show") == set(made)
    named = set(re.findall(r"`(\w+)`", SECTIONS["store show"].split("of the pair: ")[1]))
    assert {"version", "epoch", "writer", "sync", "nodes", "maintenance"} <= named & set(
        made["record"]
    )


def test_of_a_sandbox() -> None:
    assert documented("sandbox status") == keys_in(sandbox._data)
    assert {one.name for one in fields(ProcessStatus)} <= in_words("sandbox status")


def test_of_tokens_and_drills() -> None:
    text = inspect.getsource(api)
    assert {"name", "role", "made_at"} == set(re.findall(r'"(\w+)": one\.', text))
    assert {"name", "role", "made_at"} <= in_words("api token list")
    assert '"reports"' in inspect.getsource(drill)


def test_of_the_drills_that_were_played() -> None:
    assert documented("drill history list") == {one.name for one in fields(Run)}
    assert {one.name for one in fields(Played)} <= in_words("drill history list")
    played = Played("crash", "mysql", "9", "m", "d", 1, 1, True, 1, 0, 1.0, 1.0, 1.0, {})
    made = Comparison(played.kind, played, None, ()).data()
    inner = {*made, *(one.name for one in fields(Change))}
    assert inner <= in_words("drill history compare")
    assert documented("drill history compare") == {"before", "after", "compared"}


def test_of_an_explanation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = build_status("main", view(), decide(view()), None)
    away = seen.model_copy(update={"supervisor": "none"})
    monkeypatch.setattr(status, "status_of", lambda _config: away)
    monkeypatch.setattr(status, "pair_config", lambda _ctx: None)
    done = CliRunner().invoke(cli, ["explain", "--json"])
    assert done.exit_code == 0, done.output
    assert documented("explain") == set(json.loads(done.output))
