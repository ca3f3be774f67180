"""Which writes of two nodes crossed: exact, from the order in their two binary logs. Pure.

With `log_replica_updates` the binary log of each node holds its own transactions and the copies of
the other node's, in the order in which they took effect there. A transaction of one node and one of
the other are *concurrent* exactly when each stands before the copy of the other in its own origin's
log: neither had seen the other. Two concurrent transactions that touch the same key are a clash.

Both logs are read side by side, each in its own order and in any interleaving. A transaction's keys
are held from the moment at which it is read in its own log until its copy passes in the other one:
whatever the other node writes after that has seen it. So what is held is what replication has under
way, and the answer is known as soon as the second of two transactions is read.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, TypeAlias

from myha.core.values import value

HELD_LIMIT_BYTES = 256 << 20
KEY_BYTES = 200  # an estimate of what one key costs in the index, its transaction's share included
EARLY_LIMIT = 100_000

# A transaction of an origin: its number, or (tag or domain, number) where it is not of the plain
# stream of numbers that a node counts by itself.
Id: TypeAlias = int | tuple[Hashable, int]
# (tag or domain, or None for the plain stream; first; last), both inclusive.
Range: TypeAlias = tuple[Hashable, int, int]


class Ranges:
    """A set of numbers that come mostly in order: a few inclusive ranges, however many numbers."""

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def add(self, number: int) -> None:
        lasts = self._lasts
        if lasts and lasts[-1] == number - 1:
            lasts[-1] = number
        elif number not in self:
            self.add_range(number, number)

    def add_range(self, first: int, last: int) -> None:
        """Take in `first` to `last`; joins the ranges that they touch."""
        low = bisect_left(self._lasts, first - 1)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def ranges(self) -> list[tuple[int, int]]:
        return list(zip(self._firsts, self._lasts, strict=True))


class Ids:
    """A set of transactions of one origin."""

    __slots__ = ("_streams",)

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self._streams: dict[Hashable, Ranges] = {}
        self.add_ranges(ranges)

    def add(self, number: Id) -> None:
        stream, plain = (None, number) if isinstance(number, int) else number
        self._streams.setdefault(stream, Ranges()).add(plain)

    def add_ranges(self, ranges: Iterable[Range]) -> None:
        for stream, first, last in ranges:
            self._streams.setdefault(stream, Ranges()).add_range(first, last)

    def __contains__(self, number: Id) -> bool:
        stream, plain = (None, number) if isinstance(number, int) else number
        found = self._streams.get(stream)
        return found is not None and plain in found


class Transaction:
    """One transaction, read in its own origin's log."""

    __slots__ = (
        "clashed",
        "events",
        "head",
        "held_bytes",
        "id",
        "passed",
        "seq",
        "side",
        "touched",
    )

    def __init__(self, side: int, number: Id, seq: int, passed: int | None) -> None:
        self.side = side
        self.id = number
        self.seq = seq  # its place in its own origin's log
        self.passed = passed  # the place of its copy in the other log, None until that is read
        self.touched: list[tuple[dict[Any, Any], list[Any]]] | None = [] if passed is None else None
        self.events: list[Any] = []  # whatever the reader wants to have at hand for a report
        self.head: bytes = b""  # the event that began it, for its time
        self.held_bytes = 0
        self.clashed: set[tuple[int, Any]] | None = None


class Slot:
    """One unique key of one table: for each side, key -> transaction, or transactions in order."""

    __slots__ = ("by_side", "key", "table")

    def __init__(self, table: str, key: str) -> None:
        self.table = table
        self.key = key
        self.by_side: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})


@value(frozen=True, slots=True)
class Clash:
    """`second` was read last; it is concurrent with each of `firsts` (oldest first)."""

    slot: Slot
    key: Any
    second: Transaction
    firsts: tuple[Transaction, ...]


@dataclass(slots=True)
class _Side:
    seq: int = 0
    current: Transaction | None = None
    last_copy: Id | None = None
    top_copy: dict[Hashable, tuple[int, int]] = field(default_factory=dict)
    # Own transactions whose copy has not been read in the other log, oldest first.
    live: dict[Id, Transaction] = field(default_factory=dict)
    # Copies in this log of transactions that have not been read in their own log: id -> place.
    early: dict[Id, int] = field(default_factory=dict)
    # Own transactions that are not to be waited for: from before the start, lost, or given up.
    before: Ids = field(default_factory=Ids)


