"""What has been counted since this process began: lines of the journal, steps, requests."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from myha.api.timelines import PLANS
from myha.core.events import Kind
from myha.core.journal_line import Line

# From a step of a millisecond to an outage of a minute.
PLAN_BOUNDS_SECONDS = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
    60,
)


@dataclass(slots=True)
class Lengths:
    """A histogram: `counts` has one for each bound and one for what is longer."""

    bounds: tuple[float, ...]
    counts: list[int]
    total_seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_seconds += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: how many are at most so long."""
        names = (*(str(bound) for bound in self.bounds), "+Inf")
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Adds(Protocol):
    """Where it goes."""

    def add(self, name: str, value: float | bool | None, *labels: str) -> None: ...

    def add_lengths(self, name: str, lengths: Lengths, *labels: str) -> None: ...


@dataclass(slots=True)
class Counted:
    """In the event loop's thread only."""

    requests: Counter[int] = field(default_factory=Counter)  # by status
    conflicts: Counter[str] = field(default_factory=Counter)  # by pair
    _events: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _plans: dict[tuple[str, str, str], Lengths] = field(default_factory=dict)
    _steps: dict[tuple[str, str, str], Lengths] = field(default_factory=dict)
    _began: dict[tuple[str, str], float] = field(default_factory=dict)

    def take(self, pair: str, lines: Iterable[Line]) -> None:
        """New lines of the pair's journal."""
        for line in lines:
            self._events[pair, line.kind, line.severity] += 1
            if line.kind == Kind.CONFLICT:
                self.conflicts[pair] += 1
            if line.plan in PLANS:
                self._take_plan(pair, line)

    def _take_plan(self, pair: str, line: Line) -> None:
        kind, plan = line.kind, line.plan
        if kind == Kind.PLAN:
            self._began[pair, plan] = line.at
        elif kind == Kind.STEP and line.took_ms is not None:
            lengths = self._steps.setdefault((pair, plan, line.step), _new())
            lengths.observe(line.took_ms / 1000)
        elif kind in (Kind.PLAN_DONE, Kind.PLAN_FAILED):
            began = self._began.pop((pair, plan), None)
            if began is not None:
                outcome = "done" if kind == Kind.PLAN_DONE else "failed"
                lengths = self._plans.setdefault((pair, plan, outcome), _new())
                lengths.observe(max(0.0, line.at - began))

    def add_to(self, found: Adds) -> None:
        for labels, count in self._events.items():
            found.add("events_total", count, *labels)
        for labels, lengths in self._plans.items():
            found.add_lengths("plan_seconds", lengths, *labels)
        for labels, lengths in self._steps.items():
            found.add_lengths("plan_step_seconds", lengths, *labels)
        for status, count in self.requests.items():
            found.add("api_requests_total", count, str(status))


def _new() -> Lengths:
    return Lengths(PLAN_BOUNDS_SECONDS, [0] * (len(PLAN_BOUNDS_SECONDS) + 1))
