"""Setup's checks and plans as tables: what forbids a pair, and what is still missing for one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from myha.config import Config, load
from myha.core.record import Record, Sync, member
from myha.core.settings import same_value
from myha.database.flavours import MARIADB
from myha.database.flavours.base import Channel
from myha.operations.setup import actions
from myha.operations.setup.actions import Stage
from myha.operations.setup.checks import check
from myha.operations.setup.desired import domain_id
from myha.operations.setup.facts import Table
from myha.operations.setup.history import History
from tests.configurations import write_config, write_secrets
from tests.core.server_facts import GOOD, UUIDS, facts

TABLE = Table("shop", "t", "InnoDB", has_key=True, transactional=True, shape="x")

_plan = partial(actions.plan, store="")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_secrets(tmp_path)
    return load(write_config(tmp_path))


def without(**changes: str) -> dict[str, str]:
    return GOOD | changes


def from_peer(host: str = "10.0.0.1", **changes: object) -> Channel:
    channel = Channel(f"{host}:3306", "myha_repl", True, 1, 0.5, 0, False, 4294967295, True)
    return replace(channel, **changes)  # type: ignore[arg-type]


REFUSED = [
    ({"server_id": 1}, "server ids are equal (1)"),
    ({"server_uuid": UUIDS["a"]}, "the server UUIDs are equal"),
    ({"server_uuid": UUIDS["a"], "server_id": 1}, "one server under two addresses"),
    ({"version": "8.0.25"}, "b: version 8.0.25 is too old"),
    ({"version": "11.0.1"}, "too far apart"),
    ({"flavour": MARIADB, "version": "10.11.1"}, "one is MySQL"),
    ({"variables": without(log_bin="OFF")}, "b: the binary log is off"),
    ({"variables": without(gtid_mode="OFF")}, "b: GTIDs are off"),
    ({"variables": without(log_replica_updates="OFF")}, "b: log_replica_updates is off"),
    ({"variables": without(persisted_globals_load="OFF")}, "b: persisted_globals_load is off"),
    ({"plugins": frozenset({"rpl_semi_sync_master"})}, "old semi-sync plugins"),
    ({"channels": (from_peer("10.0.0.9"),)}, "b: replicates from a third server, 10.0.0.9:3306"),
    ({"channels": (from_peer(name="x"),)}, "over the named channel x"),
    ({"variables": without(event_scheduler="DISABLED")}, "event_scheduler is DISABLED"),
    ({"enabled_events": ("shop.night",)}, "switching it on would start shop.night; if that is"),
    ({"filters": ("replicate_do_db = shop",)}, "with a filter (replicate_do_db = shop)"),
    ({"schemas": frozenset({"shop"})}, "b: has the empty schema shop"),
]


@pytest.mark.parametrize(("changes", "sentence"), REFUSED)
def test_refusals(config: Config, changes: dict[str, Any], sentence: str) -> None:
    findings = check(config, facts("a"), facts("b", **changes), None)
    assert any(sentence in refusal for refusal in findings.refusals), findings.refusals
    assert all("\n" not in refusal for refusal in findings.refusals)


def test_a_scheduler_that_runs_or_is_not_wanted_starts_nothing(config: Config) -> None:
    sleeping: dict[str, Any] = {"enabled_events": ("shop.night",)}
    awake = facts("b", variables=without(event_scheduler="ON"), **sleeping)
    assert check(config, facts("a"), awake, None).refusals == ()
    unwanted = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"event_scheduler": False})}
    )
    off = facts("b", variables=without(event_scheduler="DISABLED"), **sleeping)
    assert check(unwanted, facts("a"), off, None).refusals == ()
    steps = [str(x) for x in _plan(unwanted, (facts("a"), off), History.SAME, None, kick=False)]
    scheduler = [step for step in steps if "event_scheduler" in step]
    assert [step.split(" now")[0] for step in scheduler] == ["a: set event_scheduler = OFF"]


def test_privileges_go_by_the_name_that_the_server_knows(config: Config) -> None:
    new, old = "SET_ANY_DEFINER", "SET_USER_ID"
    for known, expected in (
        ({new, "ALLOW_NONEXISTENT_DEFINER", old}, new),
        ({old}, old),
        (set(), ""),
    ):
        pair = (facts("a", privileges=frozenset(known)), facts("b"))
        steps = [str(x) for x in _plan(config, pair, History.SAME, None, kick=False)]
        granted = " ".join(step for step in steps if step.startswith("a: grant the supervisor"))
        assert {one for one in (new, old) if one in granted} == ({expected} - {""})


def test_nothing_to_say_of_two_good_servers(config: Config) -> None:
    findings = check(config, facts("a"), facts("b"), None)
    assert (findings.refusals, findings.warnings) == ((), ())
    assert findings.history is History.SAME


@pytest.mark.parametrize(("name", "refused"), [("", False), ("shop", False), ("other", True)])
def test_the_record_of_another_pair_is_not_taken(
    config: Config, name: str, *, refused: bool
) -> None:
    """A copied file that still names the first pair's state_dir."""
    named = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"name": "shop"})}
    )
    nodes = (("a", member("a-1")), ("b", member("b-1")))
    record = Record(1, 1, "a", Sync.SOLO, nodes, pair=name)
    refusals = check(named, facts("a"), facts("b"), record).refusals
    assert any("is of the pair other, not of shop" in one for one in refusals) is refused


