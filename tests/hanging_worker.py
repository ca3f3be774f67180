"""A worker with doubles for its pairs' supervisors: the loop of `ill` hangs, in the first process.

`python -m tests.hanging_worker DIRECTORY`; each supervisor leaves a file NAME.1, NAME.2 ... there.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

from myha.config import Config
from myha.ports import Lease
from myha.supervisor import line, stillness, worker
from myha.supervisor.runner import Make


class Turning:
    """Turns until it is told to stop; `ill` only the second time."""

    def __init__(self, config: Config, _leave: object, lease: Lease) -> None:
        self.name = config.cluster.name
        life = 1 + sum(1 for _ in FOLDER.glob(f"{self.name}.*"))
        (FOLDER / f"{self.name}.{life}").touch()
        self._hangs = self.name == "ill" and life == 1
        self._ended = threading.Event()
        self._lease = lease
        self.rounds = 1
        self.lanes: dict[str, Any] = {}
        self.loop = SimpleNamespace(running=None)
        self.journal_file = SimpleNamespace(note=lambda *_words: None)

    def run(self) -> None:
        while self._hangs:
            self._ended.wait()
        while not self._ended.wait(0.001):
            self.rounds += 1

    def stop(self, _reason: str) -> None:
        self._ended.set()

    def announce_to(self, to: Any) -> None:
        self._news = to

    def close(self) -> None:
        self._lease.release()


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    stillness.CHECK_SECONDS = 0.02
    with patch.object(line, "require_record"):
        sys.exit(worker.main(cast("Make", Turning)))
