"""Who waits for news is woken by it, and nobody who tells of it waits."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from myha.core.planning import decide
from myha.core.view import View
from myha.supervisor.news import (
    FEW_PAIRS,
    MOVES_A_SECOND,
    MOVES_SECONDS,
    WATCHED_SECONDS,
    Change,
    News,
    Noticing,
)
from tests.core.views import view

DEADLINE_SECONDS = 20.0


def test_who_waits_is_woken_and_told_of_which_pair() -> None:
    news = News()
    found: list[tuple[int, frozenset[str]]] = []
    waiter = threading.Thread(target=lambda: found.append(news.since(0, DEADLINE_SECONDS)))
    waiter.start()
    news.announce("one")
    waiter.join(DEADLINE_SECONDS)
    ((version, names),) = found
    assert names == {"one"}
    news.announce("two")
    assert news.since(version, 0) == (2, frozenset({"two"}))
    assert news.since(0, 0) == (2, frozenset({"one", "two"}))


def test_without_news_the_answer_comes_after_the_wait() -> None:
    assert News().since(0, 0.01) == (0, frozenset())


def test_what_moves_wakes_nobody_but_those_who_watch_it() -> None:
    now = 0.0
    news = News(lambda: now)
    names = [f"pair{number}" for number in range(10 * MOVES_A_SECOND)]
    for name in names:
        news.announce(name)
    version, _ = news.since(0, 0)
    now = len(names) / MOVES_A_SECOND - 0.1
    for name in names:
        news.announce(name, Change.MOVES)
    assert news.since(version, 0) == (version, frozenset()), "so many in a second, not all"
    now += 0.1
    for name in names:
        news.announce(name, Change.MOVES)
        news.announce(name, Change.MOVES)
    began = time.monotonic()
    version, moved = news.since(version, 0.05)
    assert moved == set(names)
    assert time.monotonic() - began >= 0.05, "it waited for something to happen"

    for watched in (["pair7"], None):
        news.watch(watched)
        news.announce("pair7", Change.MOVES)
        version, moved = news.since(version, DEADLINE_SECONDS)
        assert moved == {"pair7"}
    now += WATCHED_SECONDS + 0.1
    news.watch(["pair8"])
    news.announce("pair7", Change.MOVES)
    assert news.since(version, 0)[1] == {"pair7"}, "since when it was told last is long ago"
    version, _ = news.since(version, 0)
    news.announce("pair7")
    assert news.since(version, DEADLINE_SECONDS)[1] == {"pair7"}, "a change is told at once"


def test_of_a_few_pairs_what_moves_is_told_at_once() -> None:
    news = News(lambda: 0.0)
    for number in range(FEW_PAIRS):
        news.announce(f"pair{number}")
    version, _ = news.since(0, 0)
    for _ in range(2):
        news.announce("pair1", Change.MOVES)
        version, moved = news.since(version, DEADLINE_SECONDS)
        assert moved == {"pair1"}


def loop_of(seen: View) -> Any:
    return cast("Any", SimpleNamespace(view=seen, decision=decide(seen), running=None))


def moved(seen: View, seconds: float, **changed: Any) -> View:
    """The same a moment later, with another look at the first node."""
    (name, node), *others = seen.nodes
    assert node.look is not None
    look = replace(node.look, **changed)
    return replace(seen, at=seen.at + seconds, nodes=((name, replace(node, look=look)), *others))


def test_what_moves_by_itself_is_news_once_a_second_and_a_change_at_once() -> None:
    noticing, seen = Noticing(), view()
    assert noticing.changed(loop_of(seen)) is Change.NEWS
    seen = moved(seen, 0.1, sessions=7)
    assert not noticing.changed(loop_of(seen))
    seen = moved(seen, 0.1, open=False)
    assert noticing.changed(loop_of(seen)) is Change.NEWS
    seen = moved(seen, 0.1, version="10")
    assert not noticing.changed(loop_of(seen), looked=False)
    assert noticing.changed(loop_of(moved(seen, MOVES_SECONDS)), looked=False) is Change.NEWS
    seen = moved(seen, 2 * MOVES_SECONDS, sessions=8)
    assert noticing.changed(loop_of(seen)) is Change.MOVES
    assert not noticing.changed(loop_of(moved(seen, 0.1)))


def test_a_plan_that_begins_is_news() -> None:
    noticing, seen = Noticing(), view()
    assert noticing.changed(loop_of(seen))
    later = loop_of(moved(seen, 0.01))
    later.running = object()
    assert noticing.changed(later)
