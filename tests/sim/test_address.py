"""Two balancers that share an address: histories, and mistakes that must be caught."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from myha.core.address import Standing, Standings
from myha.core.balancer import BalancerLook, ServerRoute
from myha.core.view import View
from myha.sim.cluster import Mutation
from myha.sim.history import run_history
from myha.sim.keepalived import Host, Keepalived
from myha.sim.parameters import draw, with_address
from myha.sim.runner import Batch, run_many, trace_lines
from myha.sim.shared_balancer import SharedBalancer

RUNS = 1000
CATCH_WITHIN = 400
PROCESSES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2


def test_histories_with_a_shared_address_keep_every_invariant() -> None:
    summary = run_many(Batch(0, RUNS, address=True), PROCESSES)
    for outcome in summary.failures[:1]:
        pytest.fail("\n".join(trace_lines(outcome.parameters)))
    assert summary.runs == RUNS


def test_the_address_moves_for_every_reason_there_is() -> None:
    struck: Counter[str] = Counter()
    late = 0
    for seed in range(150):
        outcome = run_history(with_address(draw(seed)), trace=True)
        told = [text for _, text in outcome.trace]
        taken = any(text.endswith("takes the address") for text in told)
        late += any("is carried out late" in text for text in told)
        if taken:
            struck.update(
                {one.what for one in outcome.parameters.address_faults if one.role == "holder"}
            )
    reasons = {"cut-off", "loses-database", "host-dies", "haproxy-ends", "haproxy-hangs", "moves"}
    assert {*struck} >= {*reasons, "deaf"}
    assert late > 0, "commands that had reached a HAProxy that hung"


class KeptByTheStale(Host):
    """What the supervisors say of the other one is not asked for."""

    def check(self) -> None:
        super().check()
        self.priority -= 2 * self.balancer.preferred if self.priority else 0


class BeginsWithTheAddress(Host):
    """`state MASTER`: a host that returns has the address before it has heard anybody."""

    def begins(self) -> None:
        super().begins()
        self.priority = 255


class Believed(SharedBalancer):
    """Its routes are taken to be what was said last, and not looked at."""

    def look_now(self) -> BalancerLook:
        look = super().look_now()
        writer = getattr(self, "said", {})
        routes = tuple(
            ServerRoute(one.pool, one.node, writer.get((one.pool, one.node), one.takes_traffic))
            for one in look.routes
        )
        return BalancerLook(look.at, "always the same", routes, look.address)

    def restart(self) -> None:
        self.said = dict(self.routes)
        super().restart()

    def do_put_in(self, pool: str, node: str) -> None:
        super().do_put_in(pool, node)
        self.said = dict(self.routes)


class CountsNoErrors(SharedBalancer):
    """That it cannot connect to the writer is not seen."""

    def look_now(self) -> BalancerLook:
        self.errors = dict.fromkeys(self.errors, 0)
        return super().look_now()


class GivesWayToNobody(Host):
    """Two that have the address keep it, though they hear each other again."""

    def gives_way(self, other: Host) -> bool:
        return False


class NeverPreferred(Standings):
    """A supervisor says what is right, and not that another one is not."""

    def after(self, view: View, name: str, look: BalancerLook) -> Standing:
        standing = super().after(view, name, look)
        return Standing.TOLD if standing is Standing.PREFERRED else standing


class TakesWhatIsThere(Keepalived):
    """Does not listen before it takes the address."""

    def _may_take(self, host: Host) -> bool:
        return not host.holds and host.priority > 0


MISTAKES: dict[str, tuple[Mutation, str]] = {
    "kept by a stale balancer": (Mutation(host=KeptByTheStale), "address-where-it-serves"),
    "nobody is preferred": (Mutation(standings=NeverPreferred), "address-where-it-serves"),
    "errors not counted": (Mutation(balancer=CountsNoErrors), "address-where-it-serves"),
    "taken before it is put right": (
        Mutation(host=BeginsWithTheAddress),
        "address-taken-by-who-serves",
    ),
    "taken without listening": (
        Mutation(keepalived=TakesWhatIsThere),
        "address-taken-by-who-serves",
    ),
    "both keep it": (Mutation(host=GivesWayToNobody), "address-held"),
    "routing believed": (Mutation(balancer=Believed), "routes-restored"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_caught(name: str) -> None:
    mutation, invariant = MISTAKES[name]
    others: Counter[str] = Counter()
    for seed in range(CATCH_WITHIN):
        parameters = with_address(draw(seed))
        outcome = run_history(parameters, mutation)
        if outcome.good:
            continue
        if outcome.violations[0].name == invariant:
            assert run_history(parameters).good, "the history must be good without the mistake"
            return
        others[outcome.violations[0].name] += 1
    pytest.fail(f"not caught by {invariant} in {CATCH_WITHIN} histories; by others: {dict(others)}")
