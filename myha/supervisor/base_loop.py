"""What is the same in the loop of a pair and in that of a read replica: events in, effects out.

A loop has no queue, thread or clock: whoever drives it brings it what was seen, what was asked for
and how plans ended, and does what it returns. It knows no time but that of the events. One plan
runs at a time; while one runs nothing new is decided, and after it everything is looked at afresh
before anything is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeAlias, TypeVar

from myha.core.events import Kind
from myha.core.followers.record import FollowerRecord
from myha.core.observations import AnyView, PlanEnded, fold_own
from myha.core.planning import Decision
from myha.core.plans import Plan, Refusal
from myha.core.record import Record
from myha.core.situation.subject import Subject
from myha.core.values import value
from myha.supervisor.requests import Reply, Request, plan_text

IDLE_SECONDS = 0.1
QUIET_SECONDS = 0.5  # where all is well, and only what is seen can change that

AnySituation = TypeVar("AnySituation", bound=Subject[Any])


@value(frozen=True, slots=True)
class PlanResult:
    """The running plan reached its end, or failed for a reason; the record is as now stored.

    `record` is None when it cannot be read, or is there no more. `ask_again`: nothing was touched,
    and the same request may succeed the next time.
    """

    reason: str = ""
    record: Record | FollowerRecord | None = None
    ask_again: bool = False


@value(frozen=True, slots=True)
class Stop:
    """End as soon as nothing is left half done."""


@value(frozen=True, slots=True)
class LookNow:
    """These are to be looked at now rather than at their interval."""

    nodes: tuple[str, ...]
    balancers: tuple[str, ...] = ()


@value(frozen=True, slots=True)
class Begin:
    """Carry this plan out, and say how it ended by a `PlanResult`."""

    plan: Plan


@value(frozen=True, slots=True)
class Note:
    """A line for the journal."""

    kind: Kind
    text: str
    fields: dict[str, str]


@value(frozen=True, slots=True)
class Answer:
    """This is what is replied to a request."""

    request: Request
    reply: Reply


Effect: TypeAlias = LookNow | Begin | Note | Answer


@value(frozen=True, slots=True)
class Turn:
    """What follows from all that was taken in. The next turn is due after `wait_seconds` at the
    latest; with `leave` there is none."""

    effects: tuple[Effect, ...]
    wait_seconds: float
    leave: bool


class BaseLoop(ABC, Generic[AnyView, AnySituation]):
    """Folds events into the view, asks the core what to do about it, and keeps the running plan.

    `take` every event, a `Tick` first, then `decide`; the effects are to be carried out in order.
    """

    def __init__(self, view: AnyView) -> None:
        self.view = view
        self.running: Plan | None = None
        self.decision: Decision[AnySituation] = Decision(())
        self._request: Request | None = None
        self._stopping_since: float | None = None

    # -- what differs ----------------------------------------------------------------------------

    @abstractmethod
    def _observed(self, seen: Any) -> tuple[Effect, ...]:
        """Fold it in; what follows from it at once."""

    @abstractmethod
    def _read(self, record: Any) -> AnyView:
        """The view with the record as it is after a plan."""

    @abstractmethod
    def _everything(self) -> LookNow:
        """All that is to be looked at after a plan."""

    @abstractmethod
    def _asked(self, request: Request) -> Plan | Refusal | None:
        """What the core says to a request."""

    @abstractmethod
    def _decide(self) -> Decision[AnySituation]:
        """What the core says to the view."""

    @abstractmethod
    def _notes(self) -> list[Note]:
        """Once at every change: the verdict in force, and the refusals that go with it."""

    def is_news(self, event: Any) -> bool:  # noqa: ARG002
        """Whether an event, before it is taken in, says anything that was not known before.

        What is none may wait a moment for more of its kind.
        """
        return True

    def _may_begin(self) -> bool:
        """Whether the plan that was decided upon is begun, though the supervisor is to stop."""
        return self._stopping_since is None

    # -- events ----------------------------------------------------------------------------------

    def take(self, event: Any) -> tuple[Effect, ...]:
        """Take in one event; what follows from it at once."""
        if isinstance(event, PlanResult):
            return self._plan_ended(event)
        if isinstance(event, Request):
            return self._requested(event)
        if isinstance(event, Stop):
            self._stopping_since = self.view.at
            return ()
        return self._observed(event)

    def _plan_ended(self, result: PlanResult) -> tuple[Effect, ...]:
        plan, at = self.running, self.view.at
        if plan is None:
            return ()
        self.running = None
        ended = PlanEnded(at, plan.kind, plan.node, result.reason)
        self.view = fold_own(self._read(result.record), at, ended)
        effects: list[Effect] = []
        if result.reason:
            text = f"{plan.sentence}: {result.reason}"
            effects.append(Note(Kind.PLAN_FAILED, text, {"plan": plan.kind, "node": plan.node}))
        if self._request is not None:
            text = result.reason or f"done: {plan.sentence}"
            reply = Reply(not result.reason, text, ask_again=result.ask_again)
            effects.append(Answer(self._request, reply))
            self._request = None
        return (*effects, self._everything())

    def _requested(self, request: Request) -> tuple[Effect, ...]:
        planned = self._plan_for(request)
        if planned is None:
            return (Answer(request, Reply(ok=True, text="nothing to do")),)
        if isinstance(planned, Refusal):
            return (Answer(request, Reply(False, planned.reason, planned.override)),)
        if request.dry_run:
            text = f"would be done: {planned.sentence}"
            return (Answer(request, Reply(True, text, plan=plan_text(planned))),)
        self._request, self.running = request, planned
        return (Begin(planned),)

    def _plan_for(self, request: Request) -> Plan | Refusal | None:
        if self._stopping_since is not None:
            return Refusal("the supervisor is stopping")
        if self.running is not None:
            return Refusal(f"busy: {self.running.sentence}; try again when that is done")
        return self._asked(request)

    # -- decisions -------------------------------------------------------------------------------

    def _decided(self) -> list[Effect]:
        """What to do now that everything has been taken in; `decision` keeps the reasons."""
        if self.running is not None:
            return []
        self.decision = self._decide()
        effects: list[Effect] = [*self._notes()]
        if self.decision.plan is not None and self._may_begin():
            self.running = self.decision.plan
            effects.append(Begin(self.running))
        return effects
