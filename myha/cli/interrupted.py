"""The end of a command before its time."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from myha.hosts.signals import handled

INTERRUPTED_STATUS = 130


@contextmanager
def interruptible(message: str) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal end the command with one line, after its clean-up."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        with handled((signal.SIGTERM, signal.SIGHUP), interrupt):
            yield
    except KeyboardInterrupt:
        click.echo(message, err=True)
        raise click.exceptions.Exit(INTERRUPTED_STATUS) from None
