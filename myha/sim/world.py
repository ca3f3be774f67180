"""The world that servers, balancers, clients and supervisors are simulated in: time, links, luck.

Virtual time in seconds. Everything that happens is an event on one heap; what happens at the same
time happens in the order in which it was planned, so that a seed says all. A call that takes time
(a supervisor waits for a server) is a generator that yields the seconds it waits; `block` lets the
rest of the world go on meanwhile.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from random import Random
from typing import TypeAlias, TypeVar

from myha.errors import MyhaError

T = TypeVar("T")
Doing: TypeAlias = Generator[float, None, T]

MAX_EVENTS = 60_000


class RunawayError(Exception):
    """A history with more events than any honest one has: a loop without an end."""


class World:
    """Time, the heap of events, the links that are cut, and the trace."""

    def __init__(self, seed: int, *, trace: bool = False) -> None:
        self.now = 0.0
        self.rng = Random(seed)
        self.trace: list[tuple[float, str]] | None = [] if trace else None
        self.cuts: set[tuple[str, str]] = set()
        self.on_links: list[Callable[[], None]] = []
        self.dirty = True  # something changed that an invariant speaks of
        self.check: Callable[[], None] = lambda: None
        self.latency_seconds = 0.001
        self.events = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._next = 0

    def note(self, text: str) -> None:
        if self.trace is not None:
            self.trace.append((self.now, text))

    # -- events ----------------------------------------------------------------------------------

    def after(self, seconds: float, act: Callable[..., None], *arguments: object) -> None:
        self._next += 1
        heapq.heappush(self._heap, (self.now + seconds, self._next, act, arguments))

    def run_until(self, end: float, done: Callable[[], bool] | None = None) -> None:
        """Let everything happen up to `end`, or until `done` says so."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= end:
            at, _, act, arguments = pop(heap)
            self.now = max(self.now, at)
            self.events += 1
            if self.events > MAX_EVENTS:
                raise RunawayError(f"{MAX_EVENTS} events by {self.now:.3f} s")
            act(*arguments)
            if self.dirty:
                self.dirty = False
                self.check()
            if done is not None and done():
                return
        self.now = max(self.now, end)

    def block(self, doing: Doing[T], alive: Callable[[], bool], killed: type[Exception]) -> T:
        """Wait for a call to end while the world goes on; raises `killed` if the caller dies."""
        try:
            while True:
                seconds = next(doing)
                if self.dirty:
                    self.dirty = False
                    self.check()
                self.run_until(self.now + seconds)
                if not alive():
                    doing.close()
                    raise killed
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            if self.dirty:
                self.dirty = False
                self.check()

    def spawn(self, doing: Doing[None], done: Callable[[Exception | None], None]) -> None:
        """Carry a call out beside everything else."""

        def step() -> None:
            try:
                seconds = next(doing)
            except StopIteration:
                done(None)
            except MyhaError as error:
                done(error)
            else:
                self.after(seconds, step)

        step()

    # -- links -----------------------------------------------------------------------------------

    def cut(self, one: str, other: str) -> None:
        self.cuts |= {(one, other), (other, one)}
        self.dirty = True
        for call in self.on_links:
            call()

    def mend(self, one: str, other: str) -> None:
        self.cuts -= {(one, other), (other, one)}
        self.dirty = True
        for call in self.on_links:
            call()

    def linked(self, one: str, other: str) -> bool:
        return not self.cuts or (one, other) not in self.cuts
