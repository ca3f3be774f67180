"""How long work says how far it is: one protocol, and who listens on the other side.

A heal, a verify or a reader of conflicts gets a `Reporter` and knows nothing of who reads it: the
daemon that started it as a process of its own (`JsonReporter`), or an operator
(`myha.operations.terminal.TerminalReporter`).
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol, TextIO

from myha.core.events import Kind
from myha.core.journal_line import Note
from myha.core.values import value
from myha.permit import Permit

# Progress of one phase is told this often at most; a new phase and its end are told at once.
REPORT_EVERY_SECONDS = 0.2
# A rate is of the last so many seconds, so that it follows what happens now.
RATE_WINDOW_SECONDS = 5.0
UNITS = {1 << 30: "GiB", 1 << 20: "MiB", 1 << 10: "KiB"}

# Shows one line to whoever sits at the terminal.
Tell = Callable[[str], None]


class Reporter(Protocol):
    """What an operation tells while it runs, and its permit to go on. Never raises."""

    permit: Permit

    def progress(self, now: Progress) -> None:
        """How far it is."""

    def event(self, kind: Kind, text: str, **fields: str) -> None:
        """A line for the journal: what was done, in one sentence, without a password."""


class WithPermit:
    """A reporter as it was, for work with another permit."""

    def __init__(self, reporter: Reporter, permit: Permit) -> None:
        self.permit = permit
        self._reporter = reporter
        self.progress = reporter.progress

    def event(self, kind: Kind, text: str, **fields: str) -> None:
        self._reporter.event(kind, text, **fields)


@value(frozen=True, slots=True)
class Progress:
    """How far one phase is: `done` of `total` (None: not known), `rate` a second, in `unit`."""

    phase: str
    done: float = 0.0
    total: float | None = None
    unit: str = ""
    rate: float | None = None
    left_seconds: float | None = None
    text: str = ""

    @property
    def percent(self) -> float | None:
        """From 0 to 100; None while the total is not known."""
        if not self.total:
            return None
        return max(0.0, min(100.0, 100.0 * self.done / self.total))

    def line(self) -> str:
        """All of it in one line: `copy 42% (1.3 of 3.1 GiB), 210.4 MiB/s, 9 s left`."""
        words = [self.phase]
        if self.percent is not None:
            words.append(f"{self.percent:.0f}%")
        if self.unit and self.total:
            words.append(f"({amount(self.done, self.unit)} of {amount(self.total, self.unit)})")
        elif self.unit and self.done:
            words.append(f"({amount(self.done, self.unit)})")
        parts = [" ".join(words)]
        if self.rate and self.unit:
            parts.append(f"{amount(self.rate, self.unit)}/s")
        if self.left_seconds is not None:
            parts.append(f"{duration(self.left_seconds)} left")
        if self.text:
            parts.append(self.text)
        return ", ".join(parts)

    @staticmethod
    def of(raw: dict[str, Any]) -> Progress:
        """From the fields of a `progress` line; what is missing keeps its default."""
        known = {name: raw[name] for name in Progress.__slots__ if name in raw}
        return Progress(**{"phase": "", **known})


def amount(number: float, unit: str) -> str:
    """`1.3 GiB`, `12,345 rows`."""
    if unit != "bytes":
        return f"{number:,.0f} {unit}"
    for size, name in UNITS.items():
        if number >= size:
            return f"{number / size:.1f} {name}"
    return f"{number:.0f} bytes"


def duration(seconds: float) -> str:
    """`9 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Meter:
    """Turns a count into progress with rate and time left, told at a bearable pace."""

    def __init__(
        self, reporter: Reporter, phase: str, *, total: float | None = None, unit: str = ""
    ) -> None:
        self.phase, self.total, self.unit = phase, total, unit
        self.done = 0.0
        self._reporter = reporter
        now = time.monotonic()
        self._marks = [(now, 0.0)]
        self._reported_at = 0.0
        self.report()

    def advance(self, count: float = 1.0, text: str = "") -> None:
        self.to(self.done + count, text)

    def to(self, done: float, text: str = "") -> None:
        """`done` units in all are done; told when the last time is long enough ago."""
        self.done = done
        if time.monotonic() - self._reported_at >= REPORT_EVERY_SECONDS:
            self.report(text)

    def report(self, text: str = "") -> None:
        """Report it now, whenever it was reported last."""
        now = self._reported_at = time.monotonic()
        while len(self._marks) > 1 and now - self._marks[1][0] > RATE_WINDOW_SECONDS:
            self._marks.pop(0)
        since, before = self._marks[0]
        self._marks.append((now, self.done))
        rate = (self.done - before) / (now - since) if now - since > 0.05 else None
        left = None
        if self.total is not None and rate:
            left = max(0.0, self.total - self.done) / rate
        self._reporter.progress(
            Progress(self.phase, self.done, self.total, self.unit, rate, left, text)
        )


class JsonReporter:
    """One JSON object a line to whoever started this process; one that has gone ends the permit.

    Safe for several threads. Exactly one of `done`, `refused` and `failed` ends the work.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self.permit = Permit()
        self._phase = ""
        self._reported_at = 0.0

    def progress(self, now: Progress) -> None:
        at = time.monotonic()
        ended = now.total is not None and now.done >= now.total
        if now.phase == self._phase and not ended and at - self._reported_at < REPORT_EVERY_SECONDS:
            return
        self._phase, self._reported_at = now.phase, at
        self._write({"progress": asdict(now)})

    def event(self, kind: Kind, text: str, **fields: str) -> None:
        self._write({"event": Note(kind, text, fields).as_json()})

    def done(self, text: str, **more: Any) -> None:
        """It is as it should be. `more` is kept with the outcome."""
        self._write({"done": {"text": text, **more}})

    def refused(self, reason: str) -> None:
        """Nothing was changed, and trying again would not help; another method may."""
        self._write({"refused": {"reason": reason}})

    def failed(self, reason: str) -> None:
        """It did not reach its end, and may be run again."""
        self._write({"failed": {"reason": reason}})

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, default=str) + "\n"
        with self._lock:
            try:
                self._out.write(text)
                self._out.flush()
            except (OSError, ValueError):
                self.permit.withdraw("since nobody reads what it tells")
