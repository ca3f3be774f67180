"""`myha events`: the journal, all of it or what is asked for."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime

import click

from myha.cli.options import json_lines_option
from myha.cli.pairs import of_a_pair, pair_config
from myha.config import Config
from myha.core.events import ALL, Selector, Wanted
from myha.core.journal_line import Line
from myha.core.severity import Severity
from myha.errors import SupervisorAwayError
from myha.stores.local.journal import read_journal
from myha.supervisor.client import Client

FOLLOW_SECONDS = 0.5
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def selectors(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> tuple[Selector, ...]:
    """Of an option that takes `KIND` or `KIND:SUBJECT`."""
    try:
        return tuple(Selector.of(one) for one in values)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def moment(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """Seconds since the epoch, from `2h` (ago) or `2026-07-01T12:00` (local time)."""
    ago = _AGO.fullmatch(value)
    if ago:
        return time.time() - float(ago[1]) * _UNIT_SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(value).timestamp() if value else 0.0
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is no time: write 90s, 15m, 2h, 3d or 2026-07-01T12:00"
        ) from None


@click.command()
@click.option(
    "-n",
    "limit",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Show this many events, the latest.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    callback=selectors,
    metavar="KIND[:SUBJECT]",
    help="Only events of this kind, like plan:failover; may be given several times.",
)
@click.option(
    "--severity",
    type=click.Choice([str(one) for one in Severity]),
    default=str(Severity.INFO),
    help="Only events that are at least so severe.",
)
@click.option(
    "--since",
    callback=moment,
    default="",
    show_default="the beginning",
    metavar="TIME",
    help="Only events since then: 90s, 15m, 2h or 3d ago, or a time like 2026-07-01T12:00.",
)
@click.option("--follow", "-f", is_flag=True, help="Keep showing new events until Ctrl-C.")
@json_lines_option
@of_a_pair
@click.pass_context
def events(
    ctx: click.Context,
    *,
    limit: int,
    kinds: tuple[Selector, ...],
    severity: str,
    since: float,
    follow: bool,
    as_json: bool,
) -> None:
    """Show the journal: verdicts, plans, steps, refusals, requests.

    Without a supervisor it is read from the state directory.
    """
    config = pair_config(ctx)
    wanted = Wanted(kinds, Severity(severity), since)
    last = 0
    while True:
        for event in read_events(config, limit, last, wanted):
            click.echo(json.dumps(event.as_json()) if as_json else line_of(event))
            last = event.id
        if not follow:
            return
        time.sleep(FOLLOW_SECONDS)


def read_events(config: Config, limit: int, after: int, wanted: Wanted = ALL) -> list[Line]:
    """The journal's latest, of the supervisor or from its file; oldest first."""
    try:
        return Client(config).events(limit, after, wanted)
    except SupervisorAwayError:
        return read_journal(config.cluster.state_dir, limit, after, wanted)


def line_of(event: Line) -> str:
    """One event of the journal for people."""
    stamp = datetime.fromtimestamp(event.wall, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    took = "" if event.took_ms is None else f" ({event.took_ms} ms)"
    return f"{stamp}Z {event.kind:<14} {event.text}{took}"
