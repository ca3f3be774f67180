"""A loop that hangs in a process of several pairs: seen, said, and its process begun anew."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from myha.core.events import Kind
from myha.supervisor import stillness as stillness_module
from myha.supervisor import workers as workers_module
from myha.supervisor.overview import NO_SUPERVISOR
from myha.supervisor.pairs import Pairs
from myha.supervisor.stillness import (
    EXIT_STATUS,
    HUNG_CHECKS,
    PATIENCE_CHECKS,
    Rounds,
    Stillness,
)
from myha.supervisor.workers import Worker
from tests.test_process import Supervisor, World, configs, supervised, world
from tests.waiting import until

__all__ = ["world"]


# -- counting --------------------------------------------------------------------------------------


def test_checks_are_counted_from_the_last_turn() -> None:
    rounds, one = Rounds(), object()
    seen = [rounds.see({"x": (one, turns), "y": (one, n)}) for n, turns in enumerate([5, 5, 5, 6])]
    assert [still["x"] for still in seen] == [0, 1, 2, 0]
    assert {still["y"] for still in seen} == {0}


def test_a_supervisor_that_is_new_has_its_own_time_and_one_that_ends_none() -> None:
    rounds = Rounds()
    rounds.see({"x": (1, 5)})
    assert rounds.see({"x": (1, 5)}) == {"x": 1}
    assert rounds.see({"x": (2, 5)}) == {"x": 0}
    assert rounds.see({}) == {}
    assert rounds.see({"x": (2, 5)}) == {"x": 0}


# -- what follows ----------------------------------------------------------------------------------


class Still:
    """The check of pairs that turn, but for one that hangs."""

    def __init__(self, world: World, pairs: Pairs, said: list[str]) -> None:
        self.world = world
        self.said = said
        self.pairs = pairs
        self.hanging = {"ill"}
        self.stillness = Stillness(pairs.runners)

    def supervisor(self, name: str) -> Supervisor:
        return self.world.running(name)

    def checks(self, count: int) -> list[bool]:
        return [self._check() for _ in range(count)]

    def _check(self) -> bool:
        for name in self.world.made:
            if name not in self.hanging:
                self.supervisor(name).rounds += 1
        return self.stillness.check()


@pytest.fixture
def still(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Still]:
    said: list[str] = []
    monkeypatch.setattr(stillness_module, "log", lambda *words: said.append(" ".join(words)))
    with supervised(world, tmp_path, "ill", "well") as pairs:
        yield Still(world, pairs, said)


def test_a_loop_that_hangs_is_said_and_its_process_ends(
    still: Still, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not any(still.checks(HUNG_CHECKS))
    assert not still.said
    assert still.checks(1) == [True]
    assert still.said == [
        "ill unsupervised its loop has not come round for 60 s: "
        "its process is ended and begun anew, with 1 other pairs",
        "supervisor worker where the loop of ill hangs, its last call last:",
    ]
    assert "self.ended.wait" in capfd.readouterr().err, "the call that it hangs in"
    assert still.supervisor("ill").noted == [(Kind.UNSUPERVISED, still.said[0][17:])]
    ill, well = sorted(still.pairs.overview(), key=lambda line: line.name)
    assert ill.verdict == NO_SUPERVISOR
    assert ill.supervisor == (
        "the supervisor of ill hangs: its loop has not come round for 60 s; "
        "its process is ended, and it begins anew"
    )
    assert not well.supervisor
    assert still.pairs.handle({"do": "status", "pair": "ill"})["away"]


def test_the_plans_of_other_pairs_are_let_finish_for_a_while(still: Still) -> None:
    well = still.supervisor("well")
    well.loop.running = object()
    assert not any(still.checks(HUNG_CHECKS + PATIENCE_CHECKS - 1))
    well.loop.running = None
    assert still.checks(1) == [True]


def test_a_plan_that_does_not_end_is_not_waited_for(still: Still) -> None:
    still.supervisor("well").loop.running = object()
    assert not any(still.checks(HUNG_CHECKS + PATIENCE_CHECKS - 1))
    assert still.checks(1) == [True]


def test_a_loop_that_goes_on_meanwhile_ends_nothing(still: Still) -> None:
    still.supervisor("well").loop.running = object()
    still.checks(HUNG_CHECKS + 1)
    assert still.pairs.handle({"do": "status", "pair": "ill"}).get("away")
    still.hanging.clear()
    assert still.checks(1) == [False]
    assert still.said[-1] == "ill unsupervised its loop comes round again"
    assert still.pairs.handle({"do": "status", "pair": "ill"}) == {"name": "ill"}
    assert not any(still.checks(HUNG_CHECKS * 2))


def test_a_journal_that_hangs_too_keeps_nobody(
    still: Still, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stillness_module, "JOURNAL_SECONDS", 0.01)
    goes_on = threading.Event()
    journal = SimpleNamespace(note=lambda *_words: goes_on.wait())
    still.supervisor("ill").journal_file = cast("Any", journal)
    try:
        assert still.checks(HUNG_CHECKS + 1)[-1]
    finally:
        goes_on.set()


def test_a_pair_that_is_beginning_or_in_line_is_not_said_to_hang(
    world: World, tmp_path: Path
) -> None:
    world.refused = {"new"}
    with supervised(world, tmp_path, "new") as pairs:
        stillness = Stillness(pairs.runners)
        assert not any(stillness.check() for _ in range(HUNG_CHECKS * 2))


# -- a real process --------------------------------------------------------------------------------


def test_a_worker_with_a_loop_that_hangs_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(workers_module, "log", lambda *words: said.append(" ".join(words)))
    pairs = configs(tmp_path, "ill", "well")
    command = (sys.executable, "-m", "tests.hanging_worker", str(tmp_path))
    worker = Worker(1, tmp_path, 0, command)
    worker.have(pairs)
    worker.start()
    try:
        until(lambda: any("has ended" in line for line in said), "it ends by itself")
        assert said[0] == (
            f"supervisor worker worker-1 has ended (exit status {EXIT_STATUS}) with 2 pairs; "
            "another one is started in 0.2 s"
        )
        until((tmp_path / "ill.2").exists, "the pair begins anew in another process")
    finally:
        worker.stop()
        worker.join()
