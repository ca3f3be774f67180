"""Every kind of step can be performed."""

from __future__ import annotations

import inspect

from myha.core import plans
from myha.core.plans import NodeStep, Step
from myha.sim.cluster import Mutation
from myha.sim.history import History
from myha.sim.parameters import draw


def test_every_kind_of_step_has_a_performer() -> None:
    kinds = {
        kind
        for _, kind in inspect.getmembers(plans, inspect.isclass)
        if issubclass(kind, Step) and kind not in (Step, NodeStep)
    }
    executor = History(draw(1), Mutation(), trace=False).cluster.supervisors[0].executor
    assert set(executor.performers) == kinds
