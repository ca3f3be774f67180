"""The last hour of each pair as series for plots, in memory: what is older, or from before this
process began, is for a time series database, which `/metrics` is for."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from myha.api.rates import transactions
from myha.api.statuses import looked_at, servers_of
from myha.supervisor.status import SeenNodeStatus, Status

HOUR_SECONDS = 3600
# With more pairs each has fewer points: all of them together stay within some ten MB.
FINE_PAIRS = 10

SERIES = ("lag_seconds", "transactions_per_second", "pulse_latency_ms")
Number = float | None
Sample = dict[str, tuple[Number, Number, Number]]  # by node, in the order of SERIES


@dataclass(slots=True)
class _Pair:
    samples: deque[tuple[float, Sample]]
    counts: dict[str, tuple[float, int]] = field(default_factory=dict)  # at, transactions


class History:
    """Shown every status; keeps a sample of each pair every `step_seconds`."""

    def __init__(self, pairs: int, clock: Callable[[], float] = time.time) -> None:
        self.step_seconds = max(1, -(-pairs // FINE_PAIRS))
        self._clock = clock
        self._pairs: dict[str, _Pair] = {}

    def take(self, name: str, status: Status) -> None:
        now = self._clock()
        pair = self._pairs.get(name)
        if pair is None:
            limit = HOUR_SECONDS // self.step_seconds
            pair = self._pairs[name] = _Pair(deque(maxlen=limit))
        # Once a second comes what moves: a little early is in time.
        if pair.samples and 0 <= now - pair.samples[-1][0] < self.step_seconds - 0.2:
            return
        sample: Sample = {}
        for node, seen in servers_of(status).items():
            pulse = status.pulse.get(node)
            looked = looked_at(seen)
            sample[node] = (
                None if looked is None else looked.lag_seconds,
                self._rate(pair, node, looked, now),
                None if pulse is None else pulse.latency_ms,
            )
        pair.samples.append((now, sample))

    def _rate(self, pair: _Pair, node: str, seen: SeenNodeStatus | None, now: float) -> Number:
        """Transactions a second since the last sample."""
        if seen is None:
            pair.counts.pop(node, None)
            return None
        count, before = transactions(seen.executed), pair.counts.get(node)
        pair.counts[node] = (now, count)
        if before is None or now <= before[0] or count < before[1]:
            return None
        return round((count - before[1]) / (now - before[0]), 2)

    def forget(self, names: Iterable[str]) -> None:
        """All but these."""
        for name in self._pairs.keys() - set(names):
            del self._pairs[name]

    def of(self, name: str, minutes: float, points: int) -> dict[str, Any]:
        """Series of at most so many points each, oldest first; where several samples fall together,
        the worst lag and latency and the mean rate of them."""
        pair = self._pairs.get(name)
        since = self._clock() - minutes * 60
        samples = [one for one in pair.samples if one[0] >= since] if pair else []
        size = max(1, -(-len(samples) // points))
        groups = [samples[at : at + size] for at in range(0, len(samples), size)]
        nodes = sorted({node for _, sample in samples for node in sample})
        return {
            "step_seconds": self.step_seconds * size,
            "at": [round(group[-1][0], 3) for group in groups],
            "nodes": {
                node: {
                    series: [_joined(group, node, index) for group in groups]
                    for index, series in enumerate(SERIES)
                }
                for node in nodes
            },
        }


def _joined(group: list[tuple[float, Sample]], node: str, index: int) -> Number:
    """One number for the samples of a group; None where nothing is known."""
    numbers = [
        number
        for _, sample in group
        if node in sample and (number := sample[node][index]) is not None
    ]
    if not numbers:
        return None
    if SERIES[index] == "transactions_per_second":
        return round(sum(numbers) / len(numbers), 2)
    return max(numbers)
