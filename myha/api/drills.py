"""Drills, from lines of the journal. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from myha.core.events import Kind
from myha.core.journal_line import Line

DRILLS = (Kind.DRILL, Kind.DRILL_DONE, Kind.DRILL_FAILED)
_COUNTS = ("rounds", "acknowledged", "lost")
_TIMES = ("outage_ms_min", "outage_ms_median", "outage_ms_max")

Data = dict[str, Any]


def drills_of(lines: Iterable[Line]) -> list[Data]:
    """Each scenario that was played, in the order of their beginnings.

    `lines` are of `DRILLS`, oldest first. An end says all that there is: the beginning may be
    forgotten, or be in the journal of another supervisor.
    """
    found: dict[str, Data] = {}
    for line in lines:
        name = line.fields.get("drill", "")
        with suppress(ValueError):  # a number that is none: the note of no drill
            if line.kind == Kind.DRILL:
                found[name] = _begun(line)
            else:
                found[name] = _ended(line, found.get(name))
    return sorted(found.values(), key=lambda one: float(one["began_wall"]))


def _begun(line: Line) -> Data:
    noted = line.fields
    return {
        "id": line.id,
        "scenario": noted.get("scenario", ""),
        "who": noted.get("who", ""),
        "began_wall": line.wall,
        "ended_wall": None,
        "outcome": "begun",
        "reason": "",
        "seed": int(noted.get("seed", 0)),
        "clients": int(noted.get("clients", 0)),
        **dict.fromkeys((*_COUNTS, *_TIMES)),
        "phases_ms": {},
    }


def _ended(line: Line, before: Data | None) -> Data:
    noted = line.fields
    told = _begun(line) | {"began_wall": round(line.wall - float(noted.get("took_s", 0)), 3)}
    measured = "rounds" in noted
    failed = "failed" if measured else "cut short"
    return {
        **(before or told),
        "ended_wall": line.wall,
        "outcome": "passed" if line.kind == Kind.DRILL_DONE else failed,
        "reason": noted.get("reason", ""),
        **_numbers(noted, _COUNTS, int),
        **_numbers(noted, _TIMES, float),
        "phases_ms": json.loads(noted.get("phases_ms", "{}")),
    }


def _numbers(noted: Mapping[str, str], names: tuple[str, ...], kind: type[float]) -> Data:
    return {name: kind(noted[name]) for name in names if name in noted}
