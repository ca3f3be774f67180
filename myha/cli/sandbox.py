"""`myha sandbox`: server programs for this machine, and whole clusters on it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from myha.cli.interrupted import interruptible
from myha.cli.options import json_option
from myha.database.flavours import FLAVOURS
from myha.errors import ConfigError, MyhaError
from myha.progress import Tell
from myha.sandbox import programs, registry
from myha.sandbox.cluster import Cluster
from myha.sandbox.network.layout import CLIENT
from myha.sandbox.network.network import Network
from myha.sandbox.state import (
    MEMBERS_LIMIT,
    REPLICAS_LIMIT,
    SUPERVISORS_LIMIT,
    Durability,
    Mode,
)

_DEFAULT_PROGRAMS = ("mysql", "haproxy")

directory_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="The sandbox's directory. Default: one in this user's own folder.",
)

network_option = click.option(
    "--network",
    is_flag=True,
    help="Every process on a host of its own: a network namespace with its own address, joined by"
    " a switch that a drill can cut. Needs root.",
)


@click.group()
def sandbox() -> None:
    """A whole cluster on this machine, and the programs for it."""


@sandbox.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--again", is_flag=True, help="Fetch again what has been fetched before.")
def fetch(names: tuple[str, ...], again: bool) -> None:
    """Find or fetch server programs (without NAME: mysql and haproxy).

    Programs on PATH are used if they are recent enough; otherwise Debian packages go to a private
    folder in this user's cache directory, without root. NAME is one of: mysql, mariadb,
    mariadb-backup, haproxy, keepalived, bind9, sysbench, etcd, percona-toolkit, nftables, iproute2,
    sshd, docker, docker-compose (for tests).
    """
    with interruptible("interrupted; the unfinished download was removed"), _progress() as tell:
        for name in names or _DEFAULT_PROGRAMS:
            program = programs.fetch(name, tell, again=again)
            path = program.prefix or program.argv[0]
            click.echo(f"{program.name} {program.version} in {path}")


@sandbox.command()
@click.option("--flavour", type=click.Choice([*FLAVOURS]), default="mysql")
@click.option(
    "--mode", type=click.Choice(["single-writer", "dual-writer"]), default="single-writer"
)
@click.option(
    "--durability",
    type=click.Choice(["lossless", "bounded", "async"]),
    help="Default: lossless; with two writers: bounded.",
)
@click.option(
    "--replicas",
    type=click.IntRange(0, REPLICAS_LIMIT),
    default=0,
    help="Read replicas beside the pair. Default: none.",
)
@click.option(
    "--etcd",
    type=click.IntRange(0, MEMBERS_LIMIT),
    default=0,
    help="Members of an etcd cluster that keeps the record. Default: none, it is a file.",
)
@click.option(
    "--supervisors",
    type=click.IntRange(1, SUPERVISORS_LIMIT),
    default=1,
    help="How many; those that do not act stand in line. More than one need --etcd.",
)
@network_option
@click.option(
    "--address",
    is_flag=True,
    help="With --network: one address in front of both balancers, which keepalived moves.",
)
@click.option("--bare", is_flag=True, help="Servers and HAProxy only: no setup, no supervisor.")
@directory_option
def up(
    *,
    flavour: str,
    mode: Mode,
    durability: Durability | None,
    replicas: int,
    etcd: int,
    supervisors: int,
    network: bool,
    address: bool,
    bare: bool,
    directory: Path | None,
) -> None:
    """Start a cluster on this machine and leave it running."""
    interrupted = "interrupted; the sandbox was taken down again"
    with interruptible(interrupted), _progress() as tell:
        cluster = Cluster.create(
            *(directory, flavour, mode, durability, tell),
            replicas=replicas,
            network=network,
            address=address,
            etcd=etcd,
            supervisors=supervisors,
        )
        cluster.up(bare=bare, output=click.echo)
    _show(cluster)
    if bare:
        click.echo("nothing is set up: both servers are bare, and HAProxy routes to none")
    click.echo(f"configuration: {cluster.config_path}")
    run = f"myha sandbox exec --dir {cluster.directory} -- " if network else ""
    click.echo(f"use it with:   {run}myha --config {cluster.config_path} status")
    click.echo(f"end it with:   myha sandbox down --dir {cluster.directory}")


@sandbox.command()
@directory_option
def down(directory: Path | None) -> None:
    """Stop a cluster and remove all its files."""
    with _progress() as tell:
        cluster = Cluster.open(_only_one(directory), tell)
        tell(f"ending the processes in {cluster.directory}")
        cluster.down()
    click.echo(f"the sandbox in {cluster.directory} is gone")


@sandbox.command()
@json_option
@directory_option
def status(directory: Path | None, *, as_json: bool) -> None:
    """Show a cluster's processes."""
    cluster = Cluster.open(_only_one(directory))
    if as_json:
        click.echo(json.dumps(_data(cluster), indent=2))
    else:
        _show(cluster)


