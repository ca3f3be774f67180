"""Commands that ask the running daemon to do something."""

from __future__ import annotations

from typing import Any

import click

from myha.config import load
from myha.errors import RefusedError
from myha.supervisor.control import ask, ask_until, socket_path


def request(ctx: click.Context, **fields: Any) -> None:
    """Ask the daemon and print its answer. Raises `RefusedError` when it would not."""
    config = load(ctx.obj["config_path"])
    answer = ask(socket_path(config.cluster.state_dir), fields)
    if not answer["ok"]:
        raise RefusedError(answer["text"], answer.get("override"))
    click.echo(answer["text"])


@click.command()
@click.option("--to", metavar="NODE", help="The node to become the writer. Default: the standby.")
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
@click.pass_context
def switchover(
    ctx: click.Context, *, to: str | None, max_outage: float | None, wait: float | None, now: bool
) -> None:
    """Make the standby the writer, as planned: nothing is lost.

    Clients reconnect. While the standby is too far behind nothing changes; Ctrl-C ends the wait.
    """
    config = load(ctx.obj["config_path"])
    fields = {
        "do": "switchover",
        "to": to,
        "max_outage": max_outage,
        "now": "yes" if now else None,
    }
    seconds = config.timing.switchover_wait_seconds if wait is None else wait
    answer = ask_until(
        socket_path(config.cluster.state_dir),
        fields,
        seconds,
        lambda text: click.echo(f"waiting: {text}", err=True),
    )
    if not answer["ok"]:
        override = "myha switchover --now" if answer.get("ask_again") else answer.get("override")
        raise RefusedError(answer["text"], override)
    click.echo(answer["text"])


@click.command()
@click.option("--to", metavar="NODE", help="The node to become the writer. Default: the standby.")
@click.option(
    "--accept-loss",
    is_flag=True,
    help="Go on even if the standby may lack acknowledged writes. They stay on the old writer and "
    "go to quarantine when it returns.",
)
@click.pass_context
def failover(ctx: click.Context, to: str | None, accept_loss: bool) -> None:
    """Make the standby the writer when the writer cannot hand over."""
    request(ctx, do="failover", to=to, accept_loss="yes" if accept_loss else None)


@click.command()
@click.argument("node")
@click.option("--reason", default="", help="The reason, kept on record.")
@click.pass_context
def fence(ctx: click.Context, node: str, reason: str) -> None:
    """Fence NODE: no traffic, read-only, no replication.

    It stays fenced until it is unfenced or healed.
    """
    request(ctx, do="fence", node=node, reason=reason or None)


@click.command()
@click.argument("node")
@click.pass_context
def unfence(ctx: click.Context, node: str) -> None:
    """Let NODE rejoin. It is inspected first, and fenced again if it has errant transactions."""
    request(ctx, do="unfence", node=node)


@click.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@click.pass_context
def maintenance(ctx: click.Context, state: str) -> None:
    """Switch maintenance on or off. While it is on, myha observes and does not act."""
    request(ctx, do="maintenance", state=state)
