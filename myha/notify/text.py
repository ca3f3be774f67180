"""A message in words: a title that says it all on a phone's screen, and the lines below it."""

from __future__ import annotations

from datetime import UTC, datetime

from myha.core.events import Event, Kind
from myha.core.severity import Severity
from myha.core.values import value
from myha.notify.pacing import Batch, Line
from myha.words import one_line

TITLE_LIMIT = 140  # characters
LINE_LIMIT = 400
_TYPES = {
    Severity.INFO: "info",
    Severity.NOTICE: "info",
    Severity.WARNING: "warning",
    Severity.CRITICAL: "failure",
}


@value(frozen=True, slots=True)
class Message:
    """`type` is Apprise's word: info, success, warning, failure."""

    title: str
    body: str
    type: str


def message_of(pair: str, batch: Batch, failure: str = "") -> Message:
    """`failure`: why this, or a part of it, could not be sent before."""
    lines = batch.lines
    resolved = bool(lines) and lines[-1].resolved
    head = "resolved" if resolved else str(batch.worst)
    if lines:
        what = _said(lines[-1] if resolved else _leading(batch))
    else:
        what = f"{batch.lost} events, see below"
    more = len(lines) + batch.beyond.total() - 1
    title = f"[{pair}] {head}: {what}"
    if len(title) > TITLE_LIMIT:
        title = title[: TITLE_LIMIT - 1] + "…"
    if more > 0 and not resolved:
        title += f" (and {more} more)"
    kind = "success" if resolved else _TYPES[batch.worst]
    return Message(title, "\n".join(_body(pair, batch, failure)), kind)


def _leading(batch: Batch) -> Line:
    """What the title tells: a change of writer that has been done, else the first of the worst."""
    done = [one for one in batch.lines if _changed_writer(one.event)]
    if done:
        return done[-1]
    return next(
        (one for one in batch.lines if one.event.severity is batch.worst and not one.resolved),
        batch.lines[0],
    )


def _changed_writer(event: Event) -> bool:
    return event.kind in {Kind.PLAN_DONE, Kind.PLAN_FAILED} and event.subject == "failover"


def _body(pair: str, batch: Batch, failure: str) -> list[str]:
    body = [_line(one) for one in batch.first]
    if batch.beyond:
        kinds = ", ".join(f"{count} {kind}" for kind, count in batch.beyond.most_common())
        body.append(f"... and {batch.beyond.total()} more in between: {kinds}")
    body += [_line(one) for one in batch.last]
    if batch.lost:
        body.append(f"{batch.lost} more events were lost on their way to this channel.")
    if failure:
        body.append(f"This could not be sent earlier: {failure}")
    return [
        *body,
        "",
        f"Pair {pair}. What follows and why: `myha explain`; all of it: `myha events`.",
    ]


def _line(line: Line) -> str:
    event = line.event
    stamp = datetime.fromtimestamp(event.wall, UTC).strftime("%Y-%m-%d %H:%M:%S")
    head = "resolved" if line.resolved else str(event.severity)
    return f"{stamp}Z {head}: {_said(line)}"


_WORDS = {
    Kind.PLAN: "begins: {}",
    Kind.PLAN_DONE: "done: {}",
    Kind.PLAN_FAILED: "failed: {}",
    Kind.REFUSAL: "not done: {}",
}


def _said(line: Line) -> str:
    text = one_line(line.event.text)
    if len(text) > LINE_LIMIT:
        text = text[: LINE_LIMIT - 1] + "…"
    return _WORDS.get(line.event.kind, "{}").format(text)
