"""`myha reload`: the running supervisor reads its configuration again."""

from __future__ import annotations

import click

from myha.config import load_all
from myha.errors import MyhaError
from myha.supervisor.client import ask
from myha.supervisor.control import socket_path


@click.command("reload")
@click.pass_context
def reload(ctx: click.Context) -> None:
    """Have the running supervisor read its configuration again.

    Pairs are added, changed and removed; the others notice nothing. The plan under way of a pair
    that changes or goes ends first. A broken configuration is refused, and the one in force stays.
    """
    config = load_all(ctx.obj["config_path"])
    answer = ask(socket_path(config.supervisor.state_dir), {"do": "reload"})
    if not answer.get("ok"):
        raise MyhaError(str(answer.get("text")))
    click.echo(answer["text"])
