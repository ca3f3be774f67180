"""Where the next chunk of a table ends.

To count rows off along a key costs the server nearly as much as to sum them up. Where the key is
one integer, the end is therefore reckoned from how dense the keys were so far, and the server's own
estimate is asked whether that holds; only where it does not are the rows counted off.
"""

from __future__ import annotations

from collections.abc import Iterator

from myha.operations.verify.columns import Bound
from myha.operations.verify.compared_node import ComparedNode, ComparedPair
from myha.operations.verify.hashing import Looks

_INTEGERS = {"tinyint", "smallint", "mediumint", "int", "bigint"}
SAFE_NUMBER = 1 << 62  # the difference of two such does not overflow in the server
TOO_MANY = 2.0  # times the rows wanted: the server estimates a range to about this
SOME_ROWS = 500
THINNER = 8.0  # after a chunk without rows the keys are taken to be so much sparser


class Walk:
    """The chunks of one table, by the keys that `node` has."""

    def __init__(self, looks: Looks, node: ComparedNode) -> None:
        self._looks = looks
        self._node = node
        self._integer = _one_integer(looks)
        self._bottom = self._top = 0
        self._density = 0.0  # rows for each number of the key; 0: not known yet

    def end(self, low: Bound | None, rows: int) -> Bound | None:
        """The key that ends a chunk of about so many rows beyond `low`; None: all that is left."""
        if self._integer and (self._density or self._learn()):
            start = int(low[0]) if low is not None else self._bottom - 1
            reached = start + max(1, round(rows / self._density))
            high = (str(reached),) if reached < self._top else None
            if self._estimate(low, high) <= max(SOME_ROWS, TOO_MANY * rows):
                return high
        return counted_off(self._node, self._looks, low, None, rows)

    def saw(self, low: Bound | None, high: Bound | None, rows: int) -> None:
        """So many rows were in this chunk."""
        if not self._integer or high is None:
            return
        numbers = int(high[0]) - (int(low[0]) if low is not None else self._bottom - 1)
        self._density = rows / max(1, numbers) if rows else self._density / THINNER

    def _learn(self) -> bool:
        low, high = self._node.query(self._looks.extent())[0]
        if low is None:
            self._integer = False  # without rows there is nothing to reckon with
            return False
        self._bottom, self._top = int(low), int(high)
        self._density = max(1, self._looks.table.rows) / (self._top - self._bottom + 1)
        return True

    def _estimate(self, low: Bound | None, high: Bound | None) -> float:
        rows = self._node.query(self._looks.estimate(low, high))
        numbers = [value for value in rows[0] if isinstance(value, int)]
        # `id` first, then `rows`; a range that is known to be empty has no rows at all.
        return float(numbers[1]) if len(numbers) > 1 else 0.0


def step_of(looks: Looks, low: Bound | None, high: Bound | None, parts: int) -> int:
    """How many numbers of the key make one of so many parts; 0 where it cannot be cut so."""
    if low is None or high is None or not _one_integer(looks):
        return 0
    first, last = int(low[0]), int(high[0])
    if max(abs(first), abs(last)) > SAFE_NUMBER:
        return 0
    return max(1, -(-(last - first) // parts))


def _one_integer(looks: Looks) -> bool:
    return len(looks.walked) == 1 and looks.walked[0].data_type.lower() in _INTEGERS


def cut(
    both: ComparedPair,
    looks: Looks,
    low: Bound | None,
    high: Bound | None,
    *,
    rows: int,
    parts: int,
) -> Iterator[tuple[Bound | None, Bound | None]]:
    """A range of about so many rows in about so many parts; the range itself if it has but one."""
    step = step_of(looks, low, high, parts)
    if step and low is not None and high is not None:
        first, last = int(low[0]), int(high[0])
        ends = [*range(first + step, last, step), last]
        for start, end in zip([first, *ends], ends, strict=False):
            yield (str(start),), (str(end),)
        return
    size = max(1, rows // parts)
    # By the keys of the node that has more rows there: of the other's any number may be missing.
    counts = [int(one[0][0]) for one in both.query(looks.count(low, high))]
    node = both.writer if counts[0] >= counts[1] else both.standby
    while True:
        end_of_part = counted_off(node, looks, low, high, size)
        if end_of_part is None or end_of_part == high:
            yield low, high
            return
        yield low, end_of_part
        low = end_of_part


def counted_off(
    node: ComparedNode, looks: Looks, low: Bound | None, high: Bound | None, rows: int
) -> Bound | None:
    """The key of the row that is `rows` rows beyond `low`; None when there are fewer."""
    found = node.query(looks.boundary(low, high, rows))
    return tuple(str(value) for value in found[0]) if found else None
