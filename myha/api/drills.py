"""Drills, from lines of the journal. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from myha.core.events import Kind

DRILLS = (Kind.DRILL, Kind.DRILL_DONE, Kind.DRILL_FAILED)
_COUNTS = ("rounds", "acknowledged", "lost")
_TIMES = ("outage_ms_min", "outage_ms_median", "outage_ms_max")

Line = dict[str, Any]


def drills_of(lines: Iterable[Line]) -> list[Line]:
    """Each scenario that was played, in the order of their beginnings.

    `lines` are of `DRILLS`, oldest first. An end says all that there is: the beginning may be
    forgotten, or be in the journal of another supervisor.
    """
    found: dict[str, Line] = {}
    for line in lines:
        name = line.get("drill", "")
        with suppress(ValueError):  # a number that is none: the note of no drill
            if line["kind"] == Kind.DRILL:
                found[name] = _begun(line)
            else:
                found[name] = _ended(line, found.get(name))
    return sorted(found.values(), key=lambda one: float(one["began_wall"]))


def _begun(line: Line) -> Line:
    return {
        "id": line["id"],
        "scenario": line.get("scenario", ""),
        "who": line.get("who", ""),
        "began_wall": line["wall"],
        "ended_wall": None,
        "outcome": "begun",
        "reason": "",
        "seed": int(line.get("seed", 0)),
        "clients": int(line.get("clients", 0)),
        **dict.fromkeys((*_COUNTS, *_TIMES)),
        "phases_ms": {},
    }


def _ended(line: Line, before: Line | None) -> Line:
    told = _begun(line) | {"began_wall": round(line["wall"] - float(line.get("took_s", 0)), 3)}
    measured = "rounds" in line
    failed = "failed" if measured else "cut short"
    return {
        **(before or told),
        "ended_wall": line["wall"],
        "outcome": "passed" if line["kind"] == Kind.DRILL_DONE else failed,
        "reason": line.get("reason", ""),
        **_numbers(line, _COUNTS, int),
        **_numbers(line, _TIMES, float),
        "phases_ms": json.loads(line.get("phases_ms", "{}")),
    }


def _numbers(line: Mapping[str, str], names: tuple[str, ...], kind: type[float]) -> Line:
    return {name: kind(line[name]) for name in names if name in line}
