"""`myha run`: the monitoring daemon, in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from myha.config import load_all
from myha.hosts.priority import go_first
from myha.loading import loading

API = (sys.executable, "-m", "myha.api")  # what answers HTTP


@click.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the supervisor in the foreground until SIGTERM or Ctrl-C.

    It logs to stderr and keeps the record and journal of each pair in its cluster.state_dir. Before
    it ends, it finishes or undoes the plans under way; routing and replication then stay as they
    are. SIGHUP has it read its configuration again, as `myha reload` does.
    """
    with loading():
        from myha.supervisor.process import process_of  # noqa: PLC0415  # `--help` need not wait

    path: Path = ctx.obj["config_path"]
    config = load_all(path)
    go_first(config.niceness)
    process_of(config, api=API).run()
