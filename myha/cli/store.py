"""`myha store`: the record of a pair, looked at, kept, put back and moved."""

from __future__ import annotations

import json
from pathlib import Path

import click

from myha.cli.pairs import of_a_pair, pair_config
from myha.config import Config
from myha.errors import MyhaError
from myha.files import replacing
from myha.stores.contents import Contents, contents_of, move, restore, stored
from myha.stores.factory import no_record, store_location


@click.group()
def store() -> None:
    """The record of a pair: who is the writer, and the standing of each node."""


@store.command()
@click.option("--json", "as_json", is_flag=True, help="Print all of it, as `export` writes it.")
@of_a_pair
@click.pass_context
def show(ctx: click.Context, as_json: bool) -> None:
    """Show what is on record. Nothing is asked of a supervisor or a server."""
    config = pair_config(ctx)
    found = _required(config)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    record = found.record
    click.echo(
        f"in {store_location(config)}: version {record.version}, lineage {record.store or '-'}"
    )
    click.echo(f"epoch {record.epoch}, writer {record.writer}, {record.sync}")
    for name, node in record.nodes:
        reason = f" ({node.reason})" if node.reason else ""
        click.echo(f"  {name}: {node.membership}{reason}")
    for name, replica in found.replicas.items():
        click.echo(f"  replica {name}: {replica.entry.membership}")
    if record.maintenance:
        click.echo("in maintenance")


@store.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@of_a_pair
@click.pass_context
def export(ctx: click.Context, file: Path) -> None:
    """Write all that is on record into FILE."""
    found = _required(pair_config(ctx))
    try:
        with replacing(file) as out:
            out.write((json.dumps(found.as_json(), indent=2) + "\n").encode())
    except OSError as error:
        raise MyhaError(f"{file}: {error.strerror or error}") from None
    click.echo(f"{file}: the record of epoch {found.record.epoch}")


@store.command("import")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--replace", is_flag=True, help="In place of the record that is there.")
@click.confirmation_option(
    "--yes", prompt="Has nothing become of the pair since, that is not in the file?"
)
@of_a_pair
@click.pass_context
def import_(ctx: click.Context, file: Path, replace: bool) -> None:
    """Put the record in FILE into the store. No supervisor may run.

    A failover since the export is not in it: the wrong node might be opened. Look at the servers
    first. The nodes know the supervisor of the record that they had; `myha setup` takes them over.
    """
    config = pair_config(ctx)
    try:
        contents = contents_of(file.read_text())
    except (OSError, UnicodeDecodeError, MyhaError) as error:
        raise MyhaError(f"{file}: {error}") from None
    restore(config, contents, replaces=replace)
    click.echo(
        f"in {store_location(config)}: the record of epoch {contents.record.epoch}; run"
        " `myha setup`, which takes the nodes over, then `myha run`"
    )


@store.command("move")
@click.option(
    "--from",
    "old",
    type=click.Choice(["local", "etcd"]),
    required=True,
    help="Where it is now. The configuration says where it is to be.",
)
@of_a_pair
@click.pass_context
def move_(ctx: click.Context, old: str) -> None:
    """Move the record from another store into that of the configuration.

    Stop the supervisor, change cluster.store, run this, and start the supervisor again: clients
    notice nothing. The old store has no record then.
    """
    config = pair_config(ctx)
    if config.cluster.store == old:
        raise MyhaError(f'{config.path}: cluster.store is "{old}": set it to the new store first')
    found = move(config, old)
    click.echo(f"in {store_location(config)}: the record of epoch {found.record.epoch}")


def _required(config: Config) -> Contents:
    found = stored(config)
    if found is None:
        raise no_record(config)
    return found
