"""The pair as a picture: clients, balancers, servers, and what flows between them."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup

from myha.drill.html import svg
from myha.drill.topology import Member, Topology

WIDTH, BOX_WIDTH, BOX_HEIGHT = 440.0, 150.0, 58.0
BALANCER_Y, NODE_Y, REPLICA_Y = 12.0, 112.0, 232.0


def pair(it: Topology, label: str) -> Markup:
    places = _places(it)
    replicas = any(one.role == "replica" for one in it.members)
    height = (REPLICA_Y if replicas else NODE_Y) + BOX_HEIGHT + 26
    return svg.drawing(
        WIDTH,
        height,
        label,
        *_balancers(it),
        *_routes(it, places),
        *_flows(it, places),
        *(part for one in it.members for part in _box(one, *places[one.name])),
    )


def _places(it: Topology) -> dict[str, tuple[float, float]]:
    """The upper left corner of each box."""
    found = {}
    for rows, y in ((("writer", "standby"), NODE_Y), (("replica",), REPLICA_Y)):
        members = [one for one in it.members if one.role in rows]
        step = WIDTH / max(1, len(members))
        for number, one in enumerate(members):
            width = min(BOX_WIDTH, step - 12)
            found[one.name] = ((number + 0.5) * step - width / 2, y)
    return found


def _balancers(it: Topology) -> Iterator[Markup]:
    names = list(dict.fromkeys(one for one, _, _ in it.routes)) or ["balancer"]
    said = ", ".join(names)
    yield svg.element(
        "rect", x=WIDTH / 2 - 90, y=BALANCER_Y, width=180, height=34, rx=8, class_="box"
    )
    yield svg.text(WIDTH / 2, BALANCER_Y + 22, said, "name", "middle")


def _routes(it: Topology, places: dict[str, tuple[float, float]]) -> Iterator[Markup]:
    """From the balancers to those that take traffic; each pool once."""
    seen = dict.fromkeys((pool, node) for _, pool, node in it.routes)
    for pool, node in seen:
        if node not in places:
            continue
        x, y = places[node]
        writes = pool == "writer"
        aim = x + BOX_WIDTH / 2 + (-14 if writes else 14)
        start = WIDTH / 2 + (-30 if aim < WIDTH / 2 else 30)
        yield svg.line(start, BALANCER_Y + 34, aim, y - 7, "writes" if writes else "reads")
        yield _head(aim, y, "writes-head" if writes else "reads-head")


def _flows(it: Topology, places: dict[str, tuple[float, float]]) -> Iterator[Markup]:
    """Replication, from the source to the replica."""
    nodes = [one for one in it.members if one.role != "replica"]
    flows = {one.name for one in nodes if one.follows}
    if flows and len(nodes) == 2:
        (left, y), (right, _) = places[nodes[0].name], places[nodes[1].name]
        begin, end, middle = left + BOX_WIDTH + 3, right - 3, y + BOX_HEIGHT / 2
        yield svg.line(begin, middle, end, middle, "flow")
        if nodes[1].name in flows:
            yield svg.path(
                [(end, middle), (end - 8, middle - 4), (end - 8, middle + 4)], "flow-head"
            )
        if nodes[0].name in flows:
            yield svg.path(
                [(begin, middle), (begin + 8, middle - 4), (begin + 8, middle + 4)], "flow-head"
            )
        yield svg.text(WIDTH / 2, middle - 7, it.sync or "replicates", "flow-word", "middle")
    for one in it.members:
        if one.role == "replica" and one.follows in places:
            (sx, sy), (x, y) = places[one.follows], places[one.name]
            aim = x + BOX_WIDTH / 2
            yield svg.line(sx + BOX_WIDTH / 2, sy + BOX_HEIGHT + 2, aim, y - 7, "flow")
            yield _head(aim, y, "flow-head")


def _head(x: float, y: float, class_: str) -> Markup:
    """Of an arrow that comes from above."""
    return svg.path([(x, y - 1), (x - 4.5, y - 9), (x + 4.5, y - 9)], class_, closed=True)


def _box(one: Member, x: float, y: float) -> Iterator[Markup]:
    kind = "lost" if not one.well else one.role
    middle = x + BOX_WIDTH / 2
    yield svg.element(
        "rect", x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=8, class_=f"box {kind}"
    )
    yield svg.text(middle, y + 24, one.name, "name", "middle")
    said = one.role if one.well else f"{one.role}, {one.state}"
    yield svg.text(middle, y + 42, said, "small", "middle")
