"""`myha simulate`: the real loop and executor against a simulated pair, under faults."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from myha.core.policy import Durability, Mode
from myha.errors import ConfigError, MyhaError
from myha.sim.flavours import FLAVOURS
from myha.sim.history import Outcome, run_history
from myha.sim.parameters import Parameters
from myha.sim.runner import Batch, Summary, run_batch, run_many, trace_lines

CHUNK = 500
SHOWN_FAILURES = 5


@click.command()
@click.option("--runs", type=click.IntRange(1), default=1000, show_default=True, help="Histories.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first.")
@click.option("--flavour", type=click.Choice(sorted(FLAVOURS)), help="Default: the seed decides.")
@click.option("--mode", type=click.Choice([one.value for one in Mode]))
@click.option("--durability", type=click.Choice([one.value for one in Durability]))
@click.option("--replica", is_flag=True, help="With a read replica beside the pair.")
@click.option("--watchdog", is_flag=True, help="With the watchdog inside the servers.")
@click.option("--supervisors", is_flag=True, help="Several, which settle in etcd who acts.")
@click.option("--address", is_flag=True, help="That two balancers share, moved by keepalived.")
@click.option("--processes", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option("--trace", is_flag=True, help="Print every history step by step (few runs only).")
@click.option(
    "--save",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write each failing history into this directory as a scenario file.",
)
@click.option(
    "--scenario",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Replay one scenario file instead.",
)
def simulate(
    *,
    runs: int,
    seed: int,
    flavour: str | None,
    mode: str | None,
    durability: str | None,
    replica: bool,
    watchdog: bool,
    supervisors: bool,
    address: bool,
    processes: int,
    trace: bool,  # click passes flags by name
    save: Path | None,
    scenario: Path | None,
) -> None:
    """Run a simulated pair under faults, and check its invariants.

    The same seed gives the same history. Ends with exit status 1 when an invariant was broken.
    """
    if mode == Mode.DUAL_WRITER.value and durability == Durability.LOSSLESS.value:
        raise ConfigError(
            '--durability lossless needs --mode single-writer; use "bounded" or "async"'
        )
    if scenario is not None:
        _replay(scenario, trace=trace)
        return
    batch = Batch(
        seed,
        runs,
        flavour,
        Mode(mode) if mode else None,
        Durability(durability) if durability else None,
        replica=replica,
        watchdog=watchdog,
        supervisors=supervisors,
        address=address,
    )
    summary = _run(batch, processes)
    if trace:
        _show(batch)
    _report(summary)
    if save is not None:
        for outcome in summary.failures:
            click.echo(f"saved {save_scenario(outcome, save)}")
    if summary.failed:
        raise MyhaError(f"{summary.failed} of {summary.runs} histories broke an invariant")


def _run(batch: Batch, processes: int) -> Summary:
    """In chunks, so that there is progress to show."""
    total = Summary()
    chunk = CHUNK * processes
    with click.progressbar(length=batch.runs, label="histories", width=30) as bar:
        for first in range(batch.first, batch.first + batch.runs, chunk):
            runs = min(chunk, batch.first + batch.runs - first)
            part = replace(batch, first=first, runs=runs)
            total.add(run_many(part, processes) if processes > 1 else run_batch(part))
            bar.update(runs)
    return total


def _show(batch: Batch) -> None:
    for seed in range(batch.first, batch.first + min(batch.runs, SHOWN_FAILURES)):
        click.echo(f"seed {seed}")
        for line in trace_lines(batch.parameters(seed), 10_000):
            click.echo(line)


def _report(summary: Summary) -> None:
    click.echo(
        f"{summary.runs} histories, {summary.virtual_seconds:.0f} virtual seconds, "
        f"{summary.runs_per_cpu_second:.0f} histories per second of CPU"
    )
    click.echo(
        f"{summary.acknowledged} acknowledged writes; {summary.lost} not on the writer at the end, "
        "where the durability or an operator allowed it"
    )
    plans = ", ".join(f"{kind} {count}" for kind, count in summary.plans.most_common())
    click.echo(f"plans: {plans}")
    for outcome in summary.failures[:SHOWN_FAILURES]:
        _show_failure(outcome)


def _show_failure(outcome: Outcome) -> None:
    parameters = outcome.parameters
    click.echo("")
    click.echo(
        f"seed {parameters.seed} ({parameters.flavour}, {parameters.mode.value}, "
        f"{parameters.durability.value}):"
    )
    for line in trace_lines(parameters):
        click.echo(line)


def save_scenario(outcome: Outcome, directory: Path) -> Path:
    """Write the history's parameters where a test replays them."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{outcome.violations[0].name}-{outcome.parameters.seed}.json"
    path.write_text(outcome.parameters.to_json())
    return path


def _replay(path: Path, *, trace: bool) -> None:
    try:
        parameters = Parameters.from_json(path.read_text())
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: is no scenario file: {error}") from error
    outcome = run_history(parameters)
    if trace or not outcome.good:
        for line in trace_lines(parameters, 10_000 if trace else 60):
            click.echo(line)
    if not outcome.good:
        raise MyhaError(f"{path}: {outcome.violations[0].sentence}")
    click.echo(f"{path}: no invariant was broken in {outcome.seconds:.1f} virtual seconds")
