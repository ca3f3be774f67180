"""The loop of a pair rests where all is well, and what is not wanted is not done: nothing wakes for
nothing, and whatever is news is acted upon at once."""

from __future__ import annotations

import threading
import time
from itertools import chain
from types import SimpleNamespace
from typing import Any, cast

import pytest

from myha.supervisor.base_loop import QUIET_SECONDS, Turn
from myha.supervisor.clock import SystemClock
from myha.supervisor.driver import Driver
from myha.supervisor.heartbeat import HeartbeatWriter
from myha.supervisor.rhythm import Rhythm
from tests.waiting import until

LONG_SECONDS = 60.0


def test_the_next_looks_are_an_interval_after_those_that_were_found() -> None:
    rhythm = Rhythm(0.5)
    assert rhythm.rest_seconds(10.0) is None
    rhythm.found(10.0)
    assert rhythm.rest_seconds(10.25) == pytest.approx(0.25)
    rhythm.rested(10.25, looks=False)  # not a whole one
    assert rhythm.rest_seconds(10.375) == pytest.approx(0.125)
    rhythm.rested(10.75, looks=True)
    assert rhythm.rest_seconds(10.75) == pytest.approx(0.25), "by the clock, however late it was"
    rhythm.rested(11.0, looks=False)
    assert rhythm.rest_seconds(11.0) is None, "they come at another time now"


def test_a_rest_that_is_over_already_is_none() -> None:
    rhythm = Rhythm(0.5)
    rhythm.found(10.0)
    assert rhythm.rest_seconds(10.5) is None
    assert rhythm.rest_seconds(10.4) is None
    rhythm.found(10.0)
    rhythm.lost()
    assert rhythm.rest_seconds(10.1) is None


class CountingLoop:
    """Takes what comes; every word is news."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.turns: list[list[Any]] = []
        self.leaves = False

    def take(self, event: Any) -> tuple[()]:
        if isinstance(event, int | str):
            self.taken.append(event)
        return ()

    def is_news(self, event: Any) -> bool:
        return isinstance(event, str)

    def decide(self) -> Turn:
        self.turns.append(self.taken)
        self.taken = []
        return Turn((), QUIET_SECONDS, leave=self.leaves)


def test_a_loop_that_rests_takes_all_looks_in_one_turn_and_news_at_once() -> None:
    loop = CountingLoop()
    tools = SimpleNamespace(balancers={}, may_act=True, clock=SystemClock())
    # Looks that come once in a long while: what ends a rest before is news.
    driver = Driver(loop, tools, {}, LONG_SECONDS, executor=cast("Any", SimpleNamespace()))  # type: ignore[arg-type]
    thread = threading.Thread(target=driver.run)
    thread.start()
    try:
        driver.queue.put(1)
        until(lambda: [1] in loop.turns, "it gathers")
        for number in (2, 3, 4):
            driver.queue.put(number)
        driver.queue.put("news")
        until(lambda: ["news"] in [turn[-1:] for turn in loop.turns], "it is woken")
        assert list(chain(*loop.turns)) == [1, 2, 3, 4, "news"], "in order, and none of it twice"
    finally:
        loop.leaves = True
        driver.queue.put("end")
        thread.join(LONG_SECONDS)
    assert not thread.is_alive()


class Written:
    """A server that notes when its heartbeat row was written."""

    name = "a"

    def __init__(self) -> None:
        self.count = 0

    def write_heartbeat(self, _wall: float, _deadline_seconds: float) -> None:
        self.count += 1


def test_a_heartbeat_that_is_not_wanted_asks_seldom_and_begins_as_soon_as_it_is() -> None:
    server, wanted, asked = Written(), False, 0

    def is_wanted() -> bool:
        nonlocal asked
        asked += 1
        return wanted

    writer = HeartbeatWriter(cast("Any", server), SystemClock(), 0.001, 1.0, is_wanted)
    writer.start()
    until(lambda: asked == 1, "it asks")
    until(lambda: writer._resting, "it rests")
    time.sleep(0.05)
    assert (asked, server.count) == (1, 0)
    wanted = True

    def woken() -> bool:
        writer.wake()  # as the loop does after each turn
        return server.count > 2

    until(woken, "it writes, and goes on")
    wanted = False
    until(lambda: writer._resting, "it rests again")
    assert writer.status().latency_ms is None
    writer.stop()
    writer.join(LONG_SECONDS)
    assert not writer.is_alive()
