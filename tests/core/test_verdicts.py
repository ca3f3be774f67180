"""The table of verdicts: each row has a situation that makes it the one in force."""

from __future__ import annotations

import pytest

from myha.core.verdicts import HEALTHY, TABLE, assess, situation_of
from myha.core.verdicts.row import Verdict
from tests.core.situations import SITUATIONS


def test_every_verdict_has_a_situation() -> None:
    assert sorted(SITUATIONS) == sorted(row.name for row in TABLE)


@pytest.mark.parametrize("name", SITUATIONS)
def test_verdict_is_the_one_in_force(name: str) -> None:
    it = situation_of(SITUATIONS[name])
    assert it is not None
    assert assess(it)[0].name == name


@pytest.mark.parametrize("name", SITUATIONS)
def test_no_row_holds_in_a_section_that_is_not_asked(name: str) -> None:
    it = situation_of(SITUATIONS[name])
    assert it is not None
    held = [row.name for row in TABLE if row.predicate(it)]
    assert held == [row.name for row in assess(it) if row is not HEALTHY]


def test_names_are_unique() -> None:
    names = [row.name for row in TABLE]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_sentence_is_one_line_that_names_nodes(row: Verdict) -> None:
    it = situation_of(SITUATIONS["healthy"])
    assert it is not None
    sentence = row.text(it)
    assert sentence.endswith(".")
    assert "{" not in sentence
    assert "\n" not in sentence


def test_healthy_is_said_where_nothing_else_is() -> None:
    for name, view in SITUATIONS.items():
        it = situation_of(view)
        assert it is not None
        names = [row.name for row in assess(it)]
        assert ("healthy" in names) is (name == "healthy")
        assert names.count("healthy") == 0 or names == ["healthy"]
