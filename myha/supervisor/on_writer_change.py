"""What is told of a change of writer outside of the pair: the name that follows the writer.

It has a thread of its own and is not waited for: a DNS server that hangs delays no failover. Whom
the name points to is not remembered: it is said again whenever a supervisor begins.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from myha.core.events import Kind
from myha.core.view import View
from myha.errors import MyhaError
from myha.ports import Journal

RETRY_SECONDS = 5.0


class OnWriterChange(threading.Thread):
    """Points the name to the writer, when that is open, and again until it has been done.

    `point` takes the address and the epoch, and returns within a limit of its own or raises
    MyhaError.
    """

    def __init__(
        self,
        point: Callable[[str, int], None],
        addresses: Mapping[str, str],
        journal: Journal,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        super().__init__(name="on-writer-change", daemon=True)
        self._point = point
        self._addresses = addresses
        self._journal = journal
        self._retry_seconds = retry_seconds
        self._changed = threading.Condition()
        self._wanted: tuple[str, int] | None = None
        self._ending = False
        self.failure = ""  # why the name does not follow; empty while it does

    def pair_seen(self, view: View) -> None:
        """From the loop's thread, after each of its turns. Waits for nothing."""
        record = view.record
        if record is None:
            return
        look = view.node(record.writer).look
        wanted = (record.writer, record.epoch)
        if wanted == self._wanted or look is None or not look.open:
            return
        with self._changed:
            self._wanted = wanted
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._ending = True
            self._changed.notify()

    def run(self) -> None:
        done: tuple[str, int] | None = None
        while True:
            with self._changed:
                if self._wanted == done and not self._ending:
                    self._changed.wait(self._retry_seconds if self.failure else None)
                wanted = self._wanted
                if self._ending:
                    return
            if wanted is not None and (wanted != done or self.failure):
                done = wanted
                self._try(*wanted)

    def _try(self, writer: str, epoch: int) -> None:
        address = self._addresses[writer]
        fields = {"node": writer, "epoch": str(epoch), "address": address}
        try:
            self._point(address, epoch)
        except MyhaError as error:
            if str(error) != self.failure:
                self.failure = str(error)
                self._journal.note(Kind.DNS_FAILED, self.failure, fields)
            return
        self.failure = ""
        self._journal.note(Kind.DNS, f"the name points to {address}, where {writer} is", fields)
