"""The watchdog inside the servers: histories with it, and a mistake for each of its margins."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace

import pytest

from myha.core.plans import AwaitClosed, Plan
from myha.core.policy import Policy
from myha.core.watchdog import CLOCK_RATE, Watchdog
from myha.sim.cluster import WATCHDOG, Mutation
from myha.sim.history import run_history
from myha.sim.leases import SimLeases
from myha.sim.parameters import draw, with_watchdog
from myha.sim.runner import Batch, run_many, trace_lines
from myha.sim.server import SimServer
from myha.sim.world import Doing
from tests.sim.mistakes import without

RUNS = 2000
PROCESSES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2


def test_histories_with_a_watchdog_keep_every_invariant() -> None:
    summary = run_many(Batch(0, RUNS, watchdog=True), PROCESSES)
    for outcome in summary.failures[:1]:
        pytest.fail("\n".join(trace_lines(outcome.parameters)))
    assert summary.runs == RUNS
    assert summary.plans["failover"] > RUNS / 10, "watchdogs are there for failovers"


def test_a_writer_that_is_cut_off_is_replaced_once_it_has_closed_itself() -> None:
    closed = 0
    for seed in range(200):
        outcome = run_history(with_watchdog(draw(seed)), trace=True)
        told = [text for _, text in outcome.trace]
        closed += any("closes itself" in text for text in told) and "failover" in outcome.plans
    assert closed > 20


class CountsFromTheAnswer(SimLeases):
    """Takes a renewal that was not answered for one that was not heard."""

    def _give_up(self, node: str) -> Doing[None]:
        before = self.heard_until.get(node, -1.0)
        yield from super()._give_up(node)
        self.heard_until[node] = before


class TrustsAny(SimLeases):
    """Takes a node's watchdog for armed whatever it says, and whoever has its lease."""

    def end(self, node: str, deadline_seconds: float) -> float:
        return self.heard_until.get(node, 0.0)

    def say(self, node: str, armed: bool | None) -> None:
        super().say(node, True)


class NeverCloses(SimServer):
    """Its watchdog does nothing."""

    def close_itself(self) -> None:
        """Stays open."""


def _total(total: float) -> Mutation:
    """A supervisor that counts only so much; the servers take as long as they do."""

    def policy(policy: Policy) -> Policy:
        assert policy.watchdog is not None
        return replace(policy, watchdog=replace(policy.watchdog, total_seconds=total))

    return Mutation(policy=policy)


def _without(watchdog: Watchdog) -> dict[str, float]:
    """The total with each margin left out."""
    fuse = watchdog.allowed_seconds
    return {
        "closing": fuse * (1 + CLOCK_RATE),
        "rate": fuse + watchdog.closing_seconds,
    }


def _waits_in_the_plan(plan: Plan) -> Plan:
    """The step counts all, whatever the verdict counted."""
    total = WATCHDOG.total_seconds
    steps = tuple(
        replace(one, total_seconds=total) if isinstance(one, AwaitClosed) else one
        for one in plan.steps
    )
    return replace(plan, steps=steps)


# The failover begins as soon as the writer is silent for the dead time: what keeps it from being
# too early is its step alone.
EARLY = replace(_total(0.0), mutate_plan=_waits_in_the_plan)

MISTAKES = {
    "the time that closing takes is not counted": _total(_without(WATCHDOG)["closing"]),
    "the clocks' rates are not counted": _total(_without(WATCHDOG)["rate"]),
    "counted from the last answer": Mutation(leases=CountsFromTheAnswer),
    "a watchdog trusted that is not known to be armed": Mutation(leases=TrustsAny),
    "the failover does not wait for the closing": replace(
        EARLY, mutate_plan=without(("failover",), AwaitClosed)
    ),
    "a watchdog that does nothing": Mutation(server=NeverCloses),
}


def test_the_step_alone_is_enough() -> None:
    for seed in range(400):
        outcome = run_history(with_watchdog(draw(seed)), EARLY)
        assert outcome.good, (seed, outcome.violations)


# Where the search begins and how many histories it takes at most.
CAUGHT = {
    "the time that closing takes is not counted": (0, 40),
    "the clocks' rates are not counted": (65, 20),
    "counted from the last answer": (0, 40),
    "a watchdog trusted that is not known to be armed": (505, 30),
    "the failover does not wait for the closing": (0, 40),
    "a watchdog that does nothing": (0, 40),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(name: str) -> None:
    first, within = CAUGHT[name]
    others: Counter[str] = Counter()
    for seed in range(first, first + within):
        parameters = with_watchdog(draw(seed))
        outcome = run_history(parameters, MISTAKES[name])
        if outcome.good:
            continue
        if outcome.violations[0].name == "single-writer":
            assert run_history(parameters).good, "without the mistake it is good"
            return
        others[outcome.violations[0].name] += 1
    pytest.fail(f"no two writers within {within} histories; others: {dict(others)}")
