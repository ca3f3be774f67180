"""A live screen: what is shown is fetched by a thread of its own, and drawn as often as is useful.

A supervisor that hangs, or a look that takes seconds, does not stop the clock on the screen, nor
Ctrl-C. Where there is no terminal that can be redrawn, what has changed is printed below what was.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import FrameType
from typing import Generic, TypeVar

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from myha.errors import MyhaError
from myha.hosts.signals import handled

FETCH_SECONDS = 0.5
DRAW_SECONDS = 0.25
STALE_SECONDS = 3.0

Seen = TypeVar("Seen")


@dataclass(frozen=True, slots=True)
class Latest(Generic[Seen]):
    """What was last fetched, when (monotonic and wall), and why there is nothing newer."""

    seen: Seen | None = None
    at: float = 0.0
    wall: float = 0.0
    error: str = ""


class Fetcher(Generic[Seen]):
    """Fetches again and again in a daemon thread."""

    def __init__(self, fetch: Callable[[], Seen]) -> None:
        self._fetch = fetch
        self._fresh = threading.Event()
        self.latest: Latest[Seen] = Latest(None, time.monotonic(), time.time())
        threading.Thread(target=self._run, name="fetch", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                self.latest = Latest(self._fetch(), time.monotonic(), time.time())
            except MyhaError as error:
                before = self.latest
                self.latest = Latest(before.seen, before.at, before.wall, str(error))
            self._fresh.set()
            time.sleep(FETCH_SECONDS)

    def await_news(self, seconds: float) -> bool:
        """Whether something was fetched since the last call."""
        there = self._fresh.wait(seconds)
        self._fresh.clear()
        return there


# Draws what was seen for a width, in at most so many lines.
Draw = Callable[[Seen, Console, int], RenderableType]


def watch(
    console: Console,
    fetch: Callable[[], Seen],
    draw: Draw[Seen],
    essence: Callable[[Seen], object],
) -> None:
    """Until Ctrl-C, SIGTERM, or the terminal's end, which leave the terminal as it was.

    `essence`: what of it is worth another picture where none can be redrawn.
    """

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    fetcher = Fetcher(fetch)
    try:
        with handled((signal.SIGTERM, signal.SIGHUP), end):
            if console.is_terminal and not console.is_dumb_terminal:
                _redraw(console, fetcher, draw)
            else:
                _append(console, fetcher, draw, essence)
    except KeyboardInterrupt:
        return


def _redraw(console: Console, fetcher: Fetcher[Seen], draw: Draw[Seen]) -> None:
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            latest = fetcher.latest
            live.update(_whole(console, latest, draw), refresh=True)
            fetcher.await_news(DRAW_SECONDS)


def _whole(console: Console, latest: Latest[Seen], draw: Draw[Seen]) -> RenderableType:
    head = _clock(latest)
    height = console.height - len(console.render_lines(head, pad=False))
    if latest.seen is None:
        return head
    return Group(head, draw(latest.seen, console, height))


def _clock(latest: Latest[Seen]) -> RenderableType:
    """When this was seen; said loudly once it is old."""
    stamp = datetime.fromtimestamp(latest.wall, UTC).strftime("%H:%M:%S")
    age = time.monotonic() - latest.at
    if latest.seen is None:
        return Text(latest.error or f"asking, for {age:.0f} s", style="bold" if age > 1 else "")
    if age < STALE_SECONDS and not latest.error:
        return Text(f"{stamp} UTC, Ctrl-C ends", style="dim", no_wrap=True, overflow="ellipsis")
    why = f": {latest.error}" if latest.error else ""
    return Text(f"OLD: seen at {stamp} UTC, {age:.0f} s ago{why}", style="bold red")


def _append(
    console: Console,
    fetcher: Fetcher[Seen],
    draw: Draw[Seen],
    essence: Callable[[Seen], object],
) -> None:
    shown: object = None
    while True:
        fetcher.await_news(60.0)
        latest = fetcher.latest
        now = (latest.error, None if latest.seen is None else essence(latest.seen))
        if now == shown:
            continue
        shown = now
        stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        console.print(Text(f"--- {stamp} {latest.error}".rstrip()))
        if latest.seen is not None and not latest.error:
            console.print(draw(latest.seen, console, 10_000))
