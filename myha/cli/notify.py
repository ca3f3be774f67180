"""`myha notify`: whether the channels for messages work."""

from __future__ import annotations

import socket

import click

from myha.cli.pairs import of_a_pair, pair_config
from myha.config import NotifyConfig
from myha.errors import ConfigError, MyhaError
from myha.notify.channel import deliver
from myha.notify.text import Message


@click.group()
def notify() -> None:
    """Messages about events: mail, chats, pagers, as [notify.NAME] has them."""


@notify.command("test")
@click.argument("channels", metavar="[CHANNEL]...", nargs=-1)
@of_a_pair
@click.pass_context
def send_test(ctx: click.Context, channels: tuple[str, ...]) -> None:
    """Send a test message through each CHANNEL, or through all of them.

    The supervisor need not run. Exit status 1 when a channel does not take it.
    """
    config = pair_config(ctx)
    known = config.notify
    if not known:
        raise ConfigError(f"{config.path}: has no channel; add one as [notify.NAME]")
    for name in channels:
        if name not in known:
            raise ConfigError(f"{config.path}: has the channels {', '.join(known)}, and no {name}")
    pair = config.cluster.name
    body = f"Sent from {socket.gethostname()} by `myha notify test`. There is nothing to do."
    message = Message(f"[{pair}] test: this channel works", body, "info")
    failed = [name for name in channels or known if not _was_sent(name, known[name], message)]
    if failed:
        raise MyhaError(f"not taken by {', '.join(failed)}")


def _was_sent(name: str, channel: NotifyConfig, message: Message) -> bool:
    try:
        deliver(channel.url().get_secret_value(), message)
    except MyhaError as error:
        click.echo(f"{name}: {error}", err=True)
        return False
    click.echo(f"{name}: sent")
    return True
