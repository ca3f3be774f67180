"""What a comparison that was stopped has done: a file in the state directory, for the next run.

A table counts only if its definition is still what it was. The file goes with the last of
them that is compared and told.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from myha.errors import MyhaError
from myha.files import locked, replacing

FILE = "verify.json"
LOCK = "verify.lock"
FORMAT = 1
SAVE_EVERY_SECONDS = 1.0


@dataclass
class TableState:
    """How far one table is. `after`: the key up to which it was compared; `suspects`: the keys of
    rows before it that differed at two moments and are still to be looked at closely."""

    definition: str
    after: list[str] | None = None
    done: bool = False
    rows: int = 0
    chunks: int = 0
    unsettled: int = 0
    uncounted_chunks: int = 0
    note: str = ""
    suspects: list[list[str]] = field(default_factory=list)
    differences: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class RunState:
    """A run that is not finished; `path` None keeps nothing on disk."""

    writer: str
    standby: str
    path: Path | None = None
    began: str = ""
    tables: dict[str, TableState] = field(default_factory=dict)
    resumed: bool = False
    _saved_at: float = 0.0

    def table(self, name: str, definition: str) -> TableState:
        """The table's state; a new one when its definition has changed since."""
        found = self.tables.get(name)
        if found is None or found.definition != definition:
            found = self.tables[name] = TableState(definition)
        return found

    def save(self, *, now: bool = False) -> None:
        """Write it, at most once a second unless `now`. Raises MyhaError."""
        if self.path is None or (
            not now and time.monotonic() - self._saved_at < SAVE_EVERY_SECONDS
        ):
            return
        self._saved_at = time.monotonic()
        body = {
            "format": FORMAT,
            "writer": self.writer,
            "standby": self.standby,
            "began": self.began,
            "tables": {name: asdict(state) for name, state in self.tables.items()},
        }
        try:
            with replacing(self.path) as file:
                file.write(json.dumps(body).encode())
        except OSError as error:
            raise MyhaError(
                f"cannot keep the state of the comparison in {self.path}: {error.strerror or error}"
            ) from error

    def finish(self, tables: Collection[str] | None) -> None:
        """These tables (None: all) are done and told: forget them, keep what another run had."""
        for name in list(self.tables):
            if tables is None or name in tables:
                del self.tables[name]
        if self.tables:
            self.save(now=True)
        elif self.path is not None:
            self.path.unlink(missing_ok=True)


def load(folder: Path, writer: str, standby: str, *, restart: bool) -> RunState:
    """The run that was stopped, if it compared the same two nodes in the same roles; else a new."""
    path = folder / FILE
    fresh = RunState(writer, standby, path, datetime.now(UTC).isoformat(timespec="seconds"))
    if restart:
        return fresh
    try:
        body = json.loads(path.read_text())
        if (body["format"], body["writer"], body["standby"]) != (FORMAT, writer, standby):
            return fresh
        tables = {name: TableState(**one) for name, one in body["tables"].items()}
        return RunState(writer, standby, path, str(body["began"]), tables, resumed=True)
    except FileNotFoundError:
        return fresh
    except (OSError, ValueError, KeyError, TypeError):
        return fresh  # a file that cannot be read is no reason not to compare anew


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Keep a second comparison of this cluster away. Raises MyhaError when one is running."""
    path = folder / LOCK
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            held.enter_context(locked(path))
        except BlockingIOError:
            raise MyhaError(
                f"another verify or repair of this cluster is running ({path} is locked):"
                " wait for it, or stop it"
            ) from None
        except OSError as error:
            raise MyhaError(f"cannot lock {path}: {error.strerror or error}") from error
        yield
