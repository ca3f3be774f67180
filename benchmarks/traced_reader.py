"""`python -m benchmarks.traced_reader`: the daemon's reader of conflicts, which notes its times.

It is the job as it is, with three more fields in each conflict: when what completed it arrived,
when it was read, and when it was told. All of it is in the reader's own thread, so the notes cost
it a few microseconds a turn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.arrivals import Arrivals
from myha import job
from myha.config import load
from myha.conflicts.node_state import NodeState
from myha.conflicts.watch import Watch
from myha.conflicts.wire import PIECE_BYTES
from myha.core.events import Kind
from myha.progress import Reporter, WithPermit


class _Traced(Watch):
    """Notes when it was woken and when it read."""

    def __init__(self, config: Any, reporter: Reporter) -> None:
        super().__init__(config, reporter)
        self._arrivals = Arrivals()
        self.arrived = self.received = 0.0

    def _ready(self) -> list[NodeState]:
        sides = [one.side for one in self._nodes if one.link is not None]
        ready: list[NodeState] = []

        def poll() -> list[int]:
            ready.extend(super(_Traced, self)._ready())
            return [one.side for one in ready]

        self._arrivals.poll(poll, sides)
        return ready

    def _piece(self, node: NodeState) -> bytes:
        self.arrived = self._arrivals.earliest(node.side)
        piece = super()._piece(node)
        self.received = time.monotonic()
        if len(piece) < PIECE_BYTES:
            self._arrivals.emptied(node.side, self.received)
        return piece


class _Noting(WithPermit):
    """Puts the reader's times into what it tells."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(reporter, reporter.permit)
        self.watch: _Traced | None = None

    def event(self, kind: Kind, text: str, **fields: str) -> None:
        if kind is Kind.CONFLICT and self.watch is not None:
            times = (self.watch.arrived, self.watch.received, time.monotonic())
            named = zip(("arrived", "received", "told"), map(repr, times), strict=True)
            fields |= dict(named)
        super().event(kind, text, **fields)


def run(order: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """As `myha.conflicts.job.run`."""
    noting = _Noting(reporter)
    noting.watch = watch = _Traced(load(Path(str(order["config"]))), noting)
    watch.run()
    return {"text": watch.summary(), **watch.metrics()}


if __name__ == "__main__":
    job.KINDS["conflicts"] = "benchmarks.traced_reader"
    sys.exit(job.main())
