"""Everything known of one replica at one moment, and how what is seen changes it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from myha.core.followers.record import FollowerRecord
from myha.core.jobs import HealOutcome, Job
from myha.core.node import NodeLook, NodeName, NodeView
from myha.core.observations import (
    JobEnded,
    JobProgressed,
    NodeLooked,
    NodeMissed,
    PlanEnded,
    Tick,
    heals_after,
    incidents_after,
    looked,
    missed,
    other_jobs,
    still_news,
)
from myha.core.policy import Policy
from myha.core.view import Incident, View


@dataclass(frozen=True, slots=True)
class PairSeen:
    """What the pair's own loop knows now. `changing`: a plan that may change the writer runs."""

    at: float
    view: View
    changing: bool = False


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class FollowerView:
    """The input of every decision about one replica.

    `before` is the look before the last: what that one had found was there when the last began.
    Routes are in the balancers' looks, which are the pair's.
    """

    name: NodeName
    policy: Policy
    at: float
    wall: float
    record: FollowerRecord | None
    pair: View
    node: NodeView
    changing: bool = False
    before: NodeLook | None = None
    plan_ended_at: float = -1.0  # looks from before it prove nothing now
    incidents: tuple[Incident, ...] = ()
    jobs: tuple[Job, ...] = ()
    heals: tuple[HealOutcome, ...] = ()


def first_view(name: NodeName, pair: View, record: FollowerRecord | None) -> FollowerView:
    """The view of a supervisor that has not seen the replica yet."""
    at = pair.at
    node = NodeView(contact_since=at)
    return FollowerView(name, pair.policy, at, pair.wall, record, pair, node, plan_ended_at=at)


def fold(view: FollowerView, seen: FollowerObservation) -> FollowerView:
    """The view after `seen`. Time never runs backwards in it."""
    at = max(view.at, seen.at)
    if isinstance(seen, NodeLooked):
        node = _looked(view, seen.look)
        return replace(view, at=at, node=node, before=view.node.look)
    if isinstance(seen, NodeMissed):
        return replace(view, at=at, node=missed(view.node, seen))
    if isinstance(seen, Tick):
        news = still_news(view.incidents, at)
        return replace(view, at=at, wall=seen.wall, incidents=news)
    if isinstance(seen, PairSeen):
        return replace(view, at=at, pair=seen.view, changing=seen.changing)
    if isinstance(seen, FollowerRecordRead):
        return replace(view, at=at, record=seen.record)
    if isinstance(seen, JobProgressed):
        return replace(view, at=at, jobs=(*other_jobs(view.jobs, seen.job), seen.job))
    if isinstance(seen, JobEnded):
        jobs, heals = other_jobs(view.jobs, seen.job), heals_after(view.heals, seen)
        return replace(view, at=at, jobs=jobs, heals=heals)
    incidents = incidents_after(view.incidents, seen)
    return replace(view, at=at, plan_ended_at=at, incidents=incidents)


def _looked(view: FollowerView, look: NodeLook) -> NodeView:
    """Its lag counts from the delay that it is meant to have."""
    counted = look
    if look.lag_seconds is not None:
        beyond = max(0.0, look.lag_seconds - view.policy.delay_of(view.name))
        counted = replace(look, lag_seconds=beyond)
    return replace(looked(view.policy, view.node, counted), look=look)
