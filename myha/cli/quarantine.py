"""Commands for what heals have taken out of the live data: list, show, export, replay, prune."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from myha.cli.options import json_option
from myha.cli.pairs import of_a_pair, pair_config
from myha.config import Config
from myha.database.connection import Connect
from myha.errors import MyhaError
from myha.operations.heal.work import admin_account
from myha.operations.log_in import connector
from myha.operations.quarantine.incidents import (
    Incident,
    IncidentRow,
    export,
    find,
    incidents,
    row_of,
)
from myha.operations.quarantine.replay import ReplayReport, replay, replayed
from myha.operations.quarantine.retention import (
    Limits,
    described,
    is_seen,
    kept_incidents,
    mark_seen,
    remove,
    require_no_heal,
    to_remove,
)
from myha.operations.terminal import TerminalReporter
from myha.servers.factory import adapter_of
from myha.stores.factory import require_record
from myha.undo.quarantine import FOLDER as QUARANTINE_FOLDER

ROWS_SHOWN = 200


@click.group()
def quarantine() -> None:
    """What heals took out of the live data, and how to replay it."""


def _root(config: Config) -> Path:
    return config.cluster.state_dir / QUARANTINE_FOLDER


# -- list ------------------------------------------------------------------------------------------


@quarantine.command(name="list")
@json_option
@of_a_pair
@click.pass_context
def list_(ctx: click.Context, *, as_json: bool) -> None:
    """List all incidents. Exit status 1 when files of one are missing or damaged."""
    config = pair_config(ctx)
    found = incidents(_root(config))
    on_writer, why_unknown = _applied(config) if found else ({}, "")
    lines = [_line(one, on_writer) for one in found]
    if as_json:
        click.echo(json.dumps(lines, indent=2))
    elif lines:
        Console().print(_list_table(lines))
        if why_unknown:
            click.echo(f"cannot tell what has been applied so far: {why_unknown}")
    else:
        click.echo(f"nothing is in quarantine in {_root(config)}")
    ctx.exit(1 if any(one["problem"] for one in lines) else 0)


def _applied(config: Config) -> tuple[dict[str, int] | None, str]:
    """How many of each incident the writer has from replays, or why that is not known."""
    try:
        name = require_record(config).writer
        account = config.accounts.supervisor()
        return dict(replayed(connector(config, name, account), adapter_of(config).flavour)), ""
    except MyhaError as error:
        return None, str(error)


def _line(one: Incident, on_writer: dict[str, int] | None) -> dict[str, Any]:
    applied = None if on_writer is None else on_writer.get(one.id, 0) + len(one.merged)
    own = {"seen": is_seen(one), "applied": applied, "problem": one.problem()}
    return {**one.outline(), **own}


def _list_table(lines: Iterable[dict[str, Any]]) -> Table:
    table = Table(box=SIMPLE, pad_edge=False)
    for name in ("incident", "when (UTC)", "node", "why"):
        table.add_column(name, overflow="fold")
    for name in ("transactions", "rows", "applied"):
        table.add_column(name, justify="right")
    table.add_column("seen")
    table.add_column("checksum")
    for one in lines:
        problem = Text("wrong", style="bold red") if one["problem"] else Text("ok")
        table.add_row(
            one["id"],
            str(one["at"])[:19].replace("T", " "),
            one["node"],
            one["why"],
            f"{one['transactions']:,}",
            f"{one['rows']:,}",
            "?" if one["applied"] is None else f"{one['applied']:,}",
            "yes" if one["seen"] else "no",
            problem,
        )
    return table


# -- show, export ----------------------------------------------------------------------------------


@quarantine.command()
@click.argument("incident_id", metavar="ID")
@click.option("--all", "every", is_flag=True, help=f"All rows, not only the first {ROWS_SHOWN}.")
@json_option
@of_a_pair
@click.pass_context
def show(ctx: click.Context, *, incident_id: str, every: bool, as_json: bool) -> None:
    """Show the transactions and rows of incident ID (part of an id will do, if it is unique)."""
    config = pair_config(ctx)
    one = find(_root(config), incident_id)
    problem = one.problem()
    limit = None if every else ROWS_SHOWN
    rows = islice(one.row_lines(), limit)
    if as_json:
        click.echo(json.dumps({**one.summary, "problem": problem, "shown_rows": list(rows)}))
    else:
        for line in _shown(one, map(row_of, rows)):
            click.echo(line)
        if limit is not None and one.rows > limit:
            click.echo(f"... {one.rows - limit} rows more; --all shows them")
        click.echo(f"files: {one.path}")
    mark_seen(one, "show")
    if problem and not as_json:
        raise MyhaError(problem)
    ctx.exit(1 if problem else 0)


def _shown(one: Incident, rows: Iterable[IncidentRow]) -> Iterable[str]:
    about = ", ".join(f"{key} {value}" for key, value in one.about.items() if str(value))
    yield f"{one.id}: {len(one.transactions)} transactions, {one.rows} rows, {one.at}"
    yield about
    lines = iter(rows)
    row = next(lines, None)
    for transaction in one.transactions:
        gtid = str(transaction["gtid"])
        counts = ", ".join(
            f"{name}: " + ", ".join(f"{n} {what}" for what, n in _counts(changed))
            for name, changed in transaction.get("tables", {}).items()
        )
        merged = " (merged)" if gtid in one.merged else ""
        yield f"\n{gtid}{merged}  {transaction['at']}  {counts or 'no rows; see readable.sql'}"
        while row is not None and row.gtid == gtid:
            yield f"  {_row_line(row)}"
            row = next(lines, None)
    while row is not None:  # of a repair: rows without transactions
        yield f"  {_row_line(row)}"
        row = next(lines, None)


def _counts(changed: dict[str, Any]) -> Iterable[tuple[str, int]]:
    return [(what, changed[what]) for what in ("inserted", "updated", "deleted") if changed[what]]


def _row_line(row: IncidentRow) -> str:
    old, new = row.before, row.after
    if old is None or new is None:
        return f"{row.table} {row.change} {_values(new if old is None else old)}"
    if isinstance(old, dict) and isinstance(new, dict):
        new = {name: value for name, value in new.items() if old.get(name) != value}
    return f"{row.table} update {_values(old)} to {_values(new)}"


def _values(values: Any) -> str:
    if isinstance(values, dict):
        return ", ".join(
            f"{name}={json.dumps(v, ensure_ascii=False)}" for name, v in values.items()
        )
    return f"0x{values}" if isinstance(values, str) else str(values)


@quarantine.command(name="export")
@click.argument("incident_id", metavar="ID")
@click.option(
    "--to",
    "target",
    metavar="FILE",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The .tar.gz file to write.",
)
@of_a_pair
@click.pass_context
def export_(ctx: click.Context, *, incident_id: str, target: Path) -> None:
    """Pack incident ID with its checksums into one file. It holds your users' data."""
    one = find(_root(pair_config(ctx)), incident_id)
    export(one, target)
    mark_seen(one, "export")
    click.echo(f"{one.id} is in {target}")


