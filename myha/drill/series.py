"""What the clients had, moment by moment, from their ledgers: for pictures. Pure.

Times are in milliseconds from the fault. A moment (bucket) that is longer than the one asked for is
taken where a round is so long that there would be more of them than a picture has room for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from myha.drill.ledger import Attempt

BUCKETS_LIMIT = 600
BUCKET_STEPS_MS = (10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)


@dataclass(frozen=True, slots=True)
class ClientSeries:
    """One client: by bucket how many OKs it got, how long the slowest of these took in ms (0: there
    was none), and how often it failed."""

    client: int
    oks: tuple[int, ...]
    slowest_ms: tuple[float, ...]
    failures: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Series:
    """All clients from `from_ms` on, in buckets of `bucket_ms`."""

    from_ms: float
    bucket_ms: float
    clients: tuple[ClientSeries, ...]

    @property
    def count(self) -> int:
        """Of the buckets."""
        return len(self.clients[0].oks) if self.clients else 0

    @property
    def until_ms(self) -> float:
        return self.from_ms + self.count * self.bucket_ms

    @property
    def oks_per_second(self) -> tuple[float, ...]:
        """Of all clients together, by bucket."""
        each = zip(*(one.oks for one in self.clients), strict=True)
        return tuple(1000 * sum(oks) / self.bucket_ms for oks in each)


def series(attempts: Iterable[Attempt], fault_at: float, from_ms: float, until_ms: float) -> Series:
    """What ended in that time. `fault_at` is on the ledgers' clock, in seconds."""
    bucket_ms = _bucket_for(until_ms - from_ms)
    count = max(1, int((until_ms - from_ms) / bucket_ms))
    oks: dict[int, list[int]] = defaultdict(lambda: [0] * count)
    slowest: dict[int, list[float]] = defaultdict(lambda: [0.0] * count)
    failures: dict[int, list[int]] = defaultdict(lambda: [0] * count)
    for one in attempts:
        mine, slow, failed = oks[one.client], slowest[one.client], failures[one.client]
        if one.ended_at is None:
            continue
        number = int(((one.ended_at - fault_at) * 1000 - from_ms) // bucket_ms)
        if not 0 <= number < count:
            continue
        if one.acknowledged:
            mine[number] += 1
            slow[number] = max(slow[number], round((one.ended_at - one.begun_at) * 1000, 2))
        else:
            failed[number] += 1
    return Series(
        from_ms,
        bucket_ms,
        tuple(
            ClientSeries(n, tuple(oks[n]), tuple(slowest[n]), tuple(failures[n]))
            for n in sorted(oks)
        ),
    )


def _bucket_for(length_ms: float) -> float:
    """The shortest step of which no more than the limit are needed."""
    steps = BUCKET_STEPS_MS
    return next((one for one in steps if length_ms / one <= BUCKETS_LIMIT), steps[-1])
