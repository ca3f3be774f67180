"""What is known of all pairs, as last told by the supervisor, and who listens to changes of it.

Used by the event loop's thread only.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from myha.core.journal_line import Line
from myha.errors import MyhaError
from myha.supervisor.overview import PairLine, away, worst_first
from myha.supervisor.status import Status

Data = dict[str, Any]

# Without a word from the supervisor for so long, what is known is called old.
SILENT_SECONDS = 2.5
QUEUE_LIMIT = 512
MAX_LISTENERS = 200
# Who has asked for a pair is likely to ask again.
ASKED_SECONDS = 30.0
NO_PAIR = ""


def encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def event(name: str, value: Any) -> bytes:
    """A server-sent event; JSON has no line breaks of its own."""
    return b"event: " + name.encode() + b"\ndata: " + encoded(value) + b"\n\n"


def _status_event(name: str, body: bytes) -> bytes:
    return b'event: status\ndata: {"pair":' + encoded(name) + b',"status":' + body + b"}\n\n"


@dataclass(slots=True)
class PairKnown:
    """One pair; `status` is None while nobody supervises it, `body` its JSON as the supervisor sent
    it. `at`: when the supervisor said so, or last had nothing else to say; of the monotonic clock.
    """

    line: PairLine
    status: Status | None
    at: float
    body: bytes = b""


@dataclass(eq=False, slots=True)
class Listener:
    """Who reads the stream. `pair`: only what is said of this one, and of NO_PAIR what is said of
    all together."""

    pair: str | None = None
    queue: asyncio.Queue[bytes | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_LIMIT)
    )
    lost: bool = False

    def put(self, what: bytes) -> None:
        """One that does not read fast enough is let go: it gets everything when it comes back."""
        try:
            self.queue.put_nowait(what)
        except asyncio.QueueFull:
            self.lost = True


class Known:
    """Taken from answers of `watch`, given to requests and listeners."""

    def __init__(self, names: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began_at = clock()
        self._sources: dict[str, dict[str, PairKnown]] = {}
        self._heard_at: dict[str, float] = {}
        self._silence: dict[str, str] = {}
        self._listeners: set[Listener] = set()
        self._said: tuple[bool, bytes] = (False, b"")
        self._asked_at: dict[str, float] = {}
        # Of which pairs somebody wants to see at once what moves by itself; True: of all. Other
        # threads read this.
        self.watched: list[str] | bool = []
        self.names: tuple[str, ...] = tuple(names)
        self.url = ""
        self.changed_pairs: list[Callable[[str, Status], None]] = []

    # -- what comes in -----------------------------------------------------------------------------

    def take(self, source: str, answer: Data) -> None:
        """An answer of `watch` from one source."""
        now = self._clock()
        self._heard_at[source] = now
        self._silence.pop(source, None)
        mine = self._sources.setdefault(source, {})
        for name in mine.keys() - set(answer["names"]):
            del mine[name]
        for known in mine.values():
            if known.status is None:  # else it moves, and is old until that has been said
                known.at = now
        for name, one in answer["pairs"].items():
            mine[name] = known = self._known(name, one, now)
            if known.status is not None:
                self._publish_status(name, known.status, known.body)
        self.publish_overview()

    def _known(self, name: str, said: Data, now: float) -> PairKnown:
        line, raw = PairLine.model_validate(said["line"]), said["status"]
        if raw is None:
            return PairKnown(line, None, now)
        raw["url"] = self.url
        try:
            return PairKnown(line, Status.of_json(raw), now, encoded(raw))
        except MyhaError as error:  # of another version than this process
            return PairKnown(away(name, str(error)), None, now)

    def silent(self, source: str, why: str, *, gone: bool) -> None:
        """One source does not answer. `gone`: so does the supervisor itself say, and nobody looks
        after its pairs; else what was known of them stays as it is, and gets old."""
        self._silence[source] = why
        if gone:
            mine = self._sources.setdefault(source, {})
            for name in mine:
                mine[name] = PairKnown(away(name, why), None, self._clock())
        self.publish_overview()

    def journal(self, pair: str, lines: Iterable[Line]) -> None:
        for line in lines:
            self._publish(event("journal", {"pair": pair, "line": line.as_json()}), pair)

    # -- what goes out -----------------------------------------------------------------------------

    def pair(self, name: str) -> PairKnown | None:
        for known in self._sources.values():
            if name in known:
                return known[name]
        return None

    def asked(self, name: str) -> PairKnown | None:
        """The pair, for somebody who wants to see its status as it is now."""
        found = self.pair(name)
        if found is not None:
            self._asked_at[name] = self._clock()
            self._note_watched()
        return found

    def _note_watched(self) -> None:
        now = self._clock()
        self._asked_at = {n: at for n, at in self._asked_at.items() if now - at < ASKED_SECONDS}
        heard = {one.pair for one in self._listeners}
        named = {name for name in heard if name is not None and name != NO_PAIR}
        self.watched = None in heard or sorted(named | self._asked_at.keys())

    def age_seconds(self, name: str) -> float:
        """How old what is known of the pair is."""
        known = self.pair(name)
        return self._clock() - (self._began_at if known is None else known.at)

    def statuses(self) -> list[tuple[str, Status]]:
        return [(name, status) for name, status, _ in self._supervised()]

    def _supervised(self) -> list[tuple[str, Status, bytes]]:
        return [
            (name, one.status, one.body)
            for known in self._sources.values()
            for name, one in sorted(known.items())
            if one.status is not None
        ]

    def lines(self) -> list[PairLine]:
        """One for each pair, the worst first; also of those that nobody has said anything of."""
        found: dict[str, PairLine] = {}
        for known in self._sources.values():
            found |= {name: one.line for name, one in known.items()}
        silence = "; ".join(self._silence.values())
        for name in self.names:
            if name not in found:
                found[name] = away(name, silence or "not begun yet")
        return worst_first(found.values())

    def supervisor(self) -> Data:
        """Whether it answers, and since when it has not; `text` says why."""
        heard = min(self._heard_at.values(), default=None)
        silent = self._clock() - (self._began_at if heard is None else heard)
        answering = heard is not None and silent < SILENT_SECONDS
        text = "" if answering else "; ".join(self._silence.values()) or "it does not answer"
        return {
            "answering": answering,
            "silent_seconds": 0.0 if answering else round(silent, 1),
            "text": text,
        }

    def overview(self) -> Data:
        lines = [line.model_dump(mode="json") for line in self.lines()]
        return {"pairs": lines, "supervisor": self.supervisor()}

    # -- listeners ---------------------------------------------------------------------------------

    def listen(self, pair: str | None) -> Listener | None:
        """A new one, which is given all that is known first; None when there are too many."""
        if len(self._listeners) >= MAX_LISTENERS:
            return None
        one = Listener(pair)
        one.put(event("pairs", self.overview()))
        for name, _, body in self._supervised():
            if pair in (None, name):
                one.put(_status_event(name, body))
        self._listeners.add(one)
        self._note_watched()
        return one

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def end(self) -> None:
        """Nothing more comes."""
        for one in self._listeners:
            one.lost = True
            if not one.queue.full():
                one.queue.put_nowait(None)

    def publish_overview(self) -> None:
        """Where they have changed, or whether the supervisor answers has."""
        self._note_watched()
        lines = encoded([line.model_dump(mode="json") for line in self.lines()])
        said = (bool(self.supervisor()["answering"]), lines)
        if said != self._said:
            self._said = said
            self._publish(event("pairs", self.overview()), None)

    def _publish_status(self, name: str, status: Status, body: bytes) -> None:
        for heard in self.changed_pairs:
            heard(name, status)
        if self._listeners:
            self._publish(_status_event(name, body), name)

    def _publish(self, what: bytes, pair: str | None) -> None:
        for one in self._listeners:
            if pair is None or one.pair in (None, pair):
                one.put(what)
