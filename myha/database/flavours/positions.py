"""Each flavour's `Position`: where a reader is in a binary log."""

from __future__ import annotations

from collections.abc import Hashable

from myha.core.conflicts import Ranges
from myha.core.gtid import MariadbGtidSet, MysqlGtidSet, uuid_text


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
    return uuid_text(origin) if isinstance(origin, bytes) else str(origin)


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
        return MariadbGtidSet.parse(
            ",".join(f"{domain}-{server}-{at}" for domain, (server, at) in self._read.items())
        )

    def begun(self) -> MariadbGtidSet:
        if self._last is None:
            return self.gtids()
        domain, server_id, number = self._last
        last = MariadbGtidSet.parse(f"{domain}-{server_id}-{number}")
        return self.gtids().union(last)
