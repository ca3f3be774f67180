"""Each deliberate mistake in a protocol is caught, and by an invariant that speaks of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from myha.sim.history import run_history
from myha.sim.parameters import Parameters, draw
from tests.sim.mistakes import MISTAKES

SCENARIOS = Path(__file__).parent / "scenarios"
# The mistake: (where to begin, within how many histories it must be caught, by which invariants).
CAUGHT = {
    "open before all is applied": (0, 200, {"applied-before-open"}),
    "solo recorded after the release": (0, 200, {"armed-waits", "armed-standby-has-all"}),
    "a server that shuts down is cut off before its clients": (0, 800, {"writer-has-all"}),
    "receiver not stopped at a failover": (0, 800, {"single-writer", "received-from-a-member"}),
    "rejoin without a look": (0, 400, {"received-from-a-member", "whole-again"}),
    "armed recorded before it waits": (0, 100, {"armed-waits", "armed-standby-has-all"}),
    "armed recorded without waiting at all": (
        0,
        100,
        {"armed-waits", "armed-standby-has-all", "whole-again"},
    ),
    "armed without proof that all was received": (0, 400, {"armed-standby-has-all"}),
    "armed recorded at a failover": (0, 200, {"armed-waits"}),
    "a commit group's leader killed before the rest": (0, 3000, {"writer-has-all"}),
    "acknowledgements counted, whoever gives them": (
        0,
        400,
        {"armed-by-the-standby", "armed-standby-has-all"},
    ),
    "a source that was reset is not set up again": (0, 400, {"whole-again"}),
    "a filter cleared without fencing": (0, 800, {"left-out", "whole-again"}),
    "what a stranger changed is left so": (0, 400, {"whole-again"}),
    "no guard against a loop of failovers": (0, 400, {"failovers-apart"}),
    "the writer listens to a lost standby": (
        0,
        400,
        {"received-from-a-member", "whole-again"},
    ),
    "waiting commits released before the clients are cut": (0, 3000, {"writer-has-all"}),
    "a new writer's events stay a replica's": (0, 100, {"whole-again"}),
    "events that were disabled are enabled": (0, 100, {"disabled-events-rest"}),
    "healed on record before the job ended": (0, 400, {"healed-on-record", "whole-again"}),
    "traffic for a node that is being healed": (0, 400, {"routed-to-a-member"}),
    "undone before it is in quarantine": (0, 400, {"quarantined"}),
    "a heal that says done before it has changed anything": (0, 400, {"whole-again"}),
}
# These need more to come together than a few hundred seeds bring about.
CAUGHT_IN_SCENARIO = {
    "a step carried out for an old epoch": ("a-step-for-an-old-version", {"standby-closed"}),
    "a heal that does not ask the record": (
        "fenced-by-hand-while-a-job-goes-on",
        {"healed-on-record"},
    ),
}


def test_every_mistake_has_its_test() -> None:
    assert {*CAUGHT, *CAUGHT_IN_SCENARIO} == set(MISTAKES)


@pytest.mark.parametrize("name", CAUGHT_IN_SCENARIO)
def test_mistake_is_caught_in_its_scenario(name: str) -> None:
    scenario, invariants = CAUGHT_IN_SCENARIO[name]
    parameters = Parameters.from_json((SCENARIOS / f"{scenario}.json").read_text())
    outcome = run_history(parameters, MISTAKES[name])
    assert {one.name for one in outcome.violations} & invariants
    assert run_history(parameters).good


@pytest.mark.parametrize("name", CAUGHT)
def test_mistake_is_caught(name: str) -> None:
    begin, within, invariants = CAUGHT[name]
    for seed in range(begin, begin + within):
        outcome = run_history(draw(seed), MISTAKES[name])
        if not outcome.good:
            assert outcome.violations[0].name in invariants
            assert run_history(draw(seed)).good, "the history must be good without the mistake"
            return
    pytest.fail(f"not caught in {within} histories")
