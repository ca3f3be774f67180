"""The incidents in a quarantine folder, as they were written there."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myha.errors import ConfigError, MyhaError
from myha.files import replacing
from myha.undo import outcome
from myha.undo.quarantine import EVENTS, ROWS_FILE, SUMMARY
from myha.undo.summed_files import verify


@dataclass(frozen=True, slots=True)
class IncidentRow:
    """A row that was changed: its values by column before and after, None where there was no row.

    Of one that could not be decoded they are its bytes in hexadecimal.
    """

    gtid: str | None  # of a repair: None
    table: str | None
    before: Any
    after: Any

    @property
    def change(self) -> str:
        if self.before is None:
            return "insert"
        return "delete" if self.after is None else "update"


@dataclass(frozen=True, slots=True)
class Incident:
    """One directory; `summary` is what its `summary.json` says."""

    path: Path
    summary: Mapping[str, Any]

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def kind(self) -> str:
        """How it came about: `rewind`, `merge`, `raw` (a reseed), `repair`."""
        return str(self.summary.get("kind", self.id.partition("-")[0]))

    @property
    def flavour(self) -> str:
        return str(self.summary.get("flavour", ""))

    @property
    def at(self) -> str:
        """When it was written, in UTC."""
        return str(self.summary.get("quarantined_at", ""))

    @property
    def about(self) -> Mapping[str, Any]:
        """What whoever wrote it knew of the incident: node, writer, why."""
        found: Mapping[str, Any] = self.summary.get("incident") or {}
        return found

    @property
    def node(self) -> str:
        return str(self.about.get("node", ""))

    @property
    def why(self) -> str:
        why = self.about.get("why") or self.about.get("reason")
        return str(why or f"{self.about.get('method', self.kind)} of {self.about.get('node')}")

    @property
    def transactions(self) -> list[Mapping[str, Any]]:
        return list(self.summary.get("transactions") or [])

    @property
    def rows(self) -> int:
        return int(self.summary.get("rows") or 0)

    @property
    def merged(self) -> frozenset[str]:
        """GTIDs of what a merge noted as being on the writer."""
        return outcome.read(self.path)

    def outline(self) -> dict[str, Any]:
        """What a list of incidents has of each."""
        return {
            "id": self.id,
            "at": self.at,
            "kind": self.kind,
            "node": self.node,
            "why": self.why,
            "transactions": len(self.transactions),
            "rows": self.rows,
        }

    @property
    def events_path(self) -> Path:
        """Its transactions; MyhaError for an incident that has none."""
        path = self.path / EVENTS
        if not path.exists():
            raise MyhaError(
                f"{self.id} has no transactions that could be replayed: see"
                f" {self.summary.get('replay_with', SUMMARY)}"
            )
        return path

    def problem(self) -> str:
        """Why its files are not to be trusted; empty when their checksums are right."""
        try:
            verify(self.path)
        except MyhaError as error:
            return str(error)
        return ""

    def row_lines(self) -> Iterator[Mapping[str, Any]]:
        """The rows, one after the other, as `rows.jsonl` has them."""
        path = self.path / ROWS_FILE
        try:
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    yield json.loads(line)
        except (OSError, ValueError) as error:
            raise MyhaError(f"cannot read {path}: {error}") from None


def row_of(line: Mapping[str, Any]) -> IncidentRow:
    """A line of `rows.jsonl`. An undone row has its values as `old` and `new` besides its bytes, a
    row of a repair as `before` and `after`."""
    before, after = line.get("old", line.get("before")), line.get("new", line.get("after"))
    return IncidentRow(line.get("gtid"), line.get("table"), before, after)


def incidents(root: Path) -> list[Incident]:
    """All that is complete, oldest first; one that cannot be read has an empty summary."""
    found = []
    try:
        paths = sorted(path for path in root.iterdir() if (path / SUMMARY).exists())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise MyhaError(f"cannot read the quarantine {root}: {error.strerror}") from None
    for path in paths:
        if path.name.startswith("."):
            continue
        try:
            summary = json.loads((path / SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            summary = {}
        found.append(Incident(path, summary if isinstance(summary, dict) else {}))
    return sorted(found, key=lambda one: (one.at, one.id))


def find(root: Path, wanted: str) -> Incident:
    """The incident with this id, or the only one whose id contains it. ConfigError else."""
    everything = incidents(root)
    exact = [one for one in everything if one.id == wanted]
    found = exact or [one for one in everything if wanted and wanted in one.id]
    if len(found) == 1:
        return found[0]
    if found:
        some = ", ".join(one.id for one in found[:5])
        raise ConfigError(f"{wanted!r} fits {len(found)} incidents, say more of its id: {some}")
    raise ConfigError(f"no incident {wanted!r} in {root}: `myha quarantine list` shows all")


def export(incident: Incident, target: Path) -> None:
    """Pack the incident, checksums included, into a new `.tar.gz` that only its owner may read.

    Raises ConfigError when the file exists, MyhaError when the checksums are wrong or it cannot be
    written; then there is no file.
    """
    if problem := incident.problem():
        raise MyhaError(problem)
    if target.exists():
        raise ConfigError(f"{target} exists: name another file")
    try:
        with replacing(target) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
            archive.add(incident.path, arcname=incident.id)
    except OSError as error:
        raise MyhaError(f"cannot write {target}: {error.strerror or error}") from None
