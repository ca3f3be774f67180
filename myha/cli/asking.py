"""What commands show of a pair: the supervisor's word, or what is seen without one."""

from __future__ import annotations

import click

from myha.config import Config
from myha.errors import SupervisorAwayError
from myha.stores.factory import read_record
from myha.supervisor.client import Client
from myha.supervisor.status import Status


def status_of(config: Config, *, announce: bool = True) -> Status:
    """The supervisor's word; where it answers nothing, the record and a look of our own.

    With `announce` that there was no answer is said at once: the look may take seconds itself.
    """
    try:
        return Client(config).status()
    except SupervisorAwayError as error:
        record = read_record(config)
        if record is None:
            raise
        if announce:
            click.echo(f"myha: {error}", err=True)
        from myha.cli.own_look import own_look  # noqa: PLC0415  # brings every adapter with it

        return own_look(config, record, str(error))
