"""`myha drill`: break a cluster on purpose, under load, and prove that nothing was lost."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console

from myha.cli.drill_history import history
from myha.cli.drill_play import Sandboxes, play
from myha.cli.interrupted import interruptible
from myha.cli.pairs import of_a_pair, pair_named
from myha.database.flavours import FLAVOURS
from myha.drill import fitness, runs
from myha.drill.html.page import page
from myha.drill.options import READS_EVERY, Options
from myha.drill.report import Report, print_report
from myha.drill.scenarios import SCENARIOS
from myha.drill.stage import Scenario
from myha.drill.target import HEAL_POLICY, Target, of_config
from myha.errors import ConfigError, MyhaError, RefusedError
from myha.progress import Tell
from myha.sandbox.state import REPLICAS_LIMIT, SUPERVISORS_LIMIT, Durability, Mode

INTERRUPTED = "myha: interrupted; what the drill had broken is repaired"
ALL = "all"
# What a sandbox in containers may be made of, each at its default.
IN_CONTAINERS: dict[str, Any] = {
    "containers": True,
    "flavour": "mysql",
    "heal": None,
    "supervisors": 1,
}
WITH_REPLICAS = ("crash", "hang", "switchover", "diverge")


class Drills(click.Group):
    """`myha drill SCENARIO`, as a command that has its options, and `myha drill history`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.add_command(history)
        self._others = click.Group(self.name, commands=dict(self.commands))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args[:1] == [history.name]:
            ctx.meta[__name__] = self._others
            return self._others.parse_args(ctx, args)
        ctx.allow_interspersed_args = True
        return click.Command.parse_args(self, ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        others: click.Group | None = ctx.meta.get(__name__)
        return click.Command.invoke(self, ctx) if others is None else others.invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Scenarios"):
            told = [(name, f"{one.sentence}.") for name, one in SCENARIOS.items()]
            formatter.write_dl([*told, (ALL, "all of these that fit, one after the other.")])
        super().format_options(ctx, formatter)


class Scenarios(click.Argument):
    """Which one is played. The group's usage has it, and not that of `drill history`."""

    def get_usage_pieces(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's
        return []


def names(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """What a shell may complete."""
    known = (*SCENARIOS, ALL, str(history.name))
    return [one for one in known if one.startswith(incomplete)]


@click.group(cls=Drills, no_args_is_help=True, subcommand_metavar="SCENARIO | history COMMAND")
@click.argument(
    "scenario",
    cls=Scenarios,
    metavar="SCENARIO",
    type=click.Choice([*SCENARIOS, ALL]),
    shell_complete=names,
)
@click.option("--sandbox", is_flag=True, help="Use a new cluster on this machine (default).")
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Use the running cluster of this configuration. Asks first.",
)
@click.option("--flavour", type=click.Choice([*FLAVOURS]), help="For the sandbox. Default: mysql.")
@click.option(
    "--mode",
    type=click.Choice(["single-writer", "dual-writer"]),
    help="For the sandbox. Default: the scenario's, mostly single-writer.",
)
@click.option(
    "--durability",
    type=click.Choice(["lossless", "bounded", "async"]),
    help="For the sandbox. Default: lossless; with two writers: bounded.",
)
@click.option(
    "--heal",
    metavar="WAYS",
    help=f"heal.policy for the sandbox: resume,merge,manual. Default: {','.join(HEAL_POLICY)}.",
)
@click.option(
    "--watchdog",
    "watchdog_seconds",
    type=click.FloatRange(min=0),
    default=0.0,
    help="failover.watchdog_seconds for the sandbox, with --durability bounded or async; 0: none.",
)
@click.option(
    "--replicas",
    type=click.IntRange(0, REPLICAS_LIMIT),
    default=0,
    help=f"Read replicas in the sandbox, which are judged too; for {', '.join(WITH_REPLICAS)}.",
)
@click.option(
    "--supervisors",
    type=click.IntRange(1, SUPERVISORS_LIMIT),
    default=1,
    help="So many in the sandbox, with their record on three members of etcd if more than one.",
)
@click.option(
    "--network",
    is_flag=True,
    help="Every process of the sandbox on a host of its own, whose links can be cut. Needs root.",
)
@click.option(
    "--containers",
    is_flag=True,
    help="The sandbox in containers of this machine's Docker engine; with --supervisors 2 all of"
    " compose/full.yaml. Needs root.",
)
@click.option("--rounds", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 10_080),
    help="For chaos: so long, instead of so many rounds.",
)
@click.option("--clients", type=click.IntRange(1, 256), default=8, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of all that is random.")
@click.option(
    "--pause-ms",
    type=click.FloatRange(0, 10_000),
    default=0.0,
    show_default=True,
    help="Pause of each client after a transaction; 0 is full speed.",
)
@click.option(
    "--reads-every",
    type=click.IntRange(0, 10_000),
    default=READS_EVERY,
    show_default=True,
    help="A client reads what another has written, once in so many transactions; 0: never.",
)
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file too ('-': to standard output, instead of the table).",
)
@click.option(
    "--html",
    "html_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file for people: charts, phases, the judge's reasons.",
)
@click.option("--yes", is_flag=True, help="With --config: do not ask.")
@click.option("--force", is_flag=True, help="Go on even if the cluster is not healthy.")
@of_a_pair
@click.pass_context
def drill(
    ctx: click.Context,
    scenario: str,
    *,
    sandbox: bool,
    config_path: Path | None,
    flavour: str | None,
    mode: Mode | None,
    durability: Durability | None,
    heal: str | None,
    watchdog_seconds: float,
    replicas: int,
    supervisors: int,
    network: bool,
    containers: bool,
    rounds: int,
    minutes: float | None,
    clients: int,
    seed: int,
    pause_ms: float,
    reads_every: int,
    json_path: Path | None,
    html_path: Path | None,
    yes: bool,
    force: bool,
) -> None:
    """Cause a fault while clients write, and judge the result.

    Clients write numbered rows through the balancer and keep a ledger of every OK they get. After
    the fault the drill waits for the pair to be whole and compares the ledger with both nodes. Exit
    status 1: something was lost or duplicated, or the pair did not become whole.
    """
    options = Options(rounds, clients, seed, pause_ms, force, reads_every, minutes or 0.0)
    chosen = list(SCENARIOS.values()) if scenario == ALL else [SCENARIOS[scenario]]
    _refuse_what_is_ambiguous(ctx, scenario, config_path, sandbox=sandbox)
    made = Sandboxes(
        flavour or "mysql",
        mode,
        durability,
        None if heal is None else tuple(heal.replace(" ", "").split(",")),
        watchdog_seconds,
        replicas,
        supervisors,
        network,
        containers,
    )
    _refuse_what_does_not_go_together(
        scenario, made, minutes=minutes is not None, configured=config_path is not None
    )
    if config_path is None:
        with progress() as tell, interruptible(INTERRUPTED):
            reports = made.play(chosen, options, tell)
    else:
        if sandbox or flavour or heal is not None or made != Sandboxes():
            raise ConfigError(
                "--config acts on a cluster as it is: leave --sandbox, --flavour, --mode,"
                " --durability, --heal, --watchdog, --replicas, --supervisors, --network and"
                " --containers out"
            )
        target = of_config(config_path, pair_named(ctx))
        fitting = [one for one in chosen if not fitness.misfit(target, one)]
        _ask_first(target, fitting or chosen, rounds, yes=yes)
        with progress() as tell, interruptible(INTERRUPTED):
            reports = play(target, chosen, options, tell)
    _remember(reports, config_path)
    if html_path is not None:
        write(html_path, page(reports, time.time()))
    _hand_out(scenario, reports, json_path)
    if not all(report.good for report in reports):
        raise click.exceptions.Exit(1)


def _refuse_what_is_ambiguous(
    ctx: click.Context, scenario: str, config_path: Path | None, *, sandbox: bool
) -> None:
    """`myha --config FILE drill` names a cluster and does not say that it is to be hurt."""
    given = ctx.find_root().get_parameter_source("config_path")
    if given is ParameterSource.COMMANDLINE and config_path is None and not sandbox:
        raise ConfigError(
            f"`myha drill {scenario} --config {ctx.obj['config_path']}` acts on that cluster,"
            " --sandbox on a new one: choose one"
        )


def _refuse_what_does_not_go_together(
    scenario: str, made: Sandboxes, *, minutes: bool, configured: bool
) -> None:
    if minutes and scenario != "chaos":
        raise ConfigError("--minutes goes with chaos: give --rounds")
    if made.containers and replace(made, **IN_CONTAINERS) != Sandboxes(**IN_CONTAINERS):
        raise ConfigError("--containers goes with --flavour, --heal and --supervisors alone")
    if made.replicas and scenario not in WITH_REPLICAS:
        raise ConfigError(f"--replicas goes with {', '.join(WITH_REPLICAS)}: leave it out")
    if scenario == ALL:
        return
    one = SCENARIOS[scenario]
    if made.containers and (why_not := fitness.not_in_containers(one)):
        raise ConfigError(why_not)
    if one.needs_network and not made.network:
        raise ConfigError(f"{scenario} cuts links between hosts: add --network (needs root)")
    if one.needs_containers and not (made.containers or configured):
        raise ConfigError(
            f"{scenario} hits a limit of memory, which only containers have: add --containers, or"
            " give the --config of a cluster whose nodes have nodes.NAME.container"
        )


def _ask_first(target: Target, chosen: list[Scenario], rounds: int, *, yes: bool) -> None:
    hurts = "; ".join(dict.fromkeys(one.hurts for one in chosen))
    text = f"This will {hurts}, {rounds} times, in the cluster of {target.config.path}."
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"{text} There is nobody to ask", "--yes")
    click.confirm(f"{text} Continue?", abort=True)


