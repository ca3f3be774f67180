"""Changes of writer as timelines, from lines of the journal. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from myha.api.answers import Because, Failover, Phase
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


def timelines(lines: Iterable[Line]) -> list[Failover]:
    """Each plan that changed the writer, or was to, oldest first.

    `lines` are of `KINDS`, oldest first. Steps count from the plan's beginning, in milliseconds;
    one that goes on beside the others has no length.
    """
    found: list[Failover] = []
    verdict: Line | None = None
    for line in lines:
        if line.kind == Kind.VERDICT:
            verdict = line
        elif line.plan not in PLANS:
            continue
        elif line.kind == Kind.PLAN:
            found.append(_begun(line, verdict))
        elif (number := _run_of(found, line)) is None:
            continue
        elif line.kind in (Kind.STEP, Kind.STEP_FAILED):
            found[number].phases.append(_phase(found[number], line))
        else:
            found[number] = _ended(found[number], line)
    cut_short = {"outcome": "cut short"}
    return [
        one.model_copy(update=cut_short) if one.outcome == "running" else one for one in found[:-1]
    ] + found[-1:]


def _begun(line: Line, verdict: Line | None) -> Failover:
    because = None
    if verdict is not None and 0 <= line.at - verdict.at < VERDICT_SECONDS:
        before_ms = _ms(line.at - verdict.at)
        because = Because(name=verdict.verdict, sentence=verdict.text, before_ms=before_ms)
    return Failover(
        id=line.id,
        plan=line.plan,
        node=line.node,
        epoch=line.epoch,
        sentence=line.text,
        verdict=because,
        began_at=line.at,
        began_wall=line.wall,
        ended_wall=None,
        total_ms=None,
        outcome="running",
        reason="",
        phases=[],
    )


def _ended(run: Failover, line: Line) -> Failover:
    failed = line.kind == Kind.PLAN_FAILED
    return run.model_copy(
        update={
            "outcome": "failed" if failed else "done",
            "reason": line.text if failed else "",
            "ended_wall": line.wall,
            "total_ms": _ms(line.at - run.began_at),
        }
    )


def _run_of(found: Sequence[Failover], line: Line) -> int | None:
    """The plan that the line is of: the last of its kind. Steps beside it may end after it."""
    for number in reversed(range(len(found))):
        if found[number].plan == line.plan:
            return number if line.at >= found[number].began_at else None
    return None


def _phase(run: Failover, line: Line) -> Phase:
    ended_ms, took_ms = _ms(line.at - run.began_at), line.took_ms
    return Phase(
        step=line.step,
        text=line.text,
        began_ms=ended_ms if took_ms is None else max(0.0, round(ended_ms - took_ms, 1)),
        took_ms=took_ms,
        ended_ms=ended_ms,
        failed=line.kind == Kind.STEP_FAILED,
        beside=line.beside,
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
