"""From what was seen to one plan, or the refusals met on the way to none. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeAlias, TypeVar

from myha.core.backoff import backoff_seconds
from myha.core.plans import Plan, Refusal
from myha.core.situation import Situation
from myha.core.situation.subject import Subject
from myha.core.values import value
from myha.core.verdicts import assess, situation_of
from myha.core.verdicts.row import Holds, Row
from myha.core.view import View

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LIMIT_SECONDS = 20.0
URGENT = frozenset({"failover", "install", "release", "unstall", "correct-record", "distrust"})
URGENT_BACKOFF_LIMIT_SECONDS = 1.0
IN_MAINTENANCE = (
    "maintenance",
    Refusal("maintenance is on: myha observes and does not act", "myha maintenance off"),
)

Refusals: TypeAlias = tuple[tuple[str, Refusal], ...]
S = TypeVar("S", bound=Subject[Any])


@value(frozen=True, slots=True)
class Decision(Generic[S]):
    """The verdicts that hold, and what follows: a plan, or the refusals met on the way to none.

    Not `fresh` while a look at a node from before the end of the last plan that acted on one is
    part of the view.
    """

    verdicts: tuple[Row[S], ...]
    plan: Plan | None = None
    refusals: Refusals = ()
    fresh: bool = True


PairDecision: TypeAlias = Decision[Situation]


def decide(view: View) -> PairDecision:
    """What to do now. Nothing until every node has been looked at since a plan acted on one."""
    return decide_in(situation_of(view))


def decide_in(it: Situation | None) -> PairDecision:
    """`decide`, for who has the situation already; without a record there is none."""
    if it is None:
        return Decision((), fresh=False)
    fresh = all(node.checked_at > it.view.acted_at for _, node in it.view.nodes)
    return conclude(it, assess(it), fresh=fresh, maintenance=it.record.maintenance)


def conclude(it: S, verdicts: tuple[Row[S], ...], *, fresh: bool, maintenance: bool) -> Decision[S]:
    """What follows from the verdicts that hold."""
    if not fresh:
        return Decision(verdicts, fresh=False)
    if maintenance:
        return Decision(verdicts, None, (IN_MAINTENANCE,))
    plan, refusals = _first_plan(it, verdicts)
    return Decision(verdicts, plan, refusals)


def _first_plan(it: S, verdicts: Iterable[Row[S]]) -> tuple[Plan | None, Refusals]:
    """The first plan that may begin, and the refusals met on the way to it, each by its verdict."""
    refusals: list[tuple[str, Refusal]] = []
    holds = Holds.NOTHING
    for verdict in verdicts:
        if holds is Holds.ALL_BUT_ROUTING and verdict.name != "routing-differs":
            continue
        answer = None if verdict.planner is None else verdict.planner(it)
        if isinstance(answer, Refusal):
            refusals.append((verdict.name, answer))
        elif answer is not None and not _held_back(it, answer):
            return answer, tuple(refusals)
        if verdict.holds is Holds.EVERYTHING:
            break
        if verdict.holds is Holds.ALL_BUT_ROUTING:
            holds = verdict.holds
    return None, tuple(refusals)


def _held_back(it: Subject[Any], plan: Plan) -> bool:
    """A plan that has failed is tried again after a growing pause."""
    limit = URGENT_BACKOFF_LIMIT_SECONDS if plan.kind in URGENT else BACKOFF_LIMIT_SECONDS
    for one in it.view.incidents:
        if (one.plan, one.node) == (plan.kind, plan.node):
            pause = backoff_seconds(one.attempts + 1, BACKOFF_FIRST_SECONDS, limit)
            return bool(it.at < one.at + pause)
    return False
