"""The picture of a status at any width, and the live screen: it fits, and ends as it began."""

from __future__ import annotations

import io
import os
import pty
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from myha.cli import live
from myha.cli.picture import picture, progress_bar, sparkline
from myha.cli.screen import Seen, essence, screen
from myha.core.followers.planning import decide as decide_on_replica
from myha.core.journal_line import Line
from myha.core.planning import decide
from myha.errors import MyhaError
from myha.supervisor.followers.status import replica_status
from myha.supervisor.status import Status
from myha.supervisor.status_builder import build_status
from tests.configurations import write_config
from tests.core.follower_situations import view as replica_view
from tests.core.situations import SITUATIONS, VARIANTS
from tests.core.views import view
from tests.waiting import until

ALL = {**SITUATIONS, **VARIANTS}
EVENT = Line(1, 0.0, 1e9, "step", "take a out of writer " * 9, {"took_ms": "3.0"})


def status(name: str = "") -> Status:
    seen = ALL[name] if name else view()
    decision = decide(seen)
    made = build_status("a-pair-with-a-long-name", seen, decision, decision.plan)
    now = replica_view()
    replica = replica_status(now, decide_on_replica(now), None)
    return made.model_copy(update={"replicas": {"reports": replica}})


def drawn(seen: Any, width: int, height: int = 24, *, encoding: str = "utf-8") -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, width=width, height=height, force_terminal=True, no_color=True)
    if isinstance(seen, Status):
        console.print(picture(seen, width))
    else:
        console.print(screen(seen, console, height, full_seconds=10))
    out.flush()
    out.seek(0)
    return [_plain(line) for line in out.read().splitlines()]


def _plain(line: str) -> str:
    while "\x1b[" in line:
        before, _, rest = line.partition("\x1b[")
        line = before + rest.partition("m")[2]
    return line


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_every_situation_fits(width: int) -> None:
    for name in ALL:
        lines = drawn(status(name), width)
        assert max(map(len, lines)) <= width, name
        rows = [line for line in lines if line.startswith(("db1 ", "db2 ", "reports "))]
        assert len(rows) >= 2, f"{name}: a server is a line"


def test_at_80_columns_nothing_is_cut_off() -> None:
    lines = drawn(status(), 80)
    assert not any("…" in line for line in lines)
    assert any(line.split() == ["db1", "══►", "db2", "──►", "reports"] for line in lines)


def test_the_events_take_the_room_that_is_left() -> None:
    events = tuple(replace(EVENT, id=number) for number in range(50))
    for height in (20, 40):
        lines = drawn(Seen(status(), {"db2": (0.0, 1.0)}, events), 80, height)
        assert len(lines) == height
        assert lines[-1].startswith("01:46:40 step: take a out of")
        assert lines[-1].endswith("…")


def test_a_terminal_without_unicode_gets_none() -> None:
    seen = Seen(status(), {"db2": (0.1, 9.0)})
    assert all(line.isascii() for line in drawn(seen, 100, encoding="ascii"))


def test_the_line_of_the_lag() -> None:
    assert sparkline([0, 5, 10, 99], 10, 8) == "▁▅██"
    assert sparkline([0, 5, 10, 99], 10, 2) == "██"
    assert sparkline([0, 10], 10, 2, plain=True) == "_#"


def test_progress() -> None:
    assert progress_bar(None) == ""
    assert progress_bar(50) == f"[{'#' * 10}{'.' * 10}] "
    assert progress_bar(200) == f"[{'#' * 20}] "


def test_what_always_moves_is_no_reason_for_another_picture() -> None:
    seen = Seen(status())
    node = seen.status.nodes["db2"].model_copy(update={"lag_seconds": 3.0, "sessions": 9})
    nodes = {**seen.status.nodes, "db2": node}
    moved = replace(seen, status=seen.status.model_copy(update={"nodes": nodes}))
    assert essence(moved) == essence(seen)
    other = replace(seen, status=seen.status.model_copy(update={"verdict": "solo"}))
    assert essence(other) != essence(seen)


def test_what_is_old_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that fails or hangs leaves the last picture, and its age."""
    monkeypatch.setattr(live, "STALE_SECONDS", 0.0)
    fails = threading.Event()

    def fetch() -> str:
        if fails.is_set():
            raise MyhaError("no supervisor")
        return "the picture"

    monkeypatch.setattr(live, "FETCH_SECONDS", 0.01)
    fetcher = live.Fetcher(fetch)
    until(lambda: fetcher.latest.seen, "it fetches")
    console = Console(file=io.StringIO(), width=80, height=10)
    console.print(live._whole(console, fetcher.latest, lambda seen, _c, _h: seen))
    fails.set()
    until(lambda: fetcher.latest.error, "it fails")
    console.print(live._whole(console, fetcher.latest, lambda seen, _c, _h: seen))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("the picture") == 2
    assert "OLD: seen at" in said
    assert "no supervisor" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_left_as_it_was(tmp_path: Path, number: signal.Signals) -> None:
    path = write_config(tmp_path)
    process, terminal = pty.fork()
    if process == 0:  # in the child
        os.environ.update(TERM="xterm", COLUMNS="80", LINES="24")
        words = ["-m", "myha", "--config", str(path), "status", "--watch"]
        os.execv(sys.executable, [sys.executable, *words])
    said = bytearray()

    def read() -> None:
        while True:
            try:
                chunk = os.read(terminal, 65536)
            except OSError:  # the other end is closed
                return
            if not chunk:
                return
            said.extend(chunk)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        until(lambda: b"no supervisor is running here" in said, "it draws")
        assert b"\x1b[?1049h" in said, "on a screen of its own"
        os.kill(process, number)
        reader.join(60)
        _, ended = os.waitpid(process, 0)
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(ended) == 0
    assert b"\x1b[?1049l" in said, "and back"
    assert b"\x1b[?25h" in said, "with its cursor"
    assert b"Traceback" not in said
