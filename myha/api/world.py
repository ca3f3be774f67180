"""What endpoints work with: what is known, the configurations, and threads for what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from starlette.exceptions import HTTPException

from myha.api.counted import Counted
from myha.api.history import History
from myha.api.known import Known
from myha.api.tokens import TokenFile
from myha.config import Config

# Reading files and servers; operations wait for the supervisor, and must not be kept from it.
READERS, OPERATORS = 4, 8
WAITING_LIMIT = 64

P = ParamSpec("P")
T = TypeVar("T")


class BusyError(Exception):
    """So much is waited for that nothing more is begun."""


class NoPairError(HTTPException):
    """The name, which is somebody's text, is of no pair of this supervisor."""

    def __init__(self, name: str) -> None:
        super().__init__(404, f"there is no pair {name!r} here")


class Threads:
    """A few threads, and a bound for what waits for one."""

    def __init__(self, name: str, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._waiting = 0

    async def run(self, call: Callable[P, T], *args: P.args, **more: P.kwargs) -> T:
        """Its result. Raises BusyError at once when too many wait already."""
        if self._waiting >= WAITING_LIMIT:
            raise BusyError
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, lambda: call(*args, **more))
        finally:
            self._waiting -= 1


@dataclass(slots=True)
class World:
    """`pairs` is replaced whole when the supervisor has a new configuration."""

    known: Known
    control: Path
    pairs: Mapping[str, Config]
    tokens: TokenFile
    counted: Counted = field(default_factory=Counted)
    history: History = field(default_factory=lambda: History(1))
    readers: Threads = field(default_factory=lambda: Threads("read", READERS))
    operators: Threads = field(default_factory=lambda: Threads("operate", OPERATORS))

    def config(self, pair: str) -> Config:
        """Raises NoPairError."""
        found = self.pairs.get(pair)
        if found is None:
            raise NoPairError(pair)
        return found
