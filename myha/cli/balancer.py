"""`myha balancer`: what a balancer needs on its own machine."""

from __future__ import annotations

import click

from myha.balancers import factory
from myha.balancers.haproxy.render import AWAIT_SCRIPT
from myha.balancers.keepalived.render import (
    CHECK_SCRIPT,
    CHECK_SCRIPT_PATH,
    render_keepalived,
)
from myha.cli.completion import balancers
from myha.cli.pairs import of_a_pair, pair_config
from myha.errors import ConfigError


@click.group()
def balancer() -> None:
    """Configuration for the balancers."""


@balancer.command()
@click.argument("name", required=False, shell_complete=balancers)
@click.option(
    "--await-script",
    metavar="PATH",
    help="Path of the output of `myha balancer await-script` on the balancer's machine: clients "
    "then wait for the new writer instead of being turned away. Needs HAProxy with Lua.",
)
@click.option(
    "--keepalived",
    is_flag=True,
    help="Print a whole keepalived.conf for that balancer's host instead, for address.ip.",
)
@click.option(
    "--check-script",
    metavar="PATH",
    default=CHECK_SCRIPT_PATH,
    show_default=True,
    help="Path of the output of `myha balancer check-script` on the balancer's machine.",
)
@click.option("--user", default="", help="User that HAProxy runs as.")
@click.option("--group", default="", help="Group that HAProxy runs as.")
@click.option("--socket-group", default="", help="Group that may use the runtime socket.")
@of_a_pair
@click.pass_context
def render(
    ctx: click.Context,
    *,
    name: str | None,
    await_script: str | None,
    keepalived: bool,
    check_script: str,
    user: str,
    group: str,
    socket_group: str,
) -> None:
    """Print a whole haproxy.cfg for balancer NAME (not needed when there is only one).

    With --keepalived the keepalived.conf that goes beside it. It holds the password of
    address.password_file: let root alone read it.
    """
    config = pair_config(ctx)
    if name is None:
        if len(config.balancers) > 1:
            names = ", ".join(config.balancers)
            raise ConfigError(f"{config.path}: has several balancers; name one of: {names}")
        name = next(iter(config.balancers))
    if keepalived:
        factory.known(config, name)
        click.echo(render_keepalived(config, name, check_script=check_script), nl=False)
        return
    click.echo(
        factory.render(
            config,
            name,
            await_script=await_script,
            program_user=user,
            program_group=group,
            socket_group=socket_group,
        ),
        nl=False,
    )


@balancer.command("await-script")
def await_script_command() -> None:
    """Print the Lua script that lets clients wait for the new writer."""
    click.echo(AWAIT_SCRIPT.read_text(encoding="utf-8"), nl=False)


@balancer.command("check-script")
def check_script_command() -> None:
    """Print the script by which keepalived asks HAProxy, and watches it."""
    click.echo(CHECK_SCRIPT.read_text(encoding="utf-8"), nl=False)
