"""Drills, from lines of the journal. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress

from myha.api.answers import Drill
from myha.core.events import Kind
from myha.core.journal_line import Line

DRILLS = (Kind.DRILL, Kind.DRILL_DONE, Kind.DRILL_FAILED)
_COUNTS = ("rounds", "acknowledged", "lost")
_TIMES = ("outage_ms_min", "outage_ms_median", "outage_ms_max")


def drills_of(lines: Iterable[Line]) -> list[Drill]:
    """Each scenario that was played, in the order of their beginnings.

    `lines` are of `DRILLS`, oldest first. An end says all that there is: the beginning may be
    forgotten, or be in the journal of another supervisor.
    """
    found: dict[str, Drill] = {}
    for line in lines:
        name = line.fields.get("drill", "")
        with suppress(ValueError):  # a number that is none: the note of no drill
            if line.kind == Kind.DRILL:
                found[name] = _begun(line, line.wall)
            else:
                found[name] = _ended(line, found.get(name))
    return sorted(found.values(), key=lambda one: one.began_wall)


def _begun(line: Line, wall: float) -> Drill:
    noted = line.fields
    return Drill(
        id=line.id,
        scenario=noted.get("scenario", ""),
        who=noted.get("who", ""),
        began_wall=wall,
        ended_wall=None,
        outcome="begun",
        reason="",
        seed=int(noted.get("seed", 0)),
        clients=int(noted.get("clients", 0)),
        **dict.fromkeys((*_COUNTS, *_TIMES)),
        phases_ms={},
    )


def _ended(line: Line, before: Drill | None) -> Drill:
    noted = line.fields
    told = _begun(line, round(line.wall - float(noted.get("took_s", 0)), 3))
    failed = "failed" if "rounds" in noted else "cut short"
    measured = {name: int(noted[name]) for name in _COUNTS if name in noted}
    times = {name: float(noted[name]) for name in _TIMES if name in noted}
    return (before or told).model_copy(
        update={
            "ended_wall": line.wall,
            "outcome": "passed" if line.kind == Kind.DRILL_DONE else failed,
            "reason": noted.get("reason", ""),
            **measured,
            **times,
            "phases_ms": json.loads(noted.get("phases_ms", "{}")),
        }
    )
