"""State directories that earlier versions have left, as they were, opened by this one."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from myha.core.events import Kind
from myha.core.record import Cause, Membership, Sync
from myha.core.record_codec import record_from_dict
from myha.errors import MyhaError, StoreError
from myha.stores.etcd import record as etcd_record
from myha.stores.etcd.client import Compare, Delete, Entry, EtcdClient, Put
from myha.stores.etcd.record import EtcdFollowerStore, EtcdRecordStore
from myha.stores.local import sqlite as sqlite_module
from myha.stores.local.followers import LocalFollowerStore, read_followers
from myha.stores.local.journal import LocalJournal, read_journal
from myha.stores.local.record import LocalRecordStore, read_record
from myha.stores.local.sqlite import CHANGES, FORMAT

RECORD_TABLE = """
CREATE TABLE record
(one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL, body TEXT NOT NULL);
"""
JOURNAL = """
PRAGMA journal_mode=WAL;
CREATE TABLE journal
(id INTEGER PRIMARY KEY, at REAL NOT NULL, wall REAL NOT NULL, kind TEXT NOT NULL,
text TEXT NOT NULL, fields TEXT NOT NULL);
INSERT INTO journal VALUES
(1, 5.5, 1763700000.25, 'plan', 'failover: make b the writer', '{"plan": "failover"}');
"""
FOLLOWERS = """
CREATE TABLE followers (name TEXT PRIMARY KEY, version INTEGER NOT NULL, body TEXT NOT NULL);
INSERT INTO followers VALUES ('r1', 2, '{"version": 2, "entry":
{"membership": "member", "cause": "", "reason": "", "boot_id": "x", "heal": null}}');
"""

A_NODE = {"membership": "member", "cause": "", "reason": "", "boot_id": "boot-1"}
FIRST: dict[str, Any] = {
    "version": 4,
    "epoch": 2,
    "writer": "a",
    "sync": "armed",
    "nodes": [["a", A_NODE], ["b", {**A_NODE, "membership": "fenced", "cause": "errant"}]],
    "maintenance": False,
    "failover_walls": [1763700000.25],
    "writer_since_wall": 1763700000.25,
}
WITH_HEALS = {**FIRST, "nodes": [["a", {**A_NODE, "heal": None}], ["b", {**A_NODE, "heal": None}]]}
OF_A_PAIR = {**WITH_HEALS, "pair": "shop"}
OF_A_LINEAGE = {**OF_A_PAIR, "store": "0123456789abcdef", "term": 3}

# By what was new in it: the first files, the room that is reserved, heals (0.1.0), a pair's name,
# a lineage and a term.
EARLIER = {
    "the first": (FIRST, ""),
    "with room reserved": (FIRST, "CREATE TABLE reserve (body BLOB);"),
    "with heals": (WITH_HEALS, "CREATE TABLE reserve (body BLOB);"),
    "of a pair": (OF_A_PAIR, "CREATE TABLE reserve (body BLOB);"),
    "of a lineage": (OF_A_LINEAGE, "CREATE TABLE reserve (body BLOB);"),
}


def made(folder: Path, file: str, script: str) -> Path:
    path = folder / file
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    return path


def earlier(folder: Path, name: str) -> None:
    body, more = EARLIER[name]
    row = f"INSERT INTO record VALUES (1, {body['version']}, '{json.dumps(body)}');"
    made(folder, "record.sqlite", f"PRAGMA journal_mode=WAL; {RECORD_TABLE} {row} {more}")
    made(folder, "journal.sqlite", JOURNAL)
    made(folder, "followers.sqlite", FOLLOWERS)


def number_of(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
    connection.close()
    return found


@pytest.mark.parametrize("name", EARLIER)
def test_what_an_earlier_version_left_is_read_and_goes_on(name: str, tmp_path: Path) -> None:
    earlier(tmp_path, name)
    seen = read_record(tmp_path)
    assert seen is not None
    assert (seen.epoch, seen.writer, seen.sync) == (2, "a", Sync.ARMED)
    assert number_of(tmp_path / "record.sqlite") == 0, "a reader changes nothing"

    store = LocalRecordStore(tmp_path)
    record = store.read()
    assert record == seen
    assert record.pair == EARLIER[name][0].get("pair", "")
    if "heal" not in EARLIER[name][0]["nodes"][1][1]:
        assert record.node("b").cause is Cause.ERRANT
    store.compare_and_set(record.version, replace(record, version=record.version + 1))
    store.close()
    journal = LocalJournal(tmp_path, "shop")
    journal.note(Kind.STEP, "one more", {})
    assert journal.events()[0].text == "failover: make b the writer"
    journal.close()
    followers = LocalFollowerStore(tmp_path)
    assert followers.all()["r1"].entry.membership is Membership.MEMBER
    followers.close()
    for file in ("record.sqlite", "journal.sqlite", "followers.sqlite"):
        assert number_of(tmp_path / file) == FORMAT


def test_a_newer_store_is_refused_by_everybody_in_one_sentence(tmp_path: Path) -> None:
    earlier(tmp_path, "of a lineage")
    for file in ("record.sqlite", "journal.sqlite", "followers.sqlite"):
        made(tmp_path, file, f"PRAGMA user_version = {FORMAT + 1};")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    openers: list[Any] = [
        lambda: LocalRecordStore(tmp_path),
        lambda: read_record(tmp_path),
        lambda: LocalJournal(tmp_path, "shop"),
        lambda: read_journal(tmp_path, 5),
        lambda: LocalFollowerStore(tmp_path),
        lambda: read_followers(tmp_path),
    ]
    for opened in openers:
        with pytest.raises(MyhaError, match=f"of format {FORMAT + 1}.*install the version") as why:
            opened()
        assert "\n" not in str(why.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_change_that_fails_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(tmp_path, "of a lineage")

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (x INTEGER)")
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite_module, "CHANGES", (*CHANGES, half))
    monkeypatch.setattr(sqlite_module, "FORMAT", FORMAT + 1)
    with pytest.raises(MyhaError, match="full"):
        LocalRecordStore(tmp_path)
    monkeypatch.undo()
    path = tmp_path / "record.sqlite"
    assert number_of(path) == 0
    with sqlite3.connect(path) as connection:
        names = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert ("half",) not in names
    assert LocalRecordStore(tmp_path).read() is not None


def test_there_is_a_store_of_each_format_among_these() -> None:
    """Whoever adds a change adds what it has to read."""
    assert FORMAT == 1


# -- in etcd ---------------------------------------------------------------------------------------


class Keys:
    """The keys of an etcd, without one."""

    def __init__(self, **bodies: dict[str, Any]) -> None:
        self.values = {key: json.dumps(body).encode() for key, body in bodies.items()}
        self.revision = 1

    @property
    def client(self) -> EtcdClient:
        return cast("EtcdClient", self)

    def get(self, key: str) -> Entry | None:
        value = self.values.get(key)
        return None if value is None else Entry(key, value, self.revision, self.revision)

    def all_below(self, prefix: str) -> list[Entry]:
        found = (self.get(key) for key in self.values if key.startswith(prefix))
        return [one for one in found if one is not None]

    def transact(
        self, conditions: tuple[Compare, ...], changes: tuple[Put | Delete, ...]
    ) -> int | None:
        if any(one.revision != self.revision for one in conditions):
            return None
        self.revision += 1
        for one in changes:
            assert isinstance(one, Put)
            self.values[one.key] = one.value
        return self.revision

    def number(self, key: str) -> Any:
        return json.loads(self.values[key]).get("format")


A_REPLICA = {"version": 2, "entry": {**A_NODE, "heal": None}}
NEWER = etcd_record.FORMAT + 1


@pytest.mark.parametrize("body", [one for one, _ in EARLIER.values()])
@pytest.mark.parametrize("more", [{}, {"format": 1}])
def test_what_an_earlier_version_put_into_etcd_is_read_and_goes_on(
    body: dict[str, Any], more: dict[str, int]
) -> None:
    keys = Keys(record={**body, **more}, **{"r/1": {**A_REPLICA, **more}})
    store, replicas = EtcdRecordStore(keys.client, "record"), EtcdFollowerStore(keys.client, "r/")
    record = store.read()
    assert record is not None
    assert (record.version, record.term) == (4, body.get("term", 0))
    store.compare_and_set(4, replace(record, version=5))
    assert EtcdRecordStore(keys.client, "record").read() == replace(record, version=5)
    one = replicas.all()["1"]
    assert one.entry.membership is Membership.MEMBER
    replicas.compare_and_set("1", 2, replace(one, version=3))
    assert (keys.number("record"), keys.number("r/1")) == (etcd_record.FORMAT,) * 2


def test_a_newer_record_in_etcd_is_refused_by_everybody_in_one_sentence() -> None:
    """Even where this version could make something of its fields: it would drop what is new."""
    newer = {**OF_A_LINEAGE, "format": NEWER}
    keys = Keys(record=newer, **{"r/1": {**A_REPLICA, "format": NEWER}})
    before = dict(keys.values)
    store, replicas = EtcdRecordStore(keys.client, "record"), EtcdFollowerStore(keys.client, "r/")
    record = replace(record_from_dict(OF_A_LINEAGE), version=5)
    calls: list[Any] = [
        store.read,
        lambda: store.compare_and_set(4, record),
        replicas.all,
        lambda: replicas.read("1"),
    ]
    for call in calls:
        with pytest.raises(StoreError) as why:
            call()
        assert str(why.value).endswith(
            f"in etcd is of format {NEWER}, and this version of myha knows formats up to "
            f"{NEWER - 1}: install the version that wrote it, or a newer one"
        )
    assert keys.values == before


def test_a_number_that_is_none_is_no_record() -> None:
    keys = Keys(record={**OF_A_LINEAGE, "format": "x"})
    with pytest.raises(StoreError, match="record in etcd is no record that this version can read"):
        EtcdRecordStore(keys.client, "record").read()


def test_there_is_a_value_in_etcd_of_each_format_among_these() -> None:
    """Whoever adds a format adds what it has to read."""
    assert etcd_record.FORMAT == 1
