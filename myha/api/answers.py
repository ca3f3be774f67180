"""What endpoints answer, as values with a schema, and how it becomes a response."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from myha.api.known import encoded
from myha.core.severity import Severity
from myha.supervisor.overview import PairLine
from myha.supervisor.status import (
    IncidentStatus,
    JobStatus,
    LastJobStatus,
    RefusalStatus,
    VerdictStatus,
)


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Problem(Answer):
    """Why nothing was done or found, in one line."""

    ok: bool = False
    text: str


class SupervisorAnswer(Answer):
    """Whether the supervisor answers; `silent_seconds` since when it has not."""

    answering: bool
    silent_seconds: float
    text: str


class PairsAnswer(Answer):
    """All pairs, the worst first."""

    pairs: list[PairLine]
    supervisor: SupervisorAnswer


class Line(BaseModel):
    """A line of the journal: `at` is the supervisor's monotonic clock, `wall` seconds since the
    epoch; further fields by `kind`, all strings."""

    model_config = ConfigDict(extra="allow")

    id: int
    at: float
    wall: float
    kind: str
    severity: Severity
    text: str


class EventsAnswer(Answer):
    """Oldest first."""

    events: list[Line]


class ExplainAnswer(Answer):
    """The verdicts in force, what follows from them, what is refused and why, and what was seen
    and done last. What was observed is in the status."""

    verdict: str
    sentence: str
    verdicts: list[VerdictStatus]
    running: str | None
    jobs: list[JobStatus]
    refusals: list[RefusalStatus]
    incidents: list[IncidentStatus]
    events: list[Line]


class JobsAnswer(Answer):
    """Jobs that run, and how the last of each kind ended."""

    jobs: list[JobStatus]
    last: dict[str, LastJobStatus]


class Health(Answer):
    """`ok` is what the status of the answer says too."""

    ok: bool
    text: str


class Series(Answer):
    """Of a node; None where nothing is known."""

    lag_seconds: list[float | None]
    transactions_per_second: list[float | None]
    pulse_latency_ms: list[float | None]


class HistoryAnswer(Answer):
    """`at` is in seconds since the epoch; each series has a number for each of it. Only what this
    process has seen, at most an hour."""

    pair: str
    step_seconds: float
    at: list[float]
    nodes: dict[str, Series]


class Phase(Answer):
    """A step of a plan, in milliseconds from its beginning. `beside`: nothing waited for it."""

    step: str
    text: str
    began_ms: float
    took_ms: float | None
    ended_ms: float
    failed: bool
    beside: bool


class Because(Answer):
    """The verdict that it followed from."""

    name: str
    sentence: str
    before_ms: float


class Failover(Answer):
    """A change of writer, or an attempt. `outcome`: running, done, failed, cut short."""

    id: int
    plan: str
    node: str
    epoch: str
    sentence: str
    verdict: Because | None
    began_at: float
    began_wall: float
    ended_wall: float | None
    total_ms: float | None
    outcome: str
    reason: str
    phases: list[Phase]


class FailoversAnswer(Answer):
    """Newest first."""

    failovers: list[Failover]


class Drill(Answer):
    """A fault that somebody caused on purpose. `outcome`: passed, failed, cut short, or begun, of
    which no end is noted; what was measured is None but for the first two. Times in milliseconds,
    phases (medians of the rounds) from the fault."""

    id: int
    scenario: str
    who: str
    began_wall: float
    ended_wall: float | None
    outcome: str
    reason: str
    seed: int
    clients: int
    rounds: int | None
    acknowledged: int | None
    lost: int | None
    outage_ms_min: float | None
    outage_ms_median: float | None
    outage_ms_max: float | None
    phases_ms: dict[str, float]


class DrillsAnswer(Answer):
    """Newest first."""

    drills: list[Drill]


class ConflictsAnswer(Answer):
    """Lines of the journal, oldest first. A `conflict` has `table`, `key`, `values`, and as `first`
    and `second` the two writes: `node`, `gtid`, `change`, `before`, `after`."""

    conflicts: list[Line]


class Incident(Answer):
    """What was taken out of the live data at one time; `merged`: so many are on the writer."""

    id: str
    at: str
    kind: str
    node: str
    why: str
    transactions: int
    rows: int
    merged: int


class QuarantineAnswer(Answer):
    """Newest first."""

    incidents: list[Incident]


class Row(Answer):
    """Its values by column before and after; None where there was no row."""

    gtid: str | None
    table: str | None
    change: str
    before: Any
    after: Any


class IncidentAnswer(Incident):
    """`next_offset`: where the next rows begin, None at the end."""

    about: dict[str, str]
    merged_gtids: list[str]
    of_transactions: list[dict[str, Any]]
    of_rows: list[Row]
    next_offset: int | None


JSON = "application/json"


def json_bytes(body: bytes, status: int = 200, age_seconds: float | None = None) -> Response:
    """What is JSON already. `age_seconds`: how old it is, where it may be."""
    headers = {"cache-control": "no-store"}
    if age_seconds is not None:
        headers["age"] = str(int(age_seconds))
    return Response(body, status, headers, media_type=JSON)


def json_of(value: Any, status: int = 200) -> Response:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json_bytes(encoded(value), status)


def problem(text: str, status: int) -> Response:
    return json_of(Problem(text=text), status)


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request cannot be understood"},
    401: {"model": Problem, "description": "A token is needed, or this one is not known"},
    403: {"model": Problem, "description": "Not with this token, or not from that page"},
    404: {"model": Problem, "description": "There is no such thing"},
    405: {"model": Problem, "description": "Not by this method"},
    413: {"model": Problem, "description": "The body is too large"},
    415: {"model": Problem, "description": "The body is no JSON"},
    421: {"model": Problem, "description": "The Host is none of this supervisor's names"},
    422: {"model": Problem, "description": "A value is not one that is taken"},
    429: {"model": Problem, "description": "Too many; Retry-After says when again"},
    503: {"model": Problem, "description": "Nobody supervises the pair, or there is no answer"},
}
