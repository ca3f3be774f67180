"""The loop: observations off one queue into the brain, its plans to the executor's thread.

The loop never blocks on a server or a balancer; whatever takes time has a thread, and its result
comes back on the queue.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from myha.core.model import Contact, Record
from myha.core.observations import (
    BalancerLooked,
    BalancerMissed,
    JobEnded,
    JobProgressed,
    NodeLooked,
    NodeMissed,
    Observation,
    Tick,
)
from myha.core.plans import Plan, Refusal
from myha.core.verdicts import NOT_SET_UP, situation_of
from myha.errors import MyhaError
from myha.ports import Clock
from myha.supervisor.brain import Brain
from myha.supervisor.executor import Executor, NotNearError, Tools
from myha.supervisor.watchers import NodeWatcher, Watcher

QUEUE_LIMIT = 10_000
TICK_SECONDS = 0.1
PRESS_SECONDS = 0.01
STOP_DEADLINE_SECONDS = 40.0
# A daemon that is told to stop first ends what must not be left half done.
UNFINISHED = frozenset({"writer-closed", "stalled-solo"})


@dataclass(frozen=True, slots=True)
class PlanResult:
    """Put on the queue by the executor's thread."""

    reason: str
    record: Record | None
    ask_again: bool = False  # nothing was touched, and it may succeed the next time


@dataclass(slots=True)
class Request:
    """Something that an operator asked for; `answer` is set when it is done or refused."""

    name: str
    arguments: dict[str, str]
    answered: threading.Event = field(default_factory=threading.Event)
    ok: bool = False
    text: str = ""
    override: str | None = None
    ask_again: bool = False

    def answer(
        self, *, ok: bool, text: str, override: str | None = None, ask_again: bool = False
    ) -> None:
        self.ok, self.text, self.override, self.ask_again = ok, text, override, ask_again
        self.answered.set()


@dataclass(frozen=True, slots=True)
class Stop:
    """Put on the queue by a signal."""


