"""Changes of writer as timelines, from lines of the journal. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from myha.core.events import Kind
from myha.core.journal_line import Line

PLANS = ("failover", "switchover", "reinstate", "install")
KINDS = (
    Kind.VERDICT,
    Kind.PLAN,
    Kind.STEP,
    Kind.STEP_FAILED,
    Kind.PLAN_DONE,
    Kind.PLAN_FAILED,
)
# A verdict belongs to a plan that begins so soon after it.
VERDICT_SECONDS = 60.0

Data = dict[str, Any]


def timelines(lines: Iterable[Line]) -> list[Data]:
    """Each plan that changed the writer, or was to, oldest first.

    `lines` are of `KINDS`, oldest first. Steps count from the plan's beginning, in milliseconds;
    one that goes on beside the others has no length.
    """
    found: list[Data] = []
    verdict: Line | None = None
    for line in lines:
        kind = line.kind
        if kind == Kind.VERDICT:
            verdict = line
        elif line.plan not in PLANS:
            continue
        elif kind == Kind.PLAN:
            found.append(_begun(line, verdict))
        elif (run := _run_of(found, line)) is None:
            continue
        elif kind in (Kind.STEP, Kind.STEP_FAILED):
            run["phases"].append(_phase(run, line))
        else:
            failed = kind == Kind.PLAN_FAILED
            run["outcome"] = "failed" if failed else "done"
            run["reason"] = line.text if failed else ""
            run["ended_wall"] = line.wall
            run["total_ms"] = _ms(line.at - run["began_at"])
    for one in found[:-1]:
        if one["outcome"] == "running":
            one["outcome"] = "cut short"
    return found


def _begun(line: Line, verdict: Line | None) -> Data:
    because = None
    if verdict is not None and 0 <= line.at - verdict.at < VERDICT_SECONDS:
        because = {
            "name": verdict.verdict,
            "sentence": verdict.text,
            "before_ms": _ms(line.at - verdict.at),
        }
    return {
        "id": line.id,
        "plan": line.plan,
        "node": line.node,
        "epoch": line.epoch,
        "sentence": line.text,
        "verdict": because,
        "began_at": line.at,
        "began_wall": line.wall,
        "ended_wall": None,
        "total_ms": None,
        "outcome": "running",
        "reason": "",
        "phases": [],
    }


def _run_of(found: list[Data], line: Line) -> Data | None:
    """The plan that the line is of: the last of its kind. Steps beside it may end after it."""
    for one in reversed(found):
        if one["plan"] == line.plan:
            return one if line.at >= one["began_at"] else None
    return None


def _phase(run: Data, line: Line) -> Data:
    ended = line.at - run["began_at"]
    took_ms = line.took_ms
    return {
        "step": line.step,
        "text": line.text,
        "began_ms": _ms(ended) if took_ms is None else max(0.0, round(_ms(ended) - took_ms, 1)),
        "took_ms": took_ms,
        "ended_ms": _ms(ended),
        "failed": line.kind == Kind.STEP_FAILED,
        "beside": line.beside,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
