"""The application: all endpoints, and every failure as one line of JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from myha import __version__
from myha.api.answers import problem
from myha.api.guard import WHO, App, Guard
from myha.api.health import health
from myha.api.operations import operations
from myha.api.page import PageFiles, page
from myha.api.past import past
from myha.api.reading import reading
from myha.api.scrape import scrape
from myha.api.stream import StillAllowed, stream
from myha.api.world import BusyError, World
from myha.config import ApiConfig
from myha.errors import MyhaError
from myha.words import one_line

DESCRIPTION = (
    "What a supervisor of myha knows of its pairs, and what it can be asked to do. "
    "Reading is free on loopback; operating needs a token everywhere."
)


def application(
    world: World, api: ApiConfig, port: int, say: Callable[[str], None] = lambda _text: None
) -> App:
    """All of it, guarded. `say` is told what belongs into the log."""
    requests = world.counted.requests
    return Guard(endpoints(world), api, world.tokens, port, answered=requests, say=say)


def endpoints(world: World) -> FastAPI:
    app = FastAPI(
        title="myha",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # those load from elsewhere
        redoc_url=None,
    )
    _explain_failures(app)
    _describe_tokens(app)

    def still_allowed(request: Request) -> StillAllowed:
        who = request.scope.get(WHO)
        return lambda: who is None or who in world.tokens.now()

    app.include_router(reading(world))
    app.include_router(past(world))
    app.include_router(health(world))
    app.include_router(scrape(world))
    app.include_router(operations(world))
    app.include_router(stream(world, still_allowed))
    app.include_router(page(PageFiles()))
    return app


def _describe_tokens(app: FastAPI) -> None:
    """In the schema: a token for what operates; reading may do without one, on loopback."""
    make = app.openapi

    def described() -> dict[str, Any]:
        schema = make()
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer"}
        schema.setdefault("security", [{}, {"token": []}])
        return schema

    app.openapi = described  # type: ignore[method-assign]


def _explain_failures(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def wrong(_request: Request, error: RequestValidationError) -> Response:
        return problem(_first_of(error.errors()), 422)

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        answer = problem(str(error.detail), error.status_code)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(MyhaError)
    async def failed(_request: Request, error: MyhaError) -> Response:
        return problem(one_line(error), 503)

    @app.exception_handler(BusyError)
    async def busy(_request: Request, _error: BusyError) -> Response:
        return problem("too much is waited for already; try again", 503)


def _first_of(errors: Any) -> str:
    """The first of them: where, and what is wrong there."""
    one = errors[0]
    where = ".".join(str(part) for part in one["loc"] if part not in ("body", "query", "path"))
    return f"{where or 'the body'}: {one['msg']}"
