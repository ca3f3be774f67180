"""GTID sets of both flavours: two types, one protocol, no server needed.

The flavours do not have the same algebra. A MySQL set lists every transaction, so its answers are
exact. A MariaDB position names only the last transaction of each domain; what comes before it is
implied. `MariadbGtidSet` says what that costs. Both types are immutable, hashable and cheap enough
for a simulator that makes hundreds of thousands of them.

Parsing errors are `ValueError`, one line, naming the text that could not be read.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol, Self, TypeVar
from weakref import ReferenceType, ref

from myha.core.intervals import (
    Intervals,
    contains,
    count,
    has,
    intersection,
    minus,
    normal,
    union,
    with_number,
)

_MYSQL_LAST = 2**63 - 2
_MARIADB_LAST = 2**64 - 1
_UINT32 = 2**32 - 1
REMEMBERED = 100  # origins of a set about which answers are remembered
ASKED = 4  # how many answers
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")


class GtidSet(Protocol):
    """What the core needs to know of a set of transactions, whatever the flavour."""

    def union(self, other: Self) -> Self: ...

    def minus(self, other: Self) -> Self: ...

    def intersection(self, other: Self) -> Self: ...

    def contains(self, other: Self) -> bool:
        """True when every transaction of `other` is in this set."""

    def has_forgotten(self, before: Self) -> bool:
        """True when a binary log that held `before`, and holds this now, was reset in between.

        Both are what one life of one server says of its own log, which else only grows.
        """

    def of_others(self, server_uuid: str, server_id: int) -> Self:
        """Without what that server has written itself."""

    def is_empty(self) -> bool: ...

    def count(self) -> int:
        """How many transactions the set holds."""

    def __str__(self) -> str: ...

    def __eq__(self, other: object) -> bool: ...

    def __hash__(self) -> int: ...


T = TypeVar("T")


class _Answers:
    """Whether a set has all of some others, of those that were asked about last.

    Of two looks the same is asked at each decision on them, and a set may have tens of thousands of
    origins. Others are known by what they are, not by what they have, and not kept alive.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: tuple[tuple[ReferenceType[object], bool], ...] = ()

    def of(self, other: T, find: Callable[[T], bool]) -> bool:
        for asked, answer in self._known:
            if asked() is other:
                return answer
        answer = find(other)
        self._known = ((ref(other), answer), *self._known[: ASKED - 1])
        return answer


