"""`python -m benchmarks.bare_reader`: both binary logs received, and nothing done with them.

What it gets is what the servers' own sending threads give to any reader. It looks for the marks of
the crossing writes in the bytes as they are, until its input ends, and then says when each arrived.
"""

from __future__ import annotations

import json
import re
import select
import sys
from pathlib import Path
from typing import Any

from benchmarks.arrivals import Arrivals
from benchmarks.crossing import MARK, MARK_BYTES
from myha.config import load
from myha.conflicts.wire import PIECE_BYTES, Link
from myha.database.connection import Endpoint
from myha.hosts.priority import set_niceness


def main() -> None:
    """The order is `{"config": PATH}`; out comes `[[number, node, arrived], ...]`."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    config = load(Path(order["config"]))
    set_niceness(config.timing.niceness)
    account = config.accounts.supervisor()
    streams: dict[int, _Stream] = {}
    for name, node in config.nodes.items():
        link = Link(Endpoint(node.host, node.port), account, config.accounts.tls, 1.0)
        link.start(link.executed)
        streams[link.fileno()] = _Stream(name, link)
    arrivals, poller = Arrivals(), select.poll()
    for number in (*streams, 0):
        poller.register(number, select.POLLIN | select.POLLHUP)

    def poll() -> list[int]:
        waiting = [number for number, one in streams.items() if one.link.pending()]
        return waiting or [number for number, _ in poller.poll()]

    while 0 not in (ready := arrivals.poll(poll, streams)):
        for number in ready:
            streams[number].read(arrivals, number)
    found = [(int(n), one.node, at) for one in streams.values() for n, at in one.seen.items()]
    print(json.dumps(found))  # noqa: T201


class _Stream:
    """One node's log: when the mark of each of the node's own writes arrived first."""

    def __init__(self, node: str, link: Link) -> None:
        self.node, self.link = node, link
        self.seen: dict[bytes, float] = {}
        self._marks = re.compile(MARK.format(number="(\\d{6})", node=node).encode())
        self._rest = b""

    def read(self, arrivals: Arrivals, number: int) -> None:
        arrived = arrivals.earliest(number)
        piece = self.link.read()
        if len(piece) < PIECE_BYTES:
            arrivals.emptied(number, self.link.heard_at)
        data = self._rest + piece
        self._rest = data[-MARK_BYTES:]
        for mark in self._marks.findall(data):
            self.seen.setdefault(mark, arrived)


if __name__ == "__main__":
    main()
