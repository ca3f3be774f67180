"""The ledger: what every client of a drill tried, and what it was told, on disk.

One append-only file for each client, a fixed-size entry for each event, written before the client
goes on. What the ledger says was acknowledged is what the servers must have; nothing in here is
ever taken from a server afterwards. Times are of the system-wide monotonic clock.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

_ENTRY = struct.Struct("<BQdQ")  # kind, number, at, id

Entry = tuple[int, int, float, int]


class Kind(IntEnum):
    """What an entry says of a transaction."""

    BEGUN = 1
    ACKNOWLEDGED = 2  # the server said OK to COMMIT
    UNANSWERED = 3  # COMMIT was sent, and no OK came
    BROKEN_OFF = 4  # it failed before COMMIT was sent: it must not be there
    ASKED = 5  # a read was sent; the number is that of the client whose last number was asked for
    READ = 6  # its answer: the number, and the id of the server that gave it


@dataclass(frozen=True, slots=True)
class Attempt:
    """One transaction as its client saw it. `ended_at` is None when the client ended first."""

    client: int
    number: int
    begun_at: float
    ended_at: float | None = None
    outcome: Kind = Kind.UNANSWERED
    row_id: int = 0

    @property
    def acknowledged(self) -> bool:
        return self.outcome is Kind.ACKNOWLEDGED


@dataclass(frozen=True, slots=True)
class Read:
    """The last number of client `of` as `client` read it, and the server that answered."""

    client: int
    of: int
    sent_at: float
    value: int
    server_id: int


class LedgerWriter:
    """One client's file. An entry is with the kernel when a method returns."""

    def __init__(self, directory: Path, client: int) -> None:
        path = directory / f"client-{client}.ledger"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, 0o600)

    def write(self, kind: Kind, number: int, at: float, row_id: int = 0) -> None:
        os.write(self._descriptor, _ENTRY.pack(kind, number, at, row_id))

    def close(self) -> None:
        os.close(self._descriptor)


class LedgerReader:
    """Reads all clients' files of a directory, again and again if wanted."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}
        self._last: dict[Path, float] = {}
        self.acknowledged = 0
        self.last_acknowledged_at = 0.0

    def advance(self) -> int:
        """Count what was acknowledged since the last call, without reading anything twice."""
        before = self.acknowledged
        for path in self._directory.glob("client-*.ledger"):
            offset = self._read.get(path, 0)
            data, self._read[path] = _whole_entries(path, offset)
            for kind, _, at, _ in _ENTRY.iter_unpack(data):
                if kind == Kind.ACKNOWLEDGED:
                    self.acknowledged += 1
                    self._last[path] = at
                    self.last_acknowledged_at = max(self.last_acknowledged_at, at)
        return self.acknowledged - before

    def served_since(self, at: float) -> int:
        """How many clients have had an acknowledgement since then, as of the last `advance`."""
        return sum(last > at for last in self._last.values())


def _whole_entries(path: Path, offset: int) -> tuple[bytes, int]:
    """The whole entries from `offset` on, and the offset after them."""
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    whole = len(data) - len(data) % _ENTRY.size
    return data[:whole], offset + whole


def _all(directory: Path) -> Iterator[tuple[int, Iterator[Entry]]]:
    """Each client's number and entries."""
    for path in sorted(directory.glob("client-*.ledger")):
        client = int(path.stem.partition("-")[2])
        yield client, _ENTRY.iter_unpack(_whole_entries(path, 0)[0])


def read_attempts(directory: Path) -> list[Attempt]:
    """Every attempt of every client, in the order in which each client made them."""
    return [
        attempt for client, entries in _all(directory) for attempt in _attempts(client, entries)
    ]


def _attempts(client: int, entries: Iterable[Entry]) -> Iterator[Attempt]:
    begun: tuple[int, float] | None = None
    for kind, number, at, row_id in entries:
        if kind in (Kind.ASKED, Kind.READ):
            continue
        if kind == Kind.BEGUN:
            if begun is not None:
                yield Attempt(client, *begun)
            begun = (number, at)
        elif begun is not None:
            yield Attempt(client, number, begun[1], at, Kind(kind), row_id)
            begun = None
    if begun is not None:
        yield Attempt(client, *begun)


def read_reads(directory: Path) -> list[Read]:
    """Every read that was answered, of all clients."""
    return [read for client, entries in _all(directory) for read in _reads(client, entries)]


def _reads(client: int, entries: Iterable[Entry]) -> Iterator[Read]:
    asked: tuple[int, float] | None = None
    for kind, number, at, row_id in entries:
        if kind == Kind.ASKED:
            asked = (number, at)
        elif kind == Kind.READ and asked is not None:
            yield Read(client, *asked, number, row_id)
            asked = None
