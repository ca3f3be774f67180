"""The log on standard error: lines for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime
from typing import Literal, TextIO

from myha.core.events import Event

Format = Literal["text", "json"]


class Log:
    """Where this process logs to. Safe for several threads; a log on a full disk is no error."""

    def __init__(self, format: Format = "text", to: TextIO | None = None) -> None:
        """`to` is standard error, as it is when a line is written, where nothing else is given."""
        self.format: Format = format
        self._to = to
        self._lock = threading.Lock()

    def print(self, event: Event) -> None:
        line = as_json(event) if self.format == "json" else as_text(event)
        try:
            with self._lock:
                print(line, file=self._to or sys.stderr, flush=True)
        except OSError:
            return  # the journal and the control socket still tell


def as_text(event: Event) -> str:
    return f"{_stamp(event.wall)} {event.pair} {event.kind:<14} {event.text}"


def as_json(event: Event) -> str:
    """`event` is the kind; `time` is in UTC. What is known of it beside is in `fields`."""
    line = {
        "time": _stamp(event.wall),
        "severity": event.severity,
        "pair": event.pair,
        "event": event.kind,
        "text": event.text,
        "fields": dict(event.fields),
    }
    return json.dumps(line, ensure_ascii=False)


def _stamp(wall: float) -> str:
    return datetime.fromtimestamp(wall, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


LOG = Log()  # the process's: there is one standard error
