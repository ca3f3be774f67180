"""From what was seen to one plan, or the refusals met on the way to none. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from myha.core.model import View
from myha.core.plans import Plan, Refusal
from myha.core.situation import Situation
from myha.core.verdicts import assess, situation_of
from myha.core.verdicts.row import Holds, Verdict

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LIMIT_SECONDS = 20.0
URGENT = frozenset({"failover", "install", "release", "unstall", "correct-record", "distrust"})
URGENT_BACKOFF_LIMIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdicts that hold, and what follows: a plan, or the refusals met on the way to none.

    Not `settled` while a look from before the end of the last plan is part of the view.
    """

    verdicts: tuple[Verdict, ...]
    plan: Plan | None = None
    refusals: tuple[tuple[str, Refusal], ...] = ()
    settled: bool = True


def decide(view: View) -> Decision:
    """What to do now. Nothing until every node has been looked at since the last plan ended."""
    it = situation_of(view)
    if it is None:
        return Decision((), settled=False)
    verdicts = assess(it)
    if any(node.checked_at <= view.settled_at for _, node in view.nodes):
        return Decision(verdicts, settled=False)
    if it.record.maintenance:
        reason = Refusal(
            "maintenance is on: myha observes and does not act", "myha maintenance off"
        )
        return Decision(verdicts, None, (("maintenance", reason),))
    return _first_plan(it, verdicts)


def _first_plan(it: Situation, verdicts: tuple[Verdict, ...]) -> Decision:
    refusals: list[tuple[str, Refusal]] = []
    holds = Holds.NOTHING
    for verdict in verdicts:
        if holds is Holds.ALL_BUT_ROUTING and verdict.name != "routing-differs":
            continue
        answer = None if verdict.planner is None else verdict.planner(it)
        if isinstance(answer, Refusal):
            refusals.append((verdict.name, answer))
        elif answer is not None and not held_back(it.view, answer):
            return Decision(verdicts, answer, tuple(refusals))
        if verdict.holds is Holds.EVERYTHING:
            break
        if verdict.holds is Holds.ALL_BUT_ROUTING:
            holds = verdict.holds
    return Decision(verdicts, None, tuple(refusals))


def held_back(view: View, plan: Plan) -> bool:
    """A plan that has failed is tried again after a growing pause."""
    limit = URGENT_BACKOFF_LIMIT_SECONDS if plan.kind in URGENT else BACKOFF_LIMIT_SECONDS
    for one in view.incidents:
        if (one.plan, one.node) == (plan.kind, plan.node):
            pause = min(limit, BACKOFF_FIRST_SECONDS * 2.0 ** min(one.attempts, 12))
            return view.at < one.at + pause
    return False
