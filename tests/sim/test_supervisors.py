"""Several supervisors on a simulated etcd: histories, and mistakes that must be caught."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from myha.sim.cluster import Mutation
from myha.sim.election import LEASE_SECONDS, MARGIN, Claims, SimLease
from myha.sim.history import run_history
from myha.sim.parameters import draw, with_supervisors
from myha.sim.runner import Batch, run_many, trace_lines
from myha.sim.server import SimServer

RUNS = 2000
CATCH_WITHIN = 1500
PROCESSES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2


def test_histories_with_several_supervisors_keep_every_invariant() -> None:
    summary = run_many(Batch(0, RUNS, supervisors=True), PROCESSES)
    for outcome in summary.failures[:1]:
        pytest.fail("\n".join(trace_lines(outcome.parameters)))
    assert summary.runs == RUNS
    assert summary.plans["failover"] > RUNS / 10, "supervisors are there for failovers"


def test_they_take_over_from_each_other_with_commands_in_hand() -> None:
    taken, late = 0, 0
    for seed in range(200):
        outcome = run_history(with_supervisors(draw(seed)), trace=True)
        told = [text for _, text in outcome.trace]
        taken += any("supervisor-2" in text for text in told)
        late += any("taken over by a later supervisor" in text for text in told)
    assert taken > 50
    assert late > 5, "commands of an earlier one that a server refuses"


class NoClaims(Claims):
    """A server carries out whatever it is told."""

    def allows(self, server: SimServer, term: int) -> bool:
        return True


class ClaimAnyTime(Claims):
    """Who comes last has it, in place of who took over last."""

    def allows(self, server: SimServer, term: int) -> bool:
        server.claim = term
        return True


class NoMargin(SimLease):
    """Takes the lease for its own for as long as etcd granted it, by a clock that may be slow."""

    def _valid_for(self, sent: float, _answered: float) -> float:
        return sent + LEASE_SECONDS


class CountsFromTheAnswer(SimLease):
    """Which may have waited for as long as the process stood still."""

    def _valid_for(self, _sent: float, answered: float) -> float:
        return answered + LEASE_SECONDS * (1 - MARGIN)


class ClockStands(SimLease):
    """A clock that stands still together with the process, as one does when a machine sleeps."""

    stood = 0.0
    since = -1.0

    def clock(self) -> float:
        if self.process.paused:
            if self.since < 0:
                self.since = self.world.now
            return (self.since - self.stood) * self.rate
        if self.since >= 0:
            self.stood, self.since = self.stood + self.world.now - self.since, -1.0
        return (self.world.now - self.stood) * self.rate


class RenewedByItself(SimLease):
    """Goes on without a word from etcd."""

    def holds(self) -> bool:
        return not self.lost


MISTAKES: dict[str, tuple[Mutation, set[str]]] = {
    "no-claims": (Mutation(claims=NoClaims), {"armed-waits"}),
    "claim-any-time": (Mutation(claims=ClaimAnyTime), {"armed-waits"}),
    "no-margin": (Mutation(lease=NoMargin), {"one-acts"}),
    "from-the-answer": (Mutation(lease=CountsFromTheAnswer), {"one-acts"}),
    "clock-stands": (Mutation(lease=ClockStands), {"one-acts"}),
    "renewed-by-itself": (Mutation(lease=RenewedByItself), {"one-acts"}),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(name: str) -> None:
    mutation, invariants = MISTAKES[name]
    found: Counter[str] = Counter()
    for seed in range(CATCH_WITHIN):
        outcome = run_history(with_supervisors(draw(seed)), mutation)
        found.update(one.name for one in outcome.violations)
        if invariants & found.keys():
            return
    pytest.fail(f"not caught by {invariants} in {CATCH_WITHIN} histories: {found}")
