"""A history that is not to be had any more: a binary log was reset, or purged too early, or a
node has older data than it had."""

from __future__ import annotations

from myha.core.protocols import history
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict


def concerns(it: Situation) -> bool:
    return _log_reset(it) or _claims(it) or _incomplete(it) or it.outdated


def _claims(it: Situation) -> bool:
    return it.claimed is not None


def _incomplete(it: Situation) -> bool:
    return it.left_out is not None


def _log_reset(it: Situation) -> bool:
    return bool(it.log_reset_on)


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "log-reset",
        "Somebody has reset the binary log of {reset}: its transactions get names that others had "
        "before, by which {standby} takes them for what it has already. It is fenced.",
        _log_reset,
        planner=history.fence_reset,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "standby-claims",
        "{standby} takes for its own what {writer} has yet to write: what will bear these names "
        "does not come to it. It is fenced.",
        _claims,
        planner=history.fence_claiming,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "standby-incomplete",
        "{standby} replicates, and what {writer} has from before does not come to it any more: its "
        "data are older than they were, or replication leaves something out. It is fenced.",
        _incomplete,
        planner=history.fence_incomplete,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "standby-outdated",
        "{writer} has purged from its binary logs what {standby} lacks: it cannot catch up.",
        lambda it: it.outdated,
        planner=history.fence_outdated,
    ),
)
