"""`myha setup`: from two servers to a running pair."""

from __future__ import annotations

from functools import partial

import click

from myha.cli.options import confirmed, yes_option
from myha.cli.pairs import of_a_pair, pair_config


@click.command()
@click.option(
    "--plan", "--dry-run", "plan_only", is_flag=True, help="Show what would be done, and stop."
)
@yes_option
@click.option(
    "--kick-sessions",
    is_flag=True,
    help="End the sessions that began before the new auto-increment settings and still use "
    "the old ones.",
)
@of_a_pair
@click.pass_context
def setup(ctx: click.Context, *, plan_only: bool, yes: bool, kick_sessions: bool) -> None:
    """Turn two servers into a running pair, or take one over that replicates already.

    Needs an administrator's account on both. Checks them, shows the plan, asks, carries it out and
    proves that the pair works; one that runs serves meanwhile. Then it prepares the read replicas
    that the file names, and lets go those that it names no longer. Run it again at any time: it
    changes only what is not yet right.
    """
    from myha.operations.heal.reseed.seed import Seed  # noqa: PLC0415
    from myha.operations.setup.boot import boot_ids  # noqa: PLC0415
    from myha.operations.setup.replicas import ReplicaSetup  # noqa: PLC0415
    from myha.operations.setup.run import Setup  # noqa: PLC0415

    confirm = partial(confirmed, "setup", yes=yes, only_show="only --plan")
    config = pair_config(ctx)
    made = Setup(config, click.echo, confirm, boot_ids, Seed)
    made.run(plan_only=plan_only, kick=kick_sessions)
    ReplicaSetup(config, click.echo, confirm).run(plan_only=plan_only)
