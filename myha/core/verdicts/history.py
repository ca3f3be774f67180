"""A history that has gone backwards: somebody has reset a binary log."""

from __future__ import annotations

from myha.core.protocols import history
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict


def concerns(it: Situation) -> bool:
    return bool(it.log_reset_on)


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "log-reset",
        "Somebody has reset the binary log of {reset}: its transactions get names that others had "
        "before, by which {standby} takes them for what it has already. It is fenced.",
        concerns,
        planner=history.fence_reset,
        severity=Severity.CRITICAL,
    ),
)
