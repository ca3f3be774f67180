"""Ends a worker process in which the loop of one pair hangs while the process itself goes on.

A thread that hangs cannot be ended, holds the pair's lease and may yet wake up: only the end of its
process is certain. The next process begins all of its pairs anew, as after a crash. A process that
hangs as a whole is for whoever started it to end (`workers`), and one of a single pair for systemd.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from myha.core.events import Kind
from myha.errors import MyhaError
from myha.supervisor.journal import ITSELF, log
from myha.supervisor.runner import PairRunner

CHECK_SECONDS = 1.0
# As many checks without a turn, of which a loop makes at least two a second. Counted rather than
# timed: a process that stood still as a whole (SIGSTOP, a paused machine) makes no checks either.
HUNG_CHECKS = 60
# Others' plans under way are let finish, for so many checks.
PATIENCE_CHECKS = 30
JOURNAL_SECONDS = 2.0  # what hangs may be the journal
EXIT_STATUS = 70  # EX_SOFTWARE of sysexits.h


class Rounds:
    """How many checks each loop has not come round for. Pure."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[object, int]] = {}
        self._still: dict[str, int] = {}

    def see(self, now: Mapping[str, tuple[object, int]]) -> dict[str, int]:
        """By pair: its supervisor, and the turns that it has begun. The checks without a turn."""
        self._still = {
            name: self._still.get(name, 0) + 1 if self._last.get(name) == seen else 0
            for name, seen in now.items()
        }
        self._last = dict(now)
        return self._still


class Stillness:
    """A thread that looks at all pairs of this process, once every CHECK_SECONDS."""

    def __init__(self, runners: Callable[[], Iterable[PairRunner]]) -> None:
        self._runners = runners
        self._rounds = Rounds()
        self._patience = PATIENCE_CHECKS

    def start(self) -> None:
        threading.Thread(target=self._run, name="stillness", daemon=True).start()

    def _run(self) -> None:
        while not self.check():
            time.sleep(CHECK_SECONDS)
        os._exit(EXIT_STATUS)

    def check(self) -> bool:
        """Once: whether the process has to end, and now is the time."""
        runners = {one.name: one for one in self._runners()}
        still = self._rounds.see(
            {name: seen for name, one in runners.items() if (seen := one.rounds) is not None}
        )
        hung = {name for name, checks in still.items() if checks >= HUNG_CHECKS}
        for name, one in runners.items():
            if name in hung and not one.hangs:
                self._log_hang(one, len(runners) - 1)
            elif name not in hung and one.hangs:
                log(name, Kind.UNSUPERVISED, "its loop comes round again")
                one.hang("")
        if not hung:
            self._patience = PATIENCE_CHECKS
            return False
        self._patience -= 1
        others = [one for name, one in runners.items() if name not in hung]
        return self._patience <= 0 or not any(one.busy for one in others)

    def _log_hang(self, runner: PairRunner, others: int) -> None:
        """Say so everywhere, and where exactly it hangs."""
        seconds = HUNG_CHECKS * CHECK_SECONDS
        why = f"its loop has not come round for {seconds:.0f} s"
        runner.hang(f"{why}; its process is ended, and it begins anew")
        text = f"{why}: its process is ended and begun anew, with {others} other pairs"
        log(runner.name, Kind.UNSUPERVISED, text)
        _print_stack(runner)
        writing = threading.Thread(target=_to_journal, args=(runner, text), daemon=True)
        writing.start()
        writing.join(JOURNAL_SECONDS)


def _to_journal(runner: PairRunner, text: str) -> None:
    """Its own file alone: the log has it already."""
    with suppress(MyhaError):
        runner.note(Kind.UNSUPERVISED, text)


def _print_stack(runner: PairRunner) -> None:
    """On standard error, as Python shows a defect."""
    frame = sys._current_frames().get(runner.thread_id or 0)
    if frame is not None:
        log(ITSELF, Kind.WORKER, f"where the loop of {runner.name} hangs, its last call last:")
        traceback.print_stack(frame, file=sys.stderr)
