"""Each deliberate mistake in a protocol is caught, and by an invariant that speaks of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from myha.core.situation import Situation
from myha.sim.history import run_history
from myha.sim.parameters import Parameters, draw
from tests.sim.mistakes import MISTAKES

SCENARIOS = Path(__file__).parent / "scenarios"
# The mistake: (within how many histories it must be caught, by the invariant that speaks of it).
CAUGHT = {
    "open before all is applied": (200, "applied-before-open"),
    "solo recorded after the release": (200, "armed-waits"),
    "a server that shuts down is cut off before its clients": (800, "writer-has-all"),
    "receiver not stopped at a failover": (800, "single-writer"),
    "a silent writer is replaced without its fence command": (800, "single-writer"),
    "rejoin without a look": (400, "received-from-a-member"),
    "armed recorded before it waits": (100, "armed-waits"),
    "armed recorded without waiting at all": (100, "armed-waits"),
    "armed without proof that all was received": (400, "armed-standby-has-all"),
    "armed recorded at a failover": (200, "armed-waits"),
    "a commit group's leader killed before the rest": (3000, "writer-has-all"),
    "acknowledgements counted, whoever gives them": (400, "armed-by-the-standby"),
    "a source that was reset is not set up again": (400, "both-replicate"),
    "a damaged relay log thrown away while the record says armed": (
        100,
        "armed-standby-has-all",
    ),
    "a filter cleared without fencing": (800, "left-out"),
    "the replica of a log that was reset is started again": (100, "names-reused"),
    "names that a reset log has forgotten go on to count": (100, "names-reused"),
    "a standby whose source has purged its logs is started again": (100, "not-outdated"),
    "what a stranger changed is left so": (400, "as-setup-made-it"),
    "no guard against a loop of failovers": (400, "failovers-apart"),
    "the writer listens to a lost standby": (400, "received-from-a-member"),
    "waiting commits released before the clients are cut": (3000, "writer-has-all"),
    "a new writer's events stay a replica's": (100, "events-on-the-writer"),
    "events that were disabled are enabled": (100, "disabled-events-rest"),
    "healed on record before the job ended": (400, "both-replicate"),
    "traffic for a node that is being healed": (400, "routed-to-a-member"),
    "undone before it is in quarantine": (400, "quarantined"),
    "a heal that says done before it has changed anything": (400, "both-replicate"),
}
# Where the search begins, for those that would else go through many or long histories first.
FIRST_SEED = {
    "a commit group's leader killed before the rest": 1200,
    "a damaged relay log thrown away while the record says armed": 600,
    "a server that shuts down is cut off before its clients": 500,
    "the writer listens to a lost standby": 190,
    "the replica of a log that was reset is started again": 200,
    "names that a reset log has forgotten go on to count": 290,
    "a standby whose source has purged its logs is started again": 330,
    "waiting commits released before the clients are cut": 560,
}
# These need more to come together than a few hundred seeds bring about.
CAUGHT_IN_SCENARIO = {
    "a step carried out for an old epoch": ("a-step-for-an-old-version", "opened-the-writer"),
    "the writer opened beside a standby that somebody opened": (
        "opened-beside-a-strangers-standby",
        "applied-before-open",
    ),
    "a server opened in another life than it was looked at in": (
        "restarted-in-a-switchover",
        "opened-in-a-known-life",
    ),
    "a heal that does not ask the record": (
        "fenced-by-hand-while-a-job-goes-on",
        "healed-on-record",
    ),
}


def test_every_mistake_has_its_test() -> None:
    assert {*CAUGHT, *CAUGHT_IN_SCENARIO} == set(MISTAKES)
    assert set(FIRST_SEED) <= set(CAUGHT)


@pytest.mark.parametrize("name", CAUGHT_IN_SCENARIO)
def test_mistake_is_caught_in_its_scenario(name: str) -> None:
    scenario, invariant = CAUGHT_IN_SCENARIO[name]
    parameters = Parameters.from_json((SCENARIOS / f"{scenario}.json").read_text())
    outcome = run_history(parameters, MISTAKES[name])
    assert outcome.violations[0].name == invariant
    assert run_history(parameters).good


@pytest.mark.parametrize("name", CAUGHT)
def test_mistake_is_caught(name: str) -> None:
    within, invariant = CAUGHT[name]
    others: Counter[str] = Counter()
    first = FIRST_SEED.get(name, 0)
    for seed in range(first, first + within):
        outcome = run_history(draw(seed), MISTAKES[name])
        if outcome.good:
            continue
        if outcome.violations[0].name == invariant:
            assert run_history(draw(seed)).good, "the history must be good without the mistake"
            return
        others[outcome.violations[0].name] += 1
    pytest.fail(f"not caught by {invariant} in {within} histories; by others: {dict(others)}")


def test_a_standby_taken_for_lost_by_a_look_from_before_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The supervisor reaches neither node, and hears of that from the standby first."""
    assert run_history(draw(1118)).good
    monkeypatch.setattr(
        Situation, "standby_silent_alone", property(lambda it: it.standby_silent), raising=True
    )
    assert run_history(draw(1118)).violations[0].name == "lost-by-who-sees"


@pytest.mark.parametrize(
    ("unseen", "seed", "invariant"),
    [("writer_lost", 373, "armed-standby-has-all"), ("left_out", 968, "nodes-equal")],
)
def test_older_data_that_nobody_notices_are_caught(
    monkeypatch: pytest.MonkeyPatch, unseen: str, seed: int, invariant: str
) -> None:
    """A writer that comes back with them; a standby that never gets what it wrote itself."""
    assert run_history(draw(seed)).good
    monkeypatch.setattr(Situation, unseen, property(lambda _: None), raising=True)
    assert run_history(draw(seed)).violations[0].name == invariant
