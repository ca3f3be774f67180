"""Everything known at one moment. Pure."""

from __future__ import annotations

from myha.core.balancer import BalancerView
from myha.core.jobs import HealOutcome, Job
from myha.core.node import NodeName, NodeView
from myha.core.policy import Policy
from myha.core.record import Record
from myha.core.values import value


@value(frozen=True, slots=True)
class Incident:
    """A plan that did not reach its end, kept until one of its kind succeeds, or for a while."""

    plan: str
    node: NodeName
    at: float
    reason: str
    attempts: int = 1


@value(frozen=True, slots=True, kw_only=True)
class LoopView:
    """What every loop knows: the time, its policy, and how its own plans and jobs went."""

    policy: Policy
    at: float
    wall: float
    plan_ended_at: float = -1.0  # when the last plan ended: looks from before it prove nothing now
    # The same without those that tell balancers only: to a look at a node they make no difference.
    acted_at: float = -1.0
    incidents: tuple[Incident, ...] = ()
    jobs: tuple[Job, ...] = ()
    heals: tuple[HealOutcome, ...] = ()


@value(frozen=True, slots=True, kw_only=True)
class View(LoopView):
    """Everything known of the pair at one moment: the input of every decision about it."""

    record: Record | None
    nodes: tuple[tuple[NodeName, NodeView], ...]
    balancers: tuple[tuple[str, BalancerView], ...]

    def node(self, name: NodeName) -> NodeView:
        for known, view in self.nodes:
            if known == name:
                return view
        raise KeyError(name)

    def balancer(self, name: str) -> BalancerView:
        for known, view in self.balancers:
            if known == name:
                return view
        raise KeyError(name)
