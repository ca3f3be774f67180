"""The process around the supervisors of pairs: who a request is for, and what it is answered."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from myha.errors import MyhaError
from myha.supervisor.pair import PairSupervisor
from myha.supervisor.process import Process
from myha.supervisor.requests import Reply


class Supervisor:
    """Notes what it is asked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[tuple[str, dict[str, str]]] = []

    def events(self, limit: int, after: int) -> list[dict[str, Any]]:
        return [{"id": after + 1, "limit": limit, "of": self.name}]

    def request(self, name: str, arguments: dict[str, str]) -> Reply:
        self.asked.append((name, arguments))
        return Reply(False, "no", "myha yes")


def process(*supervisors: Supervisor) -> Process:
    return Process([cast("PairSupervisor", one) for one in supervisors], Path("unused"))


def test_a_pair_that_is_alone_need_not_be_named() -> None:
    one = Supervisor("one")
    answer = process(one).handle({"do": "fence", "node": "db2", "reason": None, "limit": 3})
    assert one.asked == [("fence", {"node": "db2", "limit": "3"})]
    assert answer == {"ok": False, "text": "no", "override": "myha yes", "ask_again": False}
    assert process(one).handle({"do": "ping", "pair": "another"}) == {"ok": True}


def test_a_request_is_for_the_pair_that_it_names() -> None:
    both = process(Supervisor("one"), Supervisor("two"))
    answer = both.handle({"do": "events", "pair": "two", "limit": 10**9, "after": 6})
    assert answer["events"] == [{"id": 7, "limit": 1000, "of": "two"}]


@pytest.mark.parametrize(
    ("names", "request_for", "text"),
    [
        (("one",), {"pair": "x"}, "this supervisor has the pair one, and not x"),
        (("one",), {"pair": ["x"]}, "this supervisor has the pair one, and not ['x']"),
        (("one", "two"), {}, "this supervisor has the pairs one and two: name one"),
    ],
)
def test_a_request_for_no_pair_of_ours_is_refused_in_one_line(
    names: tuple[str, ...], request_for: dict[str, Any], text: str
) -> None:
    with pytest.raises(MyhaError) as refused:
        process(*map(Supervisor, names)).handle({"do": "status", **request_for})
    assert str(refused.value) == text


@pytest.mark.parametrize("wrong", ["x", -1, 1.5, [1], {}])
@pytest.mark.parametrize("key", ["limit", "after"])
def test_a_number_that_is_none_is_refused(key: str, wrong: object) -> None:
    with pytest.raises(MyhaError, match=f"{key} has to be a whole number"):
        process(Supervisor("one")).handle({"do": "events", key: wrong})


def test_what_there_is_no_request_for_is_refused() -> None:
    with pytest.raises(MyhaError, match="there is no request 'fly'"):
        process(Supervisor("one")).handle({"do": "fly"})
