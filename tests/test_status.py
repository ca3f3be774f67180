"""The status as a value: what is built of every situation survives its JSON, and is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from myha.core.node import Contact
from myha.core.planning import decide
from myha.errors import MyhaError
from myha.supervisor.status import HookStatus, NodeStatus, NotifyStatus, SeenNodeStatus, Status
from myha.supervisor.status_builder import build_status
from tests.core.situations import SITUATIONS, VARIANTS
from tests.core.views import seen, view

OPERATING = Path(__file__).parent.parent / "docs/operating.md"
VIEWS = {**SITUATIONS, **VARIANTS}


@pytest.mark.parametrize("name", VIEWS)
def test_a_status_survives_its_json(name: str) -> None:
    decision = decide(VIEWS[name])
    status = build_status("pair", VIEWS[name], decision, decision.plan)
    again = Status.of_json(json.loads(json.dumps(status.as_json())))
    assert again == status
    assert again.as_json() == status.as_json()


def test_its_json_has_no_more_than_it_was_made_with() -> None:
    never_seen = NodeStatus.model_fields
    now = view(db2=seen("db2", open=True))
    unseen = view(db2=type(now.node("db2"))(contact=Contact.SILENT, error="no answer"))
    status = build_status("pair", unseen, decide(unseen), None)
    data = status.as_json()
    assert set(data["nodes"]["db2"]) == set(never_seen)
    assert set(data["nodes"]["db1"]) == set(SeenNodeStatus.model_fields)
    assert not {"pid", "pulse", "supervisor"} & set(data)
    away = status.model_copy(update={"supervisor": "no answer"})
    assert set(away.as_json()) - set(data) == {"supervisor"}


def test_a_status_of_another_version_is_one_line() -> None:
    data = build_status("pair", view(), decide(view()), None).as_json()
    assert Status.of_json({**data, "new": 1}) == Status.of_json(data)
    del data["writer"]
    with pytest.raises(MyhaError, match=r"cannot be read \(writer\): it is of another version"):
        Status.of_json(data)


def test_every_field_is_documented() -> None:
    section = OPERATING.read_text().split("## Status for programs")[1].split("\n## ")[0]
    words = set(re.findall(r"`(\w+)`", section))
    assert set(Status.model_fields) <= words
    assert set(SeenNodeStatus.model_fields) <= words


def test_what_keeps_people_from_being_told_is_in_the_status() -> None:
    channel = NotifyStatus(sent=1, waiting=3, lost=0, failure="mail server is down")
    hook = HookStatus(runs=2, failed=1, dropped=2, failure="script failed: exit status 1")
    known = VIEWS["healthy"] if "healthy" in VIEWS else next(iter(VIEWS.values()))
    status = build_status("main", known, decide(known), None).model_copy(
        update={
            "dns_failure": "refused",
            "notify": {"mail": channel, "chat": channel.model_copy(update={"failure": ""})},
            "hooks": {"script": hook},
            "messages_failure": "has hung",
        }
    )
    assert status.own_failures == [
        "the name does not follow the writer: refused",
        "messages and hooks: has hung",
        "notify mail: mail server is down; 3 events wait",
        "hook script failed: exit status 1",
        "hook script: 2 events were too many at once",
    ]
    assert Status.of_json(status.as_json()).own_failures == status.own_failures
