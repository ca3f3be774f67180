"""Commands that compare the rows of the two nodes, and make differing ones equal."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click
from rich.console import Console

from myha.cli.completion import pair_nodes
from myha.cli.interrupted import INTERRUPTED_STATUS
from myha.cli.options import json_option
from myha.cli.pairs import of_a_pair, pair_config
from myha.errors import ConfigError
from myha.hosts.signals import handled
from myha.hosts.user import user_name
from myha.operations.terminal import TerminalReporter
from myha.operations.verify.job import throttle_of, verify_pair
from myha.operations.verify.nodes import administered
from myha.operations.verify.repair import Repair, RepairPlan
from myha.operations.verify.report import difference_lines
from myha.operations.verify.state import only_one
from myha.operations.verify.tables import split_names
from myha.permit import CancelledError
from myha.undo.quarantine import FOLDER as QUARANTINE_FOLDER

ROWS_SHOWN = 50

_tables = click.option(
    "--tables", metavar="DB.TABLE,...", help="Only these tables. Default: all user tables."
)
_throttle = click.option(
    "--throttle",
    type=click.FloatRange(1, 100),
    metavar="PERCENT",
    help="Keep the session on each node busy for at most this percentage of the time. "
    "Default: verify.busy_percent.",
)


@contextmanager
def _stoppable(reporter: TerminalReporter) -> Iterator[None]:
    """The first Ctrl-C asks for an orderly end, a second one ends at once."""

    def stop(number: int, _frame: FrameType | None) -> None:
        if reporter.permit.refusal():
            raise KeyboardInterrupt
        reporter.permit.withdraw(f"by {signal.Signals(number).name}")

    with handled((signal.SIGINT, signal.SIGTERM), stop), reporter:
        yield


@click.command()
@_tables
@_throttle
@click.option("--restart", is_flag=True, help="Start over, even if a run was stopped half way.")
@json_option
@of_a_pair
@click.pass_context
def verify(
    ctx: click.Context,
    *,
    tables: str | None,
    throttle: float | None,
    restart: bool,
    as_json: bool,
) -> None:
    """Compare the rows of the two nodes while both serve traffic.

    Exit status 0 when nothing differs, 1 when something does, 130 when it was stopped: the next
    run then continues where this one stopped.
    """
    config = pair_config(ctx)
    only = split_names(tables) if tables is not None else None
    reporter = TerminalReporter(Console(stderr=True))
    try:
        with _stoppable(reporter):
            report = verify_pair(
                config, reporter, tables=only, busy_percent=throttle, restart=restart
            )
    except CancelledError as error:
        click.echo(f"myha: {error}", err=True)
        ctx.exit(INTERRUPTED_STATUS)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1))
    else:
        for line in report.lines():
            click.echo(line)
    ctx.exit(0 if report.equal else 1)


@click.command()
@click.option(
    "--from",
    "source",
    metavar="NODE",
    required=True,
    shell_complete=pair_nodes,
    help="The node whose rows are right.",
)
@_tables
@_throttle
@click.option("--apply", is_flag=True, help="Make the changes, after showing them and asking.")
@click.option("--yes", is_flag=True, help="With --apply: do not ask.")
@of_a_pair
@click.pass_context
def repair(
    ctx: click.Context,
    *,
    source: str,
    tables: str | None,
    throttle: float | None,
    apply: bool,
    yes: bool,
) -> None:
    """Make the other node's rows equal to NODE's where they differ.

    Compares the nodes and shows each row that would be updated, inserted or deleted. With --apply
    it saves the old rows to quarantine and then makes the changes. Uses accounts.admin_user.
    """
    config = pair_config(ctx)
    only = split_names(tables) if tables is not None else None
    if source not in config.nodes:
        raise ConfigError(f"--from {source!r} is not a node; choose {' or '.join(config.nodes)}")
    if apply and not yes and not sys.stdin.isatty():
        raise ConfigError("repair asks before it changes anything: add --yes, or leave out --apply")
    reporter = TerminalReporter(Console(stderr=True))
    pair = administered(config)
    try:
        with (
            only_one(config.cluster.state_dir),
            Repair(
                pair.connect(pair.writer),
                pair.connect(pair.standby),
                pair.flavour,
                names=(pair.writer, pair.standby),
                source=source,
                reporter=reporter,
                both_ways=pair.both_ways,
                throttle=throttle_of(config, throttle),
            ) as one,
        ):
            with _stoppable(reporter):
                plan = one.plan(only)
            _show(plan)
            if not plan.changes or not _agreed(plan, apply=apply, yes=yes):
                ctx.exit(0 if plan.report.equal else 1)
            with _stoppable(reporter):
                report = one.carry_out(
                    plan,
                    config.cluster.state_dir / QUARANTINE_FOLDER,
                    {"who": user_name(), "cluster": config.cluster.name},
                )
    except CancelledError as error:
        click.echo(f"myha: {error}", err=True)
        ctx.exit(INTERRUPTED_STATUS)
    for line in report.skipped:
        click.echo(f"skipped: {line}")
    click.echo(report.text())
    ctx.exit(0 if report.whole else 1)


def _show(plan: RepairPlan) -> None:
    for one in plan.differences()[:ROWS_SHOWN]:
        for line in difference_lines(one, plan.source, plan.target):
            click.echo(line)
    if len(plan.changes) > ROWS_SHOWN:
        click.echo(f"... and {len(plan.changes) - ROWS_SHOWN} more rows")
    for line in plan.left_out:
        click.echo(f"left out: {line}")
    if plan.changes:
        put_in = sum(one.before is None for one in plan.changes)
        removed = sum(one.after is None for one in plan.changes)
        click.echo(
            f"On {plan.target}: {len(plan.changes) - put_in - removed} rows to update, {put_in} "
            f"to insert, {removed} to delete, to match {plan.source}"
        )
    else:
        click.echo(plan.report.text())


def _agreed(plan: RepairPlan, *, apply: bool, yes: bool) -> bool:
    if not apply:
        click.echo("Nothing was changed: add --apply to make these changes")
        return False
    return yes or click.confirm(f"Make these changes on {plan.target}?", default=False)
