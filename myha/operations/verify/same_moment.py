"""Two nodes' answers that belong to one moment of their common history, though both are in use.

`loose` looks without any lock: the writer, then the standby once it has all that the writer had,
then the writer again. Where the standby's answer is one of the writer's two, nothing differs.
`locked` proves it the other way: the rows are share-locked on one node, so that no change made
there can be on its way once the other has reached that node's history as of then. With one writer
that node is the writer. With two, the first must then also reach what the other had when it was
asked: the other's own changes of these rows would have to wait for the lock, and the look is given
up. Rows that are written all the time on one node can so be proven from that node only; which one
begins is for the caller to say. An answer of `locked` is exact, and clients wait for at most
`HOLD_SECONDS` for either step, on these rows only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from myha.errors import MyhaError, ServerError
from myha.operations.verify.compared_node import BUSY, ComparedNode, ComparedPair
from myha.progress import Progress, Reporter

T = TypeVar("T")
Look = Callable[[ComparedNode, str], T]  # the side, and what to add to the SELECT

STUCK_SECONDS = 60.0  # a standby that applies nothing for so long does not replicate
CATCH_UP_SECONDS = 3600.0
CATCH_UP_SLICE_SECONDS = 2.0
HOLD_SECONDS = 1.0
LOCK = " LOCK IN SHARE MODE"


class SameMoment:
    """Looks at both nodes at one moment. Raises CancelledError, and ServerError of the servers."""

    def __init__(self, both: ComparedPair, reporter: Reporter, *, both_ways: bool) -> None:
        self._both = both
        self._reporter = reporter
        self._both_ways = both_ways

    def catch_up(self) -> float:
        """Wait until the standby has all that the writer has now; how many seconds that took.

        With two writers the same the other way round. MyhaError when it does not come to that.
        """
        began = time.monotonic()
        writer, standby = self._both.writer, self._both.standby
        self._catch_up(writer, standby)
        if self._both_ways:
            self._catch_up(standby, writer)
        return time.monotonic() - began

    def _catch_up(self, source: ComparedNode, replica: ComparedNode) -> None:
        wanted = source.history()
        began = moved = time.monotonic()
        before = None
        while not replica.await_history(wanted, CATCH_UP_SLICE_SECONDS, self._reporter):
            now, history = time.monotonic(), replica.history()
            if history != before:
                before, moved = history, now
            if now - moved > STUCK_SECONDS or now - began > CATCH_UP_SECONDS:
                raise MyhaError(
                    f"{replica.name} did not catch up with {source.name} within "
                    f"{now - began:.0f} s: nothing can be compared while it does not replicate; "
                    "see `myha explain`"
                )
            why = f"{replica.name} is catching up with {source.name}"
            self._reporter.progress(Progress("waiting", now - began, text=why))

    def loose(self, look: Look[T]) -> tuple[T, T, T]:
        """The writer's answer, the standby's, the writer's again. No locks."""
        before = look(self._both.writer, "")
        self.catch_up()
        theirs = look(self._both.standby, "")
        return before, theirs, look(self._both.writer, "")

    def locked(self, look: Look[T], *, turn: int = 0) -> tuple[T, T] | None:
        """The writer's and the standby's answer of one moment; None when it could not be had.

        Where both take writes the two begin in turns. Call it when both have caught up.
        """
        both = self._both
        sides = [both.writer, both.standby]
        if self._both_ways and turn % 2:
            sides.reverse()
        first, second = sides
        try:
            with first.transaction():
                found = {first.name: look(first, LOCK)}
                if not second.await_history(first.history(), HOLD_SECONDS, self._reporter):
                    return None
                found[second.name] = look(second, LOCK)  # waits for a commit that is on its way
                if self._both_ways and not first.await_history(
                    second.history(), HOLD_SECONDS, self._reporter
                ):
                    return None
                # Tables without transactions take no locks: there this look alone must show it.
                if look(first, LOCK) != found[first.name]:
                    return None
                return found[both.writer.name], found[both.standby.name]
        except ServerError as error:
            if error.code in BUSY:
                return None
            raise
