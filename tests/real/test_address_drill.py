"""A whole pair behind one address: what a lost balancer may cost, and that it costs no write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from myha.drill import runner, target
from myha.drill.options import Options
from myha.drill.report import RoundResult
from myha.drill.scenarios import SCENARIOS
from myha.drill.target import Target
from tests.real.conftest import need
from tests.real.network import need_network
from tests.waiting import until

pytestmark = pytest.mark.real

FLAVOURS = [
    pytest.param(flavour, marks=pytest.mark.xdist_group(f"address-{flavour}"))
    for flavour in ("mysql", "mariadb")
]


@pytest.fixture(scope="module", params=FLAVOURS)
def pair(request: pytest.FixtureRequest) -> Iterator[Target]:
    need_network()
    for name in (request.param, "haproxy", "keepalived"):
        need(name)
    with ExitStack() as stack:
        yield stack.enter_context(
            target.sandbox(
                *(request.param, "single-writer", "lossless", print),
                network=True,
                address=True,
                api=False,
            )
        )


def played(pair: Target, scenario: str, kind: int) -> RoundResult:
    """One good round; `kind` is the place in the scenario's list of kinds, from 1 on."""
    options = Options(clients=4, seed=kind, pause_ms=50.0)
    (one,) = runner.run(pair, SCENARIOS[scenario], options, print).rounds
    assert one.problems == (), "\n".join((*one.problems, *one.journal))
    assert one.converged
    assert one.whole_ms is not None
    assert one.overlapping == 0
    assert {"moved", "connected"} <= one.phases_ms.keys()
    assert pair.network.faults.in_force() == []
    return one


@pytest.mark.parametrize("kind", [1, 2])
def test_a_balancer_or_its_host_dies(pair: Target, kind: int) -> None:
    epoch = pair.status().epoch
    played(pair, "balancer-crash", kind)
    assert pair.status().epoch == epoch


def test_a_frozen_balancer_that_goes_on_stale_is_put_right_and_does_no_harm(pair: Target) -> None:
    """The writer was replaced meanwhile, and is alive again when the balancer is."""
    epoch = pair.status().epoch or 0
    played(pair, "balancer-freeze", 3)
    assert (pair.status().epoch or 0) > epoch


def test_a_balancer_without_the_nodes_loses_the_address(pair: Target) -> None:
    """The supervisor reaches both, so that nobody but the balancer's own count can tell."""
    played(pair, "balancer-partition", 2)


def test_what_clients_write_through_a_stale_balancer_is_not_acknowledged(pair: Target) -> None:
    """It is cut off from the supervisor alone: it serves clients, and sends them to the old
    writer when that goes on."""
    epoch = pair.status().epoch or 0
    played(pair, "balancer-partition", 3)
    assert (pair.status().epoch or 0) > epoch


def test_keepalived_that_does_not_run_is_said_and_the_pair_goes_on(pair: Target) -> None:
    assert pair.cluster is not None
    address = pair.cluster.shared_address
    assert address is not None
    daemons = address.daemons.values()
    for daemon in daemons:
        daemon.stop(30)
    try:
        until(lambda: "address-unheld" in verdicts(pair), "that nobody has the address")
        assert pair.status().writer
    finally:
        for daemon in daemons:
            daemon.start(30)
    until(lambda: "address-unheld" not in verdicts(pair), "that somebody has it again")


def verdicts(pair: Target) -> set[str]:
    return {one.name for one in pair.status().verdicts}
