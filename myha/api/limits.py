"""How much one address may ask for: token buckets, for a bounded number of addresses."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

ADDRESSES_KEPT = 4096


class Buckets:
    """One bucket for each key: `rate_per_second` flows in, and it holds at most `burst`."""

    def __init__(
        self, rate_per_second: float, burst: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate_per_second
        self._burst = burst
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()  # level, at

    def _level(self, key: str) -> float:
        level, at = self._levels.get(key, (self._burst, 0.0))
        return min(self._burst, level + (self._clock() - at) * self._rate)

    def take(self, key: str) -> bool:
        """Whether there was one left for it."""
        level = self._level(key)
        allowed = level >= 1
        self._levels[key] = (level - 1 if allowed else level, self._clock())
        self._levels.move_to_end(key)
        if len(self._levels) > ADDRESSES_KEPT:
            self._levels.popitem(last=False)
        return allowed

    def has(self, key: str) -> bool:
        """Whether there is one left, without taking it."""
        return self._level(key) >= 1

    def wait_seconds(self, key: str) -> int:
        """When there is one again."""
        return max(1, round((1 - self._level(key)) / self._rate + 0.5))
