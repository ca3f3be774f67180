"""Many histories in one go, on one process or several, and what came of them."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from myha.core.policy import Durability, Mode
from myha.sim.history import Outcome, run_history
from myha.sim.parameters import (
    Parameters,
    draw,
    with_address,
    with_replica,
    with_supervisors,
    with_watchdog,
)

KEPT_FAILURES = 20
COLLECTED_AFTER_OBJECTS = 100_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Which histories: seeds from `first`, and what is not left to the seed."""

    first: int
    runs: int
    flavour: str | None = None
    mode: Mode | None = None
    durability: Durability | None = None
    replica: bool = False  # a read replica beside the pair, in each of them
    watchdog: bool = False  # inside the servers, in each of them
    supervisors: bool = False  # several, in each of them
    address: bool = False  # that two balancers share, in each of them

    def parameters(self, seed: int) -> Parameters:
        """Of the history of one seed."""
        drawn = draw(seed, self.flavour, self.mode, self.durability)
        drawn = with_watchdog(drawn) if self.watchdog else drawn
        drawn = with_supervisors(drawn) if self.supervisors else drawn
        drawn = with_address(drawn) if self.address else drawn
        return with_replica(drawn) if self.replica else drawn


@dataclass(slots=True)
class Summary:
    """What became of a batch. `cpu_seconds` is the processes' own time, all added up."""

    runs: int = 0
    cpu_seconds: float = 0.0
    virtual_seconds: float = 0.0
    acknowledged: int = 0
    lost: int = 0
    plans: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    failures: list[Outcome] = field(default_factory=list)

    @property
    def runs_per_cpu_second(self) -> float:
        return self.runs / self.cpu_seconds if self.cpu_seconds else 0.0

    def add(self, other: Summary) -> None:
        self.runs += other.runs
        self.cpu_seconds += other.cpu_seconds
        self.virtual_seconds += other.virtual_seconds
        self.acknowledged += other.acknowledged
        self.lost += other.lost
        self.plans += other.plans
        self.failed += other.failed
        self.failures = (self.failures + other.failures)[:KEPT_FAILURES]


def run_batch(batch: Batch) -> Summary:
    """All histories of a batch in this process."""
    summary = Summary()
    began = time.process_time()
    with _collected_seldom():
        _run_each(batch, summary)
    summary.cpu_seconds = time.process_time() - began
    return summary


@contextmanager
def _collected_seldom() -> Iterator[None]:
    """What a history leaves behind are circles, which end together some histories later: to look
    for them among what still lives, many times in each history, is a sixth of what it costs."""
    before = gc.get_threshold()
    gc.set_threshold(COLLECTED_AFTER_OBJECTS, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _run_each(batch: Batch, summary: Summary) -> None:
    for seed in range(batch.first, batch.first + batch.runs):
        outcome = run_history(batch.parameters(seed))
        summary.runs += 1
        summary.virtual_seconds += outcome.seconds
        summary.acknowledged += outcome.acknowledged
        summary.lost += outcome.lost
        summary.plans.update(outcome.plans)
        if not outcome.good:
            summary.failed += 1
            if len(summary.failures) < KEPT_FAILURES:
                summary.failures.append(outcome)


def run_many(batch: Batch, processes: int = 1) -> Summary:
    """A batch, split over processes of about the same share each."""
    if processes <= 1 or batch.runs < processes:
        return run_batch(batch)
    shares = []
    first, left = batch.first, batch.runs
    for i in range(processes, 0, -1):
        runs = left // i
        shares.append(replace(batch, first=first, runs=runs))
        first, left = first + runs, left - runs
    total = Summary()
    with ProcessPoolExecutor(processes) as pool:
        for summary in pool.map(run_batch, shares):
            total.add(summary)
    return total


def trace_lines(parameters: Parameters, limit: int = 60) -> list[str]:
    """The history once more, told: virtual seconds and what happened, the last `limit` lines."""
    outcome = run_history(parameters, trace=True)
    lines = [f"{at:9.4f}  {text}" for at, text in outcome.trace]
    if len(lines) > limit:
        lines = [f"  ...  ({len(lines) - limit} lines before)", *lines[-limit:]]
    return lines
