"""Several supervisors on a simulated etcd: histories, and mistakes that must be caught."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from myha.core.record import Record
from myha.sim.cluster import Mutation
from myha.sim.election import (
    IN_LINE_SECONDS,
    LEASE_SECONDS,
    MARGIN,
    Claims,
    SimEtcd,
    SimLease,
    SimLeasedStore,
)
from myha.sim.history import run_history
from myha.sim.parameters import draw, with_supervisors
from myha.sim.runner import Batch, run_many, trace_lines
from myha.sim.server import SimServer
from myha.sim.store import SimStore

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


class ClaimOneNode(Claims):
    """Only one of the two servers is taken over."""

    def allows(self, server: SimServer, term: int) -> bool:
        return server.index == 0 or super().allows(server, term)


class ClaimTheOtherWay(Claims):
    """The first one keeps it."""

    def allows(self, server: SimServer, term: int) -> bool:
        server.claim = server.claim or term
        return server.claim == term


class SentIsEnough(SimLease):
    """Takes a renewal for granted when it has been sent."""

    def _renew(self) -> None:
        self.valid_until = self._valid_for(self.clock(), self.clock())
        super()._renew()


class TakesItBack(SimLease):
    """A renewal that comes late takes the lease from who has it by then."""

    def _arrived(self, sent: float) -> None:
        if self.etcd.reached_by(self.process.name):
            self.etcd.holder, self.etcd.expires = self.process.name, self.world.now + 1.0
        super()._arrived(sent)


class RefusalCounts(SimLease):
    """Any answer to a renewal is taken for a yes."""

    def _arrived(self, sent: float) -> None:
        super()._arrived(sent)
        self.lost = False
        self.world.after(self.world.latency_seconds, self._answered, sent)

    def _lost(self) -> None:
        """That is not looked at."""


class CountsFromItsAwakening(SimLease):
    """An answer that it finds when it goes on counts from then."""

    def _answered(self, sent: float) -> None:
        if self.process.paused:
            self.world.after(IN_LINE_SECONDS, self._answered, self.clock() + IN_LINE_SECONDS)
            return
        super()._answered(sent)


class GivesItTooEarly(SimEtcd):
    """Before the time is over for which it was granted."""

    @property
    def free(self) -> bool:
        return self.up and self.world.now >= self.expires - LEASE_SECONDS / 2


class ForgetsLeases(SimEtcd):
    """A new leader of etcd's knows of none."""

    def comes_up(self) -> None:
        self.up, self.holder = True, ""


class BlindStore(SimLeasedStore):
    """Writes what it has, whatever the record is by then and whoever the lease belongs to."""

    def compare_and_set(self, expected_version: int, record: Record) -> None:
        self._require_etcd()
        self._store.compare_and_set(self._store.record.version, record)
        self._known = record


class ReadsStale(BlindStore):
    """Begins with what a member of etcd that lags behind says, and writes it back."""

    def __init__(self, store: SimStore, etcd: SimEtcd, name: str) -> None:
        super().__init__(store, etcd, name)
        self._known = getattr(etcd, "old", None)
        etcd.old = store.record  # type: ignore[attr-defined]


MISTAKES: dict[str, tuple[Mutation, set[str]]] = {
    "no-claims": (Mutation(claims=NoClaims), {"armed-waits"}),
    "claim-any-time": (Mutation(claims=ClaimAnyTime), {"armed-waits"}),
    "claim-one-node": (Mutation(claims=ClaimOneNode), {"armed-waits"}),
    "claim-the-other-way": (Mutation(claims=ClaimTheOtherWay), {"both-replicate"}),
    "no-margin": (Mutation(lease=NoMargin), {"one-acts"}),
    "from-the-answer": (Mutation(lease=CountsFromTheAnswer), {"one-acts"}),
    "clock-stands": (Mutation(lease=ClockStands), {"one-acts"}),
    "renewed-by-itself": (Mutation(lease=RenewedByItself), {"one-acts"}),
    "sent-is-enough": (Mutation(lease=SentIsEnough), {"one-acts"}),
    "takes-it-back": (Mutation(lease=TakesItBack), {"one-acts"}),
    "refusal-counts": (Mutation(lease=RefusalCounts), {"one-acts"}),
    "from-its-awakening": (Mutation(lease=CountsFromItsAwakening), {"one-acts"}),
    "gives-it-too-early": (Mutation(etcd=GivesItTooEarly), {"one-acts"}),
    "forgets-leases": (Mutation(etcd=ForgetsLeases), {"one-acts"}),
    "reads-stale": (Mutation(leased_store=ReadsStale), {"opened-the-writer", "single-writer"}),
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
