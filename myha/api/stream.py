"""GET /api/v1/stream: server-sent events. Whoever listens gets all that is known, then each change.

All listeners are fed by the one connection that this process has to the supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from myha.api.answers import PROBLEMS, problem
from myha.api.known import NO_PAIR, Known, Listener
from myha.api.world import NoPairError, World

HEARTBEAT_SECONDS = 5.0
HEARTBEAT = b": still here\n\n"
HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}

StillAllowed = Callable[[], bool]


def stream(world: World, still_allowed: Callable[[Request], StillAllowed]) -> APIRouter:
    router = APIRouter(prefix="/api/v1", responses=PROBLEMS, tags=["stream"])

    @router.get(
        "/stream",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
        summary="Changes as they happen, as server-sent events",
    )
    async def events(
        request: Request,
        pair: Annotated[str | None, Query(description="Only of this pair")] = None,
        only: Annotated[Literal["pairs"] | None, Query(description="No statuses or lines")] = None,
    ) -> Response:
        if pair is not None and pair not in world.known.names:
            raise NoPairError(pair)
        listener = world.known.listen(NO_PAIR if only else pair)
        if listener is None:
            return problem("too many listen already; try again later", 503)
        allowed = still_allowed(request)
        return StreamingResponse(
            _told(world.known, listener, allowed), 200, HEADERS, "text/event-stream"
        )

    return router


async def _told(known: Known, listener: Listener, allowed: StillAllowed) -> AsyncIterator[bytes]:
    """Until the client goes, does not keep up, may not read any more, or the supervisor ends."""
    try:
        while not listener.lost:
            try:
                what = await asyncio.wait_for(listener.queue.get(), HEARTBEAT_SECONDS)
            except TimeoutError:
                if not allowed():
                    return
                what = HEARTBEAT
            if what is None:
                return
            yield what
    finally:
        known.leave(listener)
