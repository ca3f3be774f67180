"""What would hold a reader up, done beside it: connecting, and asking how far the server is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tenacity import RetryCallState, RetryError, Retrying, retry_if_exception_type
from tenacity.wait import wait_exponential

from myha.conflicts.wire import Link
from myha.core.values import value
from myha.database.codes import SYNTAX_ERROR
from myha.database.session import WarmSession
from myha.errors import ServerError

ASK_EVERY_SECONDS = 1.0


@value(frozen=True, slots=True)
class End:
    """Where a server's binary log ended when it was asked."""

    file: str
    position: int  # bytes
    sizes: tuple[tuple[str, int], ...]  # of the files, oldest first; only asked for when needed
    was_reset: bool  # what the reader had read by then is not there any more


@value(frozen=True, slots=True)
class ReadUpTo:
    """Where the reader was when it last said so."""

    file: str
    log_pos: int  # bytes


class Companion:
    """A thread for one node. Hand-over is by single attributes, which need no lock."""

    def __init__(self, name: str, make_link: Callable[[], Link], session: WarmSession) -> None:
        self.name = name
        self.end: End | None = None
        self.error = ""
        self.read_up_to: ReadUpTo | None = None  # of the reader, which says so now and then
        self._make_link = make_link
        self._session = session
        self._old_words = False
        self._link: Link | None = None
        self._needed = threading.Event()
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"conflicts-{name}", daemon=True)

    def start(self) -> None:
        self._needed.set()
        self._thread.start()

    def need_link(self) -> None:
        """The reader's connection is lost: make another one."""
        self._needed.set()
        self._wake.set()

    @property
    def ready(self) -> bool:
        return self._link is not None

    def take_link(self) -> Link:
        """The new connection, which is the caller's from now on."""
        link, self._link = self._link, None
        if link is None:
            raise RuntimeError("there is no link to take")
        return link

    def stop(self) -> None:
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        if self._link is not None:
            self._link.close()
        self._session.close()

    def _run(self) -> None:
        while not self._ended.is_set():
            if self._needed.is_set():
                with suppress(RetryError):
                    self._connect()
            with suppress(ServerError):
                self.end = self._ask()
            self._wake.wait(ASK_EVERY_SECONDS)
            self._wake.clear()

    def _connect(self) -> None:
        retrying = Retrying(
            retry=retry_if_exception_type(ServerError),
            wait=wait_exponential(multiplier=0.05, max=2.0),
            stop=lambda _state: self._ended.is_set(),
            sleep=lambda seconds: bool(self._ended.wait(seconds)),  # type: ignore[arg-type]
            after=self._note,
        )
        link = retrying(self._make_link)
        self.error = ""
        self._needed.clear()
        self._link = link

    def _note(self, state: RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome is not None else None
        self.error = str(failure or "")

    def _ask(self) -> End | None:
        read_up_to = (
            self.read_up_to
        )  # before the server is asked: it has at least what was read by then
        rows = self._status()
        if not rows:
            return None
        file, position = str(rows[0]["File"]), int(rows[0]["Position"])
        sizes: tuple[tuple[str, int], ...] = ()
        if read_up_to is not None and read_up_to.file != file:
            logs = self._session.query("SHOW BINARY LOGS")
            sizes = tuple((str(row[0]), int(row[1])) for row in logs)
        was_reset = read_up_to is not None and _was_reset(read_up_to, file, position, sizes)
        return End(file, position, sizes, was_reset)

    def _status(self) -> list[dict[str, Any]]:
        if not self._old_words:
            try:
                return self._session.query_named("SHOW BINARY LOG STATUS")
            except ServerError as error:
                if error.code != SYNTAX_ERROR:
                    raise
                self._old_words = True
        return self._session.query_named("SHOW MASTER STATUS")


def _was_reset(
    read_up_to: ReadUpTo, file: str, position: int, sizes: tuple[tuple[str, int], ...]
) -> bool:
    """A server goes on sending heartbeats for a log that a reset has removed.

    By places and not by GTIDs: a transaction that waits for an acknowledgement is in the log, and
    sent, before it counts as executed.
    """
    if file == read_up_to.file:
        return position < read_up_to.log_pos
    return read_up_to.file not in {name for name, _ in sizes}


def bytes_behind(end: End | None, file: str, position: int) -> int | None:
    """How much of the log the reader at this place has before it; None when that is not known."""
    if end is None or not file:
        return None
    if end.file == file:
        return max(0, end.position - position)
    names = [name for name, _ in end.sizes]
    if file not in names:
        return None
    at = names.index(file)
    return max(0, sum(size for _, size in end.sizes[at:-1]) - position + end.position)
