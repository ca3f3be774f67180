"""The detector of crossing writes against the definition itself, over all pairs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from myha.core.conflicts import Detector, Ids, Ranges, Transaction

KEYS = st.integers(0, 5)


@dataclass
class History:
    """Two logs: own transactions with their keys, and copies of the other side's, by number."""

    logs: tuple[list[tuple[int, int]], list[tuple[int, int]]] = field(
        default_factory=lambda: ([], [])
    )
    keys: dict[tuple[int, int], list[int]] = field(default_factory=dict)

    def clashes(self, start: tuple[int, int] = (0, 0)) -> set[tuple[int, int, int]]:
        """(key, number on side 0, number on side 1) for each concurrent pair: the definition."""
        place = [{entry: at for at, entry in enumerate(log)} for log in self.logs]
        found = set()
        for (one_side, one), one_keys in self.keys.items():
            for (other_side, other), other_keys in self.keys.items():
                if (one_side, other_side) != (0, 1) or one <= start[0] or other <= start[1]:
                    continue
                first, second = (0, one), (1, other)
                never = len(self.logs[0]) + len(self.logs[1])
                unseen = place[0][first] < place[0].get(second, never)
                also = place[1][second] < place[1].get(first, never)
                if unseen and also:
                    found |= {(key, one, other) for key in {*one_keys} & {*other_keys}}
        return found


@st.composite
def histories(draw: st.DrawFn, *, in_order: bool) -> History:
    """Both nodes write and apply what the other wrote, at any pace, perhaps not in order."""
    history = History()
    written = [0, 0]
    waiting: tuple[list[int], list[int]] = ([], [])
    for _ in range(draw(st.integers(1, 40))):
        side = draw(st.integers(0, 1))
        if bool(waiting[side]) and draw(st.booleans()):
            at = 0 if in_order else draw(st.integers(0, len(waiting[side]) - 1))
            history.logs[side].append((1 - side, waiting[side].pop(at)))
            continue
        written[side] += 1
        history.logs[side].append((side, written[side]))
        history.keys[side, written[side]] = draw(st.lists(KEYS, min_size=1, max_size=3))
        waiting[1 - side].append(written[side])
    return history


class Readers:
    """Two readers that hand the logs to a detector, each in its own order."""

    def __init__(self, history: History, detector: Detector, at: tuple[int, int] = (0, 0)) -> None:
        self.history = history
        self.detector = detector
        self.at = list(at)
        self.slot = detector.slot("shop.items", "PRIMARY")
        self.found: set[tuple[int, int, int]] = set()

    def can(self, side: int) -> bool:
        return self.at[side] < len(self.history.logs[side])

    def step(self, side: int) -> None:
        origin, number = self.history.logs[side][self.at[side]]
        self.at[side] += 1
        if origin != side:
            self.detector.copied(side, number)
            return
        transaction = self.detector.own(side, number)
        self.detector.touch(transaction, self.slot, [*self.history.keys[side, number]])
        self.detector.hold(transaction, 100, len(self.history.keys[side, number]))
        self.collect()

    def collect(self) -> None:
        for clash in self.detector.take_clashes():
            for first in clash.firsts:
                pair = (first, clash.second) if first.side == 0 else (clash.second, first)
                entry = (clash.key, _number(pair[0]), _number(pair[1]))
                assert entry not in self.found, "a pair is reported once"
                self.found.add(entry)

    def run(self, data: st.DataObject) -> None:
        while self.can(0) or self.can(1):
            side = data.draw(st.integers(0, 1))
            self.step(side if self.can(side) else 1 - side)


def _number(transaction: Transaction) -> int:
    assert isinstance(transaction.id, int)
    return transaction.id


@pytest.mark.parametrize("in_order", [False, True])
@settings(max_examples=150)
@given(data=st.data())
def test_finds_exactly_the_concurrent_pairs(in_order: bool, data: st.DataObject) -> None:
    history = data.draw(histories(in_order=in_order))
    readers = Readers(history, Detector(in_order=in_order))
    readers.run(data)
    assert readers.found == history.clashes()


@settings(max_examples=80)
@given(data=st.data())
def test_holds_no_more_than_what_replication_has_under_way(data: st.DataObject) -> None:
    history = data.draw(histories(in_order=False))
    detector = Detector(in_order=False)
    readers = Readers(history, detector)
    readers.run(data)
    for side in (0, 1):
        own = [entry for entry in history.logs[side] if entry[0] == side]
        under_way = [entry for entry in own if entry not in history.logs[1 - side]]
        assert detector.live(side) == len(under_way)
        held = readers.slot.by_side[side]
        assert set(held) == {key for entry in under_way for key in history.keys[entry]}
    assert (detector.held_bytes == 0) == (detector.live(0) + detector.live(1) == 0)