class Detector:
    """The two logs as one reader after the other hands them in; sides are 0 and 1.

    `in_order`: the copies of one stream of numbers always stand in order (MariaDB's domains), so a
    copy also stands for those before it that were skipped.
    """

    def __init__(self, *, in_order: bool, limit_bytes: int = HELD_LIMIT_BYTES) -> None:
        self.clashes: list[Clash] = []
        self.held_bytes = 0
        self.given_up = 0  # transactions that were forgotten to stay within the limit
        self._sides = (_Side(), _Side())
        self._slots: dict[tuple[str, str], Slot] = {}
        self._in_order = in_order
        self._limit_bytes = limit_bytes

    def slot(self, table: str, key: str) -> Slot:
        """The place of a table's key, the same one for both sides."""
        return self._slots.setdefault((table, key), Slot(table, key))

    def live(self, side: int) -> int:
        """How many transactions of this side are held."""
        return len(self._sides[side].live)

    def ahead(self, side: int) -> bool:
        """Whether this side's reader is so far ahead that it should wait for the other one."""
        return len(self._sides[side].early) > EARLY_LIMIT

    # ---- what is read, in each log's order

    def own(self, side: int, number: Id) -> Transaction:
        """A transaction of this side begins in its own log. The last one may come again."""
        mine = self._sides[side]
        again = mine.current
        if again is not None and again.id == number:
            return again
        mine.seq += 1
        passed = self._sides[1 - side].early.pop(number, None)
        if passed is None and self._in_order:
            passed = self._skipped(1 - side, number)
        transaction = mine.current = Transaction(side, number, mine.seq, passed)
        if passed is None:
            mine.live[number] = transaction
        return transaction

    def copied(self, side: int, number: Id) -> None:
        """The copy of a transaction of the other side stands here in this side's log."""
        here, origin = self._sides[side], self._sides[1 - side]
        if here.last_copy == number:
            return  # read again after the connection broke
        here.last_copy = number
        here.seq += 1
        if self._in_order:
            self._pass_skipped(here, origin, number)
        transaction = origin.live.pop(number, None)
        if transaction is not None:
            transaction.passed = here.seq
            self._evict(transaction)
        elif number not in origin.before and not self._was_read(origin, number):
            here.early[number] = here.seq

    def touch(self, transaction: Transaction, slot: Slot, keys: list[Any]) -> None:
        """The transaction, the one begun last on its side, changes the rows of these keys.

        The list is the detector's from now on. Whole lists are compared and taken in at once: this
        is done for every row that is ever changed.
        """
        side = transaction.side
        other = slot.by_side[1 - side]
        if other and not other.keys().isdisjoint(keys):
            for key in keys:
                if key in other:
                    self.clash(transaction, slot, key)
        if transaction.touched is None:
            return
        mine = slot.by_side[side]
        transaction.touched.append((mine, keys))
        if mine.keys().isdisjoint(keys):
            mine.update(dict.fromkeys(keys, transaction))
            return
        for key in keys:
            if key in mine:
                _chain(mine, key, transaction)
            else:
                mine[key] = transaction

    def clash(self, transaction: Transaction, slot: Slot, key: Any) -> None:
        """The other side holds this key: note those that are concurrent with the transaction.

        What is held there has no copy before this transaction. It is concurrent unless it came
        after this transaction's copy, and so had seen it.
        """
        known = slot.by_side[1 - transaction.side][key]
        others: list[Transaction] = known if type(known) is list else [known]
        passed = transaction.passed
        firsts = tuple(one for one in others if passed is None or one.seq < passed)
        if not firsts:
            return
        if transaction.clashed is None:
            transaction.clashed = set()
        elif (id(slot), key) in transaction.clashed:
            return
        transaction.clashed.add((id(slot), key))
        self._expect_again(1 - transaction.side, firsts, (id(slot), key))
        self.clashes.append(Clash(slot, key, transaction, firsts))

    def _expect_again(
        self, side: int, firsts: tuple[Transaction, ...], at: tuple[int, Any]
    ) -> None:
        """The other side's last one may be read again, and would find the same clash once more."""
        current = self._sides[side].current
        if current is not None and current in firsts:
            current.clashed = set() if current.clashed is None else current.clashed
            current.clashed.add(at)

    def take_clashes(self) -> list[Clash]:
        """What was found since the last call."""
        found, self.clashes = self.clashes, []
        return found

    # ---- bounds and gaps

    def hold(self, transaction: Transaction, count_bytes: int, keys: int) -> None:
        """Account for an event that is kept; forgets the oldest transactions above the limit."""
        if transaction.touched is None:
            return
        size = count_bytes + keys * KEY_BYTES
        transaction.held_bytes += size
        self.held_bytes += size
        while self.held_bytes > self._limit_bytes:
            side = max(self._sides, key=lambda one: len(one.live))
            if not side.live:
                return
            oldest = next(iter(side.live.values()))
            del side.live[oldest.id]
            side.before.add(oldest.id)
            self._evict(oldest)
            oldest.events = []
            self.given_up += 1

    def jump(self, side: int, own: Iterable[Range], copies: Iterable[Range]) -> None:
        """This side's reader begins here: what its log has before is named and was not read."""
        here, other = self._sides[side], self._sides[1 - side]
        here.current, here.last_copy = None, None
        lost = Ids(own)
        here.before.add_ranges(own)
        for number in [one for one in other.early if one in lost]:
            del other.early[number]
        passed = Ids(copies)
        here.seq += 1
        for number in [one for one in other.live if one in passed]:
            transaction = other.live.pop(number)
            transaction.passed = here.seq
            self._evict(transaction)

    def drop(self, side: int, own: Iterable[Range]) -> None:
        """Transactions that this side's node no longer has: nothing will ever see them."""
        here, gone = self._sides[side], Ids(own)
        here.current = None
        for number in [one for one in here.live if one in gone]:
            self._evict(here.live.pop(number))

    # ---- within

    def _evict(self, transaction: Transaction) -> None:
        touched, transaction.touched = transaction.touched, None
        self.held_bytes -= transaction.held_bytes
        transaction.held_bytes = 0
        for mine, keys in touched or ():
            found = list(map(mine.pop, keys, repeat(None)))
            if found.count(transaction) == len(keys):
                continue
            for key, known in zip(keys, found, strict=True):
                if type(known) is list:  # others hold this key too
                    left = [one for one in known if one is not transaction]
                    mine[key] = left[0] if len(left) == 1 else left
                elif known is not None and known is not transaction:
                    mine[key] = known

    def _was_read(self, origin: _Side, number: Id) -> bool:
        return origin.current is not None and origin.current.id == number

    def _pass_skipped(self, here: _Side, origin: _Side, number: Id) -> None:
        stream, plain = (None, number) if isinstance(number, int) else number
        here.top_copy[stream] = (plain, here.seq)
        for one in list(_before(origin.live, stream, plain)):
            transaction = origin.live.pop(one)
            transaction.passed = here.seq
            self._evict(transaction)

    def _skipped(self, side: int, number: Id) -> int | None:
        """The place by which a transaction without a copy of its own was passed over."""
        stream, plain = (None, number) if isinstance(number, int) else number
        top = self._sides[side].top_copy.get(stream)
        return top[1] if top is not None and top[0] >= plain else None


def _before(live: dict[Id, Transaction], stream: Hashable, last: int) -> Iterable[Id]:
    """The oldest ones of a stream of numbers, as far as they lie below `last`."""
    for number in live:
        of, plain = (None, number) if isinstance(number, int) else number
        if of != stream:
            continue
        if plain >= last:
            return
        yield number


def _chain(mine: dict[Any, Any], key: Any, transaction: Transaction) -> None:
    """Put a further transaction behind those that hold the key already."""
    known = mine[key]
    if known is transaction:
        return
    if type(known) is list:
        if known[-1] is not transaction:
            known.append(transaction)
    else:
        mine[key] = [known, transaction]
