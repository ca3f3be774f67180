"""Threads that ask the supervisor for news, one for each of its processes, without end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from myha.api.journal import lines_of
from myha.config import Config
from myha.core.journal_line import Line
from myha.errors import MyhaError
from myha.stores.local.journal import last_line
from myha.supervisor.control import exchange
from myha.supervisor.pairs import WATCH

WAIT_SECONDS = 1
MARGIN_SECONDS = 3.0
# Between two questions: what happens in it is told together.
GATHER_SECONDS = 0.03
AGAIN_SECONDS = 0.5
LINES_AT_ONCE = 500

Data = dict[str, Any]
Take = Callable[[str, Data], None]
Silent = Callable[[str, str, bool], None]
Lines = Callable[[str, list[Line]], None]
Watched = Callable[[], list[str] | bool]  # the pairs, or True for all


class Feed(threading.Thread):
    """Of one source. What it finds it gives to three functions, from its own thread; `watched`
    says of which pairs somebody wants to see at once what moves by itself."""

    def __init__(  # noqa: PLR0917  # three of them are whom it tells
        self,
        control: Path,
        source: str,
        pairs: Callable[[], Mapping[str, Config]],
        take: Take,
        silent: Silent,
        lines: Lines,
        watched: Watched,
    ) -> None:
        super().__init__(name=f"feed-{source or 'supervisor'}", daemon=True)
        self._control = control
        self._source = source
        self._pairs = pairs
        self._take = take
        self._silent = silent
        self._lines = lines
        self._watched = watched
        self._life, self._version = "", 0
        self._read: dict[str, int] = {}

    def run(self) -> None:
        while True:
            try:
                answer = self._ask()
            except (OSError, ValueError, MyhaError) as error:
                gone = isinstance(error, MyhaError)
                self._silent(self._source, why_silent(error), gone)
                time.sleep(AGAIN_SECONDS)
                continue
            self._name_pairs(answer)
            self._take(self._source, answer)
            for name in answer["pairs"]:
                self._journal(name)
            time.sleep(GATHER_SECONDS)

    def _ask(self) -> Data:
        question = {
            "do": WATCH,
            "source": self._source,
            "life": self._life,
            "since": self._version,
            "wait": WAIT_SECONDS,
            "watched": self._watched(),
        }
        answer = exchange(self._control, question, WAIT_SECONDS + MARGIN_SECONDS)
        if not answer.get("ok"):
            raise MyhaError(str(answer.get("text")))
        self._life, self._version = str(answer["life"]), int(answer["version"])
        return answer

    def _name_pairs(self, answer: Data) -> None:
        """Commands that override a refusal name their pair, where there are several."""
        known = self._pairs()
        for name, one in answer["pairs"].items():
            option = known[name].option if name in known else ""
            status = one["status"]
            if not option or status is None:
                continue
            of_all = [status, *status.get("replicas", {}).values()]
            for refusal in (each for one in of_all for each in one["refusals"]):
                if refusal["override"] is not None:
                    refusal["override"] += option

    def _journal(self, name: str) -> None:
        """Its new lines. One that cannot be read is named in the status."""
        config = self._pairs().get(name)
        if config is None:
            return
        folder = config.cluster.state_dir
        try:
            if name not in self._read:
                self._read[name] = last_line(folder)
                return
            lines = lines_of(config, LINES_AT_ONCE, after=self._read[name])
        except MyhaError:
            return
        if lines:
            self._read[name] = lines[-1].id
            self._lines(name, lines)


def why_silent(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the supervisor does not answer"
    if isinstance(error, MyhaError):
        return str(error)
    if isinstance(error, OSError):
        return f"the supervisor does not answer ({error.strerror or error})"
    return "the supervisor ended before it answered"
