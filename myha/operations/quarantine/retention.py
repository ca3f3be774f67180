"""Which incidents are to be removed, by age and size, and the removal.

What nobody has looked at stays, unless that is allowed. An incident that a heal may still need,
since it would find what it wrote before, stays too: nothing is removed while a heal is on record.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from myha.config import Config
from myha.core.record import Cause
from myha.errors import MyhaError, RefusedError
from myha.files import replacing, sync_directory
from myha.operations.quarantine.incidents import Incident, incidents
from myha.stores.factory import read_followers, require_record
from myha.undo.quarantine import PARTIAL

DAY_SECONDS = 86_400.0
MB = 1_000_000
SPARED_DAYS = 1.0  # after an incident
SEEN = "seen.json"  # beside the files of an incident, which never change


@dataclass(frozen=True, slots=True)
class Limits:
    """`days` None: however old; `megabytes` None: however large; `unseen`: those too that nobody
    has looked at. One that is younger than `SPARED_DAYS` is not removed for its size."""

    days: float | None = None
    megabytes: float | None = None
    unseen: bool = False


@dataclass(frozen=True, slots=True)
class KeptIncident:
    """An incident as far as its removal is concerned; `at` in seconds since the epoch, None for one
    whose summary cannot be read: it stays."""

    id: str
    path: Path
    at: float | None
    size_bytes: int
    seen: bool


def limits_of(config: Config) -> Limits | None:
    """Those of the configuration; None where everything is kept."""
    found = config.retention
    if not found.quarantine_days and not found.quarantine_mb:
        return None
    return Limits(
        found.quarantine_days or None, found.quarantine_mb or None, found.quarantine_unseen
    )


# -- looked at -------------------------------------------------------------------------------------


def mark_seen(incident: Incident, how: str) -> None:
    """Somebody has looked at it by the command `how`. Never raises: looking is what matters."""
    with suppress(OSError), replacing(incident.path / SEEN) as file:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"at": at, "how": how}).encode() + b"\n")


def is_seen(incident: Incident) -> bool:
    return (incident.path / SEEN).exists()


# -- what goes -------------------------------------------------------------------------------------


def kept_incidents(root: Path) -> list[KeptIncident]:
    """All complete incidents, oldest first."""
    return [
        KeptIncident(one.id, one.path, _wall(one.at), _size_bytes(one.path), is_seen(one))
        for one in incidents(root)
    ]


def to_remove(
    all_kept: Sequence[KeptIncident], limits: Limits, now_wall: float
) -> list[KeptIncident]:
    """Oldest first. What stays counts towards the size, and may keep it above the limit."""
    total_bytes = sum(one.size_bytes for one in all_kept)
    going = []
    for one in sorted(all_kept, key=lambda one: one.at or 0.0):
        if one.at is None or not (one.seen or limits.unseen):
            continue
        age_days = (now_wall - one.at) / DAY_SECONDS
        too_old = limits.days is not None and age_days > limits.days
        too_much = (
            limits.megabytes is not None
            and total_bytes > limits.megabytes * MB
            and age_days > SPARED_DAYS
        )
        if too_old or too_much:
            going.append(one)
            total_bytes -= one.size_bytes
    return going


def require_no_heal(config: Config) -> None:
    """RefusedError while a heal is on record, MyhaError when the record cannot be read."""
    nodes = dict(require_record(config).nodes)
    nodes |= {name: one.entry for name, one in read_followers(config).items()}
    for name, node in nodes.items():
        if node.cause is Cause.HEALING:
            raise RefusedError(f"a heal of {name} is under way, and may need its incident")


def remove(root: Path, going: Iterable[KeptIncident]) -> None:
    """Each at once or not at all for whoever lists them: what is cut short is removed by the next
    heal. Raises MyhaError."""
    for one in going:
        hidden = root / f"{PARTIAL}removed-{one.id}"
        try:
            one.path.rename(hidden)
            sync_directory(root)
            shutil.rmtree(hidden)
        except OSError as error:
            raise MyhaError(f"cannot remove {one.path}: {error.strerror or error}") from None


def described(going: Sequence[KeptIncident]) -> str:
    size_mb = sum(one.size_bytes for one in going) / MB
    names = ", ".join(one.id for one in going[:5]) + (", ..." if len(going) > 5 else "")
    return f"{len(going)} incidents with {size_mb:,.1f} MB: {names}"


def _wall(at: str) -> float | None:
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None


def _size_bytes(path: Path) -> int:
    total = 0
    for one in path.iterdir():
        with suppress(OSError):
            total += one.stat().st_size
    return total
