"""Who keeps a lease: what is renewed when, and what a failover is told."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from myha.config import load
from myha.core.observations import LeaseTried
from myha.core.watchdog import CLOCK_RATE, CLOSING_SECONDS, LEAST_TOTAL_SECONDS, Watchdog
from myha.database.flavours import FLAVOURS
from myha.database.statements import load as statements
from myha.errors import ConfigError, MyhaError, ServerSilentError
from myha.supervisor.lease import KeptLeases, LeaseKeeper
from tests.configurations import write_config

WATCHDOG = Watchdog(6.0)


@dataclass
class FakeLease:
    """Says what it was asked for; `answers` is what the node's watchdog is, None: silence."""

    name: str = "a"
    answers: list[bool | None] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    held: bool = False
    heard_until: float = -1.0

    def connect(self, deadline_seconds: float) -> None:
        self.asked.append("connect")

    def take(self, deadline_seconds: float) -> bool:
        self.held = True
        return self._answer("take")

    def renew(self, deadline_seconds: float) -> bool:
        return self._answer("renew")

    def drop(self) -> None:
        self.held = False

    def dismiss(self, deadline_seconds: float) -> None:
        self.asked.append("dismiss")

    def _answer(self, what: str) -> bool:
        self.asked.append(what)
        self.heard_until = time.monotonic()
        answer = self.answers.pop(0) if self.answers else True
        if answer is None:
            self.held = False
            raise ServerSilentError("no answer")
        return answer


class Kept:
    """A keeper with a lease that says what it was asked for, driven by hand."""

    def __init__(self, *answers: bool | None) -> None:
        self.lease = FakeLease(answers=list(answers))
        self.said: list[bool | None] = []
        self.wanted, self.resting = "one", False
        self.keeper = LeaseKeeper(
            self.lease,  # type: ignore[arg-type]
            WATCHDOG,
            1.0,
            wanted=lambda: self.wanted,
            resting=lambda: self.resting,
            emit=self._heard,
        )

    def _heard(self, seen: LeaseTried) -> None:
        self.said.append(seen.armed)

    def rounds(self, count: int) -> Kept:
        for _ in range(count):
            self.keeper._keep()
        return self

    def end(self) -> float:
        return KeptLeases({"a": self.keeper}).end("a", 1.0)


def test_a_failover_is_told_when_the_last_renewal_can_have_been_heard() -> None:
    kept = Kept(False, True, None).rounds(3)
    kept.resting = True
    assert kept.end() == kept.lease.heard_until
    assert kept.said[-3:] == [False, True, None]


def test_a_failover_does_not_wait_for_an_attempt_to_connect() -> None:
    """The writer's host is silent, and whoever connects to it waits for the deadline."""
    kept = Kept(True, True, None).rounds(3)
    connecting, go_on = threading.Event(), threading.Event()

    def connect(_deadline_seconds: float) -> None:
        connecting.set()
        go_on.wait(30)

    kept.lease.connect = connect  # type: ignore[method-assign,assignment]
    trying = threading.Thread(target=kept.rounds, args=(1,))
    trying.start()
    try:
        assert connecting.wait(30)
        kept.resting = True
        assert kept.end() == kept.lease.heard_until
    finally:
        go_on.set()
        trying.join(30)
    assert kept.lease.asked[-1] == "renew", "nothing was sent after the end"


def test_nothing_is_renewed_while_a_failover_is_under_way() -> None:
    kept = Kept().rounds(2)
    kept.resting = True
    before = list(kept.lease.asked)
    kept.rounds(3)
    assert kept.lease.asked == before
    assert kept.lease.held


@pytest.mark.parametrize("answer", [False, None])
def test_a_watchdog_that_never_said_that_it_waits_is_none(answer: bool | None) -> None:
    kept = Kept(answer).rounds(1)
    kept.resting = True
    with pytest.raises(MyhaError, match="not known to be armed"):
        kept.end()


def test_a_node_that_was_closed_since_has_to_say_so_again() -> None:
    kept = Kept().rounds(2)
    kept.wanted, kept.resting = "another", True
    with pytest.raises(MyhaError, match="not known to be armed"):
        kept.end()
    kept.resting = False
    kept.lease.answers = [None]
    kept.rounds(1)
    assert kept.lease.asked[-2:] == ["connect", "take"]
    kept.resting = True
    with pytest.raises(MyhaError, match="not known to be armed"):
        kept.end()


def test_a_lease_that_has_to_be_taken_anew_is_not_known_until_the_node_says_so() -> None:
    """The node may have heard a part of it."""
    kept = Kept(True, None, None).rounds(3)
    assert kept.said[-3:] == [None, False, None]
    kept.resting = True
    with pytest.raises(MyhaError, match="not known to be armed"):
        kept.end()


def test_an_end_is_refused_where_no_plan_keeps_the_lease_from_being_renewed() -> None:
    kept = Kept().rounds(2)
    with pytest.raises(MyhaError, match="not known to be armed"):
        kept.end()


def test_a_keeper_that_stops_dismisses_the_watchdog() -> None:
    kept = Kept().rounds(1)
    kept.keeper.stop()
    assert kept.lease.asked[-1] == "dismiss"


@pytest.mark.parametrize("total", [5.0, 6.0, 7.5, 10.0, 60.0, 3600.0])
def test_the_parts_of_a_watchdog_fit_into_the_whole(total: float) -> None:
    watchdog = Watchdog(total)
    assert watchdog.lease_seconds >= 2
    assert watchdog.grace_seconds >= 1
    assert watchdog.lease_seconds + watchdog.grace_seconds == watchdog.fuse_seconds
    assert watchdog.fuse_seconds * (1 + CLOCK_RATE) + CLOSING_SECONDS <= total


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_watchdog_is_one_statement(flavour: str) -> None:
    text = statements(flavour, "watchdog").one("begin_watchdog", grace="2")
    assert text.startswith("CREATE EVENT")
    assert text.endswith("END")
    assert "{" not in text


REFUSED = {
    'no meaning with durability = "lossless"': ("", 6, ""),
    'no meaning with mode = "dual-writer"': (
        'mode = "dual-writer"\ndurability = "async"',
        6,
        "",
    ),
    f"set it to {LEAST_TOTAL_SECONDS} or more": ('durability = "async"', 4.9, ""),
    "needs cluster.event_scheduler = true": (
        'durability = "async"\nevent_scheduler = false',
        6,
        "",
    ),
    "more than half the 2 s that a lease lasts": (
        'durability = "bounded"',
        5,
        "[timing]\ncall_deadline_seconds = 1.2",
    ),
}


@pytest.mark.parametrize("problem", REFUSED)
def test_a_watchdog_that_does_not_fit_is_refused(tmp_path: Path, problem: str) -> None:
    cluster, seconds, more = REFUSED[problem]
    tables = f"[failover]\nwatchdog_seconds = {seconds}\n{more}"
    path = write_config(tmp_path, tables, cluster=cluster)
    with pytest.raises(ConfigError, match=problem):
        load(path)
