"""What the drill makes of replicas: since when each follows, and what it complains of."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from myha.cli.drill import drill
from myha.core.journal_line import Line
from myha.drill.following import FOLLOW_LIMIT_MS, ReplicaResult, Sources, problems, results
from myha.errors import ConfigError

OLD, NEW = "10.0.0.1:3306", "10.0.0.2:3306"
ROUTED_AT = 100.0
HEALED = Line(1, 0.0, 0.0, "plan", "r1 is healed by rewind: x", {"plan": "healed", "node": "r1"})


def sources(*changes: tuple[float, str]) -> dict[str, Sources]:
    made = Sources()
    for at, source in changes:
        made.see(at, source)
    return {"r1": made}


@pytest.mark.parametrize(
    ("changes", "follows_ms"),
    [
        (((90.0, OLD), (100.1, ""), (100.3, NEW)), 300.0),
        (((90.0, OLD), (99.5, NEW)), 0.0),  # it was faster than the first client
        (((90.0, OLD), (100.2, NEW), (100.4, ""), (100.9, NEW)), 900.0),  # only what lasts counts
        (((90.0, OLD), (100.2, NEW), (100.2, NEW)), 200.0),
        (((90.0, OLD),), None),
        (((90.0, OLD), (100.2, NEW), (100.4, "")), None),
        ((), None),
    ],
)
def test_since_when_it_follows(
    changes: tuple[tuple[float, str], ...], follows_ms: float | None
) -> None:
    found = results(sources(*changes), NEW, ROUTED_AT, ())
    assert found["r1"] == ReplicaResult(follows_ms, "")


def test_without_a_change_of_writer_nothing_is_measured() -> None:
    found = results(sources((90.0, OLD)), OLD, None, ())
    assert found["r1"] == ReplicaResult(None, "")
    assert not list(problems(found, "a", changed=False))


def test_only_its_own_heal_is_its_heal() -> None:
    of_node = replace(
        HEALED, text="a is healed by reseed: x", fields={**HEALED.fields, "node": "a"}
    )
    found = results(sources((90.0, OLD), (109.0, NEW)), NEW, ROUTED_AT, (HEALED, of_node))
    assert found["r1"] == ReplicaResult(9000.0, "rewind")


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ReplicaResult(FOLLOW_LIMIT_MS), ""),
        (ReplicaResult(FOLLOW_LIMIT_MS + 1), "r1 replicated from b only 1001 ms after"),
        (ReplicaResult(None), "r1 was not seen to replicate from b"),
        (ReplicaResult(9000.0, "rewind"), ""),  # a heal takes its time
    ],
)
def test_what_is_complained_of(result: ReplicaResult, said: str) -> None:
    found = list(problems({"r1": result}, "b", changed=True))
    assert len(found) == bool(said)
    assert said in "".join(found)


def test_replicas_go_with_the_scenarios_that_they_were_tried_with() -> None:
    done = CliRunner().invoke(drill, ["bad-applier", "--replicas", "1"], obj={})
    assert isinstance(done.exception, ConfigError)
    assert "--replicas goes with crash, hang, switchover, diverge" in str(done.exception)
