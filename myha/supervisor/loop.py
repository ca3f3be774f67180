"""The supervisor's loop without its queue, threads and clock: events in, effects out.

The daemon and the simulator drive the same class: they bring it what was seen, what was asked for
and how plans ended, and do what it returns. It knows no time but that of the events. One plan runs
at a time; while one runs nothing new is decided, and after it every node is looked at afresh before
anything is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from myha.core.node import Contact
from myha.core.observations import NodeMissed, Observation, PlanEnded, RecordRead, first_view, fold
from myha.core.planning import URGENT, Decision, decide
from myha.core.plans import Plan, Refusal
from myha.core.policy import Mode, Policy
from myha.core.record import Record
from myha.core.verdicts import NOT_SET_UP, situation_of
from myha.core.view import View
from myha.supervisor.requests import Reply, Request, plan_for_request

IDLE_SECONDS = 0.1
PRESS_SECONDS = 0.01
STOP_DEADLINE_SECONDS = 40.0
# A supervisor that is to stop first ends what must not be left half done.
UNFINISHED = frozenset({"writer-closed", "stalled-solo"})
# Plans that a replica's must not take time from: a replica is pointed anew when they are done.
CHANGES_WRITER = URGENT | {"switchover"}


@dataclass(frozen=True, slots=True)
class PlanResult:
    """The running plan reached its end, or failed for a reason; the record is as now stored.

    `record` is None when it cannot be read. `ask_again`: nothing was touched, and the same request
    may succeed the next time.
    """

    reason: str = ""
    record: Record | None = None
    ask_again: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """End as soon as nothing is left half done."""


Event: TypeAlias = Observation | PlanResult | Request | Stop


@dataclass(frozen=True, slots=True)
class LookNow:
    """These are to be looked at now rather than at their interval."""

    nodes: tuple[str, ...]
    balancers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Begin:
    """Carry this plan out, and say how it ended by a `PlanResult`."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the journal."""

    kind: str
    text: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """This is what is replied to a request."""

    request: Request
    reply: Reply


Effect: TypeAlias = LookNow | Begin | Note | Answer


@dataclass(frozen=True, slots=True)
class Turn:
    """What follows from all that was taken in. The next turn is due after `wait_seconds` at the
    latest; with `leave` there is none."""

    effects: tuple[Effect, ...]
    wait_seconds: float
    leave: bool


