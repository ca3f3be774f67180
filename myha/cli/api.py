"""`myha api token`: who may read and operate over HTTP."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from myha.api.order import tokens_file
from myha.api.tokens import Role, add_token, read_tokens, remove_token
from myha.cli.options import json_option
from myha.config import load_all


@click.group()
def api() -> None:
    """Access to the HTTP API."""


@api.group()
def token() -> None:
    """Tokens: who may read and who may operate over HTTP."""


def _file(ctx: click.Context) -> Path:
    config = load_all(ctx.obj["config_path"])
    return tokens_file(config.api, config.supervisor.state_dir)


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([one.value for one in Role]),
    default=Role.READ.value,
    show_default=True,
    help="`read`, or `operate`, which may read too.",
)
@click.pass_context
def add(ctx: click.Context, name: str, role: str) -> None:
    """Make a token called NAME and print it, once: only a hash of it is kept."""
    path = _file(ctx)
    made = add_token(path, name, Role(role))
    if sys.stdout.isatty():
        click.echo(f"the token {name} may {role}; it is shown this once, {path} has a hash of it:")
    click.echo(made)


@token.command(name="list")
@json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the tokens' names and roles."""
    path = _file(ctx)
    tokens = read_tokens(path)
    if as_json:
        lines = [{"name": one.name, "role": one.role, "made_at": one.made_at} for one in tokens]
        click.echo(json.dumps(lines, indent=2))
        return
    if not tokens:
        click.echo(f"there is no token in {path}: `myha api token add NAME --role operate`")
        return
    table = Table(box=SIMPLE, pad_edge=False)
    for title in ("token", "may", "made (UTC)"):
        table.add_column(title)
    for one in tokens:
        made = datetime.fromtimestamp(one.made_at, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(one.name, one.role, made)
    Console().print(table)


@token.command()
@click.argument("name")
@click.pass_context
def remove(ctx: click.Context, name: str) -> None:
    """Remove the token NAME. It is refused from the next request on."""
    remove_token(_file(ctx), name)
    click.echo(f"the token {name} is refused from now on")