class MysqlGtidSet:
    """A MySQL GTID set, tags (`uuid:tag:1-3`, 8.3 and newer) included.

    An origin is a lower-case `uuid` or `uuid:tag`. The text form is the server's, on one line: the
    server puts a line break after each comma, which `parse` accepts and `str` leaves out.
    """

    __slots__ = ("__weakref__", "_answers", "_hash", "_origins")

    def __init__(self, origins: Mapping[str, Intervals] | None = None) -> None:
        """Take origins whose intervals are already in normal form; use `parse` for text."""
        self._origins: Mapping[str, Intervals] = origins if origins is not None else {}
        self._hash: int | None = None
        self._answers = None if len(self._origins) < REMEMBERED else _Answers()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the server's text; raises ValueError naming the part that is no GTID."""
        found: dict[str, list[tuple[int, int]]] = {}
        for piece in text.split(","):
            item = piece.strip().lower()
            if item:
                for origin, interval in _mysql_item(item):
                    found.setdefault(origin, []).append(interval)
        return cls({origin: normal(intervals) for origin, intervals in found.items()})

    def union(self, other: Self) -> Self:
        if other is self or not other._origins:
            return self
        if not self._origins:
            return other
        result = dict(self._origins)
        for origin, theirs in other._origins.items():
            ours = result.get(origin)
            result[origin] = theirs if ours is None else union(ours, theirs)
        return type(self)(result)

    def minus(self, other: Self) -> Self:
        result = {}
        for origin, ours in self._origins.items():
            theirs = other._origins.get(origin)
            rest = ours if theirs is None else minus(ours, theirs)
            if rest:
                result[origin] = rest
        return type(self)(result)

    def intersection(self, other: Self) -> Self:
        result = {}
        for origin, ours in self._origins.items():
            theirs = other._origins.get(origin)
            both = () if theirs is None else intersection(ours, theirs)
            if both:
                result[origin] = both
        return type(self)(result)

    def contains(self, other: Self) -> bool:
        if len(other._origins) > len(self._origins):
            return False
        if self._answers is None or len(other._origins) < REMEMBERED:
            return self._contains(other)
        return self._answers.of(other, self._contains)

    def _contains(self, other: Self) -> bool:
        mine = self._origins
        for origin, theirs in other._origins.items():
            ours = mine.get(origin)
            if ours != theirs and (ours is None or not contains(ours, theirs)):
                return False
        return True

    def is_empty(self) -> bool:
        return not self._origins

    def count(self) -> int:
        return sum(count(intervals) for intervals in self._origins.values())

    def with_transaction(self, origin: str, number: int) -> Self:
        """This set and one more transaction; `origin` is a lower-case uuid or `uuid:tag`."""
        result = dict(self._origins)
        result[origin] = with_number(result.get(origin, ()), number)
        return type(self)(result)

    def has_forgotten(self, before: Self) -> bool:
        return self is not before and not self.contains(before)

    def of_others(self, server_uuid: str, server_id: int) -> Self:  # noqa: ARG002
        """By its uuid alone: these names do not tell server ids."""
        own = server_uuid.lower()
        return type(self)(
            {one: numbers for one, numbers in self._origins.items() if one.partition(":")[0] != own}
        )

    def has_transaction(self, origin: str, number: int) -> bool:
        return has(self._origins.get(origin, ()), number)

    def origins(self) -> Iterator[tuple[str, Intervals]]:
        """Each origin with its intervals, in the order of the text form."""
        yield from sorted(self._origins.items())

    def __str__(self) -> str:
        parts: list[str] = []
        uuid = ""
        for origin, intervals in sorted(self._origins.items()):
            before, _, tag = origin.partition(":")
            if before != uuid:
                parts.append(f",{before}" if parts else before)
                uuid = before
            if tag:
                parts.append(f":{tag}")
            parts.extend(f":{a}" if a == b else f":{a}-{b}" for a, b in intervals)
        return "".join(parts)

    def __repr__(self) -> str:
        return f"MysqlGtidSet({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MysqlGtidSet):
            return NotImplemented
        return self._origins == other._origins

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._origins.items()))
        return self._hash


