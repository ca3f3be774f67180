"""What the servers say of their tables, asked beforehand and beside the reader.

On a server whose cores are all in use a question about a table was seen to take 130 ms, and the
reader stands still for it: every table that was there at the start is asked about before the reader
meets its rows, and so are those that it has met when a DDL statement made all of it void.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from myha.binlog.columns import Query
from myha.conflicts.keys import Facts
from myha.database.schemas import OF_SYSTEM
from myha.database.session import WarmSession
from myha.errors import ServerError

KNOWN_LIMIT = 1_000  # tables that are asked about at the start; others when their rows come
CALL_SECONDS = 2.0
_ALL = (
    "SELECT table_schema, table_name FROM information_schema.tables"
    " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN"
    f" {OF_SYSTEM}"
    f" LIMIT {KNOWN_LIMIT}"
)

Name = tuple[str, str]  # schema, table
Read = Callable[[Query, str, str], Facts | None]


class Tables:
    """A thread for one node. `known` is what can be had without asking; it never waits."""

    def __init__(self, name: str, session: WarmSession, read: Read) -> None:
        self._session = session
        self._query = session.query
        self._read = read
        self._lock = threading.Lock()
        self._known: dict[Name, Facts] = {}
        self._all = False  # whether all that the node has is to be asked about
        self._met: set[Name] = set()  # else these are
        self._void = 0  # how often all of it became void: an answer from before is none
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"tables-{name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_all(self) -> None:
        """Of what the node has from now on; whatever was known is void.

        Once the place is known at which the log is read: a statement from before it is not seen.
        """
        with self._lock:
            self._all = True
            self._begin_anew()

    def ask_again(self, met: Iterable[Name]) -> None:
        """A statement went by that may have changed any table; those that were met come first."""
        with self._lock:
            self._met.update(met)
            self._begin_anew()

    def known(self, name: Name) -> Facts | None:
        """None: it has to be asked for."""
        return self._known.get(name)

    def drop(self, name: Name) -> None:
        """What is known of it does not fit its rows."""
        with self._lock:
            self._known.pop(name, None)

    def stop(self) -> None:
        self._ended.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5.0)
        self._session.close()

    def _begin_anew(self) -> None:
        self._void += 1
        self._known = {}
        self._wake.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait()
            self._wake.clear()
            with suppress(ServerError):  # the reader asks by itself for what is not known here
                self._answer()

    def _answer(self) -> None:
        with self._lock:
            void, wanted, everything = self._void, list(self._met), self._all
        if everything:
            found = [(str(schema), str(table)) for schema, table in self._query(_ALL, ())]
            wanted += [name for name in found if name not in wanted]
        for name in wanted:
            if self._ended.is_set() or void != self._void:
                return
            self._keep(name, self._read(self._query, *name), void)
        with self._lock:
            self._all = self._all and void != self._void

    def _keep(self, name: Name, facts: Facts | None, void: int) -> None:
        with self._lock:
            if void != self._void:
                return
            if facts is None:
                self._met.discard(name)
            else:
                self._known[name] = facts
