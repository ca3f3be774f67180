"""GET: the pairs, one of them, and its journal."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from myha.api.answers import (
    PROBLEMS,
    EventsAnswer,
    ExplainAnswer,
    JobsAnswer,
    PairsAnswer,
    json_bytes,
    json_of,
    problem,
)
from myha.api.journal import lines_of
from myha.api.known import PairKnown
from myha.api.statuses import jobs_of
from myha.api.world import NoPairError, World
from myha.core.events import Kind, Selector, Wanted
from myha.core.journal_line import Line
from myha.core.severity import Severity
from myha.supervisor.status import Status

EVENTS_LIMIT = 1000
EXPLAIN_LINES = 15
KIND = rf"^({'|'.join(Kind)})(:[A-Za-z0-9_.-]+)?$"


def reading(world: World) -> APIRouter:
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["reading"])

    @router.get("/pairs", response_model=PairsAnswer, summary="All pairs, the worst first")
    async def pairs() -> Response:
        return json_of(world.known.overview())

    @router.get(
        "/pairs/{pair}",
        response_model=Status,
        summary="One pair, with the fields of `myha status --json`",
    )
    async def status(pair: str) -> Response:
        found = world.known.asked(pair)
        if found is None or found.status is None:
            return _nobody(world, pair, found)
        return json_bytes(found.body, age_seconds=world.known.age_seconds(pair))

    _add_reasons(router, world)
    _add_events(router, world)
    return router


def _add_reasons(router: APIRouter, world: World) -> None:

    @router.get("/pairs/{pair}/explain", response_model=ExplainAnswer, summary="Why it is so")
    async def explain(pair: str) -> Response:
        found = world.known.pair(pair)
        if found is None or found.status is None:
            return _nobody(world, pair, found)
        config = world.pairs.get(pair)
        lines: list[Line] = []
        if config is not None:
            lines = await world.readers.run(lines_of, config, EXPLAIN_LINES)
        keys = ExplainAnswer.model_fields.keys() - {"events"}
        said = found.status.model_dump(mode="json", include=keys)
        return json_of({**said, "events": [one.as_json() for one in lines]})

    @router.get("/pairs/{pair}/jobs", response_model=JobsAnswer, summary="Heals and comparisons")
    async def jobs(pair: str) -> Response:
        found = world.known.pair(pair)
        if found is None or found.status is None:
            return _nobody(world, pair, found)
        status = found.status
        running = [job.model_dump(mode="json") for job in jobs_of(status)]
        last = status.model_dump(mode="json", include={"last_jobs"})["last_jobs"]
        return json_of({"jobs": running, "last": last})


def _add_events(router: APIRouter, world: World) -> None:
    @router.get(
        "/pairs/{pair}/events", response_model=EventsAnswer, summary="The journal, oldest first"
    )
    async def events(
        pair: str,
        after: Annotated[int, Query(ge=0, le=2**62, description="Only lines above this id")] = 0,
        limit: Annotated[int, Query(ge=1, le=EVENTS_LIMIT, description="The last so many")] = 100,
        kind: Annotated[
            list[Annotated[str, Query(pattern=KIND, max_length=128)]] | None,
            Query(max_length=16, description="KIND or KIND:SUBJECT; may be given again"),
        ] = None,
        severity: Annotated[Severity, Query(description="At least so severe")] = Severity.INFO,
    ) -> Response:
        config = world.config(pair)
        try:
            kinds = tuple(Selector.of(one) for one in kind or ())
        except ValueError as error:
            return problem(f"kind: {error}", 404)
        lines = await world.readers.run(
            lines_of, config, limit, after=after, wanted=Wanted(kinds, severity)
        )
        return json_of({"events": [one.as_json() for one in lines]})


def _nobody(world: World, pair: str, found: PairKnown | None) -> Response:
    """There is no status of the pair, and why."""
    if found is not None:
        return problem(found.line.sentence, 503)
    if pair in world.pairs:
        return problem("the supervisor has said nothing of this pair yet", 503)
    raise NoPairError(pair)