@sandbox.command(context_settings={"ignore_unknown_options": True})
@click.option("--host", default=CLIENT, show_default=True, help="One of those that status shows.")
@directory_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec(host: str, directory: Path | None, command: tuple[str, ...]) -> None:
    """Run a command on one of the hosts of a sandbox with a network.

    `myha sandbox exec mysql -h 198.51.100.31 -P 3307 -u app -p` is a client at a balancer.
    """
    words = (*_network(directory).words(host), *command)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        raise MyhaError(f"{words[0]} cannot be started: {error.strerror}") from error


@sandbox.command()
@directory_option
def heal(directory: Path | None) -> None:
    """Undo all that is cut in a sandbox's network, as after a drill that was killed."""
    network = _network(directory)
    undone = len(network.faults.in_force())
    network.faults.heal()
    click.echo(f"{undone} rules removed: every host reaches every other")


def _network(directory: Path | None) -> Network:
    cluster = Cluster.open(_only_one(directory))
    if cluster.network is None:
        raise ConfigError(
            f"the sandbox in {cluster.directory} has no hosts of its own: run the command as it is,"
            " or make a sandbox with --network"
        )
    return cluster.network


def _only_one(directory: Path | None) -> Path:
    """The named sandbox, or the only one, where those in default directories come first.

    Raises ConfigError when that is none or many.
    """
    if directory is not None:
        return directory
    everywhere = registry.sandboxes()
    known = [path for path in everywhere if path.parent == registry.sandbox_dir()] or everywhere
    if not known:
        raise ConfigError("there is no sandbox: `myha sandbox up` makes one")
    if len(known) > 1:
        listed = ", ".join(map(str, known))
        raise ConfigError(f"there are {len(known)} sandboxes: name one with --dir ({listed})")
    return known[0]


def _data(cluster: Cluster) -> dict[str, Any]:
    network = cluster.network
    return {
        "directory": str(cluster.directory),
        "config": str(cluster.config_path),
        "flavour": cluster.state.flavour,
        "mode": cluster.state.mode,
        "durability": cluster.state.durability,
        "processes": [asdict(one) for one in cluster.status()],
        "hosts": {one.name: one.address() for one in network.hosts.values()} if network else {},
        "cuts": [str(one) for one in network.faults.in_force()] if network else [],
    }


def _show(cluster: Cluster) -> None:
    state = cluster.state
    click.echo(
        f"{cluster.directory}: {state.flavour} {cluster.nodes['a'].program.version},"
        f" {state.mode}, {state.durability}"
    )
    for process in cluster.status():
        pid = "" if process.pid is None else f"pid {process.pid}"
        click.echo(f"  {process.name:<11}  {process.state:<7}  {pid:<11}  {process.address}")
    if cluster.network is not None:
        hosts = cluster.network.hosts.values()
        click.echo("  hosts: " + ", ".join(f"{host.name} {host.address()}" for host in hosts))
        for rule in cluster.network.faults.in_force():
            click.echo(f"  cut: {rule}")


@contextmanager
def _progress() -> Iterator[Tell]:
    """A spinner that shows the present step on a terminal, a plain line for each step elsewhere."""
    console = Console()
    if not console.is_terminal:
        yield click.echo
        return
    with console.status("") as spinner:
        yield spinner.update
