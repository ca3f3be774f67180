"""State directories that earlier versions have left, as they were, opened by this one."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from myha.core.events import Kind
from myha.core.record import Cause, Membership, Sync
from myha.errors import MyhaError
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
    assert journal.events()[0]["text"] == "failover: make b the writer"
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
