"""One node's side of a comparison: queries with deadlines, its history, waiting for the other's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import ClassVar

from myha.core.gtid import GtidSet
from myha.database.codes import DEADLOCK, LOCK_TIMEOUT
from myha.database.connection import Connect, Row
from myha.database.flavoured import FlavouredSession
from myha.database.flavours import Flavour
from myha.database.session import Deadline
from myha.errors import ServerGoneError, ServerSilentError
from myha.progress import Reporter
from myha.waiting import wait_until

STATEMENT_DEADLINE_SECONDS = 120.0
WAIT_SLICE_SECONDS = 1.0
POLL_SECONDS = 0.005
SNAPSHOT_TOO_OLD = 1020
# A table, column or key that is not there any more, or a definition that has just changed.
CHANGED = frozenset({1049, 1054, 1072, 1146, 1176, 1412, 1615, 1030, 1032})
DENIED = frozenset({1044, 1142, 1143, 1227})
BUSY = frozenset({LOCK_TIMEOUT, DEADLOCK, SNAPSHOT_TOO_OLD})


class ComparedNode(FlavouredSession):
    """A session on one node. For one thread at a time. Its errors name the node."""

    subject: ClassVar[str] = "verify"

    def __init__(self, name: str, connect: Connect, flavour: Flavour) -> None:
        super().__init__(connect(), flavour, STATEMENT_DEADLINE_SECONDS, where=name)
        self.name = name
        self.do("session")

    # ---- a locked look

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What is read in here with LOCK IN SHARE MODE stays as it is until the end."""
        self.do("begin")
        try:
            yield
        finally:
            with suppress(
                ServerGoneError, ServerSilentError
            ):  # then the server ends the transaction itself
                self.do("end")

    # ---- history

    def history(self) -> GtidSet:
        """Every transaction whose effect can be seen here, and some that are about to be."""
        return self.flavour.visible(self)

    def has(self, wanted: GtidSet) -> bool:
        """Whether all of it is committed here, at this moment."""
        return self.executed().contains(wanted)

    def await_history(self, wanted: GtidSet, seconds: float, reporter: Reporter) -> bool:
        """Wait until all of it can be seen here; False when that takes longer than `seconds`.

        Raises CancelledError.
        """
        deadline = Deadline(seconds)

        def seen() -> bool:
            reporter.permit.require()
            slice_seconds = min(WAIT_SLICE_SECONDS, deadline.left_seconds)
            return self.flavour.await_executed(self, wanted, slice_seconds)

        return wait_until(seen, seconds, POLL_SECONDS)


class ComparedPair:
    """The writer's and the standby's side, asked the same at the same time."""

    def __init__(self, connects: Mapping[str, Connect], flavour: Flavour) -> None:
        """Log in to both. `connects`: by the node's name, the writer's first."""
        (writer, first), (standby, second) = connects.items()
        self.writer = ComparedNode(writer, first, flavour)
        try:
            self.standby = ComparedNode(standby, second, flavour)
        except BaseException:
            self.writer.close()
            raise
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="verify")

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self.writer.close()
        self.standby.close()

    def query(self, sql: str) -> tuple[list[Row], list[Row]]:
        asked: list[Future[list[Row]]] = [
            self._threads.submit(side.query, sql) for side in (self.writer, self.standby)
        ]
        # Both are waited for whatever one says: a session serves one thread at a time.
        errors = [one.exception() for one in asked]
        for error in errors:
            if error is not None:
                raise error
        return asked[0].result(), asked[1].result()
