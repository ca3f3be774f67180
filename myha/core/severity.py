"""How much something concerns the person who is on duty."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """In order, the least first; their ranks are those of the list."""

    INFO = "info"  # what is done, step by step
    NOTICE = "notice"  # normal, and worth knowing
    WARNING = "warning"  # serves its clients, and something is not as it should be
    CRITICAL = "critical"  # clients are refused, or data is at stake

    @property
    def rank(self) -> int:
        """0 is the least."""
        return list(Severity).index(self)

    def reaches(self, least: Severity) -> bool:
        return self.rank >= least.rank
