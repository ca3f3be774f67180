"""One of the two streams that a watch reads: its connections, and how far its reader is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from myha.conflicts.companion import Companion, bytes_behind
from myha.conflicts.keys import Facts
from myha.conflicts.reader import Reader
from myha.conflicts.tables import Tables
from myha.conflicts.wire import Link
from myha.database.flavours.base import Identity
from myha.database.session import WarmSession


@dataclass(slots=True)
class NodeState:
    """One of the two streams."""

    name: str
    side: int
    companion: Companion
    session: WarmSession  # for the main thread's questions
    tables: Tables
    link: Link | None = None
    reader: Reader | None = None
    identity: Identity | None = None
    logs_cascades: bool = True
    lost: bool = False  # the server no longer has what comes next
    was_reset: bool = False  # its log was removed under the reader
    begun_at: float = 0.0
    try_at: float = 0.0
    failures: int = 0
    reported_error: str = ""
    reported_behind_seconds: float = 0.0
    unseen: int = 0  # transactions that were never read
    facts: dict[tuple[str, str], Facts | None] = field(default_factory=dict)  # of tables met

    def behind(self) -> tuple[float, int | None]:
        """(seconds, bytes) that its reader has before it; bytes None when not known."""
        if self.reader is None:
            return 0.0, None
        count = bytes_behind(self.companion.end, self.reader.file, self.reader.log_pos)
        if not count or not self.reader.timestamp:
            return 0.0, count
        return max(0.0, time.time() - self.reader.timestamp), count

    def metrics(self) -> dict[str, Any]:
        """Every count, for programs."""
        seconds, count = self.behind()
        reader = self.reader
        return {
            "reading": self.link is not None,
            "error": self.reported_error,
            "rows": reader.rows if reader else 0,
            "transactions": reader.transactions if reader else 0,
            "copies": reader.copies if reader else 0,
            "foreign": reader.foreign if reader else 0,
            "bytes": reader.bytes if reader else 0,
            "behind_seconds": round(seconds, 1),
            "behind_bytes": count,
            "unseen": self.unseen,
        }
