"""Long work that runs beside the loop, and how it ended. Pure."""

from __future__ import annotations

from enum import StrEnum

from myha.core.node import NodeName
from myha.core.values import value


class JobResult(StrEnum):
    """How a job ended."""

    DONE = "done"
    REFUSED = "refused"  # nothing was changed, and trying again would not help
    FAILED = "failed"  # may be begun again
    STOPPED = "stopped"  # the supervisor stopped it: that says nothing of it


@value(frozen=True, slots=True)
class Job:
    """Long work that runs beside: a heal has a node, a method and the id of the heal on record.

    `text` is how far it is, in one line; `percent` and `left_seconds` are None when not known.
    """

    kind: str
    node: NodeName = ""
    method: str = ""
    id: int = 0
    since: float = 0.0
    phase: str = ""
    percent: float | None = None
    left_seconds: float | None = None
    text: str = ""


@value(frozen=True, slots=True)
class HealOutcome:
    """How the last job of a heal's method ended; `attempts` counts those that failed."""

    node: NodeName
    id: int
    method: str
    result: JobResult
    reason: str
    at: float
    attempts: int = 0
