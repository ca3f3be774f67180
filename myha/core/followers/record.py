"""A replica's standing on record, with its JSON codec. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from myha.core.record import NodeRecord
from myha.core.record_codec import node_from_dict
from myha.core.values import value


@value(frozen=True, slots=True)
class FollowerRecord:
    """Changed by compare-and-set only, apart from the pair's record. `version` grows at every
    change; `entry` means the same as that of a node of the pair. `address` is the `host:port` at
    which setup found it: there it can be reached once more when the file names it no longer."""

    version: int
    entry: NodeRecord
    address: str = ""

    def with_entry(self, entry: NodeRecord) -> FollowerRecord:
        """One version on."""
        return replace(self, version=self.version + 1, entry=entry)


def follower_to_dict(record: FollowerRecord) -> dict[str, Any]:
    return asdict(record)


def follower_from_dict(raw: Mapping[str, Any]) -> FollowerRecord:
    """The opposite, of what JSON made of it too. KeyError or ValueError when it is no record."""
    return FollowerRecord(
        version=raw["version"], entry=node_from_dict(raw["entry"]), address=raw.get("address", "")
    )
