"""`myha release`: back to two servers that replicate from each other without myha."""

from __future__ import annotations

from functools import partial

import click

from myha.cli.options import confirmed, yes_option
from myha.cli.pairs import of_a_pair, pair_config


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be done, and stop.")
@yes_option
@click.option(
    "--one-way",
    is_flag=True,
    help="The standby goes on replicating from the writer, and the writer from nobody. Default: "
    "each from the other.",
)
@click.option("--keep-accounts", is_flag=True, help="Leave the supervisor's account.")
@click.option(
    "--force",
    is_flag=True,
    help="Go on although a node is away, fenced, or does not replicate: it is left like that.",
)
@of_a_pair
@click.pass_context
def release(
    ctx: click.Context,
    *,
    dry_run: bool,
    yes: bool,
    one_way: bool,
    keep_accounts: bool,
    force: bool,
) -> None:
    """Give the pair back: two ordinary servers that replicate, while they serve.

    Stop the supervisor first. Needs the administrator's account. Semi-sync is switched off, the
    servers start open and replicating again, and what myha has made on them is removed. It changes
    only what is not yet so: run it again when it was stopped. `myha setup` takes the pair over
    anew.
    """
    from myha.operations.release.plan import Wishes  # noqa: PLC0415
    from myha.operations.release.run import Release  # noqa: PLC0415

    confirm = partial(confirmed, "release", yes=yes, only_show="--dry-run")
    made = Release(pair_config(ctx), Wishes(one_way, keep_accounts), click.echo, confirm)
    made.run(plan_only=dry_run, force=force)
