"""Everything known of one replica at one moment, and how what is seen changes it. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from myha.core.followers.record import FollowerRecord
from myha.core.node import NodeLook, NodeName, NodeView
from myha.core.observations import (
    JobEnded,
    JobProgressed,
    NodeLooked,
    NodeMissed,
    PlanEnded,
    Tick,
    fold_own,
    looked,
    missed,
)
from myha.core.record import NodeRecord
from myha.core.values import value
from myha.core.view import LoopView, View


@value(frozen=True, slots=True)
class PairSeen:
    """What the pair's own loop knows now. `changing`: a plan that may change the writer runs."""

    at: float
    view: View
    changing: bool = False


@value(frozen=True, slots=True)
class FollowerRecordRead:
    """The replica's record as the store holds it."""

    at: float
    record: FollowerRecord | None


FollowerObservation: TypeAlias = (
    Tick
    | NodeLooked
    | NodeMissed
    | PairSeen
    | FollowerRecordRead
    | PlanEnded
    | JobProgressed
    | JobEnded
)


@value(frozen=True, slots=True, kw_only=True)
class FollowerView(LoopView):
    """The input of every decision about one replica.

    `before` is the look before the last: what that one had found was there when the last began.
    Routes are in the balancers' looks, which are the pair's.
    """

    name: NodeName
    record: FollowerRecord | None
    pair: View
    node: NodeView
    changing: bool = False
    before: NodeLook | None = None


def first_view(name: NodeName, pair: View, record: FollowerRecord | None) -> FollowerView:
    """The view of a supervisor that has not seen the replica yet."""
    return FollowerView(
        policy=pair.policy,
        at=pair.at,
        wall=pair.wall,
        plan_ended_at=pair.at,
        name=name,
        record=record,
        pair=pair,
        node=NodeView(contact_since=pair.at),
    )


def fold(view: FollowerView, seen: FollowerObservation) -> FollowerView:
    """The view after `seen`. Time never runs backwards in it."""
    at = max(view.at, seen.at)
    if isinstance(seen, NodeLooked):
        node = _looked(view, seen.look)
        return replace(view, at=at, node=node, before=view.node.look)
    if isinstance(seen, NodeMissed):
        return replace(view, at=at, node=missed(view.node, seen))
    if isinstance(seen, PairSeen):
        return replace(view, at=at, pair=seen.view, changing=seen.changing)
    if isinstance(seen, FollowerRecordRead):
        return replace(view, at=at, record=seen.record)
    return fold_own(view, at, seen)


def _looked(view: FollowerView, look: NodeLook) -> NodeView:
    """Its lag counts from the delay that it is meant to have."""
    counted = look
    if look.lag_seconds is not None:
        beyond = max(0.0, look.lag_seconds - view.policy.delay_of(view.name))
        counted = replace(look, lag_seconds=beyond)
    entry = view.record.entry if view.record is not None else NodeRecord()
    return replace(looked(view.policy, view.node, counted, entry), look=look)
