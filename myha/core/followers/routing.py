"""What differs in a balancer from the reads that a replica should take. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from myha.core.balancer import BalancerLook
from myha.core.followers.view import FollowerView
from myha.core.plans import PutIn, Step, TakeOut

POOL = "reader"  # a replica is in no other


def differences(view: FollowerView, wanted: bool | None) -> tuple[Step, ...]:
    """The step that makes every answering balancer route to it as wanted; None: it is left."""
    if wanted is None:
        return ()
    names = tuple(
        name
        for name, look in _looks(view)
        if look.at > view.plan_ended_at  # one from before the last plan says nothing of its effect
        and any(
            (route.pool, route.node) == (POOL, view.name) and route.takes_traffic is not wanted
            for route in look.routes
        )
    )
    if not names:
        return ()
    if wanted:
        return (PutIn(node=view.name, pool=POOL, balancers=names),)
    return (TakeOut(node=view.name, pools=(POOL,), balancers=names),)


def unrouted(view: FollowerView) -> tuple[str, ...]:
    """The balancers whose pool of readers has no server of its name."""
    return tuple(
        name
        for name, look in _looks(view)
        if (POOL, view.name) not in {(route.pool, route.node) for route in look.routes}
    )


def _looks(view: FollowerView) -> Iterator[tuple[str, BalancerLook]]:
    for name, balancer in view.pair.balancers:
        if balancer.answering and balancer.look is not None:
            yield name, balancer.look
