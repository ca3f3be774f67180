"""The steps that only plans for a replica have; all others are those of the pair."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar

from myha.core.node import NodeName
from myha.core.plans import NodeStep
from myha.core.record import NodeRecord
from myha.core.values import value


@value(frozen=True, slots=True)
class ChangeFollower(NodeStep):
    """Compare-and-set the replica's own record; the pair's is not touched."""

    name: ClassVar[str] = "replica-record"
    sentence: str = "nothing"
    entry: NodeRecord = field(default_factory=NodeRecord)

    def __str__(self) -> str:
        return f"record: {self.sentence}"


@value(frozen=True, slots=True)
class Follow(NodeStep):
    """The replica's channel is one to `source`, by GTID; its threads rest before and afterwards.

    A filter that is found is an error, since changes may be missing then, unless it
    `clears_filters`.
    """

    name: ClassVar[str] = "follow"
    source: NodeName = ""
    clears_filters: bool = False

    def __str__(self) -> str:
        return f"point {self.node} at {self.source}"


@value(frozen=True, slots=True)
class StopAcknowledging(NodeStep):
    """The replica acknowledges nothing that it receives: commits wait for the standby alone."""

    name: ClassVar[str] = "stop-acknowledging"
