"""The simulated store: the record with compare-and-set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from myha.core.model import Record
from myha.errors import StoreConflictError

if TYPE_CHECKING:
    from myha.sim.heal import SimHeal


class SimStore:
    """Implements `myha.ports.RecordStore`; as durable as the real one claims to be."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.locks: dict[str, SimHeal] = {}  # by node: which job works on it
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
