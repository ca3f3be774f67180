"""A comparison that ends when its time is over, and of which is known whether anything differed."""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from myha.core.events import Kind
from myha.permit import CancelledError, TimeLimit
from myha.progress import Reporter, WithPermit


class Limit(WithPermit, AbstractContextManager["Limit"]):
    """A reporter whose permit ends after `seconds` (0: no limit).

    As a context it swallows the CancelledError that follows from that, and no other: `over` is true
    then. `differences` counts what the comparison told of until then.
    """

    def __init__(self, reporter: Reporter, seconds: float) -> None:
        self._limit = TimeLimit(reporter.permit, seconds)
        super().__init__(reporter, self._limit)
        self.differences = 0

    @property
    def over(self) -> bool:
        return self._limit.over

    def event(self, kind: Kind, text: str, **fields: str) -> None:
        self.differences += kind is Kind.DIFFERENCE
        super().event(kind, text, **fields)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return isinstance(error, CancelledError) and self.over
