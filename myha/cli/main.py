"""The command `myha`: global options, and every error as one line with the right exit status."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from myha import __version__
from myha.config import DEFAULT_PATHS
from myha.errors import MyhaError

# Command: the module that has it, and the function's name there. Loaded when asked for, since the
# drill and the sandbox bring more with them than `myha status` wants to wait for.
COMMANDS = {
    "init": ("myha.cli.init", "init"),
    "setup": ("myha.cli.setup", "setup"),
    "run": ("myha.cli.run", "run"),
    "reload": ("myha.cli.reload", "reload"),
    "status": ("myha.cli.status", "status"),
    "explain": ("myha.cli.status", "explain"),
    "events": ("myha.cli.events", "events"),
    "switchover": ("myha.cli.requests", "switchover"),
    "failover": ("myha.cli.requests", "failover"),
    "fence": ("myha.cli.requests", "fence"),
    "unfence": ("myha.cli.requests", "unfence"),
    "heal": ("myha.cli.heal", "heal"),
    "maintenance": ("myha.cli.requests", "maintenance"),
    "conflicts": ("myha.cli.conflicts", "conflicts"),
    "divergence": ("myha.cli.divergence", "divergence"),
    "verify": ("myha.cli.verify", "verify"),
    "repair": ("myha.cli.verify", "repair"),
    "store": ("myha.cli.store", "store"),
    "quarantine": ("myha.cli.quarantine", "quarantine"),
    "balancer": ("myha.cli.balancer", "balancer"),
    "drill": ("myha.cli.drill", "drill"),
    "sandbox": ("myha.cli.sandbox", "sandbox"),
    "simulate": ("myha.cli.simulate", "simulate"),
}


class Commands(click.Group):
    """Commands in the order in which one meets them, each loaded when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), name)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="myha")
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="MYHA_CONFIG",
    help="The configuration file. Default: ./myha.toml, then /etc/myha/myha.toml.",
)
@click.pass_context
def cli(ctx: click.Context, config_path: Path | None) -> None:
    """Replication manager for MySQL and MariaDB master-master pairs.

    New here? `myha sandbox up` brings up a pair on this machine, `myha drill crash` shows what
    happens when its writer is killed, and `myha init` begins a configuration for your own servers.
    """
    if config_path is None:
        found = [path for path in DEFAULT_PATHS if path.exists()]
        config_path = found[0] if found else DEFAULT_PATHS[0]
    ctx.ensure_object(dict)
    ctx.obj["config_path"] = config_path


def main() -> None:
    """Run the command. A refusal is one line on stderr; no traceback reaches a user."""
    try:
        status = cli.main(standalone_mode=False)
    except MyhaError as error:
        for line in str(error).splitlines():
            click.echo(f"myha: {line}", err=True)
        sys.exit(error.exit_status)
    except click.exceptions.Abort:
        click.echo("myha: interrupted", err=True)
        sys.exit(130)
    except KeyboardInterrupt:
        click.echo("myha: interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone, and needs no message
        sys.exit(141)
    sys.exit(status if isinstance(status, int) else 0)
