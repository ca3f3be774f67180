"""From what was seen to one plan, or the refusals met on the way to none. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from myha.core.plans import Plan, Refusal
from myha.core.verdicts import assess, situation_of
from myha.core.verdicts.row import Holds, Row, Verdict
from myha.core.view import Incident, View

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LIMIT_SECONDS = 20.0
URGENT = frozenset({"failover", "install", "release", "unstall", "correct-record", "distrust"})
URGENT_BACKOFF_LIMIT_SECONDS = 1.0
IN_MAINTENANCE = (
    "maintenance",
    Refusal("maintenance is on: myha observes and does not act", "myha maintenance off"),
)

Refusals: TypeAlias = tuple[tuple[str, Refusal], ...]
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdicts that hold, and what follows: a plan, or the refusals met on the way to none.

    Not `fresh` while a look from before the end of the last plan is part of the view.
    """

    verdicts: tuple[Verdict, ...]
    plan: Plan | None = None
    refusals: Refusals = ()
    fresh: bool = True


def decide(view: View) -> Decision:
    """What to do now. Nothing until every node has been looked at since the last plan ended."""
    it = situation_of(view)
    if it is None:
        return Decision((), fresh=False)
    verdicts = assess(it)
    if any(node.checked_at <= view.plan_ended_at for _, node in view.nodes):
        return Decision(verdicts, fresh=False)
    if it.record.maintenance:
        return Decision(verdicts, None, (IN_MAINTENANCE,))
    plan, refusals = first_plan(it, verdicts, lambda one: held_back(view.incidents, view.at, one))
    return Decision(verdicts, plan, refusals)


def first_plan(
    it: S, verdicts: Iterable[Row[S]], held: Callable[[Plan], bool]
) -> tuple[Plan | None, Refusals]:
    """The first plan that may begin, and the refusals met on the way to it, each by its verdict.

    `held`: a plan that has failed lately and has to wait.
    """
    refusals: list[tuple[str, Refusal]] = []
    holds = Holds.NOTHING
    for verdict in verdicts:
        if holds is Holds.ALL_BUT_ROUTING and verdict.name != "routing-differs":
            continue
        answer = None if verdict.planner is None else verdict.planner(it)
        if isinstance(answer, Refusal):
            refusals.append((verdict.name, answer))
        elif answer is not None and not held(answer):
            return answer, tuple(refusals)
        if verdict.holds is Holds.EVERYTHING:
            break
        if verdict.holds is Holds.ALL_BUT_ROUTING:
            holds = verdict.holds
    return None, tuple(refusals)


def held_back(incidents: Iterable[Incident], at: float, plan: Plan) -> bool:
    """A plan that has failed is tried again after a growing pause."""
    limit = URGENT_BACKOFF_LIMIT_SECONDS if plan.kind in URGENT else BACKOFF_LIMIT_SECONDS
    for one in incidents:
        if (one.plan, one.node) == (plan.kind, plan.node):
            pause = min(limit, BACKOFF_FIRST_SECONDS * 2.0 ** min(one.attempts, 12))
            return at < one.at + pause
    return False