def _hand_out(scenario: str, reports: list[Report], json_path: Path | None) -> None:
    data = [report.data() for report in reports]
    document = data[0] if scenario != ALL else {"scenario": ALL, "reports": data}
    text = json.dumps(document, indent=1) + "\n"
    if json_path is not None and str(json_path) == "-":
        click.echo(text, nl=False)
        return
    if json_path is not None:
        write(json_path, text)
    console = Console() if sys.stdout.isatty() else Console(width=120)
    for report in reports:
        print_report(report, console)


def _remember(reports: list[Report], config_path: Path | None) -> None:
    """A history that cannot be written is no fault of the drill's."""
    if not reports:
        return
    where = "sandbox" if config_path is None else str(config_path.absolute())
    try:
        runs.keep(reports, where, time.time())
    except MyhaError as error:
        click.echo(f"myha: not in the history: {error}", err=True)


def write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MyhaError(f"{path} cannot be written: {error.strerror}") from error


@contextmanager
def progress() -> Iterator[Tell]:
    """On a terminal one line that changes, with the time; elsewhere a line for each thing said."""
    console = Console(stderr=True)
    began = time.monotonic()
    if not console.is_terminal:
        yield lambda text: click.echo(f"{time.monotonic() - began:6.1f} s  {text}", err=True)
        return
    with console.status("") as spinner:
        yield lambda text: spinner.update(f"{time.monotonic() - began:5.0f} s  {text}")