class Loop:
    """Folds events into the view, asks the core what to do about it, and keeps the running plan.

    `take` every event, a `Tick` first, then `decide`; the effects are to be carried out in order.
    """

    def __init__(self, policy: Policy, at: float, wall: float, record: Record | None) -> None:
        self.view: View = first_view(policy, at, wall, record)
        self.running: Plan | None = None
        self.decision = Decision(())
        self._request: Request | None = None
        self._stopping_since: float | None = None
        self._noted_verdict = ""
        self._noted_refusal = ""

    # -- events ----------------------------------------------------------------------------------

    def take(self, event: Event) -> tuple[Effect, ...]:
        """Take in one event; what follows from it at once."""
        if isinstance(event, PlanResult):
            return self._plan_ended(event)
        if isinstance(event, Request):
            return self._requested(event)
        if isinstance(event, Stop):
            self._stopping_since = self.view.at
            return ()
        return self._observed(event)

    def _observed(self, seen: Observation) -> tuple[Effect, ...]:
        """A contact that changes makes everybody look at once: proofs need both sides."""
        before = self.view
        self.view = fold(before, seen)
        if isinstance(seen, NodeMissed) and before.node(seen.node).contact is not seen.contact:
            return (LookNow(self.view.policy.nodes),)
        return ()

    def _plan_ended(self, result: PlanResult) -> tuple[Effect, ...]:
        plan, at = self.running, self.view.at
        if plan is None:
            return ()
        self.running = None
        if result.record is not None:
            self.view = fold(self.view, RecordRead(at, result.record))
        self.view = fold(self.view, PlanEnded(at, plan.kind, plan.node, result.reason))
        effects: list[Effect] = []
        if result.reason:
            text = f"{plan.sentence}: {result.reason}"
            effects.append(Note("plan-failed", text, {"plan": plan.kind, "node": plan.node}))
        if self._request is not None:
            text = result.reason or f"done: {plan.sentence}"
            reply = Reply(not result.reason, text, ask_again=result.ask_again)
            effects.append(Answer(self._request, reply))
            self._request = None
        policy = self.view.policy
        return (*effects, LookNow(policy.nodes, policy.balancers))

    def _requested(self, request: Request) -> tuple[Effect, ...]:
        planned = self._plan_for(request)
        if planned is None:
            return (Answer(request, Reply(ok=True, text="nothing to do")),)
        if isinstance(planned, Refusal):
            return (Answer(request, Reply(False, planned.reason, planned.override)),)
        self._request, self.running = request, planned
        return (Begin(planned),)

    def _plan_for(self, request: Request) -> Plan | Refusal | None:
        if self._stopping_since is not None:
            return Refusal("the supervisor is stopping")
        it = situation_of(self.view)
        if it is None:
            return Refusal("there is no record of a pair yet: run `myha setup`")
        if self.running is not None:
            return Refusal(f"busy: {self.running.sentence}; try again when that is done")
        return plan_for_request(it, request)

    # -- decisions -------------------------------------------------------------------------------

    def decide(self) -> Turn:
        """What to do now that everything has been taken in; `decision` keeps the reasons."""
        effects: list[Effect] = []
        if self.running is None:
            self.decision = decide(self.view)
            effects += self._notes()
            if self.decision.plan is not None and self._may_begin():
                self.running = self.decision.plan
                effects.append(Begin(self.running))
        pressed = self._pressed_for_proof()
        if pressed:
            effects.append(LookNow(pressed))
        wait_seconds = PRESS_SECONDS if pressed else IDLE_SECONDS
        return Turn(tuple(effects), wait_seconds, self._may_leave())

    def _pressed_for_proof(self) -> tuple[str, ...]:
        """Who is asked again and again: while the writer refuses, its peer.

        The peer notices the loss of its source some time after or before us, and a failover waits
        for its word; the pressing ends with the dead time.
        """
        it = situation_of(self.view) if self.running is None else None
        if it is None or it.w.contact is not Contact.REFUSING:
            return ()
        refused_for = self.view.at - it.w.contact_since
        if it.writer_dead or refused_for > it.policy.deadtime_seconds:
            return ()
        return (it.standby,)

    def _notes(self) -> list[Note]:
        """Once at every change: the verdict in force, and a refusal that goes with it."""
        if not self.decision.fresh:
            return []
        notes: list[Note] = []
        verdicts = self.decision.verdicts
        name = verdicts[0].name if verdicts else "not-set-up"
        if name != self._noted_verdict:
            self._noted_verdict = name
            it = situation_of(self.view)
            sentence = verdicts[0].text(it) if it is not None and verdicts else NOT_SET_UP
            notes.append(Note("verdict", sentence, {"verdict": name}))
        refusal = "; ".join(str(one) for _, one in self.decision.refusals)
        if refusal != self._noted_refusal:
            self._noted_refusal = refusal
            if refusal:
                notes.append(Note("refusal", refusal, {"verdict": name}))
        return notes

    # -- the end ---------------------------------------------------------------------------------

    def _may_begin(self) -> bool:
        if self._stopping_since is None:
            return True
        return bool(UNFINISHED & {row.name for row in self.decision.verdicts[:1]})

    def _may_leave(self) -> bool:
        if self._stopping_since is None or self.running is not None:
            return False
        if self.view.at - self._stopping_since > STOP_DEADLINE_SECONDS:
            return True
        fresh = all(node.checked_at > self.view.plan_ended_at for _, node in self.view.nodes)
        return fresh and (self.decision.plan is None or not self._may_begin())

    # -- the heartbeat ---------------------------------------------------------------------------

    def writes_heartbeat(self, node: str) -> bool:
        """Whether its heartbeat row is written there: where it is open and may take writes."""
        look, record = self.view.node(node).look, self.view.record
        writes = self.view.policy.mode is Mode.DUAL_WRITER
        writes = writes or (record is not None and record.writer == node)
        return writes and look is not None and look.open