# -- prune -----------------------------------------------------------------------------------------


@quarantine.command()
@click.option(
    "--older-than",
    "days",
    metavar="DAYS",
    required=True,
    type=click.FloatRange(min=0),
    help="Incidents that were written more than so many days ago.",
)
@click.option("--unseen", is_flag=True, help="Those too that nobody has looked at.")
@click.option("--apply", "really", is_flag=True, help="Remove them. Without it nothing is removed.")
@of_a_pair
@click.pass_context
def prune(ctx: click.Context, *, days: float, unseen: bool, really: bool) -> None:
    """Remove old incidents for good, if somebody has looked at them; a dry run unless --apply.

    Looked at means that show, export or replay was run on it.
    """
    config = pair_config(ctx)
    root = _root(config)
    everything, now = kept_incidents(root), time.time()
    going = to_remove(everything, Limits(days, unseen=unseen), now)
    if really and going:
        require_no_heal(config)
        remove(root, going)
    verb = "removed" if really else "would remove"
    click.echo(f"{verb} {described(going)}" if going else "nothing to remove")
    left = [one for one in to_remove(everything, Limits(days, unseen=True), now) if not one.seen]
    if left and not unseen:
        click.echo(f"{len(left)} more are as old, and nobody has looked at them: --unseen")
    if going and not really:
        click.echo("nothing was changed: this was a dry run; add --apply to remove them")


# -- replay ----------------------------------------------------------------------------------------


@quarantine.command(name="replay")
@click.argument("incident_id", metavar="ID")
@click.option(
    "--apply", "really", is_flag=True, help="Keep the result. Without it all is rolled back."
)
@click.option("--skip-conflicts", is_flag=True, help="Go on after a transaction that conflicts.")
@click.option("--only", metavar="GTID", multiple=True, help="Only this transaction. Repeatable.")
@of_a_pair
@click.pass_context
def replay_(
    ctx: click.Context,
    *,
    incident_id: str,
    really: bool,
    skip_conflicts: bool,
    only: tuple[str, ...],
) -> None:
    """Replay the transactions of incident ID on the writer; each row is checked first.

    A dry run unless --apply. The server itself records what was applied, so no transaction is
    applied twice. Exit status 1 when there are conflicts.
    """
    config = pair_config(ctx)
    one = find(_root(config), incident_id)
    flavour = adapter_of(config).flavour
    name = require_record(config).writer
    with TerminalReporter() as reporter:
        report = replay(
            _best_connector(config, name),
            flavour,
            one,
            reporter,
            apply=really,
            skip_conflicts=skip_conflicts,
            only=only,
            before_each=_still(config, name),
        )
    mark_seen(one, "replay")
    _show_replay(report, name)
    ctx.exit(0 if report.complete else 1)


def _show_replay(report: ReplayReport, name: str) -> None:
    for conflict in report.conflicts:
        click.echo(f"conflict: {conflict.gtid}: {conflict.reason}")
    click.echo(f"{report} on {name}")
    if report.dry_run and report.applied:
        click.echo("nothing was changed: this was a dry run; add --apply to keep the result")
    if report.not_tried:
        click.echo("--skip-conflicts goes on after a conflict, --only GTID picks one")


def _still(config: Config, name: str) -> Callable[[], None]:
    def check() -> None:
        now = require_record(config).writer
        if now != name:
            raise MyhaError(f"{now} is the writer now, not {name}: run it again")

    return check


def _best_connector(config: Config, name: str) -> Connect:
    """The administrator's where its password is at hand, else the supervisor's."""
    account = admin_account(config) or config.accounts.supervisor()
    return connector(config, name, account)
