"""What the drill's two tables hold, as values. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

Key: TypeAlias = tuple[int, int]  # client, number


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table of numbers."""

    client: int
    number: int
    payload: str
    origin: int  # server id of the node that took the write

    @property
    def key(self) -> Key:
        return self.client, self.number

    def spoilt(self, payload: str) -> Row:
        """The same row with another payload."""
        return replace(self, payload=payload)


@dataclass(frozen=True, slots=True)
class IdRow:
    """A row of the table of auto-increment ids."""

    id: int
    client: int
    number: int
    origin: int

    @property
    def key(self) -> Key:
        return self.client, self.number


@dataclass(frozen=True, slots=True)
class Tables:
    """What one node holds, in the order of its keys."""

    rows: tuple[Row, ...]
    ids: tuple[IdRow, ...]
