"""The simulated store: the record with compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from myha.core.record import Record
from myha.errors import StoreConflictError


class LockHolder(Protocol):
    """A job that works on a node; `done` when it has ended, whatever became of its process."""

    done: bool


class SimStore:
    """Implements `myha.ports.RecordStore`; as durable as the real one claims to be."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.locks: dict[str, LockHolder] = {}  # by node: which job works on it
        self.on_change: Callable[[Record, Record], None] = lambda _old, _new: None

    def read(self) -> Record | None:
        return self.record

    def compare_and_set(self, expected_version: int, record: Record) -> None:
        if self.record.version != expected_version:
            raise StoreConflictError(f"the record is no longer at version {expected_version}")
        old, self.record = self.record, record
        self.on_change(old, record)

    def close(self) -> None:
        """Nothing is held."""
