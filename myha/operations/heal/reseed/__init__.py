"""Reseed: a node's data replaced with that of its peer, which goes on serving meanwhile."""

from myha.operations.heal.reseed.order import (
    METHODS,
    Method,
    ReseedOrder,
    ReseedPlan,
    ReseedReport,
)
from myha.operations.heal.reseed.run import plan_reseed, reseed_node

__all__ = [
    "METHODS",
    "Method",
    "ReseedOrder",
    "ReseedPlan",
    "ReseedReport",
    "plan_reseed",
    "reseed_node",
]
