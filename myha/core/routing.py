"""Which node should take which traffic, and what differs from that in a balancer. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from myha.core.balancer import BalancerView
from myha.core.node import Contact, NodeName, NodeView, ThreadState
from myha.core.plans import POOLS, PutIn, Step, TakeOut
from myha.core.policy import Mode
from myha.core.record import Membership
from myha.core.view import View

# So long the loss of a writer is left to the failover, which routes too: a plan of its own for the
# routes would only be in the way. No server restarts in less.
FRESH_LOSS_SECONDS = 0.3
KEEP = None  # nothing that we know says in or out: leave it as it is


def wanted(view: View, pool: str, node: NodeName) -> bool | None:
    """True: in. False: out. None: as it is, since the node has only just stopped answering."""
    record = view.record
    if record is None:
        return KEEP
    entry = record.node(node)
    if entry.membership is not Membership.MEMBER:
        return False
    seen = view.node(node)
    if seen.contact is Contact.REFUSING:
        fresh = view.at - seen.contact_since < FRESH_LOSS_SECONDS
        return KEEP if fresh and node == record.writer else False
    if not seen.answering:
        silent_for = view.at - max(seen.answered_at, seen.contact_since)
        brief = silent_for < view.policy.deadtime_seconds or _both_may_be_silent(view, seen)
        return KEEP if brief or node == record.writer or seen.contact is Contact.FULL else False
    look = seen.look
    if look is None or look.boot_id != entry.boot_id:
        return False
    if pool == "writer":
        may_write = node == record.writer or view.policy.mode is Mode.DUAL_WRITER
        return may_write and look.open
    if node == record.writer:
        return look.open
    threads = (look.receiver.state, look.applier.state)
    return seen.reader_ok and threads == (ThreadState.RUNNING, ThreadState.RUNNING)


def _both_may_be_silent(view: View, seen: NodeView) -> bool:
    """The writer has not been asked since this one was silent for the dead time: it may be we who
    are cut off from both."""
    record = view.record
    writer = None if record is None else view.node(record.writer)
    if writer is None or not writer.answering or writer.look is None:
        return False
    since = max(seen.answered_at, seen.contact_since)
    return writer.look.at < since + view.policy.deadtime_seconds


def apart(view: View) -> tuple[Step, ...]:
    """The steps that take out whom the record gives no traffic, whoever is reached."""
    record = view.record
    if record is None:
        return ()
    return tuple(
        step
        for step in differences(view)
        if isinstance(step, TakeOut) and record.node(step.node).membership is not Membership.MEMBER
    )


def differences(view: View) -> tuple[Step, ...]:
    """The steps that make every answering balancer route as wanted; first what goes out."""
    out: list[Step] = []
    into: list[Step] = []
    # A look from before the last plan says nothing of its effect.
    now = routed_now(view.balancers, view.plan_ended_at)
    for node in view.policy.nodes:
        for pool in POOLS:
            want = wanted(view, pool, node)
            if want is KEEP:
                continue
            names = tuple([name for name, routes in now if routes.get((pool, node)) is (not want)])
            if names and want:
                into.append(PutIn(node=node, pool=pool, balancers=names))
            elif names:
                out.append(TakeOut(node=node, pools=(pool,), balancers=names))
    return (*out, *into)


def routed_now(
    balancers: Iterable[tuple[str, BalancerView]], since: float
) -> list[tuple[str, dict[tuple[str, NodeName], bool]]]:
    """What each balancer that answers sends where, by pool and node, and by looks from after
    `since`."""
    return [
        (name, {(route.pool, route.node): route.takes_traffic for route in one.look.routes})
        for name, one in balancers
        if one.answering and one.look is not None and one.look.at > since
    ]
