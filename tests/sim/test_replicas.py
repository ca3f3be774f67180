"""Histories with a read replica beside the pair, and mistakes in its plans that must be caught."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from myha.core.followers.plans import Follow
from myha.core.plans import Plan, PutIn, RequireNoErrant
from myha.sim.cluster import Mutation
from myha.sim.history import run_history
from myha.sim.parameters import REPLICA, Parameters, draw, with_replica
from myha.sim.runner import Batch, run_many, trace_lines
from tests.sim.mistakes import without

RUNS = 1500


def nothing(*kinds: str) -> Callable[[Plan], Plan]:
    """Plans of these kinds do nothing."""
    return lambda plan: replace(plan, steps=()) if plan.kind in kinds else plan


def reads_while_it_is_healed(plan: Plan) -> Plan:
    early = PutIn(node=REPLICA, pool="reader", balancers=("lb1",))
    return replace(plan, steps=(*plan.steps, early)) if plan.kind == "start-heal" else plan


# The mistake: (within how many histories it must be caught, by the invariant that speaks of it).
MISTAKES = {
    "it follows without a look at what it has": (
        without(("follow",), RequireNoErrant),
        (200, "replica-follows-its-own-history"),
    ),
    "it is not pointed at the new writer": (
        without(("follow",), Follow),
        (100, "replica-follows"),
    ),
    "what only it has is left there": (nothing("fence"), (100, "replica-reads")),
    "reads while it is being healed": (
        reads_while_it_is_healed,
        (100, "replica-routed-as-member"),
    ),
}


def test_histories_with_a_replica_keep_every_invariant() -> None:
    summary = run_many(Batch(0, RUNS, replica=True), 2)
    assert summary.runs == RUNS
    for outcome in summary.failures[:1]:
        pytest.fail(
            "\n".join([f"seed {outcome.parameters.seed}", *trace_lines(outcome.parameters)])
        )
    reached = {"follow", "close", "fence", "heal", "start-heal", "healed", "failover"}
    missing = reached - set(summary.plans)
    assert not missing, "the histories no longer come to these plans"


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(name: str) -> None:
    mistake, (within, invariant) = MISTAKES[name]
    others: Counter[str] = Counter()
    for seed in range(within):
        outcome = run_history(with_replica(draw(seed)), Mutation(replica=mistake))
        if outcome.good:
            continue
        if outcome.violations[0].name == invariant:
            good = run_history(with_replica(draw(seed))).good
            assert good, "the history must be good without the mistake"
            return
        others[outcome.violations[0].name] += 1
    pytest.fail(f"not caught by {invariant} in {within} histories; by others: {dict(others)}")


def test_parameters_with_a_replica_survive_their_json() -> None:
    one = with_replica(draw(7))
    assert Parameters.from_json(one.to_json()) == one
