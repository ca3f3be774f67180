"""What the journal and the quarantine let go of, and what they never do."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from myha.cli.main import cli
from myha.config import Config, load
from myha.core.events import Kind
from myha.core.jobs import JobResult
from myha.core.record import Cause, Membership, NodeRecord, Record, Sync
from myha.errors import MyhaError, RefusedError
from myha.operations.quarantine import job
from myha.operations.quarantine.incidents import incidents
from myha.operations.quarantine.retention import (
    DAY_SECONDS,
    MB,
    KeptIncident,
    Limits,
    kept_incidents,
    to_remove,
)
from myha.ports import JobOrder
from myha.stores.local.journal import BATCH_LINES, LocalJournal
from myha.stores.local.record import LocalRecordStore
from myha.supervisor.housekeeping import RETENTION_EVERY_SECONDS, TIDY_EVERY_SECONDS, Housekeeping
from tests.configurations import NOBODY_THERE, write_config
from tests.reporters import ListReporter
from tests.test_housekeeping import Rig

NOW = 1_800_000_000.0


def one(name: str, days: float | None, size_mb: float = 1.0, *, seen: bool = True) -> KeptIncident:
    at = None if days is None else NOW - days * DAY_SECONDS
    return KeptIncident(name, Path(name), at, int(size_mb * MB), seen)


def names(all_kept: list[KeptIncident], limits: Limits) -> list[str]:
    return [each.id for each in to_remove(all_kept, limits, NOW)]


def test_by_age_the_oldest_go_and_what_nobody_has_looked_at_stays() -> None:
    found = [one("old", 31), one("unseen", 40, seen=False), one("young", 29), one("broken", None)]
    assert names(found, Limits(days=30)) == ["old"]
    assert names(found, Limits(days=30, unseen=True)) == ["unseen", "old"]
    assert names(found, Limits()) == []


def test_by_size_the_oldest_go_until_it_fits_but_none_of_today() -> None:
    found = [one("a", 9, 4), one("b", 5, 4, seen=False), one("c", 3, 4), one("d", 0.5, 4)]
    assert names(found, Limits(megabytes=12)) == ["a"]
    assert names(found, Limits(megabytes=5)) == ["a", "c"], "what stays may be too much"
    assert names(found, Limits(megabytes=1, unseen=True)) == ["a", "b", "c"]
    assert names(found, Limits(megabytes=16)) == []


# -- the quarantine on disk ------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path, "quarantine_days = 30")


def configured(folder: Path, retention: str) -> Config:
    return load(write_config(folder, f"[retention]\n{retention}", pair=NOBODY_THERE))


def with_record(config: Config, cause: Cause = Cause.NONE) -> None:
    store = LocalRecordStore(config.cluster.state_dir)
    nodes = tuple((name, NodeRecord(Membership.MEMBER, cause)) for name in config.names)
    store.compare_and_set(0, Record(1, 1, config.names[0], Sync.SOLO, nodes))
    store.close()


def incident(config: Config, name: str, days: float, *, seen: bool = True) -> Path:
    path = config.cluster.state_dir / "quarantine" / name
    path.mkdir(parents=True)
    at = datetime.fromtimestamp(time.time() - days * DAY_SECONDS, UTC).isoformat()
    (path / "summary.json").write_text(json.dumps({"id": name, "quarantined_at": at}))
    if seen:
        (path / "seen.json").write_text("{}")
    return path


def test_the_job_removes_what_is_due_and_says_what(config: Config) -> None:
    with_record(config)
    old, young = incident(config, "rewind-old", 31), incident(config, "rewind-young", 2)
    unseen = incident(config, "raw-unseen", 99, seen=False)
    said = job.run(config.order, ListReporter())
    assert said.startswith("removed 1 incidents")
    assert "rewind-old" in said
    assert not old.exists()
    assert young.exists()
    assert unseen.exists()
    assert {path.name for path in old.parent.iterdir()} == {"rewind-young", "raw-unseen"}
    assert job.run(config.order, ListReporter()) == "nothing is old enough"


def test_nothing_is_removed_beside_a_heal(config: Config) -> None:
    with_record(config, Cause.HEALING)
    old = incident(config, "rewind-old", 31)
    with pytest.raises(RefusedError, match="heal"):
        job.run(config.order, ListReporter())
    assert old.exists()


def test_a_removal_that_is_cut_short_leaves_no_half_incident(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_record(config)
    old = incident(config, "rewind-old", 31)

    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.rmtree", full)
    with pytest.raises(MyhaError, match="No space left"):
        job.run(config.order, ListReporter())
    assert incidents(old.parent) == []
    assert kept_incidents(old.parent) == []


def test_prune_shows_first_and_spares_what_nobody_has_looked_at(config: Config) -> None:
    with_record(config)
    old = incident(config, "rewind-old", 31)
    unseen = incident(config, "raw-unseen", 99, seen=False)

    def prune(*words: str) -> str:
        command = ["--config", str(config.path), "quarantine", "prune", "--older-than", "30"]
        done = CliRunner().invoke(cli, [*command, *words])
        assert done.exit_code == 0, done.output
        return done.output

    said = prune()
    assert "would remove 1 incidents" in said
    assert "--apply" in said
    assert "1 more are as old, and nobody has looked at them: --unseen" in said
    assert old.exists()
    assert "removed 1 incidents" in prune("--apply")
    assert not old.exists()
    assert unseen.exists()
    assert "removed 1 incidents" in prune("--apply", "--unseen")
    assert not unseen.exists()


# -- when the daemon does it -----------------------------------------------------------------------


def test_the_daemon_does_it_once_a_day_and_only_where_it_is_wanted(tmp_path: Path) -> None:
    assert Rig(configured(tmp_path, "journal_days = 30")).pass_seconds(1.0) == []
    rig = Rig(configured(tmp_path, "quarantine_mb = 5"))
    assert rig.pass_seconds(1.0) == ["retention"]
    rig.housekeeping.ended(JobOrder("retention"), JobResult.DONE, {"text": "nothing"})
    assert rig.pass_seconds(RETENTION_EVERY_SECONDS / 2) == []
    assert rig.pass_seconds(RETENTION_EVERY_SECONDS) == ["retention"]


def test_the_daemon_does_not_do_it_beside_a_heal(tmp_path: Path) -> None:
    rig = Rig(configured(tmp_path, "quarantine_days = 5"))
    record = rig.view.record
    assert record is not None
    nodes = tuple((name, replace(node, cause=Cause.HEALING)) for name, node in record.nodes)
    rig.view = replace(rig.view, record=replace(record, nodes=nodes))
    assert rig.pass_seconds(RETENTION_EVERY_SECONDS * 2) == []


class Tidied:
    """Says what it is told to; then that a full disk refuses it."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self) -> bool:
        self.asked += 1
        if not self.answers:
            raise MyhaError("the disk is full")
        return self.answers.pop(0)


