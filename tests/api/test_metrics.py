"""Metrics: each is documented, has values, and follows the conventions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from myha.api.counted import Counted, Lengths
from myha.api.metric_table import METRICS, PREFIX
from myha.core.events import Kind
from myha.core.journal_line import Line
from myha.supervisor.turns import BOUNDS_SECONDS, Turns
from tests.api.world import PAIR, Supervised, answer_of, supervised
from tests.core.views import view

DOCS = Path(__file__).parent.parent.parent / "docs"
DOC = DOCS / "metrics.md"
RULES = DOCS / "monitoring" / "myha.rules.yml"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as made:
        yield made


def documented() -> list[tuple[str, ...]]:
    found = re.findall(r"^\| `(myha_\w+)` \| (\w+) \| (.*?) \| (.*) \|$", DOC.read_text(), re.M)
    return [tuple(row) for row in found]


def test_the_docs_have_the_same_table() -> None:
    table = [
        (PREFIX + one.name, one.kind, ", ".join(f"`{label}`" for label in one.labels), one.help)
        for one in METRICS.values()
    ]
    assert documented() == table


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((DOCS / "monitoring" / "dashboard.json").read_text())
    of_panels = [each["expr"] for panel in dashboard["panels"] for each in panel["targets"]]
    return of_panels + [each["expr"] for each in dashboard["annotations"]["list"]]


def test_rules_and_dashboard_name_metrics_and_labels_that_there_are() -> None:
    rules = re.findall(r"expr: (.*)", RULES.read_text())
    expressions = [*rules, *dashboard_expressions()]
    assert len(expressions) > 30
    for expression in expressions:
        for found, labels in re.findall(r"(myha_\w+)(?:\{(.*?)\})?", expression):
            name = re.sub("_(bucket|sum|count)$", "", found).removeprefix(PREFIX)
            assert name in METRICS, expression
            for label in re.findall(r"(\w+)(?:=|!=|=~)\"", labels):
                assert label in METRICS[name].labels, expression


@pytest.mark.parametrize("name", METRICS)
def test_names_follow_the_conventions(name: str) -> None:
    metric = METRICS[name]
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name)
    assert (metric.kind == "counter") == name.endswith("_total")
    assert not re.search(r"_(ms|milliseconds|percent|kb|mb)(_|$)", name)
    assert metric.help.endswith(".")


def scraped(one: Supervised) -> dict[str, list[tuple[dict[str, str], float]]]:
    answer = one.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        sample.name: [(s.labels, s.value) for s in family.samples if s.name == sample.name]
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def line(kind: Kind, at: float, **fields: str) -> Line:
    return Line(0, at, 0.0, kind, "", {"severity": "info", **fields})


def test_every_metric_has_a_value_where_there_is_one_to_tell(one: Supervised) -> None:
    answer = answer_of(view())
    status = answer["pairs"][PAIR]["status"]
    how_far = {"seconds": 1.0, "percent": 50.0, "left_seconds": 1.0, "text": ""}
    job = {"kind": "heal", "node": "db2", "method": "rewind", "heal": 1, "phase": "undo", **how_far}
    status |= {
        "loop": {"turns": 1, "busy_seconds": 0.1, "by_length": [1] + [0] * len(BOUNDS_SECONDS)},
        "pulse": {"db1": {"stalled_seconds": 0.0, "error": "", "latency_ms": 2.0}},
        "jobs": [job],
    }
    one.world.known.take("", answer)
    of = {"plan": "failover"}
    one.world.counted.take(
        PAIR,
        [
            line(Kind.PLAN, 1.0, **of),
            line(Kind.STEP, 1.1, step="open", took_ms="30", **of),
            line(Kind.PLAN_DONE, 1.5, **of),
            line(Kind.CONFLICT, 2.0),
        ],
    )
    one.client.get("/api/v1/pairs")
    found = scraped(one)
    for name, metric in METRICS.items():
        full = f"{PREFIX}{name}" + ("_sum" if metric.kind == "histogram" else "")
        samples = found.get(full)
        if name == "node_lag_bytes" and samples is None:
            continue  # not known in that view
        assert samples, name
        assert set(samples[0][0]) == set(metric.labels), name
    assert found["myha_plan_seconds_sum"] == [
        ({"pair": PAIR, "plan": "failover", "outcome": "done"}, 0.5)
    ]
    assert found["myha_plan_step_seconds_sum"][0][1] == 0.03
    assert found["myha_conflicts_total"] == [({"pair": PAIR}, 1.0)]
    assert found["myha_job_progress_ratio"][0][1] == 0.5
    assert ({"status": "200"}, 1.0) in found["myha_api_requests_total"]


def test_a_look_that_is_old_is_left_out(one: Supervised) -> None:
    answer = answer_of(view())
    for node in answer["pairs"][PAIR]["status"]["nodes"].values():
        node["contact"] = "silent"
    one.world.known.take("", answer)
    found = scraped(one)
    assert all(value == 0 for _, value in found["myha_node_up"])
    assert "myha_node_lag_seconds" not in found


def test_histograms_are_cumulative() -> None:
    lengths = Lengths((0.1, 1.0), [0, 0, 0])
    for seconds in (0.05, 0.1, 0.5, 7.0):
        lengths.observe(seconds)
    assert lengths.buckets() == [("0.1", 2.0), ("1.0", 3.0), ("+Inf", 4.0)]


def test_the_turns_of_a_loop_are_counted_without_their_waiting() -> None:
    turns = Turns()
    turns.begin()
    turns.waited(1000.0)
    turns.end()
    found = turns.status()
    assert (found.turns, found.busy_seconds) == (1, 0.0)
    assert found.by_length == (1, *([0] * len(BOUNDS_SECONDS)))


def test_a_plan_whose_beginning_was_not_seen_has_no_length() -> None:
    counted = Counted()
    counted.take(PAIR, [line(Kind.PLAN_DONE, 1.0, plan="failover")])
    assert not counted._plans
