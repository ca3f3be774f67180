"""The drill itself: rounds, each with its judgement, against a real cluster."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

from myha.drill.fitness import check
from myha.drill.noted import noted
from myha.drill.options import Options
from myha.drill.report import Report, RoundResult
from myha.drill.round import Round
from myha.drill.round_judge import RoundJudge
from myha.drill.stage import Scenario
from myha.drill.target import Target
from myha.errors import MyhaError
from myha.progress import Tell


def run(target: Target, scenario: Scenario, options: Options, tell: Tell) -> Report:
    """Play all rounds. Raises RefusedError when the cluster is not fit for it, MyhaError else."""
    target.learn()
    check(target, scenario, options)
    with noted(target, scenario, options, tell) as said:
        report = _play(target, scenario, options, tell)
        said.ended(report)
    return report


def _play(target: Target, scenario: Scenario, options: Options, tell: Tell) -> Report:
    results: list[RoundResult] = []
    with tempfile.TemporaryDirectory(prefix="myha-drill-") as folder:
        for number in _numbers(options):
            of = f" of {options.rounds}" if not options.minutes else ""
            tell(f"{scenario.name}: round {number}{of}")
            one = Round(target, scenario, options, number, Path(folder) / str(number), tell)
            with one.watched():
                results.append(RoundJudge(one, one.play()).result())
            if results[-1].whole_ms is None:
                break  # what it left is looked at before anything else is broken
    with suppress(MyhaError):  # a cluster that is not whole keeps the evidence
        if all(one.good for one in results):
            target.drop_tables()
    return Report(
        scenario=scenario.name,
        flavour=target.flavour.name,
        server_version=target.server_version,
        mode=target.config.cluster.mode.value,
        durability=target.config.cluster.durability.value,
        seed=options.seed,
        rounds=tuple(results),
        sentence=scenario.sentence,
        clients=options.clients,
    )


def _numbers(options: Options) -> Iterator[int]:
    """Of the rounds; with a time instead of a number the last one begins before that is over."""
    if not options.minutes:
        yield from range(1, options.rounds + 1)
        return
    ends = time.monotonic() + 60 * options.minutes
    for number in count(1):
        yield number
        if time.monotonic() >= ends:
            return
