"""GTID sets against plain Python sets of (origin, number)."""

import uuid
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from myha.core.gtid import GtidSet, MariadbGtidSet, MysqlGtidSet

A = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"
B = "bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"

Pairs = frozenset[tuple[str, int]]
Numbers = frozenset[tuple[int, int]]

mysql_pairs = st.frozensets(
    st.tuples(st.sampled_from([A, B, f"{A}:load", f"{A}:z_1"]), st.integers(1, 14)), max_size=30
)
mariadb_pairs = st.frozensets(st.tuples(st.integers(0, 2), st.integers(1, 14)), max_size=30)


def mysql_set(pairs: Iterable[tuple[str, int]]) -> MysqlGtidSet:
    result = MysqlGtidSet()
    for origin, number in pairs:
        result = result.with_transaction(origin, number)
    return result


def mariadb_set(pairs: Iterable[tuple[int, int]]) -> MariadbGtidSet:
    """One domain per node, so that the server id follows from the domain."""
    result = MariadbGtidSet()
    for domain, number in pairs:
        result = result.with_transaction(domain, domain + 1, number)
    return result


def mysql_members(gtids: MysqlGtidSet) -> Pairs:
    return frozenset(
        (origin, n) for origin, parts in gtids.origins() for a, b in parts for n in range(a, b + 1)
    )


def mariadb_members(gtids: MariadbGtidSet) -> Numbers:
    return frozenset(
        (domain, n)
        for domain, parts, _ in gtids.domains()
        for a, b in parts
        for n in range(a, b + 1)
    )


def takes_protocol(gtids: GtidSet) -> GtidSet:
    return gtids


def test_both_types_serve_the_protocol() -> None:
    assert takes_protocol(MysqlGtidSet()).is_empty()
    assert takes_protocol(MariadbGtidSet()).is_empty()


@given(mysql_pairs, mysql_pairs)
def test_mysql_algebra_is_that_of_sets(one: Pairs, two: Pairs) -> None:
    a, b = mysql_set(one), mysql_set(two)
    assert mysql_members(a) == one
    assert mysql_members(a.union(b)) == one | two
    assert mysql_members(a.minus(b)) == one - two
    assert mysql_members(a.intersection(b)) == one & two
    assert a.contains(b) == (two <= one)
    assert (a == b) == (one == two)
    assert a.count() == len(one)
    assert a.is_empty() == (not one)
    assert all(a.has_transaction(*pair) for pair in one)
    assert not any(a.has_transaction(*pair) for pair in two - one)


@given(mysql_pairs)
def test_mysql_text_reads_back_equal_with_equal_hash(pairs: Pairs) -> None:
    gtids = mysql_set(pairs)
    again = MysqlGtidSet.parse(str(gtids))
    assert again == gtids
    assert hash(again) == hash(gtids)
    assert str(again) == str(gtids)
    assert "\n" not in str(gtids)


@given(mysql_pairs, mysql_pairs)
def test_mysql_results_are_in_normal_form(one: Pairs, two: Pairs) -> None:
    a, b = mysql_set(one), mysql_set(two)
    for result in (a.union(b), a.minus(b), a.intersection(b)):
        assert result == mysql_set(sorted(mysql_members(result)))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", ""),
        (" ,\n", ""),
        (f"{A.upper()}:1-5:7", f"{A}:1-5:7"),
        (f"{B}:1,\n{A}:2", f"{A}:2,{B}:1"),
        (f"{A}:3:1-2:9", f"{A}:1-3:9"),
        (f"{A}:1,{A}:2", f"{A}:1-2"),
        (f" {A} : 1 - 5 : Load : 1-3 ", f"{A}:1-5:load:1-3"),
        (f"{A}:zz:1:load:4-6,{A}:7", f"{A}:7:load:4-6:zz:1"),
    ],
)
def test_mysql_text_becomes_canonical(text: str, canonical: str) -> None:
    assert str(MysqlGtidSet.parse(text)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("x", A, f"{A}:", f"{A}:0", f"{A}:5-4", f"{A}:1-", f"{A}:tag", f"{A}:tag:tag:1", "1-1-5"),
        *(f"{A}:1:tag", f"{A}:9223372036854775807", f"{A}:1-2-3", f"{A}:t-x:1", f"{A}:1;{B}:1"),
    ],
)
def test_mysql_refuses_in_one_line_naming_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="is no MySQL GTID set") as caught:
        MysqlGtidSet.parse(text)
    assert "\n" not in str(caught.value)
    assert text.lower() in str(caught.value)


