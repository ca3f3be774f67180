"""Plots, timelines, findings, and health."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from myha.api.answers import Because
from myha.api.drills import drills_of
from myha.api.history import HOUR_SECONDS, History
from myha.api.rates import transactions
from myha.api.timelines import timelines
from myha.core.events import Kind
from myha.core.journal_line import Line
from myha.supervisor.status import Status
from myha.undo.quarantine import FOLDER, ROWS_FILE, SUMMARY
from tests.api.world import PAIR, Data, Supervised, status_of, supervised
from tests.core.views import view

PATH = f"/api/v1/pairs/{PAIR}"
UUID = "c9926c06-eb2f-11f1-8d4e-02fc00000001"


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("executed", "count"),
    [
        ("", 0),
        (f"{UUID}:1-10", 10),
        (f"{UUID}:1-10:12,{UUID[:-1]}2:5-6", 13),
        (f"{UUID}:1-3:tag:1-2:9", 6),
        ("0-1-42", 42),
        ("0-1-42,7-2-8", 50),
        ("0-?-3..5:9..9", 4),
    ],
)
def test_transactions_are_counted_in_both_flavours(executed: str, count: int) -> None:
    assert transactions(executed) == count


# -- history ---------------------------------------------------------------------------------------


def status(count: int, lag: float | None = 0.0, contact: str = "answering") -> Status:
    said = status_of(view())
    node = said["nodes"]["db1"]
    looked = {"contact": contact, "executed": f"0-1-{count}", "lag_seconds": lag}
    pulse = {"stalled_seconds": 0.0, "error": "", "latency_ms": 2.0}
    return Status.of_json({**said, "nodes": {"a": {**node, **looked}}, "pulse": {"a": pulse}})


def test_a_sample_a_second_with_the_rate_since_the_last() -> None:
    now = 0.0
    history = History(1, lambda: now)
    for second in range(4):
        now = float(second)
        history.take("x", status(100 * second, lag=second))
        history.take("x", status(100 * second + 50, lag=9))  # too early
    found = history.of("x", 60, 600)
    assert found["step_seconds"] == 1
    assert found["at"] == [0, 1, 2, 3]
    assert found["nodes"]["a"] == {
        "lag_seconds": [0, 1, 2, 3],
        "transactions_per_second": [None, 100, 100, 100],
        "pulse_latency_ms": [2, 2, 2, 2],
    }
    fewer = history.of("x", 60, 2)["nodes"]["a"]
    assert fewer["lag_seconds"] == [1, 3]
    assert fewer["transactions_per_second"] == [100, 100]


def test_what_is_not_seen_is_not_known_and_a_gap_is_no_rate() -> None:
    now = 0.0
    history = History(1, lambda: now)
    for now, seen in enumerate([status(1), status(1, contact="silent"), status(9), status(10)]):  # noqa: B007
        history.take("x", seen)
    rates = history.of("x", 60, 600)["nodes"]["a"]["transactions_per_second"]
    assert rates == [None, None, None, 1]


def test_history_is_bounded_and_pairs_that_go_are_forgotten() -> None:
    now = 0.0
    history = History(1, lambda: now)
    for now in range(HOUR_SECONDS + 100):  # noqa: B007
        history.take("x", status(1))
    assert len(history.of("x", 60, 3600)["at"]) == HOUR_SECONDS
    assert History(35).step_seconds == 4
    history.forget(["y"])
    assert history.of("x", 60, 600)["at"] == []


# -- timelines -------------------------------------------------------------------------------------


def line(number: int, kind: Kind, **fields: str) -> Line:
    at = number / 10
    return Line(number, at, 1000 + at, kind, f"n{number}", fields)


def test_a_failover_is_its_verdict_and_its_steps() -> None:
    of = {"plan": "failover", "node": "b", "epoch": "1"}
    (found,) = timelines(
        [
            line(1, Kind.VERDICT, verdict="writer-dead"),
            line(2, Kind.PLAN, **of),
            line(3, Kind.STEP, step="record", took_ms="40.0", **of),
            line(4, Kind.STEP, plan="route", step="put-in", took_ms="1.0"),
            line(5, Kind.STEP_FAILED, step="take-out", **of),
            line(6, Kind.PLAN_DONE, **of),
            line(7, Kind.STEP, step="fence", beside="yes", **of),
        ]
    )
    assert found.verdict == Because(name="writer-dead", sentence="n1", before_ms=100.0)
    assert (found.outcome, found.total_ms, found.ended_wall) == ("done", 400.0, 1000.6)
    steps = [(one.step, one.began_ms, one.ended_ms) for one in found.phases]
    assert steps == [("record", 60.0, 100.0), ("take-out", 300.0, 300.0), ("fence", 500.0, 500.0)]
    assert [one.failed for one in found.phases] == [False, True, False]
    assert [one.beside for one in found.phases] == [False, False, True]


def test_a_plan_that_was_cut_short_or_failed_or_still_runs_says_so() -> None:
    of = {"plan": "switchover"}
    lines = [
        line(1, Kind.STEP, step="lost", **of),
        line(2, Kind.PLAN, **of),
        line(3, Kind.PLAN, **of),
        line(4, Kind.PLAN_FAILED, **of),
        line(5, Kind.PLAN, **of),
    ]
    found = timelines(lines)
    assert [one.outcome for one in found] == ["cut short", "failed", "running"]
    assert found[1].reason == "n4"


def test_the_last_changes_of_writer_come_first(one: Supervised) -> None:
    for number in range(3):
        one.journal.note(Kind.PLAN, f"fail over {number}", {"plan": "failover"})
    found = one.client.get(f"{PATH}/failovers?limit=2").json()["failovers"]
    assert [each["sentence"] for each in found] == ["fail over 2", "fail over 1"]


# -- drills ----------------------------------------------------------------------------------------

MEASURED = {
    "rounds": "3",
    "acknowledged": "6095",
    "lost": "0",
    "outage_ms_min": "80.5",
    "outage_ms_median": "89.0",
    "outage_ms_max": "120.0",
    "phases_ms": json.dumps({"proved": 35.5}),
}


def test_drills_are_told_by_their_ends() -> None:
    one, two, three, four = (
        {"drill": str(number), "scenario": "crash", "who": "dba@here", "seed": "7", "clients": "8"}
        for number in range(4)
    )
    found = drills_of(
        [
            line(10, Kind.DRILL, **one),
            line(30, Kind.DRILL_DONE, took_s="2.0", **one, **MEASURED),
            line(40, Kind.DRILL, **two),
            line(50, Kind.DRILL_FAILED, took_s="1.0", reason="a row is lost", **two, **MEASURED),
            line(70, Kind.DRILL_FAILED, took_s="1.5", reason="interrupted", **three),
            line(80, Kind.DRILL, **four),
            line(90, Kind.DRILL, **four | {"seed": "none"}),
        ]
    )
    assert [each.outcome for each in found] == ["passed", "failed", "cut short", "begun"]
    assert [each.reason for each in found] == ["", "a row is lost", "interrupted", ""]
    assert [each.began_wall for each in found] == [1001.0, 1004.0, 1005.5, 1008.0]
    assert [each.ended_wall for each in found] == [1003.0, 1005.0, 1007.0, None]
    assert [each.lost for each in found] == [0, 0, None, None]
    assert found[0].outage_ms_median == 89.0
    assert found[0].phases_ms == {"proved": 35.5}
    assert (found[3].who, found[3].seed, found[3].clients) == ("dba@here", 7, 8)


def test_the_last_drills_come_first(one: Supervised) -> None:
    for name in "xyz":
        one.journal.note(Kind.DRILL, "begins", {"drill": name, "scenario": name})
    found = one.client.get(f"{PATH}/drills?limit=2").json()["drills"]
    assert [each["scenario"] for each in found] == ["z", "y"]


# -- findings --------------------------------------------------------------------------------------


def test_a_conflict_has_its_rows_as_objects(one: Supervised) -> None:
    fields = {
        "table": "app.t",
        "values": json.dumps({"id": "1"}),
        "first_node": "a",
        "first_before": json.dumps(None),
        "first_after": json.dumps({"id": "1"}),
        "second_node": "b",
        "second_after": "not JSON",
    }
    one.journal.note(Kind.CONFLICT, "both", fields)
    (found,) = one.client.get(f"{PATH}/conflicts").json()["conflicts"]
    assert found["first"]["after"] == {"id": "1"}
    assert found["first"]["before"] is None
    assert found["second"]["after"] == "not JSON"
    assert "first_node" not in found


def incident(one: Supervised, rows: list[Data]) -> None:
    folder = one.world.pairs[PAIR].cluster.state_dir / FOLDER / "rewind-1"
    folder.mkdir(parents=True)
    summary: dict[str, Any] = {
        "kind": "rewind",
        "quarantined_at": "2026-01-01T00:00:00",
        "incident": {"node": "a", "why": "it returned"},
        "transactions": [{"gtid": "0-1-1"}],
        "rows": len(rows),
    }
    (folder / SUMMARY).write_text(json.dumps(summary))
    (folder / ROWS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_quarantine_in_pages(one: Supervised) -> None:
    assert one.client.get(f"{PATH}/quarantine").json() == {"incidents": []}
    rows = [{"table": "app.t", "gtid": "0-1-1", "old": None, "new": {"n": n}} for n in range(3)]
    incident(one, rows)
    (found,) = one.client.get(f"{PATH}/quarantine").json()["incidents"]
    assert (found["id"], found["node"], found["why"]) == ("rewind-1", "a", "it returned")
    page = one.client.get(f"{PATH}/quarantine/rewind-1?limit=2").json()
    assert [row["after"] for row in page["of_rows"]] == [{"n": 0}, {"n": 1}]
    assert {row["change"] for row in page["of_rows"]} == {"insert"}
    assert page["next_offset"] == 2
    last = one.client.get(f"{PATH}/quarantine/rewind-1?offset=2").json()
    assert len(last["of_rows"]) == 1
    assert last["next_offset"] is None


@pytest.mark.parametrize("name", ["nothing", "rewind", "%2e%2e%2fx", "rewind-1%00"])
def test_only_a_whole_id_finds_an_incident(one: Supervised, name: str) -> None:
    incident(one, [])
    assert one.client.get(f"{PATH}/quarantine/{name}").status_code == 404


# -- health ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("live", 200),
        (f"pairs/{PAIR}", None),
        (f"pairs/{PAIR}/nodes/db1", 200),
        (f"pairs/{PAIR}/nodes/nobody", 404),
        (f"pairs/{PAIR}/pools/writer/db1", 200),
        (f"pairs/{PAIR}/pools/writer/db2", 503),
        (f"pairs/{PAIR}/pools/reader/db2", 200),
        (f"pairs/{PAIR}/pools/other/db2", 422),
        ("pairs/nobody", 404),
    ],
)
def test_health_is_in_the_status_of_the_answer(
    one: Supervised, path: str, expected: int | None
) -> None:
    answer = one.client.get(f"/health/{path}")
    if expected is None:
        line = one.client.get("/api/v1/pairs").json()["pairs"][0]
        expected = 200 if line["healthy"] else 503
    assert answer.status_code == expected
    assert answer.json()["ok"] is (expected == 200)


def test_a_pool_keeps_its_answer_while_the_supervisor_is_silent(one: Supervised) -> None:
    one.world.known.silent("", "it hangs", gone=False)
    assert one.client.get(f"/health/pairs/{PAIR}/pools/writer/db1").status_code == 200
