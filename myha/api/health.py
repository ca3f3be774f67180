"""GET /health: 200 or 503, for load balancers, orchestrators and probes.

What the supervisor last said counts, for as long as this process is there: while the supervisor
does not answer, routing stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from fastapi import APIRouter
from starlette.responses import Response

from myha.api.answers import PROBLEMS, Health, json_of, problem
from myha.api.statuses import servers_of
from myha.api.world import NoPairError, World
from myha.core.node import Contact
from myha.core.record import Membership
from myha.supervisor.status import NodeStatus


def health(world: World) -> APIRouter:
    router = APIRouter(prefix="/health", responses=PROBLEMS, tags=["health"])

    @router.get("/live", response_model=Health, summary="Whether the supervisor answers")
    async def live() -> Response:
        said = world.known.supervisor()
        return _answer(said["answering"], said["text"] or "the supervisor answers")

    @router.get("/pairs/{pair}", response_model=Health, summary="Whether all is as it should be")
    async def of_pair(pair: str) -> Response:
        found = world.known.pair(pair)
        if found is None:
            raise NoPairError(pair)
        return _answer(found.line.healthy, found.line.sentence)

    @router.get(
        "/pairs/{pair}/nodes/{node}",
        response_model=Health,
        summary="Whether a node answers and is a member",
    )
    async def of_node(pair: str, node: str) -> Response:
        seen = _nodes(world, pair).get(node)
        if seen is None:
            return _no_node(pair, node)
        well = seen.contact is Contact.ANSWERING and seen.membership is Membership.MEMBER
        text = seen.error or seen.reason or f"{seen.contact}, {seen.membership}"
        return _answer(well, text)

    @router.get(
        "/pairs/{pair}/pools/{pool}/{node}",
        response_model=Health,
        summary="Whether a node is to take the traffic of a pool",
    )
    async def of_pool(pair: str, pool: Literal["writer", "reader"], node: str) -> Response:
        seen = _nodes(world, pair).get(node)
        if seen is None:
            return _no_node(pair, node)
        wanted = seen.wanted.get(pool)
        takes = _routed(world, pair, pool, node) if wanted is None else wanted
        return _answer(takes, f"{node} {'takes' if takes else 'takes no'} traffic as {pool}")

    return router


def _no_node(pair: str, node: str) -> Response:
    return problem(f"there is no node {node!r} in a pair {pair!r}", 404)


def _nodes(world: World, pair: str) -> Mapping[str, NodeStatus]:
    found = world.known.pair(pair)
    return {} if found is None or found.status is None else servers_of(found.status)


def _routed(world: World, pair: str, pool: str, node: str) -> bool:
    """Whether it is routed to now: the supervisor leaves that as it is."""
    found = world.known.pair(pair)
    assert found is not None
    assert found.status is not None
    return any(
        route.takes_traffic
        for balancer in found.status.balancers.values()
        for route in balancer.routes
        if (route.pool, route.node) == (pool, node)
    )


def _answer(well: bool, text: str) -> Response:
    return json_of({"ok": well, "text": text}, 200 if well else 503)
