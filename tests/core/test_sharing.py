"""Which supervisor should have which pair."""

from __future__ import annotations

from collections import Counter

from myha.core.sharing import AGAIN_SECONDS, PATIENCE_SECONDS, order, patience_seconds, to_give

PAIRS = frozenset(f"pair-{number}" for number in range(500))


def alive(*supervisors: str) -> dict[str, frozenset[str]]:
    return dict.fromkeys(supervisors, PAIRS)


def first_of(*supervisors: str) -> dict[str, str]:
    return {pair: order(pair, alive(*supervisors))[0] for pair in PAIRS}


def test_all_have_about_as_many() -> None:
    counts = Counter(first_of("m1:/var", "m2:/var", "m3:/var").values())
    assert set(counts) == {"m1:/var", "m2:/var", "m3:/var"}
    assert min(counts.values()) > 500 / 3 * 0.8


def test_who_goes_moves_only_what_it_had() -> None:
    before, after = first_of("m1", "m2", "m3"), first_of("m1", "m2")
    assert all(after[pair] == one for pair, one in before.items() if one != "m3")


def test_only_those_that_have_a_pair_are_asked() -> None:
    there = {"m1": {"a"}, "m2": {"b"}, "m3": set[str]()}
    assert order("a", there) == ("m1",)
    assert order("c", there) == ()
    assert patience_seconds("b", "m1", there) == 0.0


def test_a_free_lease_is_left_to_those_before() -> None:
    there = alive("m1", "m2", "m3")
    for pair in PAIRS:
        waits = [patience_seconds(pair, one, there) for one in order(pair, there)]
        assert waits == [0.0, PATIENCE_SECONDS, 2 * PATIENCE_SECONDS]


def test_what_another_one_should_have_is_given_once() -> None:
    there, right = alive("m1", "m2"), first_of("m1", "m2")
    due = dict(to_give("m1", PAIRS, there, {}, 1000.0))
    assert due == {pair: one for pair, one in right.items() if one == "m2"}
    given = dict.fromkeys(due, 1000.0)
    assert not dict(to_give("m1", PAIRS, there, given, 1000.0 + AGAIN_SECONDS - 1))
    assert dict(to_give("m1", PAIRS, there, given, 1000.0 + AGAIN_SECONDS)) == due


def test_one_that_is_alone_or_unknown_gives_nothing() -> None:
    assert not dict(to_give("m1", PAIRS, alive("m1"), {}, 0.0))
    assert not dict(to_give("m1", PAIRS, alive("m2"), {}, 0.0))  # it has not been heard of itself
