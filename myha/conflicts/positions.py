"""Where a reader is in a binary log, by GTID: what it begins with, what it resumes after.

A transaction counts as read when the next one begins: one that was cut off comes again.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

from myha.core.conflicts import Range, Ranges
from myha.core.gtid import MariadbGtidSet, MysqlGtidSet
from myha.database.flavours.base import Identity


class Position(Protocol):
    """What has been read of one node's binary log."""

    def begin(self, origin: Hashable, number: int, server_id: int) -> None:
        """A transaction begins; `origin`: 16 bytes of UUID, or `uuid:tag`, or a domain."""

    def gtids(self) -> Any:
        """All that was read to its end, as the flavour's kind of set."""

    def begun(self) -> Any:
        """The same, and the transaction that began last."""


class MysqlPosition:
    def __init__(self, start: MysqlGtidSet) -> None:
        self._read: dict[Hashable, Ranges] = {}
        self._last: tuple[Hashable, int] | None = None
        for origin, intervals in start.origins():
            uuid, _, tag = origin.partition(":")
            key: Hashable = origin if tag else bytes.fromhex(uuid.replace("-", ""))
            ranges = self._read[key] = Ranges()
            for first, last in intervals:
                ranges.add_range(first, last)

    def begin(self, origin: Hashable, number: int, server_id: int) -> None:  # noqa: ARG002
        last = self._last
        if last is not None:
            ranges = self._read.get(last[0])
            if ranges is None:
                ranges = self._read[last[0]] = Ranges()
            ranges.add(last[1])
        self._last = (origin, number)

    def gtids(self) -> MysqlGtidSet:
        """All that was read to its end."""
        text = ",".join(
            f"{_name(origin)}:" + ":".join(f"{first}-{last}" for first, last in ranges.ranges())
            for origin, ranges in self._read.items()
            if ranges.ranges()
        )
        return MysqlGtidSet.parse(text)

    def begun(self) -> MysqlGtidSet:
        if self._last is None:
            return self.gtids()
        return self.gtids().with_transaction(_name(self._last[0]), self._last[1])


def _name(origin: Hashable) -> str:
    if isinstance(origin, bytes):
        text = origin.hex()
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
    return str(origin)


class MariadbPosition:
    def __init__(self, start: MariadbGtidSet) -> None:
        self._read: dict[Hashable, tuple[int, int]] = {}  # domain -> (server id, number)
        self._last: tuple[Hashable, int, int] | None = None
        for domain, intervals, server_id in start.domains():
            self._read[domain] = (server_id, intervals[-1][1])

    def begin(self, origin: Hashable, number: int, server_id: int) -> None:
        last = self._last
        if last is not None:
            self._read[last[0]] = (last[1], last[2])
        self._last = (origin, server_id, number)

    def gtids(self) -> MariadbGtidSet:
        """All that was read to its end."""
        return MariadbGtidSet.parse(
            ",".join(f"{domain}-{server}-{at}" for domain, (server, at) in self._read.items())
        )

    def begun(self) -> MariadbGtidSet:
        if self._last is None:
            return self.gtids()
        domain, server_id, number = self._last
        last = MariadbGtidSet.parse(f"{domain}-{server_id}-{number}")
        return self.gtids().union(last)


def ranges_of(gtids: MysqlGtidSet | MariadbGtidSet, identity: Identity) -> list[Range]:
    """The transactions of one origin in a set, as the detector names them.

    On MariaDB a position tells the server id of a domain's last transaction only: what matters is
    the node's own domain, and other domains count as the node's where it wrote the last.
    """
    if isinstance(gtids, MysqlGtidSet):
        found: list[Range] = []
        for origin, intervals in gtids.origins():
            uuid, _, tag = origin.partition(":")
            if uuid == identity.uuid:
                found.extend((tag or None, first, last) for first, last in intervals)
        return found
    return [
        (None if domain == identity.domain else domain, first, last)
        for domain, intervals, server_id in gtids.domains()
        if domain == identity.domain or server_id == identity.server_id
        for first, last in intervals
    ]


def position_after(start: MysqlGtidSet | MariadbGtidSet) -> Position:
    """A reader's place that begins right behind a set."""
    if isinstance(start, MysqlGtidSet):
        return MysqlPosition(start)
    return MariadbPosition(start)
