"""The local store: compare-and-set, the journal, the lock, and what a full disk does to each."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from myha.cli.main import cli
from myha.config import load
from myha.config.etcd import EtcdConfig
from myha.core.events import Kind
from myha.core.record import Cause, Heal, Membership, NodeRecord, Record, Sync
from myha.core.record_codec import record_from_dict, record_to_dict
from myha.errors import ConfigError, MyhaError, StoreConflictError
from myha.stores import factory
from myha.stores.etcd import kind as etcd_kind
from myha.stores.local.journal import LocalJournal
from myha.stores.local.lease import LocalLease
from myha.stores.local.record import LocalRecordStore, read_record
from myha.supervisor.journal import LoggedJournal
from tests.configurations import PAIR, write_config

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
    pair="shop",
)


def test_a_store_that_was_only_begun_holds_no_record(tmp_path: Path) -> None:
    (tmp_path / "record.sqlite").touch()
    assert read_record(tmp_path) is None


def test_a_record_survives_its_json() -> None:
    assert record_from_dict(json.loads(json.dumps(record_to_dict(RECORD)))) == RECORD


def test_a_record_from_before_there_were_heals_and_names_is_read() -> None:
    older = record_to_dict(RECORD)
    for _, node in older["nodes"]:
        del node["heal"]
    del older["pair"]
    assert record_from_dict(older).node("b").heal is None
    assert record_from_dict(older).pair == ""


def test_a_record_whose_writer_is_none_of_its_nodes_is_none() -> None:
    with pytest.raises(ValueError, match="its writer zz is none of its nodes"):
        record_from_dict(record_to_dict(RECORD) | {"writer": "zz"})


@pytest.mark.parametrize(
    ("nodes", "name", "told"),
    [
        (("a", "c"), "shop", "is of nodes a and b, .* names a and c: use the file"),
        (("a", "b"), "till", "is of the pair shop, .* is of till: use the file"),
    ],
)
def test_a_record_of_others_is_refused_by_whoever_would_use_it(
    tmp_path: Path, nodes: tuple[str, str], name: str, told: str
) -> None:
    pair = PAIR.replace("[nodes.b]", f"[nodes.{nodes[1]}]")
    path = write_config(tmp_path, cluster=f'name = "{name}"', pair=pair)
    config = load(path)
    LocalRecordStore(tmp_path).compare_and_set(0, RECORD)
    assert factory.read_any_record(config) == RECORD
    with pytest.raises(MyhaError, match=told):
        factory.read_record(config)
    done = CliRunner().invoke(cli, ["--config", str(path), "status"])
    assert done.exit_code == 1
    assert isinstance(done.exception, MyhaError | SystemExit), done.exception


def files_in(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {one.name: (one.stat().st_mtime_ns, one.read_bytes()) for one in directory.iterdir()}


def test_a_reader_leaves_the_state_directory_as_it_was(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert files_in(tmp_path) == {}
    store = LocalRecordStore(tmp_path)
    store.compare_and_set(0, RECORD)
    names = {one.name for one in tmp_path.iterdir()}
    assert read_record(tmp_path) == RECORD
    assert {one.name for one in tmp_path.iterdir()} == names
    store.close()
    before = files_in(tmp_path)
    assert read_record(tmp_path) == RECORD
    assert files_in(tmp_path) == before


def test_compare_and_set_refuses_another_version(tmp_path: Path) -> None:
    store = LocalRecordStore(tmp_path)
    assert store.read() is None
    store.compare_and_set(0, RECORD)
    with pytest.raises(StoreConflictError):
        store.compare_and_set(0, RECORD)
    store.compare_and_set(1, replace(RECORD, version=2, epoch=8))
    with pytest.raises(StoreConflictError):
        store.compare_and_set(1, replace(RECORD, version=2, epoch=9))
    assert LocalRecordStore(tmp_path).read() == replace(RECORD, version=2, epoch=8)


def test_the_record_is_on_disk_when_the_process_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, pathlib\n"
        "from myha.stores.local.record import LocalRecordStore\n"
        "from tests.test_store import RECORD\n"
        "LocalRecordStore(pathlib.Path(sys.argv[1])).compare_and_set(0, RECORD)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=False,
        cwd=Path(__file__).parent.parent,
    )
    assert LocalRecordStore(tmp_path).read() == RECORD


def test_the_journal_gives_the_last_lines_in_order(tmp_path: Path) -> None:
    journal = LocalJournal(tmp_path, "shop")
    for number in range(5):
        journal.note(Kind.STEP, f"line {number}", {"step": "open"})
    assert [event.text for event in journal.events(limit=2)] == ["line 3", "line 4"]
    first = journal.events()[0]
    assert first.step == "open"
    assert abs(first.wall - time.time()) < 60
    assert abs(first.at - time.monotonic()) < 60
    assert [event.text for event in journal.events(after=first.id, limit=1)] == ["line 4"]


def test_a_second_supervisor_is_refused_by_name_of_the_first(tmp_path: Path) -> None:
    first, second = LocalLease(tmp_path), LocalLease(tmp_path)
    first.acquire()
    with pytest.raises(MyhaError, match=f"process {os.getpid()}"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_root_leaves_nothing_in_the_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        os.chown(tmp_path, 65534, 65534)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    owner = pwd.getpwuid(tmp_path.stat().st_uid).pw_name
    with pytest.raises(MyhaError, match=f"belongs to {owner}, .* `sudo -u {owner}`"):
        LocalLease(tmp_path).acquire()
    assert not list(tmp_path.iterdir())


def test_a_state_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MyhaError, match="the state directory") as caught:
        LocalRecordStore(tmp_path / "file" / "state")
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
    store, journal = LocalRecordStore(tiny_disk), LocalJournal(tiny_disk, "shop")
    store.compare_and_set(0, RECORD)
    with (
        (tiny_disk / "fill").open("wb", buffering=0) as fill,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            fill.write(b"x" * 65536)
            fill.flush()
    with pytest.raises(MyhaError, match="disk space"):
        for _ in range(2000):
            journal.note(Kind.STEP, "x" * 2000, {})
    record = RECORD
    for version in range(2, 300):
        changed = replace(record, version=version, epoch=version)
        store.compare_and_set(record.version, changed)
        record = changed
    assert LocalRecordStore(tiny_disk).read() == record


def test_a_full_disk_of_one_pair_is_no_other_ones_affair(tiny_disk: Path, tmp_path: Path) -> None:
    """Both go on, as in one process of several pairs; one without its journal."""
    folders = {"full": tiny_disk, "well": tmp_path / "well"}
    stores = {name: LocalRecordStore(folder) for name, folder in folders.items()}
    journals = {n: LoggedJournal(LocalJournal(one, n), n) for n, one in folders.items()}
    for store in stores.values():
        store.compare_and_set(0, RECORD)
    with (
        (tiny_disk / "fill").open("wb", buffering=0) as fill,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            fill.write(b"x" * 65536)
    for version in range(2, 100):
        for name, store in stores.items():
            journals[name].note(Kind.STEP, f"{version} " + "x" * 20_000, {})
            store.compare_and_set(version - 1, replace(RECORD, version=version))
    assert "disk space" in journals["full"].failure
    assert journals["well"].failure == ""
    assert len(LocalJournal(folders["well"], "well").events(1000)) == 98
    for folder in folders.values():
        assert LocalRecordStore(folder).read() == replace(RECORD, version=99)


def test_a_full_disk_at_the_start_is_one_line(tiny_disk: Path) -> None:
    with (
        (tiny_disk / "fill").open("wb", buffering=0) as fill,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            fill.write(b"x" * 65536)
            fill.flush()
    with pytest.raises(MyhaError, match="state directory|store") as caught:
        LocalRecordStore(tiny_disk / "state")
    assert "\n" not in str(caught.value)


def test_etcd_without_members_is_refused_in_one_line() -> None:
    """As for `myha store move --from etcd` with a file that does not name it any more."""
    with pytest.raises(ConfigError, match=r"etcd\.endpoints is empty"):
        etcd_kind._client(EtcdConfig.model_validate({}))
