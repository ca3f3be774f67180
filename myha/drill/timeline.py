"""What a round's times mean: the gaps between acknowledgements, the phases in the journal. Pure.

Acknowledgements and journal lines carry the same clock, the system's monotonic one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from myha.core.events import Kind
from myha.core.journal_line import Line
from myha.drill.judge import Takeover
from myha.drill.ledger import Attempt

# What a step that has ended means on the way from the fault to the next write, by plan.
_TAKING_OVER = {
    "record": "recorded",
    "stop-receiver": "cut",
    "take-out": "fenced",
    "close": "closed",
    "await-near": "near",
    "await-applied": "applied",
    "await-caught-up": "applied",
    "disable-waiting": "released",
    "enable-waiting": "armed",
    "open": "opened",
    "put-in": "routed",
}
_LETTING_GO = {
    "record": "recorded",
    "disable-waiting": "released",
    "stop-receiver": "cut",
    "take-out": "fenced",
}
PHASES: dict[str, dict[str, str]] = {
    "failover": _TAKING_OVER,
    "switchover": _TAKING_OVER,
    "install": _TAKING_OVER,
    "reinstate": _TAKING_OVER,
    "release": _LETTING_GO,
}
TAKEOVER_PLANS = ("failover", "switchover")


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without acknowledgements: how long, and when it began, counted from the fault."""

    length_ms: float
    began_ms: float


def longest_gap(acknowledged_at: Iterable[float], fault_at: float, until: float) -> Gap:
    """The longest gap that touches the time from the fault to `until`.

    A gap that began before the fault counts as a whole; one that is still open at `until` too.
    """
    times = sorted(at for at in acknowledged_at if at <= until)
    before = [at for at in times if at <= fault_at]
    edges = [*before[-1:], *(at for at in times if at > fault_at), until]
    if not before:
        edges.insert(0, fault_at)
    pairs = list(pairwise(edges))
    began, ended = max(pairs, key=lambda pair: pair[1] - pair[0])
    return Gap((ended - began) * 1000, (began - fault_at) * 1000)


def outage(attempts: Iterable[Attempt], fault_at: float, until: float) -> tuple[Gap, float]:
    """The longest gap over all clients together, and the longest one that any client had, in ms."""
    by_client: dict[int, list[float]] = defaultdict(list)
    for attempt in attempts:
        if attempt.acknowledged and attempt.ended_at is not None:
            by_client[attempt.client].append(attempt.ended_at)
    together = longest_gap((at for times in by_client.values() for at in times), fault_at, until)
    each = [longest_gap(times, fault_at, until).length_ms for times in by_client.values()]
    return together, max(each, default=together.length_ms)


def around_change(attempts: Iterable[Attempt], fault_at: float, written_ms: float) -> float:
    """The longest gap over all clients that began before the first write on the new writer, in ms.

    What a change of writer itself costs, without what the server does to its clients later on.
    """
    times = [a.ended_at for a in attempts if a.acknowledged and a.ended_at is not None]
    return longest_gap(times, fault_at, fault_at + written_ms / 1000).length_ms


def before_fault(attempts: Iterable[Attempt], fault_at: float, seconds: float) -> float | None:
    """The longest gap over all clients in so many seconds before the fault, in ms: the control.

    None when there were no two acknowledgements. Shorter where the clients began later.
    """
    times = (a.ended_at for a in attempts if a.acknowledged and a.ended_at is not None)
    within = sorted(at for at in times if fault_at - seconds <= at <= fault_at)
    return max(((b - a) * 1000 for a, b in pairwise(within)), default=None)


def first_after(attempts: Iterable[Attempt], fault_at: float, after_ms: float) -> float | None:
    """The first acknowledgement after a moment, in ms from the fault; None when there is none."""
    times = ((a.ended_at - fault_at) * 1000 for a in attempts if a.acknowledged and a.ended_at)
    return min((at for at in times if at >= after_ms), default=None)


