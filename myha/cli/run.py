"""`myha run`: the monitoring daemon, in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from myha.config import load
from myha.hosts.priority import go_first


@click.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the supervisor in the foreground until SIGTERM or Ctrl-C.

    It logs to stderr and keeps its record and journal in cluster.state_dir. Before it ends, it
    finishes or undoes the plan under way; routing and replication then stay as they are.
    """
    from myha.supervisor.control import socket_path  # noqa: PLC0415  # `--help` need not wait
    from myha.supervisor.pair import PairSupervisor  # noqa: PLC0415
    from myha.supervisor.process import Process  # noqa: PLC0415

    path: Path = ctx.obj["config_path"]
    config = load(path)
    go_first(config.timing.niceness)
    Process([PairSupervisor(config)], socket_path(config.cluster.state_dir)).run()