def test_the_journal_is_tidied_a_little_at_a_time_and_then_once_an_hour(tmp_path: Path) -> None:
    rig, tidy = Rig(configured(tmp_path, "journal_days = 30")), Tidied(True, True, False)
    rig.housekeeping = Housekeeping(
        configured(tmp_path, ""), rig.jobs, rig.clock, rig.notes, rig.seen, tidy=tidy
    )
    for _ in range(10):
        rig.housekeeping.check()
    assert tidy.asked == 3
    for _ in range(2):  # the disk is full
        rig.clock.now += TIDY_EVERY_SECONDS
        rig.housekeeping.check()
        rig.housekeeping.check()
    assert tidy.asked == 5


# -- the journal -----------------------------------------------------------------------------------


def journal_of(
    folder: Path, lines: int, wall: Callable[[int], float], text: str = "x"
) -> LocalJournal:
    journal = LocalJournal(folder, "shop")
    with sqlite3.connect(folder / "journal.sqlite") as connection:
        connection.executemany(
            "INSERT INTO journal (at, wall, kind, text, fields) VALUES (0, ?, 'step', ?, '{}')",
            [(wall(number), text) for number in range(lines)],
        )
    connection.close()
    return journal


def count(journal: LocalJournal) -> int:
    return len(journal.events(limit=10_000_000))


def test_lines_go_by_age_in_small_portions(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 3 * BATCH_LINES, lambda number: 1000.0 + number)
    before = 1000.0 + 2 * BATCH_LINES + 10
    assert journal.prune(before, 1000)
    assert count(journal) == 2 * BATCH_LINES
    assert journal.prune(before, 1000)
    assert not journal.prune(before, 1000)
    assert journal.events(limit=10_000)[0].wall == before
    assert not journal.prune(before, 1000)
    assert not journal.prune(float("inf"), 1000)
    journal.note(Kind.STEP, "it goes on", {})
    assert journal.events()[-1].text == "it goes on"


def test_the_last_line_stays_and_with_it_the_numbers(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 10, lambda _: 0.0)
    journal.prune(float("inf"), 1000)
    assert [event.id for event in journal.events()] == [10]
    journal.note(Kind.STEP, "the next", {})
    assert [event.id for event in journal.events()] == [10, 11]


def test_lines_go_by_size_until_it_fits(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, 4 * BATCH_LINES, lambda _: 2000.0, "y" * 1000)
    rounds = 0
    while journal.prune(float("-inf"), 1):
        rounds += 1
    assert rounds == 3, "about half a MB each, of two"
    assert 0 < count(journal) <= 2 * BATCH_LINES
