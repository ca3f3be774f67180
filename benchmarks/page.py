"""The page: how soon it shows a failover with many open, and how soon it shows anything at all.

`python -m benchmarks.page` opens one page in a real browser and as many more as said as streams of
events, kills the writer again and again, and compares the moment at which the journal has the new
writer on record with the one at which it stands on the screen. One clock, the machine's own.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import click
from playwright.sync_api import Browser, Page

from benchmarks.api import sandbox, url_of
from myha.database.flavours import FLAVOURS
from myha.sandbox.cluster import Cluster
from myha.supervisor.client import ask
from myha.supervisor.control import socket_path
from myha.waiting import wait_until
from tests.real import browser as chromium

DEADLINE_SECONDS = 120.0
POLL_SECONDS = 0.05
# Notes when the box of a node first says that it is the writer's: after the browser has laid it
# out, in the frame that it paints next.
WATCH = """node => {
  window.shown_at = 0;
  const seen = () => {
    const chip = document.querySelector(`[data-box="node ${node}"] .chip`);
    if (!window.shown_at && chip && chip.textContent.includes("writer"))
      window.shown_at = (performance.timeOrigin + performance.now()) / 1000;
    if (!window.shown_at) requestAnimationFrame(seen);
  };
  requestAnimationFrame(seen);
}"""
PAINTED = """() => {
  const paints = performance.getEntriesByType("paint");
  const first = paints.find(one => one.name === "first-contentful-paint");
  return first ? first.startTime : 0;
}"""


class Listener(threading.Thread):
    """A page that nobody looks at: it reads its stream, and knows when it had the new writer."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        where = urlsplit(url)
        assert where.hostname is not None
        assert where.port is not None
        self._socket = socket.create_connection((where.hostname, where.port), 60)
        self._socket.settimeout(None)
        head = f"GET /api/v1/stream?pair=sandbox HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n"
        self._socket.sendall(head.encode())
        self.wanted = b""
        self.had_at = 0.0

    def run(self) -> None:
        with self._socket.makefile("rb") as lines:
            for line in lines:
                if self.wanted and not self.had_at and self.wanted in line:
                    self.had_at = time.time()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def listening(url: str, count: int) -> Iterator[list[Listener]]:
    listeners = [Listener(url) for _ in range(count)]
    for one in listeners:
        one.start()
    try:
        yield listeners
    finally:
        for one in listeners:
            one.close()


class Measured:
    """One sandbox with its pages."""

    def __init__(self, cluster: Cluster, url: str, page: Page, listeners: list[Listener]) -> None:
        self._cluster = cluster
        self._url = url
        self._page = page
        self._listeners = listeners

    def _ask(self, **request: Any) -> Any:
        return ask(socket_path(self._cluster.state_dir), request)

    def _healthy(self) -> Any:
        status = self._ask(do="status")
        return status if status["verdict"] == "healthy" and not status["running"] else None

    def _await_healthy(self) -> Any:
        if found := wait_until(self._healthy, DEADLINE_SECONDS, POLL_SECONDS):
            return found
        raise SystemExit("the pair is not healthy again")

    def failover(self) -> tuple[float, list[float]]:
        """From the record to the screen, and to each of the streams, in ms."""
        before = str(self._await_healthy()["writer"])
        after = {"a": "b", "b": "a"}[before]
        for one in self._listeners:
            one.had_at, one.wanted = 0.0, f'"writer":"{after}"'.encode()
        self._page.evaluate(WATCH, after)
        killed_at = time.time()
        self._cluster.servers[before].kill()
        self._page.wait_for_function("window.shown_at > 0", timeout=DEADLINE_SECONDS * 1000)
        shown_at = float(self._page.evaluate("window.shown_at"))
        known_at = self._known_at(killed_at)
        had = [one.had_at for one in self._listeners]
        if not wait_until(lambda: all(one.had_at for one in self._listeners), 10.0, POLL_SECONDS):
            raise SystemExit(f"{had.count(0.0)} streams were told of no new writer")
        self._cluster.servers[before].await_gone(30.0)
        self._cluster.servers[before].start(90.0)
        streams = [(one.had_at - known_at) * 1000 for one in self._listeners]
        return (shown_at - known_at) * 1000, streams

    def _known_at(self, since: float) -> float:
        """When the journal had the new writer on record."""
        for one in self._ask(do="events", limit=200)["events"]:
            if one["wall"] > since and one["kind"] == "step" and one["text"].startswith("record"):
                return float(one["wall"])
        raise SystemExit("the journal has no failover")


def first_paints(browser: Browser, url: str, count: int) -> list[float]:
    """Of new pages with nothing in their cache, in ms from the beginning of the navigation."""
    found = []
    for _ in range(count):
        context = browser.new_context(bypass_csp=True)
        page = context.new_page()
        page.goto(url)
        page.wait_for_function(f"({PAINTED})() > 0")
        found.append(float(page.evaluate(PAINTED)))
        context.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="failovers")
    parser.add_argument("--pages", type=int, default=50, help="that are open, the browser's too")
    parser.add_argument("--flavour", choices=[*FLAVOURS], action="append")
    chosen = parser.parse_args()
    for flavour in chosen.flavour or [*FLAVOURS]:
        with sandbox(flavour) as cluster, chromium.running() as browser:
            measured = _measure(cluster, browser, chosen.pages, chosen.rounds)
            click.echo(json.dumps({"flavour": flavour, **measured}, indent=1))


def _measure(cluster: Cluster, browser: Browser, pages: int, rounds: int) -> dict[str, Any]:
    url, _ = url_of(cluster)
    painted = first_paints(browser, url, rounds)
    with listening(url, pages - 1) as listeners:
        page = browser.new_page(bypass_csp=True)
        page.goto(url)
        one = Measured(cluster, url, page, listeners)
        played = [one.failover() for _ in range(rounds)]
    return {
        "pages": pages,
        "first_paint_ms": _spread(painted),
        "record_to_screen_ms": _spread([shown for shown, _ in played]),
        "record_to_streams_ms": _spread([each for _, all_of in played for each in all_of]),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "min": round(min(values), 1),
        "median": round(median(values), 1),
        "max": round(max(values), 1),
        "count": len(values),
    }


if __name__ == "__main__":
    main()
