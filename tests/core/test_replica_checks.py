"""What setup says of a server that is to be a read replica: how it begins, or why it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from myha.config import Config, load
from myha.core.gtid import MysqlGtidSet
from myha.database.flavours import MARIADB
from myha.database.flavours.base import Channel
from myha.operations.setup.facts import Facts, Table
from myha.operations.setup.replica_checks import Beginning, beginning, refusals
from tests.configurations import write_config
from tests.core.server_facts import GOOD, UUIDS, facts

A, R = UUIDS["a"], UUIDS["r1"]
TABLES = (Table("shop", "t", "InnoDB", has_key=True, transactional=True, shape="x"),)
NOTHING = MysqlGtidSet()


@pytest.mark.parametrize(
    ("replica", "writer", "purged", "begins"),
    [
        (facts("r1"), facts("a", f"{A}:1-9"), "", Beginning.AFRESH),
        (facts("r1"), facts("a", f"{A}:1-9"), f"{A}:1-3", Beginning.SEEDED),
        (facts("r1"), facts("a", f"{A}:1-9", tables=TABLES), "", Beginning.SEEDED),
        (
            facts("r1", f"{A}:1-5", tables=TABLES),
            facts("a", f"{A}:1-9", tables=TABLES),
            f"{A}:1-5",
            Beginning.FOLLOWS,
        ),
    ],
)
def test_how_a_replica_begins(
    replica: Facts, writer: Facts, purged: str, begins: Beginning
) -> None:
    assert beginning(replica, writer, MysqlGtidSet.parse(purged)) == (begins, [])


@pytest.mark.parametrize(
    ("replica", "purged", "said"),
    [
        (facts("r1", f"{A}:1-5,{R}:1-2", tables=TABLES), "", "holds 2 transactions that a lacks"),
        (facts("r1", tables=TABLES), "", "holds data without a GTID position"),
        (facts("r1", f"{A}:1-5", tables=TABLES), f"{A}:1-6", "is too far behind"),
    ],
)
def test_data_that_are_not_the_pairs_are_not_replaced_by_the_way(
    replica: Facts, purged: str, said: str
) -> None:
    writer = facts("a", f"{A}:1-9", tables=TABLES)
    begins, (line,) = beginning(replica, writer, MysqlGtidSet.parse(purged))
    assert begins is None
    assert line.startswith(f"r1: {said}")
    assert "drop its schemas" in line


def test_what_the_writer_got_since_it_was_looked_at_is_not_errant() -> None:
    later = facts("a", f"{A}:1-9", executed_later=MysqlGtidSet.parse(f"{A}:1-12"), tables=TABLES)
    replica = facts("r1", f"{A}:1-11", tables=TABLES)
    assert beginning(replica, later, NOTHING) == (Beginning.FOLLOWS, [])


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(write_config(tmp_path, '[replicas.r1]\nhost = "10.0.0.3"'))


def channel(source: str) -> Channel:
    return Channel(
        source=source,
        user="x",
        by_gtid=True,
        retry_seconds=1,
        heartbeat_seconds=0.5,
        delay_seconds=0,
        tls=True,
        retry_count=1,
        public_key=True,
        name="",
        receiver="ON",
        applier="ON",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flavour": MARIADB}, "is MariaDB, the pair MySQL"),
        ({"version": "8.4.9"}, "version 8.4.9 is older than the pair's 9.7.4"),
        ({"server_id": 2}, "has the server id of b (2)"),
        ({"server_uuid": A}, "has the server UUID of a"),
        ({"variables": GOOD | {"log_bin": "OFF"}}, "the binary log is off"),
        ({"channels": (channel("10.9.9.9:3306"),)}, "replicates from 10.9.9.9:3306"),
    ],
)
def test_what_a_replica_must_not_be(config: Config, changes: dict[str, Any], said: str) -> None:
    replica = facts("r1", **changes)
    found = list(refusals(config, replica, facts("a"), (facts("b"),), known=False))
    assert any(line.startswith(f"r1: {said}") for line in found), found


def test_a_good_one_is_not_refused(config: Config) -> None:
    one, writer, others = facts("r1"), facts("a"), (facts("b"),)
    assert not list(refusals(config, one, writer, others, known=False))
    ours = replace(one, channels=(channel("10.0.0.2:3306"),))
    assert not list(refusals(config, ours, writer, others, known=False))
    # Whom one on record replicates from is the supervisor's to put right.
    strange = replace(one, channels=(channel("10.9.9.9:3306"),))
    assert not list(refusals(config, strange, writer, others, known=True))
