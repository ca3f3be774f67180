"""`python -m benchmarks.crossing`: crosses one row after the other, until its input ends.

The client that makes the conflicts is a process of its own that goes first, as the reader does: a
client that waits for a core after the server's OK would note it late, and the reader would look
faster than it is.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import pymysql

from myha.hosts.priority import set_niceness

MARK = "crossing:{number}:{node}"  # in the row, so that whoever sees its bytes knows it
MARK_BYTES = len(MARK.format(number="000000", node="a"))
BARRIER_SECONDS = 60.0


class _Crossing:
    """The two writers, and when each write of theirs was acknowledged."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._barrier = threading.Barrier(2)
        self._ended = threading.Event()
        first: int = order["first"]
        self._numbers = range(first, first + order["count"])
        self.written: dict[int, dict[str, float]] = {number: {} for number in self._numbers}

    def run(self) -> None:
        threads = [threading.Thread(target=self._write, args=(node,)) for node in "ab"]
        for thread in threads:
            thread.start()
        sys.stdin.read()
        self._ended.set()
        for thread in threads:
            thread.join()

    def _write(self, node: str) -> None:
        connection = pymysql.connect(**self._order["nodes"][node], autocommit=True)
        with connection, connection.cursor() as cursor:
            for number in self._numbers:
                if self._ended.is_set():
                    self._barrier.abort()
                try:
                    self._barrier.wait(BARRIER_SECONDS)
                except threading.BrokenBarrierError:
                    return
                mark = MARK.format(number=f"{number:06}", node=node)
                cursor.execute(f"UPDATE probe.t SET mark = '{mark}' WHERE id = {number}")
                self.written[number][node] = time.monotonic()
                self._ended.wait(self._order["every_seconds"])


def main() -> None:
    """Out comes `{number: {node: acknowledged}}`, of the writes that were made on both nodes."""
    order: dict[str, Any] = json.loads(sys.stdin.readline())
    set_niceness(order["niceness"])
    crossing = _Crossing(order)
    crossing.run()
    whole = {number: at for number, at in crossing.written.items() if len(at) == 2}
    print(json.dumps(whole))  # noqa: T201


if __name__ == "__main__":
    main()
