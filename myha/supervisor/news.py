"""Who wants to know what changes waits here, and is told of it without being waited for.

A pair's loop says that something about the pair has changed, and goes on. Whoever asked for news is
woken by that, and looks for itself what it is.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Collection
from enum import Enum
from typing import Any

from myha.core.view import View
from myha.supervisor.base_loop import BaseLoop
from myha.supervisor.loop import differ, routing

# What moves by itself while all is well (lag, positions, sessions) is news so often, of a pair that
# somebody watches or one of a few.
MOVES_SECONDS = 1.0
FEW_PAIRS = 10
# Of others it is news for so many of them in a second, all together: to make the status of one and
# pass it on costs as much as several looks.
MOVES_A_SECOND = 25
# Who watches says so with every question, and asks again and again.
WATCHED_SECONDS = 10.0


class Change(Enum):
    """What a pair's status says anew."""

    NEWS = "something has changed"
    MOVES = "only what moves by itself has"


class News:
    """Counts the changes of each pair. Safe for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.life = secrets.token_hex(4)  # versions of another process are others
        self._clock = clock
        self._changed = threading.Condition()
        self._version = 0
        self._wakes = 0  # the last version that somebody who waits is woken for
        self._of: dict[str, int] = {}
        self._announced_at: dict[str, float] = {}
        self._watched: Collection[str] | None = ()  # None: all
        self._watched_at = float("-inf")

    def announce(self, pair: str, change: Change = Change.NEWS) -> None:
        """The pair's status says something new. Waits for nobody."""
        with self._changed:
            now = self._clock()
            wakes = change is Change.NEWS or len(self._of) <= FEW_PAIRS or self._watches(pair, now)
            pace_seconds = len(self._of) / MOVES_A_SECOND
            if not wakes and now - self._announced_at.get(pair, float("-inf")) < pace_seconds:
                return
            self._version += 1
            self._of[pair], self._announced_at[pair] = self._version, now
            if wakes:
                self._wakes = self._version
                self._changed.notify_all()

    def watch(self, pairs: Collection[str] | None) -> None:
        """Of these (None: of all) what moves by itself is wanted at once, for `WATCHED_SECONDS`."""
        with self._changed:
            self._watched, self._watched_at = pairs, self._clock()

    def _watches(self, pair: str, now: float) -> bool:
        if now - self._watched_at > WATCHED_SECONDS:
            return False
        return self._watched is None or pair in self._watched

    def since(self, version: int, seconds: float) -> tuple[int, frozenset[str]]:
        """The version, and the pairs that have changed since that one; at the latest after
        `seconds`, then perhaps none."""
        with self._changed:
            self._changed.wait_for(lambda: self._wakes > version, seconds)
            found = frozenset(name for name, one in self._of.items() if one > version)
            return self._version, found


class Noticing:
    """What a pair's status says anew since it was asked last."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._seen: View | None = None
        self._announced_at = float("-inf")

    def changed(
        self, loop: BaseLoop[View, Any], more: tuple[Any, ...] = (), *, looked: bool = True
    ) -> Change | None:
        """In the loop's thread. `more`: what else of the pair its status shows. `looked`: a look
        may have found something; else they are compared once a second all the same."""
        view, decision, before = loop.view, loop.decision, self._seen
        if before is view:
            return None
        key = (
            view.record,
            loop.running,
            decision.verdicts,
            decision.refusals,
            decision.fresh,
            view.incidents,
            tuple((job.kind, job.node, job.method, job.id) for job in view.jobs),
            *more,
        )
        due = view.at - self._announced_at >= MOVES_SECONDS
        news = key != self._key or before is None or _differ(before, view, looked=looked or due)
        if not news and not due:
            return None
        self._key, self._seen, self._announced_at = key, view, view.at
        return Change.NEWS if news else Change.MOVES


def _differ(old: View, new: View, *, looked: bool) -> bool:
    """Whether the looks found anything else but what moves by itself, or that led to anything."""
    for (_, was), (_, now) in zip(old.nodes, new.nodes, strict=True):
        if was is now:
            continue
        if (was.contact, was.error, was.reader_ok, was.lease.armed) != (
            now.contact,
            now.error,
            now.reader_ok,
            now.lease.armed,
        ):
            return True
        if (
            looked
            and was.look is not now.look
            and (was.look is None or now.look is None or differ(was.look, now.look))
        ):
            return True
    for (_, had), (_, has) in zip(old.balancers, new.balancers, strict=True):
        if (had.answering, had.error) != (has.answering, has.error):
            return True
        if (
            looked
            and had.look is not has.look
            and (had.look is None or has.look is None or routing(had.look) != routing(has.look))
        ):
            return True
    return False
