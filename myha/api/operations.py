"""POST: what an operator asks for, as commands do, with the same plans and refusals.

A request waits for the supervisor in a thread. Nothing is decided here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from myha.api.answers import PROBLEMS, Answer, json_of, problem
from myha.api.guard import WHO
from myha.api.world import World
from myha.config import Config
from myha.errors import MyhaError
from myha.supervisor.client import Client
from myha.supervisor.requests import Reply
from myha.words import one_line

PAUSE_SECONDS = 0.5
WAIT_LIMIT_SECONDS = 300.0

Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Method = Literal["auto", "merge", "rewind", "reseed", "resume"]


class Body(BaseModel):
    """`dry_run`: only the plan is wanted, or the refusal. Nothing is done, or noted."""

    model_config = ConfigDict(extra="forbid", strict=True)

    dry_run: bool = False


class Switchover(Body):
    """As `myha switchover`. It is asked again until `wait_seconds` have passed while the standby is
    too far behind; `now` neither waits nor gives up early."""

    to: Name | None = None
    max_outage_seconds: Annotated[float, Field(ge=0.05, le=60)] | None = None
    wait_seconds: Annotated[float, Field(ge=0, le=WAIT_LIMIT_SECONDS)] = 10.0
    now: bool = False


class Failover(Body):
    """As `myha failover`."""

    to: Name | None = None
    accept_loss: bool = False


class Fence(Body):
    """As `myha fence`."""

    node: Name
    reason: Annotated[str, Field(max_length=200)] = ""


class Unfence(Body):
    """As `myha unfence`."""

    node: Name


class Heal(Body):
    """As `myha heal --no-wait`."""

    node: Name
    method: Method = "auto"
    accept_loss: bool = False


class Verify(Body):
    """A comparison of both nodes' rows by a job, as one that is due by `verify.every_seconds`."""


class Maintenance(Body):
    """As `myha maintenance`."""

    state: Literal["on", "off"]


class PlanAnswer(Answer):
    """What would be done: why, and the steps in their order."""

    sentence: str
    steps: list[str]


class OperationAnswer(Answer):
    """Done, or refused: then `override` is the command that insists, where there is one. `plan` is
    that of a dry run."""

    ok: bool
    text: str
    override: str | None
    plan: PlanAnswer | None


RESPONSES = {
    **PROBLEMS,
    409: {"model": OperationAnswer, "description": "Refused; nothing was done"},
}


def operations(world: World) -> APIRouter:
    router = APIRouter(prefix="/api/v1/pairs/{pair}", responses=RESPONSES, tags=["operating"])

    def post(name: str, summary: str) -> Callable[[Callable[..., Awaitable[Response]]], object]:
        return router.post(
            f"/{name}",
            response_model=OperationAnswer,
            summary=summary,
            openapi_extra={"security": [{"token": []}]},
        )

    @post("switchover", "Make the standby the writer, as planned")
    async def switchover(request: Request, pair: str, body: Switchover) -> Response:
        return await _operate(world, request, pair, "switchover", body)

    @post("failover", "Make the standby the writer when the writer cannot hand over")
    async def failover(request: Request, pair: str, body: Failover) -> Response:
        return await _operate(world, request, pair, "failover", body)

    @post("fence", "No traffic, no writes, no replication")
    async def fence(request: Request, pair: str, body: Fence) -> Response:
        return await _operate(world, request, pair, "fence", body)

    @post("unfence", "Let a node rejoin; it is inspected first")
    async def unfence(request: Request, pair: str, body: Unfence) -> Response:
        return await _operate(world, request, pair, "unfence", body)

    @post("heal", "Bring back a node whose data has diverged")
    async def heal(request: Request, pair: str, body: Heal) -> Response:
        return await _operate(world, request, pair, "heal", body)

    @post("verify", "Compare the rows of both nodes")
    async def verify(request: Request, pair: str, body: Verify) -> Response:
        return await _operate(world, request, pair, "verify", body)

    @post("maintenance", "Observe and do nothing, or act again")
    async def maintenance(request: Request, pair: str, body: Maintenance) -> Response:
        return await _operate(world, request, pair, "maintenance", body)

    return router


async def _operate(world: World, request: Request, pair: str, name: str, body: Body) -> Response:
    config = world.config(pair)
    wait_seconds = body.wait_seconds if isinstance(body, Switchover) and not body.now else 0.0
    ends = time.monotonic() + (0.0 if body.dry_run else wait_seconds)
    arguments = {**_arguments(body), **_who(request)}
    while True:
        try:
            reply = await world.operators.run(_ask, config, name, arguments)
        except MyhaError as error:
            return problem(one_line(error), 503)
        done = reply.ok or not reply.ask_again or time.monotonic() >= ends
        if done or await request.is_disconnected():
            return json_of(_answer(reply), 200 if reply.ok else 409)
        await asyncio.sleep(PAUSE_SECONDS)


def _ask(config: Config, name: str, arguments: dict[str, str | float | None]) -> Reply:
    return Client(config).request(name, **arguments)


def _arguments(body: Body) -> dict[str, str | float | None]:
    """As the command's: what is not said is left out."""
    said: dict[str, Any] = body.model_dump(exclude={"wait_seconds"})
    if "max_outage_seconds" in said:
        said["max_outage"] = said.pop("max_outage_seconds")
    return {key: "yes" if value is True else value or None for key, value in said.items()}


def _who(request: Request) -> dict[str, str | float | None]:
    """For the journal."""
    token, client = request.scope[WHO], request.client
    return {"who": f"token {token.name}", "from": client.host if client else ""}


def _answer(reply: Reply) -> OperationAnswer:
    plan = reply.plan
    shown = None if plan is None else PlanAnswer(sentence=plan.sentence, steps=list(plan.steps))
    return OperationAnswer(ok=reply.ok, text=reply.text, override=reply.override, plan=shown)
