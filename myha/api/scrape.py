"""GET /metrics."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from fastapi import APIRouter
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from myha.api.answers import PROBLEMS
from myha.api.findings import quarantine_of
from myha.api.metrics import Gathered, exposition, gather
from myha.api.protocol import BoundedProtocol
from myha.api.world import World
from myha.errors import MyhaError

# Files are counted so often at most, whoever scrapes.
QUARANTINE_SECONDS = 60.0


@dataclass(slots=True)
class QuarantineCounts:
    """By pair, incidents and rows, as of the last time they were counted."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    counted_at: float = float("-inf")

    def read(self, world: World) -> None:
        """In a thread that may wait for files."""
        found: dict[str, tuple[int, int]] = {}
        for name, config in world.pairs.items():
            try:
                incidents = quarantine_of(config)
            except MyhaError:
                continue  # `myha quarantine list` says why
            found[name] = len(incidents), sum(one["rows"] for one in incidents)
        self.counts = found

    def add_to(self, found: Gathered) -> None:
        for name, (incidents, rows) in self.counts.items():
            found.add("quarantine_incidents", incidents, name)
            found.add("quarantine_rows", rows, name)


def scrape(world: World) -> APIRouter:
    router = APIRouter(responses=PROBLEMS, tags=["metrics"])
    quarantine = QuarantineCounts()

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="For Prometheus, in its text format",
    )
    async def metrics() -> Response:
        known = world.known
        if time.monotonic() - quarantine.counted_at > QUARANTINE_SECONDS:
            quarantine.counted_at = time.monotonic()
            await world.readers.run(quarantine.read, world)
        found = gather(known.supervisor(), known.lines(), known.statuses(), world.counted)
        found.add("api_connections", BoundedProtocol.open_connections)
        found.add("api_listeners", known.listeners)
        quarantine.add_to(found)
        body = await world.readers.run(exposition, found)
        headers = {"cache-control": "no-store", "content-type": CONTENT_TYPE_LATEST}
        return Response(body, 200, headers)

    return router
