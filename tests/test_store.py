"""The local store: compare-and-set, the journal, the lock, and what a full disk does to each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from myha.core.model import Cause, Heal, Membership, NodeRecord, Record, Sync
from myha.errors import MyhaError, StoreConflictError
from myha.stores.local import (
    LocalStore,
    SupervisorLock,
    read_record,
    record_from_json,
    record_to_json,
)

RECORD = Record(
    version=1,
    epoch=7,
    writer="a",
    sync=Sync.ARMED,
    nodes=(
        ("a", NodeRecord(Membership.MEMBER, Cause.NONE, "", "boot-1")),
        (
            "b",
            NodeRecord(
                Membership.FENCED,
                Cause.HEALING,
                "it has 3 errant transactions",
                heal=Heal(7, ("rewind", "reseed"), Cause.ERRANT, "errant", ("merge refused",)),
            ),
        ),
    ),
    maintenance=True,
    failover_walls=(12.5, 13.0),
    writer_since_wall=11.0,
)


def test_a_store_that_was_only_begun_holds_no_record(tmp_path: Path) -> None:
    (tmp_path / "record.sqlite").touch()
    assert read_record(tmp_path) is None


def test_a_record_survives_its_json() -> None:
    assert record_from_json(record_to_json(RECORD)) == RECORD


def test_compare_and_set_refuses_another_version(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    assert store.read() is None
    store.compare_and_set(0, RECORD)
    with pytest.raises(StoreConflictError):
        store.compare_and_set(0, RECORD)
    store.compare_and_set(1, replace(RECORD, version=2, epoch=8))
    with pytest.raises(StoreConflictError):
        store.compare_and_set(1, replace(RECORD, version=2, epoch=9))
    assert LocalStore(tmp_path).read() == replace(RECORD, version=2, epoch=8)


def test_the_record_is_on_disk_when_the_process_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from myha.stores.local import LocalStore\n"
        "from tests.test_store import RECORD\n"
        "LocalStore(pathlib.Path(sys.argv[1])).compare_and_set(0, RECORD)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert LocalStore(tmp_path).read() == RECORD


def test_the_journal_gives_the_last_lines_in_order(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    for number in range(5):
        store.note(float(number), 100.0 + number, "step", f"line {number}", {"step": "open"})
    assert [event["text"] for event in store.events(limit=2)] == ["line 3", "line 4"]
    first = store.events()[0]
    assert first["step"] == "open"
    assert [event["text"] for event in store.events(after=first["id"], limit=1)] == ["line 4"]


def test_a_second_supervisor_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    first, second = SupervisorLock(tmp_path), SupervisorLock(tmp_path)
    first.acquire()
    with pytest.raises(MyhaError, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_state_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MyhaError, match="the state directory") as caught:
        LocalStore(tmp_path / "file" / "state")
    assert "\n" not in str(caught.value)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB, so that filling it harms nobody."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_stops_the_journal_and_not_the_record(tiny_disk: Path) -> None:
    store = LocalStore(tiny_disk)
    store.compare_and_set(0, RECORD)
    with (tiny_disk / "fill").open("wb") as fill, pytest.raises(OSError, match="No space"):
        while True:
            fill.write(b"x" * 65536)
            fill.flush()
    with pytest.raises(MyhaError, match="disk space"):
        for _ in range(2000):
            store.note(0.0, 0.0, "step", "x" * 2000, {})
    record = RECORD
    for version in range(2, 300):
        changed = replace(record, version=version, epoch=version)
        store.compare_and_set(record.version, changed)
        record = changed
    assert LocalStore(tiny_disk).read() == record


def test_a_full_disk_at_the_start_is_one_line(tiny_disk: Path) -> None:
    with (tiny_disk / "fill").open("wb") as fill, pytest.raises(OSError, match="No space"):
        while True:
            fill.write(b"x" * 65536)
            fill.flush()
    with pytest.raises(MyhaError, match="state directory|store") as caught:
        LocalStore(tiny_disk / "state")
    assert "\n" not in str(caught.value)
