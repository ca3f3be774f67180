"""Every plan, step and verdict, to the journal and to the log, in one sentence each.

A journal that cannot be written (a full disk) is said once and never keeps a step from being done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from myha.core.events import Event, Kind
from myha.errors import MyhaError
from myha.ports import Journal
from myha.supervisor.log import LOG, Log

ITSELF = "supervisor"  # in place of a pair's name: the process


def log(name: str, kind: Kind, text: str) -> None:
    """A line of the log alone, about a pair or about the process."""
    LOG.print(Event(time.time(), name, kind, text))


class LoggedJournal:
    """Implements `myha.ports.Journal` by another one; safe for several threads.

    Every line of the log carries the pair's name: a process may have several pairs. `listeners` are
    shown each event, in whichever thread notes it, the loop's too: they must not wait for anything.
    """

    def __init__(self, journal: Journal, pair: str, log: Log = LOG) -> None:
        self._journal = journal
        self._pair = pair
        self._log = log
        self._lock = threading.Lock()
        self.listeners: list[Callable[[Event], None]] = []
        self.failure = ""
        self.on_line: Callable[[], None] = lambda: None  # waits for nothing

    def note(self, kind: Kind, text: str, fields: dict[str, str]) -> None:
        event = Event(time.time(), self._pair, kind, text, fields)
        with self._lock:  # the lines in the same order everywhere
            self._log.print(event)
            for listener in self.listeners:
                listener(event)
        try:
            self._journal.note(kind, text, fields)
        except MyhaError as error:
            if not self.failure:
                self._show(f"cannot be written, continuing without it: {error}")
            self.failure = str(error)
            return
        if self.failure:
            self._show("can be written again")
            self.failure = ""
        self.on_line()

    def _show(self, text: str) -> None:
        self._log.print(Event(time.time(), self._pair, Kind.JOURNAL, text))
