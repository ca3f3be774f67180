"""A line of the journal: what it says of itself, and its one form as JSON."""

from __future__ import annotations

import json

import pytest

from myha.core.events import Kind
from myha.core.journal_line import Line, Note
from myha.core.severity import Severity

STEP = Line(
    7,
    1.5,
    1000.5,
    Kind.STEP,
    "open b",
    {"plan": "failover", "node": "b", "step": "open", "took_ms": "3.5", "severity": "info"},
)


def test_as_json_and_back_it_is_the_same() -> None:
    raw = json.loads(json.dumps(STEP.as_json()))
    assert Line.of_json(raw) == STEP
    assert (raw["id"], raw["at"], raw["wall"], raw["kind"]) == (7, 1.5, 1000.5, "step")
    assert (raw["plan"], raw["took_ms"], raw["severity"]) == ("failover", "3.5", "info")


def test_what_it_says_of_a_plan() -> None:
    assert (STEP.plan, STEP.step, STEP.node, STEP.took_ms) == ("failover", "open", "b", 3.5)
    assert not STEP.beside
    plain = Line(8, 1.5, 1000.5, Kind.SUPERVISOR, "begun", {"life": "begun", "beside": "yes"})
    assert (plain.plan, plain.step, plain.took_ms, plain.life) == ("", "", None, "begun")
    assert plain.beside


def test_a_line_without_a_severity_has_that_of_its_kind() -> None:
    assert Line(1, 0.0, 0.0, Kind.VERDICT, "", {"verdict": "writer-dead"}).severity == "critical"
    assert Line(1, 0.0, 0.0, Kind.VERDICT, "", {"severity": "notice"}).severity is Severity.NOTICE
    later = Line(1, 0.0, 0.0, "of-a-later-version", "", {"severity": "beyond critical"})
    assert later.as_json()["severity"] == "info"


@pytest.mark.parametrize("raw", [{}, {**STEP.as_json(), "id": None}, {**STEP.as_json(), "at": "x"}])
def test_what_is_no_line_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no line of a journal|could not convert"):
        Line.of_json(raw)


def test_a_note_of_another_process_is_the_same_there() -> None:
    note = Note(Kind.CONFLICT, "both wrote", {"table": "shop.t"})
    assert Note.of_json(json.loads(json.dumps(note.as_json()))) == note
    assert Note.of_json({"kind": "of-a-later-version", "fields": {"n": 1}}) == Note(
        Kind.JOB, "", {"n": "1"}
    )