class Daemon:
    """One supervisor: owns the loop's thread and all others. `run` returns when told to stop."""

    def __init__(
        self,
        brain: Brain,
        tools: Tools,
        make_watchers: Callable[[Callable[[object], None]], list[Watcher]],
    ) -> None:
        self.brain = brain
        self.tools = tools
        self.clock: Clock = tools.clock
        self.queue: queue.Queue[object] = queue.Queue(QUEUE_LIMIT)
        self.plans: queue.Queue[Plan | None] = queue.Queue(1)
        self.watchers = make_watchers(self.queue.put)
        self.executor = Executor(tools)
        self._request: Request | None = None
        self._stopping_since: float | None = None
        self._said_verdict = ""
        self._said_refusal = ""
        self._worker = threading.Thread(target=self._execute_plans, name="executor", daemon=True)
        self.defect: BaseException | None = None

    # -- from other threads ----------------------------------------------------------------------

    def stop(self) -> None:
        self.queue.put(Stop())

    def ask(self, request: Request, deadline_seconds: float) -> None:
        """Wait until the loop has answered; says so when it has not in time."""
        self.queue.put(request)
        if not request.answered.wait(deadline_seconds):
            request.answer(ok=False, text="still under way; see `myha events`")

    # -- the loop --------------------------------------------------------------------------------

    def run(self) -> None:
        self._worker.start()
        for watcher in self.watchers:
            watcher.start()
        try:
            while not self._may_leave():
                self._turn()
        finally:
            self.plans.put(None)
            for watcher in self.watchers:
                watcher.stop()
        if self.defect is not None:
            raise self.defect

    def _turn(self) -> None:
        """Take in everything that waits on the queue, then decide once."""
        try:
            item: object | None = self.queue.get(timeout=self._press_for_proof())
        except queue.Empty:
            item = None
        now = Tick(self.clock.monotonic(), self.clock.wall())
        self.brain.observe(now)
        while item is not None:
            self._take(item)
            try:
                item = self.queue.get_nowait()
            except queue.Empty:
                item = None
        plan = self.brain.decide()
        self._say_verdict()
        if plan is not None and self._may_begin():
            self._begin(plan)

    def _press_for_proof(self) -> float:
        """How long to wait for news. While the writer refuses, its peer is asked again and again.

        The peer notices the loss of its source some time after or before us, and a failover waits
        for its word; the pressing ends with the dead time.
        """
        it = situation_of(self.brain.view)
        if it is None or self.brain.running is not None or it.w.contact is not Contact.REFUSING:
            return TICK_SECONDS
        refused_for = self.clock.monotonic() - it.w.contact_since
        if it.writer_dead or refused_for > it.policy.deadtime_seconds:
            return TICK_SECONDS
        self._poke([w for w in self.watchers if w.name == f"watch-{it.standby}"])
        return PRESS_SECONDS

    def _take(self, item: object) -> None:
        if isinstance(item, PlanResult):
            self._plan_ended(item)
        elif isinstance(item, Request):
            self._take_request(item)
        elif isinstance(item, Stop):
            self._stopping_since = self.clock.monotonic()
        elif isinstance(item, BaseException):
            self.defect = item
        elif isinstance(item, NodeLooked | NodeMissed | BalancerLooked | BalancerMissed | Tick):
            self._observe(item)
        elif isinstance(item, JobProgressed | JobEnded):
            self.brain.observe(item)

    def _observe(self, seen: Observation) -> None:
        """A contact that changes makes everybody look at once: proofs need both sides."""
        before: dict[str, Contact] = {name: node.contact for name, node in self.brain.view.nodes}
        self.brain.observe(seen)
        if isinstance(seen, NodeMissed) and before[seen.node] is not seen.contact:
            self._poke([w for w in self.watchers if isinstance(w, NodeWatcher)])

    def _poke(self, watchers: list[Watcher]) -> None:
        for watcher in watchers:
            watcher.poke()

    def _begin(self, plan: Plan) -> None:
        self.brain.begin(plan)
        self.plans.put(plan)

    def _may_begin(self) -> bool:
        if self._stopping_since is None:
            return True
        return bool(UNFINISHED & {row.name for row in self.brain.decision.verdicts[:1]})

    def _may_leave(self) -> bool:
        if self.defect is not None:
            return True
        if self._stopping_since is None or self.brain.running is not None:
            return False
        if self.clock.monotonic() - self._stopping_since > STOP_DEADLINE_SECONDS:
            return True
        view = self.brain.view
        fresh = all(node.checked_at > view.settled_at for _, node in view.nodes)
        pending = self.brain.decision.plan
        return fresh and (pending is None or not self._may_begin())

    # -- plans -----------------------------------------------------------------------------------

    def _execute_plans(self) -> None:
        while (plan := self.plans.get()) is not None:
            reason, ask_again = "", False
            try:
                self._execute(plan)
            except MyhaError as error:
                reason, ask_again = str(error), isinstance(error, NotNearError)
            except BaseException as defect:  # noqa: BLE001  # a defect ends the daemon, loudly
                self.queue.put(defect)
                return
            self.queue.put(PlanResult(reason, self._read_record(), ask_again))

    def _execute(self, plan: Plan) -> None:
        for pause in self.executor.run(plan):
            if pause.seconds:
                time.sleep(pause.seconds)

    def _read_record(self) -> Record | None:
        try:
            return self.tools.store.read()
        except MyhaError as error:
            self.tools.journal.note("store", f"cannot be read: {error}", {})
            return None

    def _plan_ended(self, result: PlanResult) -> None:
        plan = self.brain.running
        self.brain.ended(self.clock.monotonic(), result.record, result.reason)
        if plan is not None and result.reason:
            text = f"{plan.sentence}: {result.reason}"
            self.tools.journal.note("plan-failed", text, {"plan": plan.kind, "node": plan.node})
        if self._request is not None and plan is not None:
            text = result.reason or f"done: {plan.sentence}"
            again = result.ask_again
            self._request.answer(ok=not result.reason, text=text, ask_again=again)
            self._request = None
        self._poke(self.watchers)

    # -- requests --------------------------------------------------------------------------------

    def _take_request(self, request: Request) -> None:
        if self._stopping_since is not None:
            request.answer(ok=False, text="the supervisor is stopping")
            return
        answer = self.brain.request(request.name, request.arguments)
        if answer is None:
            request.answer(ok=True, text="nothing to do")
        elif isinstance(answer, Refusal):
            request.answer(ok=False, text=answer.reason, override=answer.override)
        else:
            self._request = request
            self._begin(answer)

    # -- what is said ----------------------------------------------------------------------------

    def _say_verdict(self) -> None:
        """Once at every change: the verdict in force, and a refusal that goes with it."""
        if not self.brain.decision.settled or self.brain.running is not None:
            return
        it = situation_of(self.brain.view)
        verdicts = self.brain.decision.verdicts
        sentence = verdicts[0].say(it) if it is not None and verdicts else NOT_SET_UP
        name = verdicts[0].name if verdicts else "not-set-up"
        if name != self._said_verdict:
            self._said_verdict = name
            self.tools.journal.note("verdict", sentence, {"verdict": name})
        refusal = "; ".join(str(one) for _, one in self.brain.decision.refusals)
        if refusal != self._said_refusal:
            self._said_refusal = refusal
            if refusal:
                self.tools.journal.note("refusal", refusal, {"verdict": name})
