"""What setup says of a pair that replicates already: who is the writer, the steps, the refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from myha.config import Config, load
from myha.core.gtid import MariadbGtidSet
from myha.database.flavours import MARIADB
from myha.database.flavours.base import Channel
from myha.operations.setup.adoption import serving_as, serving_writer
from myha.operations.setup.checks import check
from myha.operations.setup.facts import Facts, Login
from myha.operations.setup.gtids import adopting
from tests.configurations import write_config, write_secrets
from tests.core.server_facts import GOOD, UUIDS, facts

PORT = {"a": "10.0.0.1:3306", "b": "10.0.0.2:3306"}


def config_of(tmp_path: Path, mode: str = "single-writer", preferred: str = "") -> Config:
    if not (tmp_path / "secrets").exists():
        write_secrets(tmp_path)
    durability = "bounded" if mode == "dual-writer" else "lossless"
    cluster = f'mode = "{mode}"\ndurability = "{durability}"'
    more = f'[failover]\npreferred = "{preferred}"'
    return load(write_config(tmp_path, more, cluster=cluster))


def channel(source: str, **changes: Any) -> Channel:
    found = Channel(
        PORT[source], "repl", True, 60, 30.0, 0, False, 10, True, receiver="ON", applier="ON",
        source_server_id={"a": 1, "b": 2}[source],
    )  # fmt: skip
    return replace(found, **changes)


def pair(first: dict[str, Any], second: dict[str, Any]) -> tuple[Facts, Facts]:
    one = facts("a", **{"channels": (channel("b"),), **first})
    other = facts("b", **{"channels": (channel("a"),), **second})
    return one, other


def variables(**changes: str) -> dict[str, str]:
    return GOOD | changes


CLOSED = variables(read_only="ON")


@pytest.mark.parametrize(
    ("first", "second", "writer", "words"),
    [
        ({"own_writes": 5}, {}, "a", "b is open too, and will be closed"),
        ({}, {"own_writes": 5}, "b", "b is the writer (5 transactions"),
        ({"variables": CLOSED}, {}, "b", "open, and idle"),
        ({}, {"variables": CLOSED}, "a", "b stays closed"),
        ({}, {}, "b", "open, and idle"),
        ({"variables": CLOSED}, {"variables": CLOSED}, "b", "named first by the configuration"),
        ({"own_writes": 5}, {"variables": CLOSED}, "a", "failover.preferred is b"),
    ],
)
def test_who_takes_writes_stays_the_writer(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], writer: str, words: str
) -> None:
    config = config_of(tmp_path, preferred="b")
    found = pair(first, second)
    assert serving_writer(config, *found) == writer
    assert words in serving_as(config, found, writer)


BROKEN = channel("a", applier="OFF", error_code=1062, error="Duplicate entry")
REFUSED: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"own_writes": 5}, {"own_writes": 7}, "both take writes (5 and 7 transactions"),
    ({"own_writes": 5}, {"channels": ()}, "b: does not replicate from a, which takes the writes"),
    ({}, {"channels": (BROKEN,)}, "b: has stopped to apply what a writes: Duplicate entry"),
    (
        {"replication": Login(exists=True)},
        {"channels": (channel("a", user="myha_repl"),)},
        "a: its account myha_repl, with which b replicates, has another password",
    ),
    (
        {"variables": variables(gtid_mode="OFF"), "replica_ids": (2, 9)},
        {"variables": variables(gtid_mode="OFF")},
        "a: further replicas (server ids 9) replicate from it",
    ),
]

HELD_BACK = channel("b", receiver="OFF", applier="OFF")


@pytest.mark.parametrize("mode", ["single-writer", "dual-writer"])
def test_what_a_stopped_channel_holds_back_from_the_writer_is_asked_about(
    tmp_path: Path, mode: str
) -> None:
    """By a supervisor that had found it errant, perhaps, and whose record is lost."""
    config = config_of(tmp_path, mode)
    more = {"executed": f"{UUIDS['b']}:1", "variables": CLOSED}
    for stopped, refused in ((HELD_BACK, mode == "single-writer"), (channel("b"), False)):
        found = check(config, *pair({"channels": (stopped,)}, more), None).refusals
        assert any("b: holds 1 transactions that a lacks" in one for one in found) is refused, found
    behind = {"channels": (channel("a", receiver="OFF", applier="OFF"),), "variables": CLOSED}
    latest = {"executed": f"{UUIDS['a']}:1"}
    assert check(config, *pair(latest, behind), None).refusals == (), "that is the other way"


@pytest.mark.parametrize(("first", "second", "sentence"), REFUSED)
def test_refusals(
    tmp_path: Path, first: dict[str, Any], second: dict[str, Any], sentence: str
) -> None:
    found = check(config_of(tmp_path), *pair(first, second), None).refusals
    assert [one for one in found if sentence in one], found
    assert all("\n" not in one for one in found)


def test_a_pair_without_gtids_is_taken_only_while_it_replicates(tmp_path: Path) -> None:
    config, off = config_of(tmp_path), {"variables": variables(gtid_mode="OFF")}
    assert check(config, *pair(off, off), None).refusals == ()
    first, second = (replace(one, channels=()) for one in pair(off, off))
    assert any("GTIDs are off" in one for one in check(config, first, second, None).refusals)


def _mariadb(name: str, **changes: Any) -> Facts:
    own = {"executed": MariadbGtidSet(), "executed_later": MariadbGtidSet()}
    found = facts(name, flavour=MARIADB, version="10.11.19-MariaDB")
    peer = "b" if name == "a" else "a"
    return replace(found, **{**own, "channels": (channel(peer),), **changes})


def test_two_writers_in_one_domain_are_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, "dual-writer")
    same = (_mariadb("a"), _mariadb("b"))
    assert any("same gtid_domain_id" in one for one in check(config, *same, None).refusals)
    first, second = (
        replace(one, variables=variables(gtid_domain_id=str(one.server_id)), domains_written=seen)
        for one, seen in zip(same, (frozenset({0, 1}), frozenset({2})), strict=True)
    )
    found = [one for one in check(config, first, second, None).refusals if "domain" in one]
    assert [one.partition(" (")[0] for one in found] == [
        "a: sessions that began before the present gtid_domain_id"
    ]
    assert "in domain 0" in found[0]


# --- the steps towards GTIDs --------------------------------------------------------------------


def steps(config: Config, found: tuple[Facts, Facts]) -> list[str]:
    return [str(one).split(" (")[0] for one in adopting(config, found)]


def modes(first: str, second: str, enforced: str = "ON") -> tuple[Facts, Facts]:
    by_file = {"by_gtid": False}
    return pair(
        {
            "variables": variables(gtid_mode=first, enforce_gtid_consistency=enforced),
            "channels": (channel("b", **by_file),),
        },
        {
            "variables": variables(gtid_mode=second, enforce_gtid_consistency=enforced),
            "channels": (channel("a", **by_file),),
        },
    )


def test_no_server_makes_gtids_before_both_take_them(tmp_path: Path) -> None:
    """From wherever an earlier attempt has come to."""
    config = config_of(tmp_path)
    levels = ("OFF", "OFF_PERMISSIVE", "ON_PERMISSIVE", "ON")
    for first in levels:
        for second in levels:
            now = {"a": levels.index(first), "b": levels.index(second)}
            if abs(now["a"] - now["b"]) > 1:
                continue  # one level apart is the most that a cut leaves
            drained: set[str] = set()
            for step in adopting(config, modes(first, second)):
                if step.words.get("variable") == "gtid_mode":
                    to = levels.index(step.words["value"])
                    assert to == now[step.node] + 1, "one value after the other"
                    now[step.node] = to
                    assert abs(now["a"] - now["b"]) <= 1
                    assert to < len(levels) - 1 or drained == {"a", "b"}
                elif step.block == "drain":
                    drained.add(step.node)
                    assert min(now.values()) >= levels.index("ON_PERMISSIVE")
                elif step.block == "place_by_gtid":
                    assert set(now.values()) == {levels.index("ON")}
            assert set(now.values()) == {levels.index("ON")}


def test_a_pair_by_gtid_needs_nothing(tmp_path: Path) -> None:
    assert steps(config_of(tmp_path), pair({}, {})) == []


def test_semi_sync_rests_before_channels_do(tmp_path: Path) -> None:
    waits = variables(rpl_semi_sync_source_enabled="ON")
    stopped = {"channels": (channel("a", receiver="OFF", applier="OFF"),)}
    found = steps(config_of(tmp_path), pair({"variables": waits}, stopped))
    assert found == [
        "a: let commits no longer wait for an acknowledgement",
        "b: start its replication from a, which is stopped",
    ]


def test_consistency_is_enforced_first(tmp_path: Path) -> None:
    found = steps(config_of(tmp_path), modes("OFF", "OFF", "WARN"))
    assert found[:2] == [
        f"{name}: set enforce_gtid_consistency = ON now and at boot" for name in "ab"
    ]
