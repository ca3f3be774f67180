"""Who waits for news is woken by it, and nobody who tells of it waits."""

from __future__ import annotations

import threading
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from myha.core.planning import decide
from myha.core.view import View
from myha.supervisor.news import MOVES_SECONDS, News, Noticing
from tests.core.views import view

DEADLINE_SECONDS = 20.0


def test_who_waits_is_woken_and_told_of_which_pair() -> None:
    news = News()
    found: list[tuple[int, frozenset[str]]] = []
    waiter = threading.Thread(target=lambda: found.append(news.since(0, DEADLINE_SECONDS)))
    waiter.start()
    news.tell("one")
    waiter.join(DEADLINE_SECONDS)
    ((version, names),) = found
    assert names == {"one"}
    news.tell("two")
    assert news.since(version, 0) == (2, frozenset({"two"}))
    assert news.since(0, 0) == (2, frozenset({"one", "two"}))


def test_without_news_the_answer_comes_after_the_wait() -> None:
    assert News().since(0, 0.01) == (0, frozenset())


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
    assert noticing.changed(loop_of(seen))
    seen = moved(seen, 0.1, sessions=7)
    assert not noticing.changed(loop_of(seen))
    seen = moved(seen, 0.1, open=False)
    assert noticing.changed(loop_of(seen))
    seen = moved(seen, MOVES_SECONDS, sessions=8)
    assert noticing.changed(loop_of(seen))
    assert not noticing.changed(loop_of(moved(seen, 0.1)))


def test_a_plan_that_begins_is_news() -> None:
    noticing, seen = Noticing(), view()
    assert noticing.changed(loop_of(seen))
    later = loop_of(moved(seen, 0.01))
    later.running = object()
    assert noticing.changed(later)
