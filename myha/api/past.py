"""GET: the last hour, the last changes of writer and drills, conflicts, and the quarantine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query
from starlette.responses import Response

from myha.api.answers import (
    PROBLEMS,
    Answer,
    ConflictsAnswer,
    DrillsAnswer,
    FailoversAnswer,
    HistoryAnswer,
    IncidentAnswer,
    QuarantineAnswer,
    json_of,
    problem,
)
from myha.api.drills import DRILLS, drills_of
from myha.api.findings import conflicts_of, incident_of, quarantine_of
from myha.api.journal import lines_of
from myha.api.timelines import KINDS, timelines
from myha.api.world import World
from myha.core.events import Kind, Selector, Wanted
from myha.core.journal_line import Line

LINES_READ = 5000
MOST = 1000


class _Past(NamedTuple):
    """What `make` finds in lines of these kinds, oldest first, and its name in the answer."""

    name: str
    kinds: Iterable[Kind]
    make: Callable[[list[Line]], Sequence[Answer]]


FAILOVERS = _Past("failovers", KINDS, timelines)
PLAYED = _Past("drills", DRILLS, drills_of)

Limit = Annotated[int, Query(ge=1, le=MOST, description="The last so many")]


def past(world: World) -> APIRouter:
    router = APIRouter(prefix="/api/v1/pairs/{pair}", responses=PROBLEMS, tags=["past"])
    _add_plots(router, world)
    _add_findings(router, world)
    return router


def _add_plots(router: APIRouter, world: World) -> None:
    @router.get("/history", response_model=HistoryAnswer, summary="The last hour, for plots")
    async def history(
        pair: str,
        minutes: Annotated[float, Query(gt=0, le=60)] = 60,
        points: Annotated[int, Query(ge=2, le=3600, description="At most so many")] = 600,
    ) -> Response:
        world.config(pair)  # raises where there is no such pair
        return json_of({"pair": pair, **world.history.of(pair, minutes, points)})

    @router.get("/failovers", response_model=FailoversAnswer, summary="The last changes of writer")
    async def failovers(
        pair: str, limit: Annotated[int, Query(ge=1, le=100, description="The last so many")] = 10
    ) -> Response:
        return await _newest(world, pair, FAILOVERS, limit)

    @router.get("/drills", response_model=DrillsAnswer, summary="The last faults caused on purpose")
    async def drills(
        pair: str, limit: Annotated[int, Query(ge=1, le=100, description="The last so many")] = 20
    ) -> Response:
        return await _newest(world, pair, PLAYED, limit)


async def _newest(world: World, pair: str, past: _Past, limit: int) -> Response:
    wanted = Wanted(tuple(map(Selector, past.kinds)))
    lines = await world.readers.run(lines_of, world.config(pair), LINES_READ, wanted=wanted)
    newest = past.make(lines)[-limit:][::-1]
    return json_of({past.name: [one.model_dump(mode="json") for one in newest]})


def _add_findings(router: APIRouter, world: World) -> None:
    @router.get("/conflicts", response_model=ConflictsAnswer, summary="Where both nodes wrote")
    async def conflicts(
        pair: str,
        limit: Limit = 100,
        after: Annotated[int, Query(ge=0, le=2**62, description="Only lines above this id")] = 0,
    ) -> Response:
        found = await world.readers.run(conflicts_of, world.config(pair), limit, after)
        return json_of({"conflicts": found})

    @router.get(
        "/quarantine", response_model=QuarantineAnswer, summary="What heals took out, newest first"
    )
    async def quarantine(pair: str) -> Response:
        found = await world.readers.run(quarantine_of, world.config(pair))
        return json_of({"incidents": found})

    @router.get(
        "/quarantine/{incident}",
        response_model=IncidentAnswer,
        summary="One incident, with its transactions and rows",
    )
    async def one_incident(
        pair: str,
        incident: str,
        limit: Limit = 200,
        offset: Annotated[int, Query(ge=0, le=2**31, description="Rows to leave out")] = 0,
    ) -> Response:
        found = await world.readers.run(incident_of, world.config(pair), incident, limit, offset)
        if found is None:
            return problem(f"there is no incident {incident!r}", 404)
        return json_of(found)
