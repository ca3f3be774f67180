"""In line for a pair's lease: how long it is left to others that should have it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from myha.config import Config, load
from myha.errors import LeaseHeldError, StoreSilentError
from myha.supervisor import line as line_module
from myha.supervisor.line import stand_in_line
from myha.supervisor.sharing import GIVEN_PATIENCE_SECONDS, GIVEN_SECONDS, Sharing
from tests.configurations import write_config


class Lease:
    """What becomes of one try after the other to have it: an error, or it is ours."""

    waits = True

    def __init__(self, outcomes: Iterable[Exception | None]) -> None:
        self._outcomes = iter(outcomes)
        self.released = False

    def acquire(self) -> None:
        outcome = next(self._outcomes)
        if outcome is not None:
            raise outcome

    def taken(self) -> bool:
        return False

    def await_free(self, _seconds: float) -> None:
        """It is free at once."""

    def release(self) -> None:
        self.released = True


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(write_config(tmp_path))


def asked(
    monkeypatch: pytest.MonkeyPatch, config: Config, outcomes: list[Exception | None]
) -> list[bool]:
    """What the patience was asked about before each try."""
    lease, told = Lease(outcomes), list[bool]()
    monkeypatch.setattr(line_module, "supervisor_lease", lambda _config: lease)
    monkeypatch.setattr(line_module, "require_record", lambda _config: None)
    monkeypatch.setattr(line_module, "RETRY_SECONDS", 0.0)

    def patience(_config: Config, was_taken: bool) -> float:
        told.append(was_taken)
        return 0.0

    got = stand_in_line(config, threading.Event(), lambda _why, _differs: None, patience)
    assert cast("Any", got) is lease
    assert not lease.released
    return told


def test_who_saw_somebody_have_it_says_so(monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
    held = LeaseHeldError("m2")
    assert asked(monkeypatch, config, [None]) == [False]
    assert asked(monkeypatch, config, [held, held, None]) == [False, True, True]
    assert asked(monkeypatch, config, [StoreSilentError("x"), held, None]) == [False, False, True]


def test_who_names_other_balancers_than_the_one_that_acts_says_so(
    monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    """Those that it does not know would be told of no writer if it took over."""
    (here,) = config.balancers
    helds = [frozenset({here, "lb8", "lb9"}), frozenset[str](), frozenset({here}), None]
    outcomes = [*(LeaseHeldError("m2", one) for one in helds), None]
    monkeypatch.setattr(line_module, "supervisor_lease", lambda _config: Lease(outcomes))
    monkeypatch.setattr(line_module, "require_record", lambda _config: None)
    said = list[tuple[str, str]]()
    stand_in_line(config, threading.Event(), lambda *why: said.append(why), lambda *_of: 0.0)
    begins = "in line for the lease; m2 has it"
    there, only_here = "lb8, lb9 only there", f"{here} only here"
    assert said == [
        (f"{begins}; its file names other balancers: {there}", there),
        (f"{begins}; its file names other balancers: {only_here}", only_here),
        (begins, ""),
        (begins, ""),
    ]


def sharing(clock: Callable[[], float]) -> Sharing:
    return Sharing(lambda: (), "", clock=clock)


def test_a_pair_that_was_given_away_is_left_to_the_other_until_that_one_has_had_it(
    config: Config,
) -> None:
    now = SimpleNamespace(at=100.0)
    one = sharing(lambda: now.at)
    one._given[config.cluster.name] = now.at
    assert one.patience_seconds(config, was_taken=False) == GIVEN_PATIENCE_SECONDS
    assert one.patience_seconds(config, was_taken=True) == 0.0, "the one that took it has died"
    now.at += GIVEN_SECONDS
    assert one.patience_seconds(config, was_taken=False) == 0.0
