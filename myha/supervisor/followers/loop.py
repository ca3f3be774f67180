"""A replica's loop, as the pair's: events in, effects out, no time but that of the events.

It is told what the pair's loop knows, and tells that one nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from myha.core.followers.planning import FollowerDecision, decide
from myha.core.followers.record import FollowerRecord
from myha.core.followers.verdicts import NOT_SET_UP, situation_of
from myha.core.followers.view import (
    FollowerObservation,
    FollowerRecordRead,
    FollowerView,
    PairSeen,
    first_view,
    fold,
)
from myha.core.observations import PlanEnded
from myha.core.plans import Plan, Refusal
from myha.core.view import View
from myha.supervisor.followers.requests import plan_for_request
from myha.supervisor.loop import IDLE_SECONDS, Answer, Begin, Effect, LookNow, Note, Stop, Turn
from myha.supervisor.requests import Reply, Request


@dataclass(frozen=True, slots=True)
class FollowerPlanResult:
    """The running plan reached its end, or failed for a reason; the record is as now stored."""

    reason: str = ""
    record: FollowerRecord | None = None


FollowerEvent: TypeAlias = FollowerObservation | FollowerPlanResult | Request | Stop


class FollowerLoop:
    """Folds events into the view, asks the core what to do about it, and keeps the running plan."""

    def __init__(self, name: str, pair: View, record: FollowerRecord | None) -> None:
        self.name = name
        self.view: FollowerView = first_view(name, pair, record)
        self.running: Plan | None = None
        self.decision = FollowerDecision(())
        self._request: Request | None = None
        self._stopping = False
        self._noted = ""

    def take(self, event: FollowerEvent) -> tuple[Effect, ...]:
        """Take in one event; what follows from it at once."""
        if isinstance(event, FollowerPlanResult):
            return self._plan_ended(event)
        if isinstance(event, Request):
            return self._requested(event)
        if isinstance(event, Stop):
            self._stopping = True
            return ()
        before = self.view.pair.record
        self.view = fold(self.view, event)
        after = self.view.pair.record
        if isinstance(event, PairSeen) and before is not None and after is not None:
            # What it has by now is compared with what the new writer has when it opens.
            return (LookNow((self.name,)),) if before.writer != after.writer else ()
        return ()

    def _plan_ended(self, result: FollowerPlanResult) -> tuple[Effect, ...]:
        plan, at = self.running, self.view.at
        if plan is None:
            return ()
        self.running = None
        self.view = fold(self.view, FollowerRecordRead(at, result.record))
        self.view = fold(self.view, PlanEnded(at, plan.kind, plan.node, result.reason))
        effects: list[Effect] = []
        if result.reason:
            text = f"{plan.sentence}: {result.reason}"
            effects.append(Note("plan-failed", text, {"plan": plan.kind, "node": plan.node}))
        if self._request is not None:
            text = result.reason or f"done: {plan.sentence}"
            effects.append(Answer(self._request, Reply(not result.reason, text)))
            self._request = None
        return (*effects, LookNow((self.name,), self.view.policy.balancers))

    def _requested(self, request: Request) -> tuple[Effect, ...]:
        planned = self._plan_for(request)
        if planned is None:
            return (Answer(request, Reply(ok=True, text="nothing to do")),)
        if isinstance(planned, Refusal):
            return (Answer(request, Reply(False, planned.reason, planned.override)),)
        self._request, self.running = request, planned
        return (Begin(planned),)

    def _plan_for(self, request: Request) -> Plan | Refusal | None:
        if self._stopping:
            return Refusal("the supervisor is stopping")
        it = situation_of(self.view)
        if it is None:
            return Refusal(NOT_SET_UP)
        if self.running is not None:
            return Refusal(f"busy: {self.running.sentence}; try again when that is done")
        return plan_for_request(it, request)

    def decide(self) -> Turn:
        """What to do now that everything has been taken in; `decision` keeps the reasons."""
        effects: list[Effect] = []
        if self.running is None:
            self.decision = decide(self.view)
            effects += self._notes()
            if self.decision.plan is not None and not self._stopping:
                self.running = self.decision.plan
                effects.append(Begin(self.running))
        return Turn(tuple(effects), IDLE_SECONDS, self._stopping and self.running is None)

    def _notes(self) -> list[Note]:
        """Once at every change: the verdict in force, with the refusals that go with it."""
        it, verdicts = situation_of(self.view), self.decision.verdicts
        if not self.decision.fresh or it is None or not verdicts:
            return []
        refusals = "; ".join(str(one) for _, one in self.decision.refusals)
        noted = f"{verdicts[0].name} {refusals}"
        if noted == self._noted:
            return []
        self._noted = noted
        fields = {"verdict": verdicts[0].name, "node": self.name}
        notes = [Note("verdict", verdicts[0].text(it), fields)]
        return [*notes, Note("refusal", refusals, fields)] if refusals else notes
