"""Every plan, step and verdict, to the journal and to the log, in one sentence each.

A journal that cannot be written (a full disk) is said once and never keeps a step from being done.
"""

from __future__ import annotations

import sys
import threading
from datetime import UTC, datetime
from typing import TextIO

from myha.errors import MyhaError
from myha.ports import Journal


def log(name: str, kind: str, text: str, to: TextIO | None = None) -> None:
    """A line of the log, about a pair or about the process."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
    try:
        print(f"{stamp}Z {name} {kind:<14} {text}", file=to or sys.stderr, flush=True)
    except OSError:
        return  # a log on a full disk: the journal and the control socket still tell


class LoggedJournal:
    """Implements `myha.ports.Journal` by another one; safe for several threads.

    Every line of the log carries the pair's name: a process may have several pairs.
    """

    def __init__(self, journal: Journal, pair: str, log: TextIO | None = None) -> None:
        self._journal = journal
        self._pair = pair
        self._log = sys.stderr if log is None else log
        self._lock = threading.Lock()
        self.failure = ""

    def note(self, kind: str, text: str, fields: dict[str, str]) -> None:
        self._show(kind, text)
        try:
            self._journal.note(kind, text, fields)
        except MyhaError as error:
            if not self.failure:
                self._show("journal", f"cannot be written, continuing without it: {error}")
            self.failure = str(error)
            return
        if self.failure:
            self._show("journal", "can be written again")
            self.failure = ""

    def _show(self, kind: str, text: str) -> None:
        with self._lock:
            log(self._pair, kind, text, self._log)
