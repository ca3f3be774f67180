"""Commands that show how a node's data have left the writer's."""

from __future__ import annotations

import json

import click

from myha.cli.completion import nodes, pair_nodes
from myha.cli.options import json_option
from myha.cli.pairs import of_a_pair, pair_config

LIMIT = 100


@click.group()
def divergence() -> None:
    """Show how a node differs from the writer, and why it stopped."""


@divergence.command()
@click.argument("node", shell_complete=nodes)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=LIMIT,
    show_default=True,
    help="Show at most this many changes, oldest first; 0 shows all.",
)
@click.option(
    "--writer",
    metavar="NODE",
    shell_complete=pair_nodes,
    help="Compare with this node. Default: the writer.",
)
@json_option
@of_a_pair
@click.pass_context
def show(ctx: click.Context, node: str, limit: int, writer: str | None, as_json: bool) -> None:
    """Show the errant transactions of NODE, and the error of its applier.

    Asks the servers themselves and changes nothing; needs no daemon. Exit status 0 when nothing
    has diverged, 1 when something has.
    """
    from myha.operations.divergence.look import Divergence, names_for  # noqa: PLC0415

    config = pair_config(ctx)
    with Divergence(config, names_for(config, node, writer)) as found:
        found.find()
        if as_json:
            click.echo(json.dumps(found.as_json(limit), indent=2))
        else:
            found.tell(click.echo, limit)
        ctx.exit(1 if found.diverged else 0)
