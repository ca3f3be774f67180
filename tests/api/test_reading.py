"""What is answered to who reads, and what a listener hears."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from myha.api.known import (
    ASKED_SECONDS,
    MAX_LISTENERS,
    NO_PAIR,
    QUEUE_LIMIT,
    SILENT_SECONDS,
    Known,
)
from myha.api.page import PageFiles
from myha.api.stream import _told
from myha.core.events import Kind
from myha.core.journal_line import Line
from myha.supervisor.status import Status
from tests.api.world import PAIR, URL, Supervised, answer_of, supervised
from tests.core.views import view


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Supervised]:
    with supervised(tmp_path) as made:
        yield made


def test_the_pairs_and_one_of_them(one: Supervised) -> None:
    said = one.client.get("/api/v1/pairs").json()
    assert [line["name"] for line in said["pairs"]] == [PAIR]
    assert said["supervisor"] == {"answering": True, "silent_seconds": 0.0, "text": ""}
    answer = one.client.get(f"/api/v1/pairs/{PAIR}")
    assert answer.headers["age"] == "0"
    assert answer.headers["cache-control"] == "no-store"
    status = Status.of_json(answer.json())
    assert status.url == URL
    assert status.verdict == said["pairs"][0]["verdict"]


@pytest.mark.parametrize("what", ["", "/explain", "/events", "/jobs"])
def test_a_pair_that_there_is_not_is_named_as_it_was_asked_for(one: Supervised, what: str) -> None:
    answer = one.client.get(f"/api/v1/pairs/no%0d%0aset-cookie:%20x{what}")
    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers
    assert answer.json()["text"] == "there is no pair 'no\\r\\nset-cookie: x' here"


def test_a_pair_that_nobody_supervises_says_so(one: Supervised) -> None:
    one.world.known.silent("", "its process has ended", gone=True)
    answer = one.client.get(f"/api/v1/pairs/{PAIR}")
    assert (answer.status_code, answer.json()["text"]) == (503, "its process has ended")
    (line,) = one.client.get("/api/v1/pairs").json()["pairs"]
    assert (line["verdict"], line["healthy"]) == ("no-supervisor", False)


def test_a_status_of_another_version_is_said_to_be_one(one: Supervised) -> None:
    answer = answer_of(view())
    del answer["pairs"][PAIR]["status"]["verdict"]
    one.world.known.take("", answer)
    said = one.client.get(f"/api/v1/pairs/{PAIR}")
    assert said.status_code == 503
    assert "of another version of myha" in said.json()["text"]
    assert one.client.get("/metrics").status_code == 200


def test_the_journal_by_id_kind_and_severity(one: Supervised) -> None:
    one.journal.note(Kind.VERDICT, "first", {"verdict": "healthy", "severity": "info"})
    one.journal.note(Kind.PLAN, "second", {"plan": "failover", "severity": "critical"})
    path = f"/api/v1/pairs/{PAIR}/events"

    def texts(**query: Any) -> list[str]:
        return [line["text"] for line in one.client.get(path, params=query).json()["events"]]

    assert texts() == ["first", "second"]
    assert texts(after=1) == ["second"]
    assert texts(limit=1) == ["second"]
    assert texts(kind="verdict") == ["first"]
    assert texts(kind=["verdict", "plan:failover"]) == ["first", "second"]
    assert texts(severity="critical") == ["second"]
    assert one.client.get(path, params={"kind": "step:x"}).status_code == 404
    for wrong in ({"limit": 0}, {"after": -1}, {"kind": "nothing"}, {"severity": "x"}):
        assert one.client.get(path, params=wrong).status_code == 422
    assert len(one.client.get(f"/api/v1/pairs/{PAIR}/explain").json()["events"]) == 2


def test_each_answer_fits_its_schema(one: Supervised) -> None:
    one.journal.note(Kind.VERDICT, "first", {"verdict": "healthy"})
    schema = one.client.get("/api/v1/openapi.json").json()
    assert schema["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert one.client.get("/api/v1/pairs", headers={"host": "x"}).status_code == 421


# -- the page --------------------------------------------------------------------------------------


def test_the_page_may_load_nothing_from_elsewhere(one: Supervised) -> None:
    page = one.client.get("/", headers={"accept-encoding": "identity"})
    assert page.status_code == 200
    assert page.headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    same = one.client.get("/", headers={"if-none-match": page.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize(
    "name", ["../config/api.py", "..%2fapi%2fapp.py", ".hidden.html", "//etc/passwd", "x\0.html"]
)
def test_no_file_but_the_pages_is_ever_given(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    (tmp_path / "secret.html").write_text("x")
    (folder / ".hidden.html").write_text("x")
    files = PageFiles(folder)
    assert files.get(name) is None
    assert files.get("../secret.html") is None
    (folder / "index.html").write_text("one")
    assert (found := files.get("index.html")) is not None
    (folder / "index.html").write_text("another")
    assert (changed := files.get("index.html")) is not None
    assert changed.tag != found.tag


# -- the stream ------------------------------------------------------------------------------------


def heard(listener: Any) -> list[tuple[str, Any]]:
    found = []
    while not listener.queue.empty():
        name, data = listener.queue.get_nowait().decode().strip().split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_a_listener_hears_all_that_is_known_and_then_each_change() -> None:
    known = Known([PAIR])
    known.take("", answer_of(view()))
    listener, other = known.listen(None), known.listen("another")
    assert listener is not None
    assert other is not None
    assert [name for name, _ in heard(listener)] == ["pairs", "status"]
    known.take("", answer_of(view(), 2))
    ((name, data),) = heard(listener)
    assert (name, data["pair"]) == ("status", PAIR)
    line = Line(1, 1.0, 2.0, Kind.PLAN, "a\nb", {"plan": "arm"})
    known.journal(PAIR, [line])
    assert heard(listener) == [("journal", {"pair": PAIR, "line": line.as_json()})]
    assert [name for name, _ in heard(other)] == ["pairs"]
    changed = replace(view(), record=replace(view().record, epoch=9))  # type: ignore[type-var]
    known.take("", answer_of(changed, 3))
    assert [name for name, _ in heard(listener)] == ["status", "pairs"]


def test_a_supervisor_that_falls_silent_is_told_of_and_what_it_said_stays() -> None:
    now = 0.0
    known = Known([PAIR], lambda: now)
    known.take("", answer_of(view()))
    listener = known.listen(None)
    heard(listener)
    now = SILENT_SECONDS - 0.1
    known.publish_overview()
    assert heard(listener) == []
    now = SILENT_SECONDS + 0.1
    known.silent("", "it does not answer", gone=False)
    ((name, data),) = heard(listener)
    assert name == "pairs"
    assert data["supervisor"]["answering"] is False
    assert data["pairs"][0]["verdict"] == answer_of(view())["pairs"][PAIR]["line"]["verdict"]
    assert known.age_seconds(PAIR) == now
    known.take("", answer_of(view(), 2))
    assert [name for name, _ in heard(listener)] == ["status", "pairs"]


def test_whose_moves_are_wanted_is_known_by_who_listens_and_who_has_asked() -> None:
    now = 0.0
    known = Known([PAIR, "other"], lambda: now)
    known.take("", answer_of(view()))
    assert known.watched == []
    listeners = [known.listen(one) for one in (NO_PAIR, "other", None)]
    watched: object = known.watched
    assert watched is True
    for listener in listeners[1:]:
        assert listener is not None
        known.leave(listener)
    known.publish_overview()
    assert known.watched == []
    assert known.asked("another") is None
    found = known.asked(PAIR)
    assert found is not None
    assert known.watched == [PAIR]
    now = ASKED_SECONDS + 1
    assert known.age_seconds(PAIR) == now, "nobody has said anything of it since"
    known.publish_overview()
    assert known.watched == []


def test_who_does_not_keep_up_is_let_go_and_others_are_not() -> None:
    known = Known([PAIR])
    slow, quick = known.listen(None), known.listen(None)
    assert slow is not None
    assert quick is not None
    for number in range(QUEUE_LIMIT + 5):
        known.journal(PAIR, [Line(number, 0.0, 0.0, Kind.PLAN, "")])
        heard(quick)
    assert slow.lost
    assert not quick.lost
    assert slow.queue.qsize() <= QUEUE_LIMIT


def test_there_are_no_more_listeners_than_allowed_and_those_that_leave_make_room() -> None:
    known = Known([PAIR])
    listeners = [known.listen(None) for _ in range(MAX_LISTENERS)]
    assert known.listen(None) is None
    assert listeners[0] is not None
    known.leave(listeners[0])
    assert known.listen(None) is not None


def test_a_stream_ends_with_the_right_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("myha.api.stream.HEARTBEAT_SECONDS", 0.001)
    allowed = iter([True, False])

    async def listen() -> list[bytes]:
        known = Known([PAIR])
        listener = known.listen(None)
        assert listener is not None
        told = [what async for what in _told(known, listener, lambda: next(allowed))]
        assert known.listeners == 0
        return told

    first, second = asyncio.run(listen())
    assert first.startswith(b"event: pairs\n")
    assert second.startswith(b":")
