"""Links that are cut under real servers: what the supervisor does, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from myha.drill import fitness, partitions, runner, target
from myha.drill.options import Options
from myha.drill.report import RoundResult
from myha.drill.scenarios import SCENARIOS
from myha.drill.target import Target
from myha.errors import RefusedError
from myha.sandbox.state import Durability
from tests.real.conftest import need
from tests.real.network import need_network

pytestmark = pytest.mark.real

# One worker for all of a flavour: they share its sandbox.
FLAVOURS = [
    pytest.param(flavour, marks=pytest.mark.xdist_group(f"network-{flavour}"))
    for flavour in ("mysql", "mariadb")
]


def made(
    stack: ExitStack,
    flavour: str,
    durability: Durability,
    watchdog_seconds: float = 0.0,
    supervisors: int = 1,
) -> Target:
    need_network()
    for name in (flavour, "haproxy", *(["etcd"] if supervisors > 1 else [])):
        need(name)
    return stack.enter_context(
        target.sandbox(
            *(flavour, "single-writer", durability, print),
            watchdog_seconds=watchdog_seconds,
            network=True,
            api=False,
            supervisors=supervisors,
        )
    )


@pytest.fixture(scope="module", params=FLAVOURS)
def pair(request: pytest.FixtureRequest) -> Iterator[Target]:
    with ExitStack() as stack:
        yield made(stack, request.param, "lossless")


def played(pair: Target, scenario: str) -> RoundResult:
    """One good round."""
    options = Options(clients=4, seed=1, pause_ms=50.0)
    (one,) = runner.run(pair, SCENARIOS[scenario], options, print).rounds
    assert not one.problems, "\n".join((*one.problems, *one.journal))
    assert one.converged
    assert one.whole_ms is not None
    assert pair.network.faults.in_force() == []
    return one


def test_a_writer_that_is_cut_off_with_its_clients_is_replaced(pair: Target) -> None:
    one = played(pair, "partition-balancer-with-writer")
    assert one.writer_lost
    assert one.returned in {"resume", "rewind"}
    assert "routed" in one.phases_ms


def test_a_silent_link_between_the_nodes_stops_writes_for_the_dead_time_only(pair: Target) -> None:
    one = played(pair, "partition-writer-from-standby")
    assert "released" in one.phases_ms
    # Not for the receiver's time-out, which is at least ten seconds.
    assert one.phases_ms["detected"] < 8000


def test_a_supervisor_that_is_cut_off_from_the_writer_changes_nothing(pair: Target) -> None:
    one = played(pair, "partition-writer-from-supervisor")
    assert not one.phases_ms


def test_a_supervisor_that_is_cut_off_from_all_changes_nothing(pair: Target) -> None:
    """It hears of the loss from one node before the other."""
    for _ in range(3):
        one = played(pair, "partition-supervisor")
        assert not one.phases_ms


def test_a_balancer_that_is_cut_off_from_the_writer_is_told_of(pair: Target) -> None:
    one = played(pair, "partition-writer-from-balancer")
    assert not one.phases_ms


def test_a_writer_whose_address_vanishes_is_replaced_after_the_dead_time(pair: Target) -> None:
    one = played(pair, "vanish")
    assert one.writer_lost
    assert "routed" in one.phases_ms


def test_slow_links_are_no_reason_for_a_failover(
    pair: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "SLOW_SECONDS", 6.0)
    epoch = pair.status().epoch
    played(pair, "slow")
    assert pair.status().epoch == epoch


@pytest.mark.parametrize("flavour", FLAVOURS[1:])
def test_a_silent_writer_that_could_still_acknowledge_is_not_replaced(flavour: str) -> None:
    with ExitStack() as stack:
        pair = made(stack, flavour, "async")
        one = played(pair, "partition-writer")
        assert one.returned == ""
        assert "routed" not in one.phases_ms


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_silent_writer_that_has_closed_itself_is_replaced(flavour: str) -> None:
    with ExitStack() as stack:
        pair = made(stack, flavour, "async", watchdog_seconds=5.0)
        one = played(pair, "partition-writer")
        assert one.writer_lost
        assert one.overlapping == 0
        assert "routed" in one.phases_ms


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_supervisor_that_is_cut_off_from_etcd_and_all_is_replaced(flavour: str) -> None:
    """With every supervisor and member of etcd on a host of its own."""
    with ExitStack() as stack:
        pair = made(stack, flavour, "lossless", supervisors=2)
        before = pair.acting_host
        one = played(pair, "leader-partition")
        assert "acts" in one.phases_ms
        assert pair.acting_host != before
        assert pair.status().epoch == 1  # nothing was done to the pair


def test_what_cuts_links_needs_a_network(pair: Target) -> None:
    for name, scenario in SCENARIOS.items():
        without = target.of_config(pair.config.path)
        why_not = fitness.misfit(without, scenario)
        assert ("use --network" in why_not) == scenario.needs_network, name
    with pytest.raises(RefusedError, match="use --network"):
        fitness.check(without, SCENARIOS["slow"], Options())
