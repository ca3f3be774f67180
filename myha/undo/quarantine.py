"""The files that keep every transaction that a heal takes out of the live data.

One directory per incident, complete or absent, on disk before anything on a server changes:

- `events.binlog`: the transactions as the server wrote them; `mysqlbinlog -vv` reads it
- `readable.sql`: the same as INSERT, UPDATE and DELETE statements, to be read
- `redo.sql`: does them again, exactly, on any server whose rows are as they were
- `undo.sql`: what a rewind runs
- `rows.jsonl`: one line per row: its values by name, its images in hexadecimal as they were logged
- `tables.json`: columns and keys of the tables, as they were at the time
- `summary.json`: who, when, why, which transactions, which tables, how many rows
- `SHA256SUMS`: of the other files, as `sha256sum -c` takes them

`redo.sql` and `undo.sql` are missing where a transaction is not made of row changes alone (DDL);
`rows.jsonl` then has the rows that there are. Directories have mode 0700 and files 0600: they hold
the users' data.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Self

from myha.binlog import events, row_events
from myha.binlog.columns import Query
from myha.binlog.errors import DecodeError, HealRefusedError
from myha.binlog.events import ROWS, EventType
from myha.binlog.readable import (
    Decoders,
    TableFacts,
    decoding,
    described,
    named,
    query_statement,
    statements,
)
from myha.binlog.row_events import RowChanges
from myha.binlog.transactions import StreamedTransaction
from myha.database.flavours import Flavour
from myha.errors import MyhaError
from myha.files import locked, sync_directory
from myha.undo.inverse import TableCounts, count, redo_step, undo_step
from myha.undo.later_changes import LaterChanges
from myha.undo.spool import ChangePlaces, Spool, SpooledTransaction
from myha.undo.summed_files import SummedFile, verify, write_sums
from myha.words import one_line

FOLDER = "quarantine"  # below the state directory
SUMMARY = "summary.json"
EVENTS = "events.binlog"
TABLES = "tables.json"
ROWS_FILE = "rows.jsonl"
READABLE = "readable.sql"
REDO = "redo.sql"
UNDO = "undo.sql"

PARTIAL = ".partial-"


def write_raw(
    root: Path,
    *,
    flavour: Flavour,
    transactions: Iterable[StreamedTransaction],
    incident: Mapping[str, object],
    query: Query | None = None,
) -> Path:
    """Keep transactions whatever they are made of, DDL and unknown events too; the directory.

    `query` asks the node about its tables; without it rows are kept without values. Raises
    HealRefusedError when there is nothing to keep, and whatever `transactions` raises when its
    source no longer holds all of them; MyhaError when the files cannot be written. Nothing is left
    on disk then.
    """
    with Draft(root, flavour=flavour, query=query) as draft:
        draft.take(transactions)
        return draft.finish("raw", incident)


class Draft:
    """A directory that is being written: it appears with `finish`, else nothing is left of it.

    Its spool may be read until the `with` block ends, which removes what was not finished. All
    methods raise MyhaError when the disk does not take it.
    """

    def __init__(self, root: Path, *, flavour: Flavour, query: Query | None) -> None:
        self.root = root
        self.flavour = flavour
        self.tables: dict[str, TableCounts] = {}
        self.largest_step_bytes = 0
        self._decoders = Decoders(
            lambda name: TableFacts((), ()) if query is None else TableFacts.ask(query, name)
        )
        self._digest = hashlib.sha256()
        self._opened = contextlib.ExitStack()
        self._exact = True

    def __enter__(self) -> Self:
        with self._opened, self._on_disk():
            _make_private(self.root)
            _remove_left_behind(self.root)
            self._directory = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=self.root))
            self._opened.callback(shutil.rmtree, self._directory, ignore_errors=True)
            self._opened.enter_context(locked(self._directory))
            self.spool = Spool(self._directory / EVENTS)
            self._opened.callback(self.spool.close)
            self._places = ChangePlaces(self.spool, self._directory)
            self._opened.callback(self._places.close)
            self._list: IO[bytes] = self._opened.enter_context(
                tempfile.TemporaryFile(dir=self._directory)
            )
            self._opened = self._opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._opened.close()

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise MyhaError(
                f"cannot write the quarantine below {self.root}: {error.strerror or error};"
                " nothing was undone, nothing was changed"
            ) from error

    @property
    def rows(self) -> int:
        return sum(counts.rows for counts in self.tables.values())

    @property
    def has_checksum(self) -> bool:
        """Whether events for the server carry a checksum, as the last format description says."""
        return self.spool.transactions[-1].has_checksum

    @property
    def format_event(self) -> bytes:
        return self.spool.transactions[-1].format_event.raw

    # ---- taking

    def take_changes(
        self, transactions: Iterable[StreamedTransaction], later: LaterChanges
    ) -> None:
        """Take transactions that must be row changes alone, and tell `later` of each row.

        Raises RewindRefusedError for one that holds anything else.
        """
        with self._on_disk():
            for streamed in transactions:
                one = self._add(streamed)
                tables: dict[str, TableCounts] = {}
                for rows in self._places.changes(one):
                    count(tables, rows)
                    count(self.tables, rows)
                    self._measure(rows)
                    for _, after in rows.images:
                        later.errant(rows.table.name, after)
                self._describe(one, tables)

    def take(self, transactions: Iterable[StreamedTransaction]) -> None:
        """Take transactions whatever they hold."""
        self._exact = False
        with self._on_disk():
            for streamed in transactions:
                one = self._add(streamed)
                tables: dict[str, TableCounts] = {}
                for item in _contents(one):
                    if isinstance(item, RowChanges):
                        count(tables, item)
                        count(self.tables, item)
                self._describe(one, tables)

    def _add(self, streamed: StreamedTransaction) -> SpooledTransaction:
        one = self.spool.add(streamed)
        self._digest.update(f"{one.gtid} {one.digest}\n".encode())
        return one

    def _measure(self, rows: RowChanges) -> None:
        size = len(rows.event.raw) + len(rows.table.event.raw)
        self.largest_step_bytes = max(self.largest_step_bytes, size)

    def _describe(self, one: SpooledTransaction, tables: dict[str, TableCounts]) -> None:
        line = {
            "gtid": str(one.gtid),
            "at": _instant(one.timestamp),
            "file": one.file,
            "offset": one.offset,
            "bytes": one.size_bytes,
            "sha256": one.digest,
            "tables": {name: asdict(counts) for name, counts in tables.items()},
        }
        self._list.write(json.dumps(line).encode() + b"\n")

    # ---- giving

    def undo_steps(self) -> Iterator[bytes]:
        """What undoes all of them, the last change first; as often as it is asked for."""
        checksum = self.has_checksum
        for rows in self._places.backwards():
            yield undo_step(rows, checksum=checksum)

    def finish(self, kind: str, incident: Mapping[str, object]) -> Path:
        """Write the other files, and let the directory appear under its name: it is returned.

        The same transactions always get the same name, so that a heal that is run again finds what
        it wrote and writes it once. Raises HealRefusedError when there are none.
        """
        if not self.spool.transactions:
            raise HealRefusedError("there is no transaction to put into quarantine")
        began = datetime.fromtimestamp(self.spool.transactions[0].timestamp, UTC)
        name = f"{kind}-{began:%Y%m%dT%H%M%SZ}-{self._digest.hexdigest()[:12]}"
        final = self.root / name
        with self._on_disk():
            if final.is_dir():
                verify(final)
                return final
            self._write_files(name, kind, incident)
            self._directory.rename(final)
            sync_directory(self.root)
        return final

    def _write_files(self, name: str, kind: str, incident: Mapping[str, object]) -> None:
        sums = {EVENTS: self.spool.finish()}
        with contextlib.ExitStack() as stack:

            def begin(file: str) -> SummedFile:
                return stack.enter_context(SummedFile(self._directory / file, sums))

            readable, rows = begin(READABLE), begin(ROWS_FILE)
            redo = begin(REDO) if self._exact else None
            self._write_changes(readable, rows, redo)
            if self._exact:
                self._write_undo(begin(UNDO))
            begin(TABLES).write(_json(self._facts()))
            self._write_summary(begin(SUMMARY), name, kind, incident)
        write_sums(self._directory, sums)

    def _facts(self) -> dict[str, object]:
        return {name: facts.as_json() for name, facts in sorted(self._decoders.facts.items())}

    def _write_summary(
        self, file: SummedFile, name: str, kind: str, incident: Mapping[str, object]
    ) -> None:
        summary: dict[str, object] = {
            "id": name,
            "kind": kind,
            "incident": dict(incident),
            "quarantined_at": datetime.now(UTC).isoformat(timespec="microseconds"),
            "flavour": self.flavour.name,
            "tables": {name: asdict(counts) for name, counts in sorted(self.tables.items())},
            "rows": self.rows,
            "read_with": f"mysqlbinlog -vv --base64-output=decode-rows {EVENTS}",
            "replay_with": f"myha quarantine replay {name}",
        }
        file.write(_json(summary).rstrip().removesuffix(b"}").rstrip() + b',\n "transactions": [')
        self._list.seek(0)
        between = b"\n  "
        for line in self._list:
            file.write(between + line.rstrip())
            between = b",\n  "
        file.write(b"\n ]\n}\n")

    def _write_changes(
        self, readable: SummedFile, rows: SummedFile, redo: SummedFile | None
    ) -> None:
        readable.write(
            b"-- What was taken out, to be read; redo.sql has the exact rows. Times are in UTC.\n"
            b"SET NAMES utf8mb4;\nSET SESSION time_zone = '+00:00';\n"
        )
        if redo is not None:
            redo.write(b"-- Does again what a heal has taken out. Look first: readable.sql\n")
            redo.write(_opening(self.flavour, self.format_event))
        for one in self.spool.transactions:
            head = f"\n-- {one.gtid}, {_instant(one.timestamp)}\n".encode()
            readable.write(head + b"START TRANSACTION;\n")
            if redo is not None:
                redo.write(head + b"START TRANSACTION;\n")
            for item in _contents(one):
                if isinstance(item, str):
                    readable.write(item.encode() + (b"\n" if item.startswith("--") else b";\n"))
                    continue
                for text in statements(self._decoders, item):
                    readable.write(text.encode() + (b"\n" if text.startswith("--") else b";\n"))
                self._write_rows(rows, one, item)
                if redo is not None:
                    redo.write(_binlog(redo_step(item, checksum=self.has_checksum)))
            for file in (readable, redo):
                if file is not None:
                    file.write(b"COMMIT;\n")

    def _write_rows(self, file: SummedFile, one: SpooledTransaction, changed: RowChanges) -> None:
        name = changed.table.name
        for before, after in changed.images:
            line: dict[str, Any] = {
                "gtid": str(one.gtid),
                "table": name,
                "before": None if before is None else before.hex(),
                "after": None if after is None else after.hex(),
            }
            try:
                with decoding(name):
                    columns = self._decoders.facts_of(name).columns
                    line["old"] = named(columns, self._decoders.row(changed.table, before))
                    line["new"] = named(columns, self._decoders.row(changed.table, after))
            except DecodeError as error:
                line["not_decoded"] = one_line(error)
            file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n")

    def _write_undo(self, file: SummedFile) -> None:
        file.write(b"-- What undoes it, as one transaction. GTID state is no part of this file.\n")
        file.write(b"SET SESSION sql_log_bin=0;\n" + _opening(self.flavour, self.format_event))
        file.write(b"START TRANSACTION;\n")
        for step in self.undo_steps():
            file.write(_binlog(step))
        file.write(b"COMMIT;\n")


def _contents(one: SpooledTransaction) -> Iterator[RowChanges | str]:
    """Row changes, statements as text, and a comment for what is neither; it never refuses."""
    maps: dict[int, row_events.TableMap] = {}
    for event in one.events:
        try:
            if event.type == EventType.TABLE_MAP:
                table = row_events.table_map(event)
                maps[table.table_id] = table
            elif event.type in ROWS:
                yield row_events.row_changes(event, maps[row_events.rows_table_id(event)])
            elif event.type == EventType.QUERY:
                if not events.is_harmless_query(event):
                    yield query_statement(event)
            elif event.type not in _FRAME:
                yield f"-- {described(event)}"
        except (HealRefusedError, KeyError, IndexError, ValueError) as error:
            yield f"-- {described(event)}: {one_line(error)}"


_FRAME = events.GTIDS | {
    EventType.XID,
    EventType.ROWS_QUERY,
    EventType.MARIADB_ANNOTATE_ROWS,
}


def _json(data: object) -> bytes:
    return json.dumps(data, indent=1, default=str).encode() + b"\n"


def _binlog(step: bytes) -> bytes:
    return b"BINLOG '" + base64.b64encode(step) + b"';\n"


def _opening(flavour: Flavour, format_event: bytes) -> bytes:
    return _binlog(format_event) + flavour.after_format_event


def _instant(timestamp: int) -> str:
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def _make_private(root: Path) -> None:
    if not root.is_dir():
        root.mkdir(parents=True, mode=0o700)
        sync_directory(root.parent)


def _remove_left_behind(root: Path) -> None:
    """What processes that were killed have left half written."""
    for path in root.glob(f"{PARTIAL}*"):
        with contextlib.suppress(OSError), locked(path):
            shutil.rmtree(path, ignore_errors=True)
