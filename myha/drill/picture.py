"""All that a picture of a round is made of. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from myha.core.journal_line import Line
from myha.drill.ledger import Attempt
from myha.drill.series import Series, series
from myha.drill.topology import Topology

BEFORE_MS, AFTER_MS = 500.0, 1000.0
STORY_KINDS = frozenset(
    {
        *("verdict", "refusal", "plan", "plan-done", "plan-failed", "step", "step-failed"),
        *("balancer-failed", "request", "job-done", "job-failed", "quarantine", "merged", "heal"),
    }
)
STORY_LIMIT = 150


@dataclass(frozen=True, slots=True)
class JournalLine:
    """A line of the journal, in ms from the fault."""

    at_ms: float
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class RoundPicture:
    """`near`: the clients around the fault; `whole`: from their first transaction to the last."""

    near: Series
    whole: Series
    before: Topology | None
    after: Topology | None
    story: tuple[JournalLine, ...]


def picture_of(
    attempts: Sequence[Attempt],
    events: Iterable[Line],
    fault_at: float,
    until: float,
    *,
    last_ms: float,
    before: Topology | None,
    after: Topology | None,
) -> RoundPicture:
    """`last_ms`: when what is of interest around the fault was over, counted from it."""
    first = min((one.begun_at for one in attempts), default=fault_at)
    first_ms, until_ms = 1000 * (first - fault_at), 1000 * (until - fault_at)
    near_until = min(until_ms, max(AFTER_MS, last_ms * 1.3 + BEFORE_MS))
    story = [
        JournalLine(round(1000 * (one.at - fault_at), 1), one.kind, one.text)
        for one in events
        if one.kind in STORY_KINDS
    ]
    return RoundPicture(
        near=series(attempts, fault_at, max(first_ms, -BEFORE_MS), near_until),
        whole=series(attempts, fault_at, first_ms, until_ms),
        before=before,
        after=after,
        story=tuple(story[:STORY_LIMIT]),
    )
