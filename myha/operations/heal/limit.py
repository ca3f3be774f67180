"""A reporter that ends a comparison when its time is over, and knows whether anything differed."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from types import TracebackType

from myha.progress import CancelledError, Reporter


class Limit(AbstractContextManager["Limit"]):
    """Passes everything on for `seconds` (0: no limit), then says stop.

    As a context it swallows the CancelledError that follows from that, and no other: `over` is true
    then. `differences` counts what the comparison told of until then.
    """

    def __init__(self, reporter: Reporter, seconds: float) -> None:
        self._reporter = reporter
        self._ends = time.monotonic() + seconds if seconds else float("inf")
        self.progress = reporter.progress
        self.over = False
        self.differences = 0

    def event(self, kind: str, text: str, **fields: str) -> None:
        self.differences += kind == "difference"
        self._reporter.event(kind, text, **fields)

    def cancelled(self) -> bool:
        if self._reporter.cancelled():
            return True
        self.over = time.monotonic() >= self._ends
        return self.over

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return isinstance(error, CancelledError) and self.over