@settings(max_examples=80)
@given(data=st.data())
def test_begins_behind_what_both_have(data: st.DataObject) -> None:
    """From the common set on nothing is missed, and nothing older is mixed in."""
    history = data.draw(histories(in_order=True))
    detector = Detector(in_order=True)
    start = tuple(_prefix(history, side, data.draw(st.integers(0, 8))) for side in (0, 1))
    common = {(side, number) for side in (0, 1) for number in range(1, start[side] + 1)}
    pruned = History(
        tuple([one for one in log if one not in common] for log in history.logs),  # type: ignore[arg-type]
        history.keys,
    )
    for side in (0, 1):
        detector.jump(side, [(None, 1, start[side])], [(None, 1, start[1 - side])])
    readers = Readers(pruned, detector)
    readers.run(data)
    assert readers.found == history.clashes((start[0], start[1]))


def _prefix(history: History, side: int, wanted: int) -> int:
    """The most that both nodes have of a side's transactions, up to `wanted`."""
    copied = [number for origin, number in history.logs[1 - side] if origin == side]
    return min(wanted, max(copied, default=0))


@settings(max_examples=150)
@given(data=st.data())
def test_above_its_limit_it_forgets_and_counts_and_never_invents(data: st.DataObject) -> None:
    history = data.draw(histories(in_order=False))
    detector = Detector(in_order=False, limit_bytes=2_000)
    readers = Readers(history, detector)
    readers.run(data)
    assert readers.found <= history.clashes()
    assert detector.held_bytes <= 2_000
    if readers.found < history.clashes():
        assert detector.given_up


@settings(max_examples=80)
@given(data=st.data())
def test_a_broken_connection_repeats_a_transaction_and_nothing_changes(data: st.DataObject) -> None:
    """At once or late: meanwhile the other side may have clashed with what comes again."""
    history = data.draw(histories(in_order=False))
    detector = Detector(in_order=False)
    readers = Readers(history, detector)
    while readers.can(0) or readers.can(1):
        side = data.draw(st.integers(0, 1))
        side = side if readers.can(side) else 1 - side
        readers.step(side)
        again = data.draw(st.integers(0, 7))
        if again <= 1 and readers.at[again]:
            readers.at[again] -= 1
            readers.step(again)
    assert readers.found == history.clashes()


def test_what_a_node_has_lost_clashes_with_nothing() -> None:
    detector = Detector(in_order=False)
    slot = detector.slot("shop.items", "PRIMARY")
    detector.touch(detector.own(0, 7), slot, [b"k"])
    detector.drop(0, [(None, 7, 7)])
    detector.touch(detector.own(1, 1), slot, [b"k"])
    assert not detector.take_clashes()
    assert detector.live(0) == 0


def test_transactions_that_were_never_read_are_not_waited_for() -> None:
    detector = Detector(in_order=False)
    slot = detector.slot("shop.items", "PRIMARY")
    detector.copied(1, 5)  # its own log is behind
    detector.jump(0, [(None, 1, 5)], [])  # and now it says that it no longer has 1 to 5
    detector.touch(detector.own(0, 6), slot, [b"k"])
    detector.touch(detector.own(1, 1), slot, [b"k"])
    assert len(detector.take_clashes()) == 1


def test_a_mariadb_transaction_that_was_skipped_counts_as_seen_with_the_next_one() -> None:
    detector = Detector(in_order=True)
    slot = detector.slot("shop.items", "PRIMARY")
    for number in (1, 2):
        detector.touch(detector.own(0, number), slot, [number])
    detector.copied(1, 2)  # 1 has no copy: the applier skipped it
    detector.touch(detector.own(1, 1), slot, [1])
    assert not detector.take_clashes()
    detector.copied(1, 4)
    detector.touch(detector.own(0, 3), slot, [3])
    detector.touch(detector.own(1, 2), slot, [3])
    assert not detector.take_clashes()


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), max_size=25))
def test_ranges_are_the_set_of_their_numbers(parts: list[tuple[int, int]]) -> None:
    ranges, ids, plain = Ranges(), Ids(), set[Any]()
    for first, more in parts:
        if more:
            ranges.add_range(first, first + more)
            ids.add_ranges([("tag", first, first + more)])
        else:
            ranges.add(first)
            ids.add(("tag", first))
        plain |= set(range(first, first + more + 1))
    assert {number for number in range(80) if number in ranges} == plain
    assert {number for number in range(80) if ("tag", number) in ids} == plain
    assert 1 not in ids
    found = ranges.ranges()
    assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(found))