@given(mariadb_pairs, mariadb_pairs)
def test_mariadb_algebra_is_that_of_sets(one: Numbers, two: Numbers) -> None:
    a, b = mariadb_set(one), mariadb_set(two)
    assert mariadb_members(a) == one
    assert mariadb_members(a.union(b)) == one | two
    assert mariadb_members(a.minus(b)) == one - two
    assert mariadb_members(a.intersection(b)) == one & two
    assert a.contains(b) == (two <= one)
    assert a.count() == len(one)
    assert a.is_empty() == (not one)
    assert a.conflicts(b) == ()
    assert all(a.has_transaction(*pair) for pair in one)
    assert not any(a.has_transaction(*pair) for pair in two - one)


@given(mariadb_pairs)
def test_mariadb_text_reads_back_equal_with_equal_hash(pairs: Numbers) -> None:
    gtids = mariadb_set(pairs)
    again = MariadbGtidSet.parse(str(gtids))
    assert again == gtids
    assert hash(again) == hash(gtids)


def test_mariadb_position_means_everything_up_to_it() -> None:
    gtids = MariadbGtidSet.parse("1-1-105, 2-2-40")
    assert gtids.count() == 145
    assert str(gtids) == gtids.position() == "1-1-105,2-2-40"


def test_mariadb_difference_is_a_range_with_its_server() -> None:
    errant = MariadbGtidSet.parse("1-1-105,2-2-40").minus(MariadbGtidSet.parse("1-1-100,2-2-44"))
    assert str(errant) == "1-1-101..105"
    assert str(MariadbGtidSet.parse("1-1-5").minus(MariadbGtidSet.parse("1-1-4"))) == "1-1-5..5"
    with pytest.raises(ValueError, match="not complete from 1"):
        errant.position()


def test_mariadb_common_part_of_two_positions_is_a_position_again() -> None:
    ours, theirs = MariadbGtidSet.parse("1-1-105,2-2-40"), MariadbGtidSet.parse("1-1-100,2-2-44")
    assert ours.intersection(theirs).position() == "1-1-100,2-2-40"


def test_mariadb_server_id_below_the_last_is_not_guessed() -> None:
    """105 and 100 may well have different authors, so what is left has none that is known."""
    rest = MariadbGtidSet.parse("1-1-105").minus(MariadbGtidSet.parse("1-1-101..105"))
    assert str(rest) == "1-?-100"
    with pytest.raises(ValueError, match="not known"):
        rest.position()
    assert rest.conflicts(MariadbGtidSet.parse("1-2-100")) == ()
    assert MariadbGtidSet.parse("1-2-100").contains(rest)


def test_mariadb_one_number_by_two_servers_is_a_divergence() -> None:
    ours, theirs = MariadbGtidSet.parse("0-1-100"), MariadbGtidSet.parse("0-2-100")
    assert ours.conflicts(theirs) == (0,)
    assert not ours.contains(theirs)
    assert str(ours.minus(theirs)) == "0-1-100..100"
    assert str(theirs.minus(ours)) == "0-2-100..100"
    assert ours.intersection(theirs).count() == 99
    assert ours.union(theirs) == theirs.union(ours)


def test_mariadb_binlog_state_counts_its_highest_per_domain() -> None:
    assert str(MariadbGtidSet.parse("1-2-7,1-1-105,2-2-40")) == "1-1-105,2-2-40"
    with pytest.raises(ValueError, match="ends twice at 7"):
        MariadbGtidSet.parse("1-2-7,1-1-7")


@pytest.mark.parametrize(
    "text",
    ["x", "1-1", "1-1-x", "1--1", "1-1-1-1", "4294967296-1-1", "1-1-5..", f"{A}:1", "-1-1-1"],
)
def test_mariadb_refuses_in_one_line_naming_the_text(text: str) -> None:
    with pytest.raises(ValueError, match="is no MariaDB GTID") as caught:
        MariadbGtidSet.parse(text)
    assert "\n" not in str(caught.value)


def test_numbers_begin_at_one() -> None:
    with pytest.raises(ValueError, match="begin at 1"):
        MysqlGtidSet().with_transaction(A, 0)


@pytest.mark.parametrize("kind", [MysqlGtidSet, MariadbGtidSet])
def test_what_is_remembered_of_long_lists_is_of_the_very_one_that_was_asked_about(
    kind: Any,
) -> None:
    def long(last: int, count: int = 150) -> Any:
        names = (
            ",".join(f"{uuid.UUID(int=one)}:1-{last}" for one in range(1, count + 1))
            if kind is MysqlGtidSet
            else ",".join(f"{one}-1-{last}" for one in range(1, count + 1))
        )
        return kind.parse(names)

    mine, less, more = long(5), long(4), long(6)
    for _ in range(2):
        assert mine.contains(less)
        assert not mine.contains(more)
        assert mine.contains(long(5))
        assert not mine.contains(long(5, 151))
        assert mine.contains(long(5, 3))
        assert not long(5, 3).contains(mine)
    for last in (3, 7, 2, 8, 1, 9):
        assert mine.contains(long(last)) is (last <= 5)