def test_a_server_that_another_supervisor_acts_on_is_not_taken_from_it(config: Config) -> None:
    nodes = (("a", member("a-1")), ("b", member("b-1")))
    ours = Record(1, 1, "a", Sync.SOLO, nodes, store="ours")
    for store, lives, record, refused in (
        ("theirs", True, None, True),
        ("theirs", True, ours, True),
        ("theirs", False, None, False),
        ("ours", True, ours, False),
    ):
        first = facts("a", claim=(store, "db9"), claimant_lives=lives)
        said = check(config, first, facts("b"), record).refusals
        assert any("a: the supervisor of another record acts on it" in s for s in said) is refused


def test_all_reasons_at_once(config: Config) -> None:
    bad = facts("b", server_id=1, variables=without(log_bin="OFF", gtid_mode="OFF"))
    assert len(check(config, facts("a"), bad, None).refusals) == 3


A5, B3 = f"{UUIDS['a']}:1-5", f"{UUIDS['b']}:1-3"
DATA: dict[str, Any] = {"tables": (TABLE,)}


def test_new_servers_begin_anew_only_without_data(config: Config) -> None:
    new = check(config, facts("a", A5), facts("b", B3), None)
    assert (new.history, new.refusals) == (History.FRESH, ())
    used = check(config, facts("a", A5, **DATA), facts("b", B3, **DATA), None)
    assert used.history is not History.FRESH
    assert any("a: holds 5 transactions that b lacks" in line for line in used.refusals)
    assert any("b: holds 3 transactions that a lacks" in line for line in used.refusals)


def test_an_empty_server_is_seeded_from_the_one_with_data(config: Config) -> None:
    for pair in (
        (facts("a", A5), facts("b", B3, **DATA)),
        (facts("a", A5, **DATA), facts("b", B3)),
    ):
        found = check(config, *pair, None)
        assert (found.history, found.refusals) == (History.SEED, ())


def test_one_that_was_made_from_the_other_may_be_behind_it(config: Config) -> None:
    ahead = facts("a", f"{UUIDS['a']}:1-9", **DATA)
    for behind, expected in (
        (A5, History.BEHIND),
        (f"{A5},{B3}", History.SAME),
        ("", History.SAME),
    ):
        found = check(config, ahead, facts("b", behind, **DATA), None)
        assert found.history is expected
        assert bool(found.refusals) is (expected is History.SAME)
    other = facts("b", A5, tables=(replace(TABLE, name="other"),))
    assert check(config, ahead, other, None).refusals


def test_what_replication_brings_is_not_errant(config: Config) -> None:
    a = facts("a", f"{A5},{B3}", **DATA)
    replica = facts("b", B3, channels=(from_peer(),), **DATA)
    assert check(config, a, replica, None).refusals == ()
    # What the replica has beyond its source is errant all the same.
    errant = facts("b", f"{UUIDS['b']}:1-4", channels=(from_peer(),), **DATA)
    refusals = check(config, a, errant, None).refusals
    assert [line.split(":")[0] for line in refusals] == ["b"]


def test_what_arrived_between_two_looks_is_not_errant(config: Config) -> None:
    a = facts("a", f"{UUIDS['a']}:1-5", later=f"{UUIDS['a']}:1-9", **DATA)
    b = facts("b", f"{UUIDS['a']}:1-7", channels=(from_peer(),), **DATA)
    assert check(config, a, b, None).refusals == ()


def test_the_plan_never_resets_a_server_with_data(config: Config) -> None:
    for a, b in (
        (facts("a", A5, **DATA), facts("b", A5, **DATA)),
        (facts("a", A5), facts("b", A5)),
    ):
        history = check(config, a, b, None).history
        stages = {action.stage for action in _plan(config, (a, b), history, None, kick=False)}
        assert Stage.HISTORY not in stages
    new = (facts("a", A5), facts("b", B3))
    history = check(config, *new, None).history
    resets = [x for x in _plan(config, new, history, None, kick=False) if x.stage is Stage.HISTORY]
    assert [action.node for action in resets] == ["a", "b"]


def test_the_standby_is_closed_before_the_writer_is_opened(config: Config) -> None:
    pair = (facts("a"), facts("b"))
    steps = [str(x) for x in _plan(config, pair, History.SAME, None, kick=False)]
    closed, opened = (
        next(i for i, step in enumerate(steps) if step.startswith(words))
        for words in ("b: close it", "a: open it")
    )
    assert closed < opened


def test_mariadb_domains_become_distinct() -> None:
    a = facts("a", variables={"gtid_domain_id": "0"})
    b = facts("b", variables={"gtid_domain_id": "0"})
    assert (domain_id(a, b), domain_id(b, a)) == (1, 2)
    b = facts("b", variables={"gtid_domain_id": "7"})
    assert (domain_id(a, b), domain_id(b, a)) == (1, 7)


def test_a_replicas_domain_is_that_of_no_server_of_the_pair() -> None:
    writer = facts("a", variables={"gtid_domain_id": "1"})
    replica = facts("b", variables={"gtid_domain_id": "8"})
    assert domain_id(replica, writer) == 8
    assert domain_id(replace(replica, domains_taken=frozenset({8, 9})), writer) == 2


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [("ON", "1", True), ("on", "ON", True), ("10", "10.000", True), ("OFF", "ON", False)],
)
def test_same_value(left: str, right: str, same: bool) -> None:
    assert same_value(left, right) is same


def test_only_replicas_that_the_file_does_not_name_are_strangers(config: Config) -> None:
    first, second = facts("a", replica_ids=(2, 3, 7)), facts("b", replica_ids=(1,))
    warned = check(config, first, second, None, frozenset({3})).warnings
    assert [one for one in warned if "further replicas (server ids 7) replicate" in one]
    assert not check(config, first, second, None, frozenset({3, 7})).warnings
