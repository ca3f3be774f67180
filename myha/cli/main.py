"""The command `myha`: global options, and every error as one line with the right exit status."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from myha import __version__
from myha.errors import MyhaError
from myha.interrupts import hear_everywhere
from myha.loading import loading

# Command: the module that has it, the function's name there, and the first sentence of its help.
# A command is loaded when it is used, since many bring more with them than `myha --help` or a shell
# that completes wants to wait for.
COMMANDS = {
    "init": (
        "myha.cli.init",
        "init",
        "Write a commented myha.toml and passwords for the new accounts.",
    ),
    "setup": (
        "myha.cli.setup",
        "setup",
        "Turn two servers into a running pair, or take one over that replicates already.",
    ),
    "release": (
        "myha.cli.release",
        "release",
        "Give the pair back: two ordinary servers that replicate, while they serve.",
    ),
    "run": ("myha.cli.run", "run", "Run the supervisor in the foreground until SIGTERM or Ctrl-C."),
    "reload": (
        "myha.cli.reload",
        "reload",
        "Have the running supervisor read its configuration again.",
    ),
    "status": (
        "myha.cli.status",
        "status",
        "Show the pair and its read replicas, or a line for each of many pairs, the worst first.",
    ),
    "check": (
        "myha.cli.check",
        "check",
        "Check the pair, or all pairs, for a monitoring system.",
    ),
    "doctor": (
        "myha.cli.doctor",
        "doctor",
        "Check a whole installation, and say what to mend first.",
    ),
    "explain": (
        "myha.cli.status",
        "explain",
        "Explain the verdict: what was observed, and what follows.",
    ),
    "events": (
        "myha.cli.events",
        "events",
        "Show the journal: verdicts, plans, steps, refusals, requests.",
    ),
    "switchover": (
        "myha.cli.requests",
        "switchover",
        "Make the standby the writer, as planned: nothing is lost.",
    ),
    "failover": (
        "myha.cli.requests",
        "failover",
        "Make the standby the writer when the writer cannot hand over.",
    ),
    "fence": ("myha.cli.requests", "fence", "Fence NODE: no traffic, read-only, no replication."),
    "unfence": ("myha.cli.requests", "unfence", "Let NODE rejoin."),
    "heal": ("myha.cli.heal", "heal", "Bring back NODE, whose data has diverged."),
    "maintenance": ("myha.cli.requests", "maintenance", "Switch maintenance on or off."),
    "conflicts": ("myha.cli.conflicts", "conflicts", "Conflicting writes of the two nodes."),
    "divergence": (
        "myha.cli.divergence",
        "divergence",
        "Show how a node differs from the writer, and why it stopped.",
    ),
    "verify": (
        "myha.cli.verify",
        "verify",
        "Compare the rows of the two nodes while both serve traffic.",
    ),
    "repair": (
        "myha.cli.verify",
        "repair",
        "Make the other node's rows equal to NODE's where they differ.",
    ),
    "notify": (
        "myha.cli.notify",
        "notify",
        "Messages about events: mail, chats, pagers, as [notify.NAME] has them.",
    ),
    "store": (
        "myha.cli.store",
        "store",
        "The record of a pair: who is the writer, and the standing of each node.",
    ),
    "quarantine": (
        "myha.cli.quarantine",
        "quarantine",
        "What heals took out of the live data, and how to replay it.",
    ),
    "api": ("myha.cli.api", "api", "Access to the HTTP API."),
    "balancer": ("myha.cli.balancer", "balancer", "Configuration for the balancers."),
    "drill": (
        "myha.cli.drill",
        "drill",
        "Cause a fault while clients write, and judge the result.",
    ),
    "sandbox": (
        "myha.cli.sandbox",
        "sandbox",
        "A whole cluster on this machine, and the programs for it.",
    ),
    "completion": (
        "myha.cli.completion",
        "completion",
        "Print what lets a shell complete the words of myha's commands.",
    ),
    "simulate": (
        "myha.cli.simulate",
        "simulate",
        "Run a simulated pair under faults, and check its invariants.",
    ),
}


class Commands(click.Group):
    """Commands in the order in which one meets them, each loaded when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name, _ = COMMANDS[cmd_name]
        with loading():
            command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, from the table: no command is loaded for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, _, summary) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The same for a shell that completes."""
        found = [
            CompletionItem(name, help=summary)
            for name, (_, _, summary) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


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
        from myha.config import DEFAULT_PATHS  # noqa: PLC0415  # brings much with it

        found = [path for path in DEFAULT_PATHS if path.exists()]
        config_path = found[0] if found else DEFAULT_PATHS[0]
    ctx.ensure_object(dict)
    ctx.obj["config_path"] = config_path


def main() -> None:
    """Run the command. A refusal is one line on stderr; no traceback reaches a user."""
    hear_everywhere()
    try:
        status = cli.main(prog_name="myha", standalone_mode=False)
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
