"""`myha doctor`: checks a whole installation, and says what to mend first."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext

import click
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from myha.cli.options import json_option
from myha.cli.pairs import of_a_pair, pair_config
from myha.config import Config
from myha.core.record import Record
from myha.operations.doctor.findings import Finding, Report, Severity, Unseen
from myha.operations.doctor.run import examine
from myha.operations.setup.remarks import Remark

SECONDS = 20.0
STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.HINT: "cyan"}
INDENT = 2


@click.command()
@click.option(
    "--timeout",
    type=click.FloatRange(1, 600),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="What has not answered by then is left out, and said to be.",
)
@json_option
@of_a_pair
@click.pass_context
def doctor(ctx: click.Context, *, timeout: float, as_json: bool) -> None:
    """Check a whole installation, and say what to mend first.

    Servers, accounts, settings, replication, balancers, clocks, disks, files: what is wrong, what
    follows from that, and the command that mends it, the gravest first. Changes nothing, and needs
    no supervisor. Exit status 0: nothing but hints; 1: warnings, or something could not be looked
    at; 2: errors.
    """
    config = pair_config(ctx)
    wait = Console(stderr=True)
    said = f"looking at {', '.join((*config.servers, *config.balancers))}"
    with wait.status(said) if wait.is_terminal else nullcontext():
        found = examine(config, _pair, timeout)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        print_findings(found, Console(highlight=False, soft_wrap=False))
    ctx.exit(found.exit_status)


def _pair(config: Config, record: Record | None) -> Iterator[Remark]:
    from myha.cli.doctor_pair import of_pair  # noqa: PLC0415  # brings every adapter with it

    if record is not None:
        yield from of_pair(config, record)


def print_findings(found: Report, console: Console) -> None:
    """For people: at any width, and without colours where there are none."""
    if not console.is_terminal:
        console.width = 10_000  # whoever reads it by program wants a sentence on one line
    with console.capture() as captured:
        _print(found, console)
    text = captured.get()
    console.file.write(text)
    if console.is_terminal and text.count("\n") >= console.height:
        console.print()  # what matters most has left the screen by now
        console.print(_summary(found).append("; the gravest first, above"))


def _print(found: Report, console: Console) -> None:
    console.print(_summary(found))
    for one in found.findings:
        console.print()
        console.print(_head(one))
        lines = [f"{_sentence(one.follows)}"] if one.follows else []
        lines += [f"-> {one.mend}"] if one.mend else []
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, INDENT), expand=False))
    if found.unseen:
        console.print()
        console.print(Text("Could not be looked at:", style="bold"))
    for missed in found.unseen:
        console.print(Padding(Text(unseen_line(missed)), (0, 0, 0, INDENT), expand=False))


def _summary(found: Report) -> Text:
    counts = (
        (found.errors, "error", STYLES[Severity.ERROR]),
        (found.warnings, "warning", STYLES[Severity.WARNING]),
        (found.hints, "hint", STYLES[Severity.HINT]),
    )
    said = [
        Text(f"{count} {word}{'' if count == 1 else 's'}", style=style)
        for count, word, style in counts
        if count
    ]
    if found.unseen:
        said.append(Text(f"{len(found.unseen)} not looked at"))
    whole = Text(", ").join(said) if said else Text("nothing is wrong", style="bold green")
    return Text.assemble((f"{found.pair}: ", "bold"), whole)


def _head(one: Finding) -> Text:
    return Text.assemble(
        (one.severity.value.upper(), STYLES[one.severity]), f" {one.about}: {one.wrong}"
    )


def _sentence(clause: str) -> str:
    return f"{clause if clause.startswith('myha') else clause[:1].upper() + clause[1:]}."


def unseen_line(missed: Unseen) -> str:
    return f"{missed.about}: {missed.what}: {missed.why}"
