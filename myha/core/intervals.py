"""Sets of whole numbers as intervals: what sets of transactions are made of. Pure.

All but `normal` take intervals that are in normal form already; all return such.
"""

Intervals = tuple[tuple[int, int], ...]
"""Inclusive (first, last) pairs, ascending, never touching each other, never empty."""


def normal(intervals: list[tuple[int, int]]) -> Intervals:
    """Sort, and join what touches."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if result and first <= result[-1][1] + 1:
            if last > result[-1][1]:
                result[-1] = (result[-1][0], last)
        else:
            result.append((first, last))
    return tuple(result)


def union(ours: Intervals, theirs: Intervals) -> Intervals:
    if ours == theirs:
        return ours
    if len(ours) == 1 and len(theirs) == 1:
        (a, b), (c, d) = ours[0], theirs[0]
        if c <= b + 1 and a <= d + 1:
            return ((min(a, c), max(b, d)),)
    return normal([*ours, *theirs])


def minus(ours: Intervals, theirs: Intervals) -> Intervals:
    if ours == theirs:
        return ()
    result: list[tuple[int, int]] = []
    at, end = 0, len(theirs)
    for first, last in ours:
        begin = first
        while at < end and theirs[at][1] < begin:
            at += 1
        look = at
        while look < end and theirs[look][0] <= last:
            if theirs[look][0] > begin:
                result.append((begin, theirs[look][0] - 1))
            begin = theirs[look][1] + 1
            look += 1
        if begin <= last:
            result.append((begin, last))
    return tuple(result)


def intersection(ours: Intervals, theirs: Intervals) -> Intervals:
    if ours == theirs:
        return ours
    result: list[tuple[int, int]] = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        first = max(ours[i][0], theirs[j][0])
        last = min(ours[i][1], theirs[j][1])
        if first <= last:
            result.append((first, last))
        if ours[i][1] < theirs[j][1]:
            i += 1
        else:
            j += 1
    return tuple(result)


def contains(ours: Intervals, theirs: Intervals) -> bool:
    if ours == theirs:
        return True
    at, end = 0, len(ours)
    for first, last in theirs:
        while at < end and ours[at][1] < last:
            at += 1
        if at == end or ours[at][0] > first:
            return False
    return True


def has(intervals: Intervals, number: int) -> bool:
    return any(first <= number <= last for first, last in intervals)


def count(intervals: Intervals) -> int:
    return sum(last - first + 1 for first, last in intervals)


def with_number(intervals: Intervals, number: int) -> Intervals:
    """Add one number; nearly always the one after the last."""
    if number < 1:
        raise ValueError(f"{number} is no transaction number: they begin at 1")
    if not intervals:
        return ((number, number),)
    first, last = intervals[-1]
    if number == last + 1:
        return (*intervals[:-1], (first, number))
    if number > last:
        return (*intervals, (number, number))
    if number >= first:
        return intervals
    return union(intervals, ((number, number),))