def phases_ms(events: Sequence[Line], plans: Sequence[str], fault_at: float) -> dict[str, float]:
    """When each phase was reached, in ms from the fault, of the first such plan and what went on.

    `detected` is the begin of the plan: everything before it is looking and deciding.
    """
    found: dict[str, float] = {}
    for event in events:
        plan = event.plan
        if plan not in plans or plan not in PHASES or event.at < fault_at:
            continue
        at_ms = round((event.at - fault_at) * 1000, 1)
        if event.kind == "plan":
            found.setdefault("detected", at_ms)
        elif event.kind == "step" and not event.beside:
            name = PHASES[plan].get(event.step)
            if name is not None:
                found.setdefault(name, at_ms)
    return found


def plan_ended(events: Iterable[Line], plans: Sequence[str]) -> bool:
    """Whether one of these plans has reached its end."""
    return any(event.kind == "plan-done" and event.plan in plans for event in events)


def returned(events: Iterable[Line]) -> str:
    """How the lost node came back: resume, merge, rewind, reseed; empty when none had to.

    `fenced` when it did not come back.
    """
    listed = list(events)
    done = {event.plan for event in listed if event.kind == "plan-done"}
    if "rejoin" in done:
        return healed_by(listed) or "resume"
    return "fenced" if done & {"fence", "fence-errant"} else ""


def healed_by(events: Sequence[Line]) -> str:
    """The method of the last heal that was done; empty when there was none."""
    healed = [_HEALED.search(event.text) for event in events if _is_heal(event)]
    return next((found[1] for found in reversed(healed) if found), "")


_HEALED = re.compile(r"healed by ([a-z]+)")


def _is_heal(event: Line) -> bool:
    """The plan that ends a heal names its method."""
    return event.kind == "plan" and event.plan == "healed"


# From the closing on clients wait; before it a switchover that ends has touched nothing.
_COSTS = frozenset({"close", "await-caught-up"})


def undone(events: Iterable[Line]) -> int:
    """How many switchovers had begun to close the old writer, and were taken back."""
    return sum(
        event.kind == "step-failed" and event.plan == "switchover" and event.step in _COSTS
        for event in events
    )


def conflicts(events: Iterable[Line]) -> list[Line]:
    """The conflicts in the drill's tables that were reported."""
    return [one for one in events if one.kind == "conflict" and "myha_drill" in one.text]


def completed(
    events: Iterable[Line], before: str, writer: str, at: float, wall: float
) -> list[Line]:
    """The journal, with the last change of writer if it lacks that: from `before` to the present
    `writer`, no earlier than `at` (monotonic; `wall`: seconds since the epoch).

    The journal is never waited for: its disk may be full, or its supervisor dead too soon.
    """
    listed = list(events)
    for event in listed:
        if event.kind == "step" and event.step == "record":
            before = event.node if event.plan in TAKEOVER_PLANS else before
    if before != writer:
        record = {"plan": "failover", "step": "record", "node": writer}
        text = f"{writer} is the writer (not in the journal)"
        listed.append(Line(0, at, wall, Kind.STEP, text, record))
    return listed


def takeovers(events: Iterable[Line], server_ids: Mapping[str, int]) -> tuple[Takeover, ...]:
    """Every change of writer that the journal has, oldest first."""
    found: list[Takeover] = []
    for event in events:
        plan, step = event.plan, event.step
        if event.kind != "step":
            continue
        if step == "record" and plan in TAKEOVER_PLANS:
            found.append(Takeover(server_ids[event.node], event.at, None))
        elif step == "open" and found and found[-1].opened_at is None:
            last = found.pop()
            found.append(Takeover(last.server_id, last.recorded_at, event.at))
    return tuple(found)


def lines(events: Iterable[Line], fault_at: float) -> list[str]:
    """The journal in words, with each line's time from the fault."""
    return [
        f"{(event.at - fault_at) * 1000:9.1f} ms  {event.kind}: {event.text}" for event in events
    ]
