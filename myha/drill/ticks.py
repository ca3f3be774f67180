"""A scheduled event in the workload: one that ticks every second, and one that is disabled.

Each tick is a row with the server that ran it and the time. It is no client's write: the ledger and
the outages know nothing of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from myha.core.journal_line import Line
from myha.drill.target import Target
from myha.drill.timeline import TAKEOVER_PLANS
from myha.errors import ServerError
from myha.progress import Tell
from myha.waiting import wait_until

TICKS, RESTS = "ticks", "rests"
SLACK_SECONDS = 1.0  # between the clocks, and from the record to the last tick of the old writer
TICK_DEADLINE_SECONDS = 20.0
NOTED_DEADLINE_SECONDS = 20.0
MAY_NOT = frozenset({1044, 1142, 1227})  # access denied: to the schema, the table, at all


@dataclass(frozen=True, slots=True)
class Tick:
    """`origin` is the id of the server that ran it; `at` is in seconds since the epoch."""

    event: str
    origin: int
    at: float


@dataclass(frozen=True, slots=True)
class Change:
    """A change of writer on record."""

    origin: int
    at: float


def changes(events: Iterable[Line], server_ids: Mapping[str, int]) -> list[Change]:
    """The changes of writer that the journal has, oldest first."""
    return [
        Change(server_ids[one.node], one.wall)
        for one in events
        if one.kind == "step" and one.step == "record" and one.plan in TAKEOVER_PLANS
    ]


def wrong_ticks(
    ticks: Sequence[Tick], first_writer: int, changed: Sequence[Change], merged: int = 0
) -> Iterator[str]:
    """Ticks on a node that was not the writer then, and of the event that is disabled.

    `merged`: the id of a node whose errant transactions were taken over, ticks and all.
    """
    if rested := [one for one in ticks if one.event == RESTS]:
        yield f"the disabled event ran {len(rested)} times, on server {rested[0].origin}"
    wrong = [
        one
        for one in ticks
        if one.origin != merged and one.origin not in _writers_at(one.at, first_writer, changed)
    ]
    if wrong:
        stamp = time.strftime("%H:%M:%S", time.gmtime(wrong[0].at))
        yield (
            f"{len(wrong)} ticks of the event on a node that was not the writer then, such as one"
            f" on server {wrong[0].origin} at {stamp} UTC"
        )


def _writers_at(at: float, first_writer: int, changed: Sequence[Change]) -> set[int]:
    """Who was the writer around that time."""
    found: set[int] = set()
    since, writer = float("-inf"), first_writer
    for change in (*changed, Change(0, float("inf"))):
        if since - SLACK_SECONDS <= at <= change.at + SLACK_SECONDS:
            found.add(writer)
        since, writer = change.at, change.origin
    return found


class Ticking:
    """The events of one round on the target. Does nothing where its account may not have any."""

    def __init__(self, target: Target, tell: Tell) -> None:
        self._target = target
        self._tell = tell
        self._sql = target.flavour.statements("drill")
        self.on = False

    def begin(self, writer: str, after_event: int) -> str:
        """Make them on the writer on record itself: one that is made on the other of two writers
        runs there until it is moved. Returns what is not as it should be, in one line."""
        rests = f"myha_drill_rests_{after_event}"
        try:
            with self._target.node_session(writer) as session:
                scheduler = session.query("SELECT @@GLOBAL.event_scheduler")[0][0]
                if scheduler != "ON":
                    self._tell("the event scheduler is off: played without an event")
                    return ""
                known = session.query(self._sql.one("drill_rests"))
                for block in ("drill_make_ticks", *(() if known else ("drill_make_rests",))):
                    session.run(self._sql.all(block, event=rests))
        except ServerError as error:
            if error.code not in MAY_NOT:
                raise
            user = self._target.account.user
            self._tell(f"{user!r} may not make events there (EVENT): played without an event")
            return ""
        self.on = True
        return "" if known else self._await_noted(rests, after_event)

    def _await_noted(self, rests: str, after_event: int) -> str:
        """A disabled event is known to the next writer once that is noted."""

        def noted() -> bool:
            events = self._target.events(after_event)
            return any(one.kind == "events" and rests in one.text for one in events)

        if wait_until(noted, NOTED_DEADLINE_SECONDS):
            return ""
        return f"it was not noted in {NOTED_DEADLINE_SECONDS:.0f} s that an event is disabled"

    def await_tick(self, writer: str) -> str:
        """After the round it runs again, on the present writer; what is not so, in one line."""
        if not self.on:
            return ""
        own, since = self._target.server_ids[writer], len(self.of(writer))

        def ticked() -> bool:
            return any(one.origin == own for one in self.of(writer)[since:])

        if wait_until(ticked, TICK_DEADLINE_SECONDS):
            return ""
        return f"the event has not run on the writer {writer} for {TICK_DEADLINE_SECONDS:.0f} s"

    def end(self) -> None:
        """No more ticks. Raises ServerError where nothing can be written."""
        if self.on:
            with self._target.session(*self._target.writer_address) as session:
                session.run(self._sql.all("drill_end_ticks"))

    def of(self, node: str) -> tuple[Tick, ...]:
        """The ticks that a node has, oldest first."""
        with self._target.node_session(node) as session:
            rows = session.query(self._sql.one("drill_ticks"))
        return tuple(Tick(str(event), int(origin), float(at)) for event, origin, at in rows)

    def problems(
        self, writer: str, events: Iterable[Line], first_writer: str, merged: str
    ) -> list[str]:
        """The judgement over the ticks that the writer has."""
        if not self.on:
            return []
        ids = self._target.server_ids
        changed = changes(events, ids)
        return list(wrong_ticks(self.of(writer), ids[first_writer], changed, ids.get(merged, 0)))

    def differ(self, nodes: Sequence[str]) -> list[str]:
        """What the nodes have that is not the same, once they have had time for it."""
        if not self.on or len({self.of(node) for node in nodes}) == 1:
            return []
        if wait_until(lambda: len({self.of(node) for node in nodes}) == 1, TICK_DEADLINE_SECONDS):
            return []
        return [f"the ticks of the event differ between {' and '.join(nodes)}"]
