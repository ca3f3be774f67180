"""When the daemon starts jobs by itself: the reader of conflicts, and comparisons by the clock."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from myha.config import Config, load
from myha.core.jobs import JobResult
from myha.core.planning import PairDecision, decide
from myha.core.policy import Mode
from myha.core.view import View
from myha.errors import MyhaError
from myha.ports import JobOrder
from myha.supervisor.diagnoses import DIAGNOSIS, PAUSE_SECONDS
from myha.supervisor.housekeeping import (
    HEALTHY_FOR_SECONDS,
    LAST_VERIFY,
    PAUSE_FIRST_SECONDS,
    Housekeeping,
    conflicts_wanted,
)
from myha.supervisor.status import ApplierFailure
from myha.supervisor.status_builder import build_status
from tests.configurations import NOBODY_THERE, write_config
from tests.core.situations import BROKEN
from tests.core.views import NOW, WALL, record, seen, view
from tests.test_jobs import Notes


class Started:
    """Keeps what is ordered; refuses when told to."""

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.refuses = False

    def start(self, order: JobOrder, deadline_seconds: float) -> None:
        if self.refuses:
            raise MyhaError("no")
        self.orders.append(order.kind)

    def stop(self, kind: str, node: str, deadline_seconds: float) -> None:
        self.orders.append(f"stop {kind}")


class SetClock:
    def __init__(self) -> None:
        self.now = NOW

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return time.time() + self.now - NOW


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(write_config(tmp_path, "[verify]\nevery_seconds = 60", pair=NOBODY_THERE))


def changed(seconds_ago: float, epoch: int = 2) -> View:
    return view(on_record=record(writer_since_wall=WALL - seconds_ago, epoch=epoch))


def test_conflicts_are_read_for_a_while_after_a_change_of_writer(config: Config) -> None:
    assert conflicts_wanted(config, changed(1.0))
    assert conflicts_wanted(config, changed(299.0))
    assert not conflicts_wanted(config, changed(301.0))
    assert not conflicts_wanted(config, changed(1.0, epoch=1)), "the first writer is no change"


def test_conflicts_are_always_read_where_both_write(config: Config) -> None:
    both = replace(changed(9999.0), policy=replace(view().policy, mode=Mode.DUAL_WRITER))
    assert conflicts_wanted(config, both)
    off = config.model_copy(
        update={"conflicts": config.conflicts.model_copy(update={"enabled": False})}
    )
    assert not conflicts_wanted(off, both)


class Rig:
    def __init__(self, config: Config) -> None:
        self.jobs, self.clock, self.notes = Started(), SetClock(), Notes()
        self.view = changed(9999.0)
        self.housekeeping = Housekeeping(config, self.jobs, self.clock, self.notes, self.seen)

    def seen(self) -> tuple[View, PairDecision]:
        now = replace(self.view, at=self.clock.now)
        return now, decide(now)

    def pass_seconds(self, seconds: float) -> list[str]:
        """Look at once and again after the time; what was ordered."""
        before = len(self.jobs.orders)
        self.housekeeping.check()
        self.clock.now += seconds
        self.housekeeping.check()
        return self.jobs.orders[before:]


def test_a_comparison_is_made_by_the_clock_of_a_whole_pair(config: Config) -> None:
    rig = Rig(config)
    assert rig.pass_seconds(HEALTHY_FOR_SECONDS - 1) == []
    assert rig.pass_seconds(2.0) == ["verify"]
    assert rig.pass_seconds(100.0) == [], "one at a time"
    more = {"text": "2 rows differ", "equal": False}
    rig.housekeeping.ended(JobOrder("verify"), JobResult.DONE, more)
    assert [kind for kind, _, _ in rig.notes.lines] == ["differs"]
    assert rig.housekeeping.last()["verify"].model_dump()["text"] == "2 rows differ"
    assert rig.pass_seconds(30.0) == []
    marker = config.cluster.state_dir / LAST_VERIFY
    os.utime(marker, (rig.clock.wall() - 120,) * 2)
    assert rig.pass_seconds(1.0) == ["verify"]


def test_a_job_that_fails_is_begun_again_after_a_growing_pause(config: Config) -> None:
    rig = Rig(config)
    rig.view = changed(1.0)
    assert rig.pass_seconds(0.0) == ["conflicts"]
    failed = JobOrder("conflicts"), JobResult.FAILED, {"reason": "gone"}
    rig.housekeeping.ended(*failed)
    assert "conflicts" not in rig.pass_seconds(PAUSE_FIRST_SECONDS)
    assert "conflicts" in rig.pass_seconds(2 * PAUSE_FIRST_SECONDS)
    rig.housekeeping.ended(*failed)
    assert "conflicts" not in rig.pass_seconds(3 * PAUSE_FIRST_SECONDS)


def test_the_reader_is_stopped_when_it_is_no_longer_wanted(config: Config) -> None:
    rig = Rig(config)
    rig.view = changed(1.0)
    assert rig.pass_seconds(0.0) == ["conflicts"]
    rig.view = changed(9999.0)
    assert "stop conflicts" in rig.pass_seconds(0.0)


def test_a_job_that_cannot_be_started_is_said_and_tried_again(config: Config) -> None:
    rig = Rig(config)
    rig.view = changed(1.0)
    rig.jobs.refuses = True
    assert rig.pass_seconds(0.0) == []
    assert any("cannot be started: no" in text for _, text, _ in rig.notes.lines)
    rig.jobs.refuses = False
    assert "conflicts" in rig.pass_seconds(3 * PAUSE_FIRST_SECONDS)


def test_a_failed_applier_is_diagnosed_once_for_each_failure(config: Config) -> None:
    rig = Rig(config)
    rig.view = view(db2=seen("db2", applier=BROKEN))
    order = JobOrder(DIAGNOSIS, "db2")
    assert rig.pass_seconds(0.0) == [DIAGNOSIS], "and one at a time"
    rig.housekeeping.ended(order, JobResult.FAILED, {"reason": "the writer is gone"})
    assert rig.pass_seconds(1.0) == []
    assert rig.pass_seconds(PAUSE_SECONDS) == [DIAGNOSIS]
    error = {
        "errno": BROKEN.errno,
        "kind": "missing-row",
        "heal": "reseed",
        "sentence": "so",
        "lines": ["one", "  two"],
    }
    rig.housekeeping.ended(order, JobResult.DONE, {"error": error})
    assert rig.notes.lines[-1][:2] == ("replication-error", "db2: one; two")
    found = rig.housekeeping.diagnoses.found()
    assert found == {"db2": ApplierFailure.model_validate(error)}
    now, decision = rig.seen()
    told = build_status("pair", now, decision, None, found)
    assert told.sentence.endswith("cannot take over. missing-row: so.")
    assert told.as_json()["nodes"]["db2"]["failure"] == error
    assert rig.pass_seconds(3 * PAUSE_SECONDS) == []
    rig.view = view(db2=seen("db2", applier=replace(BROKEN, errno=1452)))
    assert rig.pass_seconds(0.0) == [DIAGNOSIS], "another failure"
    rig.housekeeping.ended(order, JobResult.DONE, {"error": error})
    assert rig.housekeeping.diagnoses.found() == {}, "that was the one before"
    assert rig.pass_seconds(0.0) == [DIAGNOSIS]
    rig.view = view()
    rig.pass_seconds(0.0)
    assert rig.housekeeping.diagnoses.found() == {}
    rig.housekeeping.ended(order, JobResult.DONE, {"error": error})
    assert rig.housekeeping.diagnoses.found() == {}, "mended meanwhile"
