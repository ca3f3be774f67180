"""Commands that ask the running daemon to do something."""

from __future__ import annotations

import click

from myha.cli.completion import nodes, pair_nodes
from myha.cli.pairs import AnyCommand, of_a_pair, pair_config
from myha.errors import RefusedError
from myha.supervisor.client import Client


def request(
    ctx: click.Context, name: str, *, dry_run: bool = False, **arguments: str | float | None
) -> None:
    """Ask the daemon and print its answer. Raises `RefusedError` when it would not.

    `dry_run`: only what it would do, step by step.
    """
    reply = Client(pair_config(ctx)).request(name, dry_run="yes" if dry_run else None, **arguments)
    if not reply.ok:
        raise RefusedError(reply.text, reply.override)
    click.echo(reply.text)
    if reply.plan is not None:
        for number, step in enumerate(reply.plan.steps, 1):
            click.echo(f"{number:>3}. {step}")


def can_be_tried(command: AnyCommand) -> AnyCommand:
    """Give a command the option --dry-run."""
    option = click.option(
        "--dry-run",
        is_flag=True,
        help="Show the steps, or the refusal. Changes nothing.",
    )
    return option(command)


@click.command()
@click.option(
    "--to",
    metavar="NODE",
    shell_complete=pair_nodes,
    help="The node to become the writer. Default: the standby.",
)
@click.option(
    "--max-outage",
    type=click.FloatRange(0.05, 60),
    metavar="SECONDS",
    help="How long writes may stop. Default: timing.max_outage_seconds.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    metavar="SECONDS",
    help="How long to wait for the standby to be close enough behind for that. Default: "
    "timing.switchover_wait_seconds.",
)
@click.option("--now", is_flag=True, help="Switch over at once, however long writes stop.")
@can_be_tried
@of_a_pair
@click.pass_context
def switchover(
    ctx: click.Context,
    *,
    to: str | None,
    max_outage: float | None,
    wait: float | None,
    now: bool,
    dry_run: bool,
) -> None:
    """Make the standby the writer, as planned: nothing is lost.

    Clients reconnect. While the standby is too far behind nothing changes; Ctrl-C ends the wait.
    """
    at_once = "yes" if now else None
    if dry_run:
        request(ctx, "switchover", dry_run=True, to=to, max_outage=max_outage, now=at_once)
        return
    config = pair_config(ctx)
    reply = Client(config).request_until(
        "switchover",
        config.timing.switchover_wait_seconds if wait is None else wait,
        lambda text: click.echo(f"waiting: {text}", err=True),
        to=to,
        max_outage=max_outage,
        now=at_once,
    )
    if not reply.ok:
        now_at_once = f"myha switchover --now{config.option}"
        override = now_at_once if reply.ask_again else reply.override
        raise RefusedError(reply.text, override)
    click.echo(reply.text)


@click.command()
@click.option(
    "--to",
    metavar="NODE",
    shell_complete=pair_nodes,
    help="The node to become the writer. Default: the standby. The writer itself, with "
    "--accept-loss: opened with the older data that it came back with.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on even if the standby may lack acknowledged writes. They stay on the old writer and "
    "go to quarantine when it returns.",
)
@can_be_tried
@of_a_pair
@click.pass_context
def failover(ctx: click.Context, *, to: str | None, accept_loss: bool, dry_run: bool) -> None:
    """Make the standby the writer when the writer cannot hand over."""
    loss = "yes" if accept_loss else None
    request(ctx, "failover", dry_run=dry_run, to=to, accept_loss=loss)


@click.command()
@click.argument("node", shell_complete=nodes)
@click.option("--reason", default="", help="The reason, kept on record.")
@can_be_tried
@of_a_pair
@click.pass_context
def fence(ctx: click.Context, *, node: str, reason: str, dry_run: bool) -> None:
    """Fence NODE: no traffic, read-only, no replication.

    It stays fenced until it is unfenced or healed.
    """
    request(ctx, "fence", dry_run=dry_run, node=node, reason=reason or None)


@click.command()
@click.argument("node", shell_complete=nodes)
@can_be_tried
@of_a_pair
@click.pass_context
def unfence(ctx: click.Context, *, node: str, dry_run: bool) -> None:
    """Let NODE rejoin. It is inspected first, and fenced again if it has errant transactions."""
    request(ctx, "unfence", dry_run=dry_run, node=node)


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@can_be_tried
@of_a_pair
@click.pass_context
def maintenance(ctx: click.Context, *, state: str, dry_run: bool) -> None:
    """Switch maintenance on or off. While it is on, myha observes and does not act."""
    request(ctx, "maintenance", dry_run=dry_run, state=state)
