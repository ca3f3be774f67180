"""Whether a balancer reaches the writer, by its own count of connections that failed. Pure.

The supervisor reaches both and so sees nothing of a link between the two that is cut. HAProxy
counts what it could not connect for its clients, and the bytes that they got from the server.
Nothing is sent for this: where no client connects anew, nobody tries, and nothing is known.
"""

from __future__ import annotations

from myha.core.balancer import BalancerLook, Reach, ServerRoute
from myha.core.node import NodeName, NodeView

# A balancer that could not connect to the writer is not tried again by itself: clients would.
FORGOTTEN_SECONDS = 30.0


def reach_after(old: Reach, look: BalancerLook, writer: NodeName, seen: NodeView) -> Reach:
    """After one more look at the balancer; `seen` is what is known of the writer on record."""
    route = _route(look, writer)
    if route is None:
        return old
    life, failures, failed_at = (look.boot_id, writer), old.failures, old.failed_at
    if life != old.life or route.bytes_out > old.bytes_out:
        failures = 0
    elif route.errors > old.errors and route.takes_traffic and _open(seen):
        failures, failed_at = failures + 1, look.at
    elif look.at - failed_at > FORGOTTEN_SECONDS:
        failures = 0
    now = Reach(life, route.errors, route.bytes_out, failures, failed_at)
    return old if now == old else now


def _route(look: BalancerLook, writer: NodeName) -> ServerRoute | None:
    return next((one for one in look.routes if (one.pool, one.node) == ("writer", writer)), None)


def _open(seen: NodeView) -> bool:
    return seen.answering and seen.look is not None and seen.look.open
