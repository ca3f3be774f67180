"""What one channel is told of one pair, and when: pure, and time is passed in.

- What happens within a moment comes as one message.
- No more messages a minute than the channel allows: what comes in between is summed up in the next.
- A message that could not be sent becomes part of the next one.
- A verdict is told once in a trouble, however often it comes and goes; the trouble is over, and
  that is told, when all has been well for a while.

Times are in seconds of the monotonic clock, but for an event's own.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from myha.core.backoff import backoff_seconds
from myha.core.events import Event, Kind
from myha.core.severity import Severity
from myha.core.values import value

GATHER_SECONDS = 2.0
QUIET_SECONDS = 10.0
MINUTE_SECONDS = 60.0
LINES_LIMIT = 30
RETRY_FIRST_SECONDS, RETRY_LIMIT_SECONDS = 5.0, 300.0
HEALTHY = frozenset({"healthy", "replica-healthy"})


@value(frozen=True, slots=True)
class Line:
    """One event as it is told. `resolved`: it is the end of a trouble."""

    event: Event
    resolved: bool = False


@dataclass(slots=True)
class Batch:
    """What waits to be told: the first lines and the last, and of the rest how many of what."""

    first: list[Line] = field(default_factory=list)
    last: deque[Line] = field(default_factory=deque)
    beyond: Counter[str] = field(default_factory=Counter)
    lost: int = 0  # events that never got here
    worst: Severity = Severity.INFO

    def __bool__(self) -> bool:
        return bool(self.first or self.lost)

    @property
    def lines(self) -> tuple[Line, ...]:
        return (*self.first, *self.last)

    def add(self, line: Line) -> None:
        if not line.resolved and line.event.severity.reaches(self.worst):
            self.worst = line.event.severity
        if len(self.first) < LINES_LIMIT // 2:
            self.first.append(line)
            return
        self.last.append(line)
        if len(self.last) > LINES_LIMIT // 2:
            self.beyond[str(self.last.popleft().event.kind)] += 1

    def before(self, later: Batch) -> Batch:
        """Both, as one."""
        both = Batch(lost=self.lost + later.lost, beyond=self.beyond + later.beyond)
        for line in (*self.lines, *later.lines):
            both.add(line)
        both.worst = max(self.worst, later.worst, key=lambda one: one.rank)
        return both


@dataclass(slots=True)
class _Trouble:
    """Of the pair, or of one replica: from the first verdict that was told to the last."""

    began_wall: float
    told: set[str] = field(default_factory=set)
    relapses: int = 0
    well_since: float | None = None
    well: Event | None = None


class Pacer:
    """Of one channel and one pair. `take` what happens; when `due` has passed, `begin` a message,
    and say how that went by `sent` or `failed`."""

    def __init__(self, takes: Callable[[Event], bool], per_minute: int) -> None:
        """`takes`: what is told. Of a trouble that was, the end is told too."""
        self._takes = takes
        self._per_minute = per_minute
        self._troubles: dict[str, _Trouble] = {}
        self._waiting = Batch()
        self._since = 0.0  # when the first of what waits came
        self._sending: Batch | None = None
        self._sent_at: deque[float] = deque(maxlen=per_minute)
        self._attempts = 0
        self._retry_at = 0.0

    @property
    def waiting(self) -> int:
        """How many events have not been told yet."""
        batches = [self._waiting] if self._sending is None else [self._waiting, self._sending]
        return sum(len(one.lines) + one.beyond.total() + one.lost for one in batches)

    def take(self, events: Iterable[Event], now: float, lost: int = 0) -> None:
        """These have happened, and `lost` more of which nothing else is known."""
        if lost:
            self._mark(now)
            self._waiting.lost += lost
        for event in events:
            if event.kind is Kind.VERDICT:
                self._verdict(event, now)
            elif self._takes(event):
                self._add(Line(event), now)

    def _add(self, line: Line, now: float) -> None:
        self._mark(now)
        self._waiting.add(line)

    def _mark(self, now: float) -> None:
        if not self._waiting:
            self._since = now

    def _verdict(self, event: Event, now: float) -> None:
        whose = event.fields.get("node", "")
        trouble = self._troubles.get(whose)
        if event.subject in HEALTHY:
            if trouble is not None:
                trouble.well_since, trouble.well = now, event
            elif self._takes(event):
                self._add(Line(event), now)
            return
        if trouble is not None and trouble.well_since is not None:
            trouble.well_since = None
            trouble.relapses += 1
        if not self._takes(event):
            return
        if trouble is None:
            trouble = self._troubles[whose] = _Trouble(event.wall)
        if event.subject not in trouble.told:
            trouble.told.add(event.subject)
            self._add(Line(event), now)

    # -- when ------------------------------------------------------------------------------------

    def due(self, now: float, *, hurry: bool = False) -> float | None:
        """In how many seconds there is something to do, 0 for now; None: nothing.

        `hurry`: what waits is sent without gathering more, since nothing comes any more, and
        whatever was sent in this minute.
        """
        self._resolve(now)
        times = [
            one.well_since + QUIET_SECONDS
            for one in self._troubles.values()
            if one.well_since is not None
        ]
        if self._waiting and self._sending is None:
            at = max(self._since + (0.0 if hurry else GATHER_SECONDS), self._retry_at)
            if len(self._sent_at) == self._per_minute and not hurry:
                at = max(at, self._sent_at[0] + MINUTE_SECONDS)
            times.append(at)
        return max(0.0, min(times) - now) if times else None

    def _resolve(self, now: float) -> None:
        for whose, one in list(self._troubles.items()):
            if one.well_since is None or one.well is None or now < one.well_since + QUIET_SECONDS:
                continue
            del self._troubles[whose]
            text = f"{one.well.text} (after {_took(one.well.wall - one.began_wall)}"
            if one.relapses:
                times = "once" if one.relapses == 1 else f"{one.relapses} times"
                text += f"; it had seemed so {times} before"
            event = Event(one.well.wall, one.well.pair, Kind.VERDICT, f"{text})", one.well.fields)
            self._add(Line(event, resolved=True), now)

    # -- a message -------------------------------------------------------------------------------

    def begin(self) -> Batch:
        """What is to be told now."""
        self._sending, self._waiting = self._waiting, Batch()
        return self._sending

    def sent(self, now: float) -> None:
        self._sent_at.append(now)
        self._sending, self._attempts, self._retry_at = None, 0, 0.0

    def failed(self, now: float) -> None:
        """It is put before what has come meanwhile, and told with that."""
        if self._sending is not None:
            self._waiting = self._sending.before(self._waiting)
        self._sending = None
        self._attempts += 1
        pause = backoff_seconds(self._attempts, RETRY_FIRST_SECONDS, RETRY_LIMIT_SECONDS)
        self._retry_at = now + pause


def _took(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60} min"
