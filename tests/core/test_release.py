"""What `myha release` plans and refuses, where a node is not as it should be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from myha.config import Config, load
from myha.core.record import Record, Sync, member
from myha.errors import MyhaError
from myha.operations.release.plan import Wishes, left, plan
from myha.operations.release.run import refuse_others
from myha.operations.setup.facts import Facts, Login
from tests.configurations import write_config, write_secrets
from tests.core.server_facts import GOOD, facts
from tests.core.test_adoption import channel

RECORD = Record(
    version=3,
    epoch=2,
    writer="a",
    sync=Sync.SOLO,
    nodes=(("a", member("1")), ("b", member("2"))),
    writer_since_wall=0.0,
    pair="shop",
    store="ours",
)
CLOSED = GOOD | {"read_only": "ON"}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    write_secrets(tmp_path)
    return load(write_config(tmp_path))


def pair(a: dict[str, Any] | None = None, b: dict[str, Any] | None = None) -> dict[str, Facts]:
    one = facts("a", channels=(channel("b"),), supervisor=Login(exists=True))
    other = facts("b", channels=(channel("a"),), variables=CLOSED)
    return {"a": replace(one, **(a or {})), "b": replace(other, **(b or {}))}


def test_a_standby_that_is_left_out_is_not_touched_and_the_writer_takes_nothing_of_it(
    config: Config,
) -> None:
    found = pair()
    both = [str(step) for step in plan(config, found, "a", Wishes())]
    assert not [step for step in both if "end its replication" in step]
    del found["b"]
    steps = plan(config, found, "a", Wishes(one_way=True))
    assert {step.node for step in steps} == {"a"}
    assert any("a: end its replication" in str(step) for step in steps)
    said = left(config, found, "a", Wishes())
    assert "b: all, since it is left as it is" in said
    assert not [line for line in said if line.startswith("the channels")]


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ({"claim": ("theirs", "db9")}, {}, "a: the supervisor of another record has it (db9)"),
        ({}, {"claim": ("theirs", "db9")}, "b: the supervisor of another record"),
        (
            {"variables": CLOSED},
            {"variables": GOOD},
            "a, the writer on record, is closed for writes, and b is open",
        ),
    ],
)
def test_other_servers_than_those_on_record_are_not_released(
    config: Config, a: dict[str, Any], b: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(MyhaError) as refused:
        refuse_others(config, RECORD, pair(a, b))
    assert sentence in str(refused.value)


def test_the_servers_on_record_are_released(config: Config) -> None:
    refuse_others(config, RECORD, pair({"claim": ("ours", "db1")}, {"claim": None}))
    both_closed = pair({"variables": CLOSED}, {"variables": CLOSED})
    refuse_others(config, RECORD, both_closed)  # as two servers that have restarted
