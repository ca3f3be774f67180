"""`myha heal`: ask the daemon to heal a node and follow it, or show what that would do."""

from __future__ import annotations

import time

import click
from rich.console import Console

from myha.cli.completion import nodes
from myha.cli.pairs import of_a_pair, pair_config
from myha.cli.requests import can_be_tried, request
from myha.config import Config
from myha.core.events import Kind
from myha.core.protocols.healing import METHODS
from myha.core.record import Cause, Membership
from myha.errors import MyhaError
from myha.operations.terminal import TerminalReporter
from myha.supervisor.client import Client
from myha.supervisor.status import Status

POLL_SECONDS = 0.3
# A supervisor that is being restarted goes on with the heal that it finds on record.
GONE_SECONDS = 60.0
# From the end of the heal to a member: a look, a comparison, and replication both ways.
RETURN_SECONDS = 120.0
JOURNAL_LINES = 300


@click.command()
@click.argument("node", shell_complete=nodes)
@click.option(
    "--method",
    type=click.Choice(("auto", *METHODS)),
    default="auto",
    show_default=True,
    help="How: `merge` its errant transactions into the writer, `rewind` them on the node, "
    "`reseed` it from the writer, or `auto`: the methods of heal.policy, in order.",
)
@click.option(
    "--plan",
    "plan_only",
    is_flag=True,
    help="Show what would be undone, kept and copied, and how long it may take. Changes nothing.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Reseed even if transactions that only NODE has cannot be put into quarantine, because "
    "its server does not start or its binary log is gone.",
)
@can_be_tried
@click.option("--wait/--no-wait", default=True, help="Wait until the heal ends. Default: --wait.")
@of_a_pair
@click.pass_context
def heal(  # the command's own options
    ctx: click.Context,
    *,
    node: str,
    method: str,
    plan_only: bool,
    accept_loss: bool,
    wait: bool,
    dry_run: bool,
) -> None:
    """Bring back NODE, whose data has diverged. It gets no traffic until its data is verified."""
    config = pair_config(ctx)
    if plan_only:
        ctx.exit(0 if _show_plan(config, node, method) else 1)
    loss = "yes" if accept_loss else None
    request(ctx, "heal", dry_run=dry_run, node=node, method=method, accept_loss=loss)
    if dry_run or not wait:
        return
    try:
        _follow(Client(config), node)
    except KeyboardInterrupt:
        click.echo(
            f"detached: the heal of {node} continues; `myha status{config.option}` shows its "
            f"progress, `myha fence {node}{config.option}` stops it"
        )


def _show_plan(config: Config, node: str, method: str) -> bool:
    from myha.operations.heal.plan import plan_heal  # noqa: PLC0415  # only this needs it

    with TerminalReporter() as reporter:
        plan = plan_heal(config, node, method, reporter)
    for line in plan.lines():
        click.echo(line)
    return plan.possible


def _follow(supervisor: Client, node: str) -> None:
    """Until it is a member again. Raises `MyhaError` when it ends otherwise."""
    heard_at, ended_at = time.monotonic(), None
    console = Console(stderr=True)
    with TerminalReporter(console) as reporter:
        while True:
            time.sleep(POLL_SECONDS)
            try:
                status = supervisor.status()
            except MyhaError:
                if time.monotonic() - heard_at > GONE_SECONDS:
                    raise
                continue
            heard_at = time.monotonic()
            entry = status.replicas.get(node) or status.nodes[node]
            if entry.membership is Membership.MEMBER:
                break
            if entry.cause is Cause.HEALING:
                ended_at = None
                _show(reporter, status, node)
            elif entry.fenced:
                raise MyhaError(f"{node} is not healed and stays fenced: {entry.reason}")
            else:
                ended_at = heard_at if ended_at is None else ended_at
                if heard_at - ended_at > RETURN_SECONDS:
                    raise MyhaError(f"{node} is healed but has not rejoined; see `myha explain`")
    click.echo(f"{node} is a member again{_done(supervisor, node)}")


def _done(supervisor: Client, node: str) -> str:
    """What the heal that ended last did, from the journal."""
    for event in reversed(supervisor.events(JOURNAL_LINES)):
        if (event.kind, event.job, event.node) == (Kind.JOB_DONE, "heal", node):
            return f"; {event.text}"
    return ""


def _show(reporter: TerminalReporter, status: Status, node: str) -> None:
    replica = status.replicas.get(node)
    for job in status.jobs if replica is None else replica.jobs:
        if job.kind == "heal" and job.node == node:
            text = f"{job.method}: {job.text}"
            reporter.line(f"{job.method}: {job.phase}", job.percent, text)
