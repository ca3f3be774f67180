"""The records of read replicas: compare-and-set by name, and reading them without writing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from myha.core.followers.record import (
    FollowerRecord,
    follower_from_dict,
    follower_to_dict,
)
from myha.core.record import Cause, Heal, Membership, NodeRecord
from myha.errors import StoreConflictError
from myha.stores.local.followers import LocalFollowerStore, read_followers

HEAL = Heal(4, ("rewind", "reseed"), Cause.ERRANT, "errant", ("rewind refused",))
RECORD = FollowerRecord(1, NodeRecord(Membership.FENCED, Cause.HEALING, "errant", "", HEAL), "h:1")


def test_a_record_survives_its_json() -> None:
    assert follower_from_dict(json.loads(json.dumps(follower_to_dict(RECORD)))) == RECORD


def test_each_replica_has_its_own_version(tmp_path: Path) -> None:
    store = LocalFollowerStore(tmp_path)
    store.compare_and_set("r1", 0, RECORD)
    store.compare_and_set("r2", 0, RECORD)
    second = RECORD.with_entry(NodeRecord(Membership.MEMBER, boot_id="life"))
    store.compare_and_set("r1", 1, second)
    with pytest.raises(StoreConflictError, match="record of r1 is no longer at version 1"):
        store.compare_and_set("r1", 1, second)
    with pytest.raises(StoreConflictError):
        store.compare_and_set("r2", 0, second)
    assert store.all() == {"r1": second, "r2": RECORD} == read_followers(tmp_path)
    assert (second.version, store.read("r1"), store.read("r3")) == (2, second, None)
    store.close()


def test_a_removed_record_can_be_made_again(tmp_path: Path) -> None:
    store = LocalFollowerStore(tmp_path)
    store.compare_and_set("r1", 0, RECORD)
    store.remove("r1")
    store.remove("r1")
    assert store.all() == {}
    store.compare_and_set("r1", 0, RECORD)
    store.close()


def test_reading_makes_no_file(tmp_path: Path) -> None:
    assert read_followers(tmp_path) == {}
    assert not list(tmp_path.iterdir())
    (tmp_path / "followers.sqlite").touch()
    assert read_followers(tmp_path) == {}
    assert [one.name for one in tmp_path.iterdir()] == ["followers.sqlite"]
