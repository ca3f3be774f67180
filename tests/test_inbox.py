"""What a pair's loop is brought: all of it is taken, in order, and none of it too late."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import pytest

from myha.supervisor.inbox import Inbox

LONG_SECONDS = 60.0


def is_news(item: Any) -> bool:
    return bool(item == "news")


def in_a_thread(work: Any) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_it_waits_for_the_first_and_takes_all() -> None:
    inbox, found = Inbox(), []
    waiting = in_a_thread(lambda: found.extend(inbox.wait(LONG_SECONDS)))
    inbox.put(1)
    waiting.join(LONG_SECONDS)
    assert found == [1]
    for number in (2, 3, 4):
        inbox.put(number)
    assert inbox.wait(0.0) == [2, 3, 4]
    assert inbox.wait(0.01) == []  # what woke for them wakes nobody any more


def test_while_it_gathers_only_news_end_that() -> None:
    inbox = Inbox()
    inbox.put("first")
    assert inbox.all() == ["first"]
    came: list[bool] = []
    gathering = in_a_thread(lambda: came.append(inbox.gather(LONG_SECONDS, is_news)))
    while inbox._wakes_for is None:
        time.sleep(0.001)
    inbox.put("same")
    inbox.put("same")
    gathering.join(0.05)
    assert gathering.is_alive()
    inbox.put("news")
    gathering.join(LONG_SECONDS)
    assert not gathering.is_alive()
    assert came == [True]
    assert inbox.all() == ["same", "same", "news"]
    assert inbox.gather(0.01, is_news) is False


def test_news_that_came_before_it_gathers_end_that_at_once() -> None:
    inbox = Inbox()
    inbox.put("news")
    began = time.monotonic()
    assert inbox.gather(LONG_SECONDS, is_news)
    assert time.monotonic() - began < LONG_SECONDS
    assert inbox.all() == ["news"]


def test_what_came_quietly_is_not_left_until_something_else_wakes() -> None:
    """However the end of the gathering and the bringing meet."""
    inbox, brought, taken = Inbox(), 2000, list[int]()

    def bring() -> None:
        for number in range(brought):
            inbox.put(number)

    bringing = in_a_thread(bring)
    ends = time.monotonic() + LONG_SECONDS
    while len(taken) < brought and time.monotonic() < ends:
        taken += inbox.wait(LONG_SECONDS)
        inbox.gather(0.0005, is_news)
        taken += inbox.all()
    bringing.join(LONG_SECONDS)
    assert taken == list(range(brought))


def test_a_limit_is_one_for_those_who_ask() -> None:
    inbox = Inbox(1)
    inbox.put_nowait(1)
    with pytest.raises(queue.Full):
        inbox.put_nowait(2)
    inbox.put(3)
    assert inbox.all() == [1, 3]
    inbox.put_nowait(4)
