"""For changes under way only: the values of the core have files of their own subjects now."""

from __future__ import annotations

from myha.core.balancer import BalancerLook, BalancerView, ServerRoute
from myha.core.jobs import HealOutcome, Job, JobResult
from myha.core.node import (
    Acknowledger,
    Contact,
    Events,
    NodeLook,
    NodeName,
    NodeView,
    ReplicationThread,
    SemiSync,
    ThreadState,
)
from myha.core.policy import Durability, Mode, Policy, StrayRule
from myha.core.record import Cause, Heal, Membership, NodeRecord, Record, Sync
from myha.core.view import Incident, View

__all__ = [
    "Acknowledger",
    "BalancerLook",
    "BalancerView",
    "Cause",
    "Contact",
    "Durability",
    "Events",
    "Heal",
    "HealOutcome",
    "Incident",
    "Job",
    "JobResult",
    "Membership",
    "Mode",
    "NodeLook",
    "NodeName",
    "NodeRecord",
    "NodeView",
    "Policy",
    "Record",
    "ReplicationThread",
    "SemiSync",
    "ServerRoute",
    "StrayRule",
    "Sync",
    "ThreadState",
    "View",
]
