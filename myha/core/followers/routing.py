"""What differs in a balancer from the reads that a replica should take. Pure."""

from __future__ import annotations

from myha.core.followers.view import FollowerView
from myha.core.plans import PutIn, Step, TakeOut
from myha.core.routing import routed_now

POOL = "reader"  # a replica is in no other


def differences(view: FollowerView, wanted: bool | None) -> tuple[Step, ...]:
    """The step that makes every answering balancer route to it as wanted; None: it is left."""
    if wanted is None:
        return ()
    since = view.plan_ended_at  # a look from before the last plan says nothing of its effect
    now, route = routed_now(view.pair.balancers, since), (POOL, view.name)
    names = tuple(name for name, routes in now if routes.get(route) is (not wanted))
    if not names:
        return ()
    if wanted:
        return (PutIn(node=view.name, pool=POOL, balancers=names),)
    return (TakeOut(node=view.name, pools=(POOL,), balancers=names),)


def unrouted(view: FollowerView) -> tuple[str, ...]:
    """The balancers whose pool of readers has no server of its name."""
    return tuple(
        name
        for name, balancer in view.pair.balancers
        if balancer.answering
        and balancer.look is not None
        and (POOL, view.name) not in {(route.pool, route.node) for route in balancer.look.routes}
    )
