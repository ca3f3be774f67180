"""A reporter for tests."""

from __future__ import annotations

from collections.abc import Callable

from myha.permit import Permit
from myha.progress import Progress


class ListReporter:
    """Keeps everything. `cancel_when` is asked with each progress."""

    def __init__(self, cancel_when: Callable[[Progress], bool] | None = None) -> None:
        self.seen: list[Progress] = []
        self.events: list[tuple[str, str, dict[str, str]]] = []
        self.permit = Permit()
        self._cancel_when = cancel_when

    def progress(self, now: Progress) -> None:
        self.seen.append(now)
        if self._cancel_when is not None and self._cancel_when(now):
            self.permit.withdraw("by the test")

    def event(self, kind: str, text: str, **fields: str) -> None:
        self.events.append((kind, text, fields))

    @property
    def phases(self) -> list[str]:
        """The phases met, in order, each once."""
        return list(dict.fromkeys(one.phase for one in self.seen))
