"""What the supervisor tells the process of messages and hooks, one JSON object a line, and hears.

It tells which channels and hooks a pair has (`have`), what has happened (`event`), that a pair has
no more (`leave`), and at last that it ends by itself (`end`): one that goes without that has died,
and the channels are told. It hears what is to be noted in a pair's journal, and how its channels
and hooks are doing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from myha.core.events import Event, Kind, Selector
from myha.core.severity import Severity
from myha.core.values import value

Data = dict[str, Any]


@value(frozen=True, slots=True)
class ChannelOrder:
    """One channel. The URL is secret, and goes through pipes only. `failure`: why there is none."""

    name: str
    url: str
    severity: Severity
    per_minute: int
    failure: str = ""
    on: tuple[Selector, ...] = ()  # none: all
    not_on: tuple[Selector, ...] = ()

    def takes(self, event: Event) -> bool:
        """Whether it is told of that, as long as no trouble of which it was told is over by it."""
        kind, subject = event.kind, event.subject
        return (
            event.severity.reaches(self.severity)
            and (not self.on or any(one.takes(kind, subject) for one in self.on))
            and not any(one.takes(kind, subject) for one in self.not_on)
        )


@value(frozen=True, slots=True)
class HookOrder:
    """One hook."""

    name: str
    on: tuple[Selector, ...]
    command: tuple[str, ...]
    timeout_seconds: float


@value(frozen=True, slots=True)
class PairOrder:
    """All channels and hooks of a pair."""

    channels: tuple[ChannelOrder, ...] = ()
    hooks: tuple[HookOrder, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.channels or self.hooks)

    def wants(self, event: Event) -> bool:
        """Whether any of them is interested. Of verdicts a channel has to know when all is well."""
        if self.channels and event.kind is Kind.VERDICT:
            return True
        return any(one.takes(event) for one in self.channels) or any(
            selector.takes(event.kind, event.subject) for hook in self.hooks for selector in hook.on
        )

    def as_json(self) -> Data:
        channels = [
            asdict(one) | {"on": list(map(str, one.on)), "not_on": list(map(str, one.not_on))}
            for one in self.channels
        ]
        hooks = [asdict(one) | {"on": list(map(str, one.on))} for one in self.hooks]
        return {"channels": channels, "hooks": hooks}

    @staticmethod
    def of_json(data: Mapping[str, Any]) -> PairOrder:
        channels = (
            one
            | {"severity": Severity(one["severity"])}
            | {"on": _selectors(one["on"]), "not_on": _selectors(one["not_on"])}
            for one in data["channels"]
        )
        hooks = (
            one | {"on": _selectors(one["on"]), "command": tuple(one["command"])}
            for one in data["hooks"]
        )
        return PairOrder(
            tuple(ChannelOrder(**one) for one in channels), tuple(HookOrder(**one) for one in hooks)
        )


def _selectors(words: Iterable[str]) -> tuple[Selector, ...]:
    return tuple(map(Selector.of, words))


def event_as_json(event: Event) -> Data:
    return asdict(event) | {"fields": dict(event.fields)}


def event_of_json(data: Mapping[str, Any]) -> Event:
    return Event(**dict(data) | {"kind": Kind(data["kind"])})