class MariadbGtidSet:
    """What a MariaDB position implies, as a set of transactions.

    A position such as `1-1-105,2-2-40` names the last transaction of each domain. With one domain
    per node and `gtid_strict_mode`, numbers only grow within a domain, so this type takes a
    position to mean "1 to 105 of domain 1, 1 to 40 of domain 2". A difference has ranges that do
    not begin at 1, hence intervals here too.

    The executed set of a node is
    `parse(@@gtid_binlog_pos).union(parse(@@gtid_slave_pos))`: the binlog position has what the node
    wrote and (`log_slave_updates`) what it applied, the slave position also covers what it was
    seeded with. `gtid_current_pos` leaves out what another server id wrote into its binlog, so it
    is not the set meant here.

    Limits, which no position can lift:
    - A number that was skipped counts as present: `count` is an upper bound.
    - The server id is known for the last transaction of a domain only. Two sets that both end a
      domain at the same number with different server ids have diverged: that number is then in
      neither's intersection, and in both differences, and `conflicts` names the domain. Where one
      of two diverged histories is longer, positions cannot show it: only the binlog can.
    - Two nodes that write in one domain are therefore not safe to compare. One domain per node is.

    The text form is the position again where a domain is complete from 1 (`1-1-105`), else ranges
    (`1-1-101..105`, a single one as `1-1-105..105`, several joined by `:`); `?` stands for a
    server id that is not known. `parse` reads all of these.
    """

    __slots__ = ("__weakref__", "_answers", "_domains", "_hash")

    def __init__(self, domains: Mapping[int, tuple[Intervals, int]] | None = None) -> None:
        """Take domain -> (intervals in normal form, server id of the last one or 0)."""
        self._domains: Mapping[int, tuple[Intervals, int]] = domains if domains is not None else {}
        self._hash: int | None = None
        self._answers = None if len(self._domains) < REMEMBERED else _Answers()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a position, a binlog state, or this type's own text; raises ValueError.

        Of several entries in one domain (a binlog state has one per server id) the highest counts.
        """
        domains: dict[int, tuple[Intervals, int]] = {}
        for piece in text.split(","):
            item = piece.strip()
            if not item:
                continue
            domain, server, intervals = _mariadb_item(item)
            if not intervals:
                continue
            before = domains.get(domain)
            if before is not None and _diverged(before, (intervals, server)):
                raise ValueError(
                    f"{text.strip()!r} is no MariaDB position: domain {domain} ends twice at "
                    f"{intervals[-1][1]}, with server ids {before[1]} and {server}"
                )
            domains[domain] = _union_domain(before, (intervals, server))
        return cls(domains)

    def union(self, other: Self) -> Self:
        """Both together. Where the two have diverged, the higher server id is kept."""
        if other is self or not other._domains:
            return self
        if not self._domains:
            return other
        result = dict(self._domains)
        for domain, theirs in other._domains.items():
            result[domain] = _union_domain(result.get(domain), theirs)
        return type(self)(result)

    def minus(self, other: Self) -> Self:
        result = {}
        for domain, ours in self._domains.items():
            theirs = other._domains.get(domain)
            if theirs is None:
                result[domain] = ours
                continue
            rest = minus(ours[0], theirs[0])
            if _diverged(ours, theirs):
                rest = with_number(rest, ours[0][-1][1])
            if rest:
                result[domain] = (rest, _server_at(rest[-1][1], ours))
        return type(self)(result)

    def intersection(self, other: Self) -> Self:
        result = {}
        for domain, ours in self._domains.items():
            theirs = other._domains.get(domain)
            if theirs is None:
                continue
            both = intersection(ours[0], theirs[0])
            if _diverged(ours, theirs):
                top = ours[0][-1][1]
                both = minus(both, ((top, top),))
            if both:
                top = both[-1][1]
                result[domain] = (both, _server_at(top, ours) or _server_at(top, theirs))
        return type(self)(result)

    def contains(self, other: Self) -> bool:
        if len(other._domains) > len(self._domains):
            return False
        if self._answers is None or len(other._domains) < REMEMBERED:
            return self._contains(other)
        return self._answers.of(other, self._contains)

    def _contains(self, other: Self) -> bool:
        for domain, theirs in other._domains.items():
            ours = self._domains.get(domain)
            if ours == theirs:
                continue
            if ours is None or _diverged(ours, theirs) or not contains(ours[0], theirs[0]):
                return False
        return True

    def conflicts(self, other: Self) -> tuple[int, ...]:
        """The domains in which both end at one number with different server ids."""
        return tuple(
            sorted(
                domain
                for domain, ours in self._domains.items()
                if domain in other._domains and _diverged(ours, other._domains[domain])
            )
        )

    def has_forgotten(self, before: Self) -> bool:
        """Where another server id ends a domain lower than the last one did, servers share it, and
        nothing can be told."""
        if self is before:
            return False
        for domain, (intervals, server) in before._domains.items():
            now = self._domains.get(domain)
            if now is None or (now[1] == server and now[0][-1][1] < intervals[-1][1]):
                return True
        return False

    def of_others(self, server_uuid: str, server_id: int) -> Self:  # noqa: ARG002
        """Without the domains of which it wrote the last one, or nobody knows who did."""
        return type(self)(
            {one: entry for one, entry in self._domains.items() if entry[1] not in {0, server_id}}
        )

    def is_empty(self) -> bool:
        return not self._domains

    def count(self) -> int:
        return sum(count(intervals) for intervals, _ in self._domains.values())

    def with_transaction(self, domain: int, server_id: int, number: int) -> Self:
        """This set and one more transaction."""
        before = self._domains.get(domain)
        result = dict(self._domains)
        if before is None:
            result[domain] = (with_number((), number), server_id)
        else:
            intervals, server = before
            is_last = number >= intervals[-1][1]
            result[domain] = (with_number(intervals, number), server_id if is_last else server)
        return type(self)(result)

    def has_transaction(self, domain: int, number: int) -> bool:
        entry = self._domains.get(domain)
        return entry is not None and has(entry[0], number)

    def domains(self) -> Iterator[tuple[int, Intervals, int]]:
        """Each (domain, intervals, server id of the last or 0), by domain."""
        for domain, (intervals, server) in sorted(self._domains.items()):
            yield domain, intervals, server

    def position(self) -> str:
        """The position that names the last transaction of each domain, as the server reads it.

        Raises ValueError when the set is no position: a domain does not begin at 1, has a hole, or
        the server id of its last transaction is not known.
        """
        for domain, intervals, server in self.domains():
            if len(intervals) != 1 or intervals[0][0] != 1:
                raise ValueError(f"{self} is no position: domain {domain} is not complete from 1")
            if not server:
                raise ValueError(
                    f"{self} is no position: the server id of domain {domain}'s last is not known"
                )
        return str(self)

    def __str__(self) -> str:
        parts = []
        for domain, intervals, server in self.domains():
            if len(intervals) == 1 and intervals[0][0] == 1:
                numbers = str(intervals[0][1])
            else:
                numbers = ":".join(f"{a}..{b}" for a, b in intervals)
            parts.append(f"{domain}-{server or '?'}-{numbers}")
        return ",".join(parts)

    def __repr__(self) -> str:
        return f"MariadbGtidSet({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MariadbGtidSet):
            return NotImplemented
        return self._domains == other._domains

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._domains.items()))
        return self._hash


def uuid_text(data: bytes) -> str:
    """Of its 16 bytes, as MySQL writes them in a binary log."""
    text = data.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _mysql_item(item: str) -> Iterator[tuple[str, tuple[int, int]]]:
    """The (origin, interval) pairs of `uuid[:tag]:interval...`, lower case."""
    uuid, *tokens = [token.strip() for token in item.split(":")]
    if _UUID.fullmatch(uuid) is None:
        raise ValueError(f"{item!r} is no MySQL GTID set: {uuid!r} is no UUID")
    origin, expects_interval = uuid, True
    for token in tokens:
        if token[:1].isdigit():
            yield origin, _mysql_interval(item, token)
            expects_interval = False
        elif _TAG.fullmatch(token) is not None and (origin == uuid or not expects_interval):
            origin, expects_interval = f"{uuid}:{token}", True
        else:
            raise ValueError(f"{item!r} is no MySQL GTID set: {token!r} is no interval and no tag")
    if expects_interval:
        raise ValueError(f"{item!r} is no MySQL GTID set: no interval after {origin!r}")


def _mysql_interval(item: str, token: str) -> tuple[int, int]:
    first, dash, last = token.partition("-")
    first, last = first.strip(), last.strip() if dash else first.strip()
    if _is_number(first) and _is_number(last) and 1 <= int(first) <= int(last) <= _MYSQL_LAST:
        return int(first), int(last)
    raise ValueError(f"{item!r} is no MySQL GTID set: {token!r} is no interval")


def _mariadb_item(item: str) -> tuple[int, int, Intervals]:
    """Domain, server id (0 for `?`) and intervals of `1-1-105` or `1-1-101..105:107..107`."""
    refusal = f"{item!r} is no MariaDB GTID (domain-server-number)"
    parts = item.split("-")
    if len(parts) != 3 or not _is_number(parts[0]):
        raise ValueError(refusal)
    server_text = "0" if parts[1] == "?" else parts[1]
    if not _is_number(server_text) or max(int(parts[0]), int(server_text)) > _UINT32:
        raise ValueError(refusal)
    intervals = []
    for text in parts[2].split(":"):
        first, dots, last = text.partition("..")
        if not dots:
            first, last = "1", first
        if not _is_number(first) or not _is_number(last) or int(last) > _MARIADB_LAST:
            raise ValueError(refusal)
        if int(first) <= int(last):
            intervals.append((max(1, int(first)), int(last)))
    return int(parts[0]), int(server_text), normal([i for i in intervals if i[0] <= i[1]])


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20


def _server_at(number: int, entry: tuple[Intervals, int]) -> int:
    """The server id of `number` where it is the entry's last, else 0: not known."""
    return entry[1] if entry[0][-1][1] == number else 0


def _diverged(ours: tuple[Intervals, int], theirs: tuple[Intervals, int]) -> bool:
    """Both end at one number, with server ids that are known and differ."""
    return (
        ours[1] != theirs[1]
        and ours[0][-1][1] == theirs[0][-1][1]
        and ours[1] != 0
        and theirs[1] != 0
    )


def _union_domain(
    ours: tuple[Intervals, int] | None, theirs: tuple[Intervals, int]
) -> tuple[Intervals, int]:
    if ours is None or ours == theirs:
        return theirs
    our_last, their_last = ours[0][-1][1], theirs[0][-1][1]
    if our_last == their_last:
        server = max(ours[1], theirs[1])
    else:
        server = ours[1] if our_last > their_last else theirs[1]
    return union(ours[0], theirs[0]), server
