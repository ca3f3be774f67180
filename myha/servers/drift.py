"""What of a server is not as setup made it: remembered between looks, and what is not ours to mend.

Reading all of it costs more than a look may, so it is read every few looks, and at once where a
look shows that it has changed or a step has changed it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from myha.core.settings import (
    ChannelOptions,
    Difference,
    Kind,
    Setting,
    channel_differences,
    filter_differences,
)
from myha.errors import ServerError

READ_EVERY_LOOKS = 10
# What was denied once is denied until somebody grants it: not tried again at every look.
DENIED_SECONDS = 600.0
DENIED_CODES = frozenset({1044, 1045, 1142, 1227, 3630})
# No such variable, since its plugin is not there; or the server was started so that it is fixed.
CANNOT_BE_SET = frozenset({1193, 1238, 1290})


@dataclass(slots=True)
class Drift:
    """The differences of one server as last read."""

    settings: tuple[Setting, ...] = ()
    differences: tuple[Difference, ...] = ()
    sign: object = None  # what a look shows for nothing: when it changes, all is read again
    threads: object = None  # the state of the replication threads
    _due: bool = True
    _looks: int = 0
    _denied_at: dict[tuple[Kind, str], float] = field(default_factory=dict)

    def changed(self) -> None:
        """A step has put something right, or tried to: the next look reads all of it."""
        self._due = True

    def is_due(self, sign: object, threads: object) -> bool:
        """Whether this look is one that reads it; counts the looks.

        A thread that has stopped may be somebody at work on the channel. But it may also be the
        loss of the writer, and this look what a failover waits for: then the next one reads.
        """
        self._looks += 1
        due = self._due or sign != self.sign or self._looks >= READ_EVERY_LOOKS
        if due:
            self._looks, self.sign = 0, sign
        self._due, self.threads = threads != self.threads, threads
        return due

    def denied(self, one: Difference) -> None:
        self._denied_at[one.kind, one.name] = time.monotonic()

    def with_denied(
        self, found: Iterable[Difference], by_hand: Callable[[Difference], str]
    ) -> tuple[Difference, ...]:
        """Those that the account may not set, with what an administrator would run instead."""
        now = time.monotonic()

        def is_denied(one: Difference) -> bool:
            at = self._denied_at.get((one.kind, one.name))
            return not one.by_hand and at is not None and now - at < DENIED_SECONDS

        return tuple(replace(one, by_hand=by_hand(one)) if is_denied(one) else one for one in found)


def of_channel(
    found: ChannelOptions | None, wanted: ChannelOptions | None, filters: Mapping[str, str]
) -> tuple[Difference, ...]:
    """What differs in the channel, as far as its source's account is known here."""
    differs = filter_differences(filters)
    if found is not None and wanted is not None:
        differs = (*channel_differences(found, wanted), *differs)
    return differs


def is_denied(error: ServerError) -> bool:
    return error.code in DENIED_CODES | CANNOT_BE_SET
