"""What is asked over HTTP reaches the supervisor as the command's own request would."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from myha.supervisor.requests import REQUESTS
from tests.api.world import DONE, PAIR, Supervised, supervised

WHO = {"pair": PAIR, "who": "token operate", "from": "127.0.0.1"}


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "body", "asked"),
    [
        ("switchover", {"to": "b", "max_outage_seconds": 0.5}, {"to": "b", "max_outage": 0.5}),
        ("switchover", {"now": True}, {"now": "yes"}),
        (
            "failover",
            {"accept_loss": True, "dry_run": True},
            {"accept_loss": "yes", "dry_run": "yes"},
        ),
        ("fence", {"node": "a", "reason": "why"}, {"node": "a", "reason": "why"}),
        ("unfence", {"node": "a"}, {"node": "a"}),
        ("heal", {"node": "a", "method": "rewind"}, {"node": "a", "method": "rewind"}),
        ("verify", {}, {}),
        ("maintenance", {"state": "on"}, {"state": "on"}),
    ],
)
def test_the_arguments_are_the_commands(
    one: Supervised, name: str, body: dict[str, Any], asked: dict[str, Any]
) -> None:
    answer = one.post(name, body)
    assert answer.json() == {"ok": True, "text": "done", "override": None, "plan": None}
    (found,) = one.asked
    assert {k: v for k, v in found.items() if v is not None} == {"do": name, **WHO, **asked}


def test_there_is_an_endpoint_for_each_request(one: Supervised) -> None:
    paths = one.client.get("/api/v1/openapi.json").json()["paths"]
    posts = {path.rpartition("/")[2] for path, methods in paths.items() if "post" in methods}
    assert posts == REQUESTS | {"verify"}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("fence", {}),
        ("fence", {"node": "a", "who": "me"}),
        ("fence", {"node": ["a"]}),
        ("fence", {"node": "a\nb"}),
        ("fence", {"node": "a", "dry_run": "yes"}),
        ("heal", {"node": "a", "method": "magic"}),
        ("maintenance", {"state": "perhaps"}),
        ("switchover", {"max_outage_seconds": 0}),
        ("switchover", {"wait_seconds": 1e9}),
        ("switchover", []),
    ],
)
def test_what_is_no_such_request_is_not_asked(one: Supervised, name: str, body: object) -> None:
    answer = one.post(name, body)
    assert answer.status_code == 422
    assert "\n" not in answer.json()["text"]
    assert not one.asked


def test_a_refusal_is_a_conflict_with_the_command_that_insists(one: Supervised) -> None:
    one.replies = [{**DONE, "ok": False, "text": "no", "override": "myha yes"}]
    answer = one.post("failover", {})
    assert answer.status_code == 409
    assert answer.json() == {"ok": False, "text": "no", "override": "myha yes", "plan": None}


def test_a_dry_run_shows_the_steps(one: Supervised) -> None:
    plan = {"sentence": "switch over", "steps": ["close a", "open b"]}
    one.replies = [{**DONE, "plan": plan}]
    assert one.post("switchover", {"dry_run": True}).json()["plan"] == plan


def test_a_standby_that_is_too_far_behind_is_waited_for(
    one: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("myha.api.operations.PAUSE_SECONDS", 0.001)
    far = {**DONE, "ok": False, "text": "too far", "ask_again": True}
    one.replies = [far, far, DONE]
    assert one.post("switchover", {}).status_code == 200
    assert len(one.asked) == 3
    one.replies = [far]
    assert one.post("switchover", {"wait_seconds": 0}).status_code == 409
    assert one.post("switchover", {"dry_run": True}).status_code == 409


def test_a_supervisor_that_is_away_is_said_in_one_line(one: Supervised) -> None:
    one.world.control.unlink()
    answer = one.post("verify", {})
    assert answer.status_code == 503
    assert "no supervisor is running here" in answer.json()["text"]


def test_a_pair_that_there_is_not(one: Supervised) -> None:
    answer = one.client.post("/api/v1/pairs/x/verify", json={}, headers=one.operate)
    assert answer.status_code == 404
