"""Carries a plan out: one step at a time, under its epoch, confirmed, journalled.

`Executor.run` is a generator, so that the daemon and the simulator drive the same code: it yields
before every step and whenever it waits, and the driver decides what passes in between (real time,
or anything that a simulated world can do to it).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from myha.core import acknowledgement
from myha.core.gtid import GtidSet
from myha.core.model import Record
from myha.core.plans import (
    AwaitApplied,
    AwaitCaughtUp,
    AwaitNear,
    AwaitReceived,
    ChangeRecord,
    CloseGently,
    DisableWaiting,
    Drain,
    EnableWaiting,
    Fence,
    FenceOutside,
    KillClients,
    MakeSchema,
    NodeStep,
    Open,
    PlaceEvents,
    Plan,
    ProveWrite,
    PutIn,
    RequireNoErrant,
    RequireOnlyWithStandby,
    RestoreSettings,
    RestoreSource,
    StartJob,
    StartReplication,
    Step,
    StopJob,
    StopReceiver,
    StopReplication,
    TakeOut,
)
from myha.errors import BalancerError, MyhaError, StoreConflictError
from myha.ports import (
    Balancer,
    Clock,
    ConcurrentCalls,
    JobOrder,
    Jobs,
    Journal,
    OutsideFence,
    RecordStore,
    Server,
)

POLL_SECONDS = 0.01
WAIT_SLICE_SECONDS = 0.25


class StepFailedError(MyhaError):
    """A step that did not succeed; the message names it and says why."""


class NotNearError(StepFailedError):
    """The standby was not near enough to begin; nothing was touched, and asking again may help."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Yielded by the executor: nothing to do for this long, in seconds (0: just a boundary)."""

    seconds: float = 0.0


@dataclass(slots=True)
class Tools:
    """All that the executor acts through."""

    servers: Mapping[str, Server]
    balancers: Mapping[str, Balancer]
    store: RecordStore
    clock: Clock
    calls: ConcurrentCalls
    journal: Journal
    jobs: Jobs
    outside: OutsideFence | None = None


@dataclass(slots=True)
class Run:
    """One plan under way: the epoch and version that its next step must find on record."""

    plan: Plan
    epoch: int
    version: int
    record: Record | None = None
    failures: list[str] = field(default_factory=list)


S = TypeVar("S", bound=Step)
Performing = Generator[Pause, None, None]


class Executor:
    """Performs plans with the given tools. Not for use by two threads at once."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    def run(self, plan: Plan) -> Generator[Pause, None, Run]:
        """Perform all steps. Raises `StepFailedError` at the first that fails and may not.

        Whatever had been done by then stays done: it is seen by the next looks, and decided upon.
        """
        run = Run(plan, plan.epoch, plan.version)
        self._note("plan", plan.sentence, run)
        for step in plan.steps:
            yield Pause()
            self._check_epoch(run, step)
            started = self.tools.clock.monotonic()
            if step.beside:
                self._beside(run, step)
                continue
            try:
                yield from self._perform(run, step)
            except MyhaError as error:
                self._note("step-failed", f"{step}: {error}", run, step=step.name)
                if isinstance(error, NotNearError):
                    raise
                if not step.best_effort:
                    raise StepFailedError(f"{step}: {error}") from error
                run.failures.append(f"{step}: {error}")
                continue
            took_ms = (self.tools.clock.monotonic() - started) * 1000
            self._note("step", str(step), run, step=step.name, took_ms=f"{took_ms:.1f}")
        self._note("plan-done", plan.sentence, run)
        return run

    def _check_epoch(self, run: Run, step: Step) -> None:
        """A command of an old epoch is refused: somebody else has decided since.

        So is one of an old version: whatever was changed on record since the plan was made, also
        without a change of writer, was not known to it. (A plan that was made before the standby
        was lost would otherwise route to it, and one that was made before the pair was armed would
        release the writer.)
        """
        record = self.tools.store.read()
        if record is None or (record.epoch, record.version) != (run.epoch, run.version):
            found = "none" if record is None else f"{record.epoch}, version {record.version}"
            reason = (
                f"{step}: refused, the epoch on record is {found}, "
                f"the plan's is {run.epoch}, version {run.version}"
            )
            self._note("step-failed", reason, run, step=step.name)
            raise StepFailedError(reason)

    def _note(self, kind: str, text: str, run: Run, **fields: str) -> None:
        fields.update(plan=run.plan.kind, node=run.plan.node, epoch=str(run.epoch))
        self.tools.journal.note(kind, text, fields)

    def _beside(self, run: Run, step: Step) -> None:
        def call() -> None:
            for _ in self._perform(run, step):
                pass  # steps that go beside never wait by polling

        def done(error: Exception | None) -> None:
            kind = "step" if error is None else "step-failed"
            text = str(step) if error is None else f"{step}: {error}"
            self._note(kind, f"{text} (beside)", run, step=step.name, beside="yes")

        self.tools.calls.start(call, done)

    def _perform(self, run: Run, step: Step) -> Performing:
        waiting: dict[type[Step], Callable[[Any], Performing]] = {
            AwaitApplied: self._await_applied,
            AwaitCaughtUp: self._await_caught_up,
            AwaitNear: self._await_near,
            AwaitReceived: self._await_received,
            ProveWrite: partial(self._prove_write, run),
        }
        at_once: dict[type[Step], Callable[[Any], None]] = {
            ChangeRecord: partial(self._change_record, run),
            TakeOut: partial(self._balance, run),
            PutIn: partial(self._balance, run),
            Drain: partial(self._balance, run),
            RequireNoErrant: self._require_no_errant,
            RequireOnlyWithStandby: self._require_only_with_standby,
            StartJob: self._job,
            StopJob: self._job,
            FenceOutside: self._fence_outside,
        }
        if type(step) in waiting:
            yield from waiting[type(step)](step)
        elif type(step) in at_once:
            at_once[type(step)](step)
        elif isinstance(step, NodeStep):
            self._act(run, step)
        else:
            raise StepFailedError(f"no way to perform {step!r}")

    def _act(self, run: Run, step: NodeStep) -> None:
        """The steps that are one call to one server."""
        server, deadline = self.tools.servers[step.node], step.deadline_seconds
        if isinstance(step, CloseGently):
            server.close_gently(step.grace_seconds, deadline)
        elif isinstance(step, EnableWaiting):
            server.enable_waiting(step.acknowledgements, deadline)
        elif isinstance(step, PlaceEvents):
            self._place_events(run, step)
        elif isinstance(step, RestoreSource):
            server.restore_source(deadline, clears_filters=step.clears_filters)
        elif isinstance(step, RestoreSettings):
            server.restore_settings(deadline, resting=step.resting)
        else:
            calls: dict[type[NodeStep], Callable[[float], None]] = {
                StopReceiver: server.stop_receiver,
                StopReplication: server.stop_replication,
                StartReplication: server.start_replication,
                Open: server.open,
                Fence: server.fence,
                DisableWaiting: server.disable_waiting,
                KillClients: server.kill_clients,
                MakeSchema: server.make_schema,
            }
            calls[type(step)](deadline)

    def _place_events(self, run: Run, step: PlaceEvents) -> None:
        deadline = step.deadline_seconds
        disabled: frozenset[tuple[str, str]] = frozenset()
        if step.ask:
            disabled = self.tools.servers[step.ask].disabled_events(deadline)
        said = self.tools.servers[step.node].place_events(
            run=step.run, disabled=disabled, deadline_seconds=deadline
        )
        if said:
            self._note("events", f"{step.node}: {said}", run)

    def _change_record(self, run: Run, step: ChangeRecord) -> None:
        store = self.tools.store
        record = store.read()
        if record is None or record.version != run.version:
            raise StoreConflictError("something else has changed the record meanwhile")
        changed = step.change.apply(record, self.tools.clock.wall())
        store.compare_and_set(record.version, changed)
        run.epoch, run.version, run.record = changed.epoch, changed.version, changed

    def _balance(self, run: Run, step: TakeOut | PutIn | Drain) -> None:
        """All named balancers at once; one that fails is named, and is not in the others' way."""

        def call(balancer: Balancer) -> Callable[[], None]:
            if isinstance(step, TakeOut):
                return lambda: balancer.take_out(step.node, step.pools, step.deadline_seconds)
            if isinstance(step, PutIn):
                return lambda: balancer.put_in(step.pool, step.node)
            return lambda: balancer.drain(step.pool, step.node)

        calls = [(name, call(self.tools.balancers[name])) for name in step.balancers]
        outcome = self.tools.calls.all(calls, step.deadline_seconds)
        failed = {name: error for name, error in outcome.items() if error is not None}
        for name, error in failed.items():
            self._note("balancer-failed", f"{step} in {name}: {error}", run, balancer=name)
        if failed and len(failed) == len(calls):
            raise BalancerError("no balancer did it: " + ", ".join(failed))

    def _await(self, step: Step, condition: Callable[[float], bool]) -> Performing:
        """Ask with a server-side wait in slices, so that a step's deadline is kept."""
        clock = self.tools.clock
        end = clock.monotonic() + step.deadline_seconds
        while not condition(max(0.001, min(WAIT_SLICE_SECONDS, end - clock.monotonic()))):
            if clock.monotonic() >= end:
                raise StepFailedError(f"not reached after {step.deadline_seconds:.1f} s")
            yield Pause(POLL_SECONDS)

    def _prove_write(self, run: Run, step: ProveWrite) -> Performing:
        if step.after_seconds > 0:
            yield Pause(step.after_seconds)
        self.tools.servers[step.node].prove_write(run.epoch, step.deadline_seconds)

    def _await_applied(self, step: AwaitApplied) -> Performing:
        yield from self._await(step, self.tools.servers[step.node].await_applied)

    def _await_caught_up(self, step: AwaitCaughtUp | AwaitNear) -> Performing:
        wanted: GtidSet = self.tools.servers[step.source].executed()
        server = self.tools.servers[step.node]
        yield from self._await(step, lambda slice_: server.await_executed(wanted, slice_))

    def _await_received(self, step: AwaitReceived) -> Performing:
        clock = self.tools.clock
        wanted: GtidSet = self.tools.servers[step.source].executed()
        end = clock.monotonic() + step.deadline_seconds
        while not self.tools.servers[step.node].received().contains(wanted):
            if clock.monotonic() >= end:
                raise StepFailedError(f"not reached after {step.deadline_seconds:.1f} s")
            yield Pause(POLL_SECONDS)

    def _require_only_with_standby(self, step: RequireOnlyWithStandby) -> None:
        own_word = self.tools.servers[step.standby].semisync().replica_acknowledges
        standby = acknowledgement.Standby(step.identities, own_word)
        here = self.tools.servers[step.node].semisync()
        if not acknowledgement.standby_among(here, standby):
            raise StepFailedError(f"{step.standby} does not acknowledge")
        if not acknowledgement.only_with_standby(here, standby):
            others = ", ".join(str(one) for one in acknowledgement.strays(here, standby))
            raise StepFailedError(f"{others} can acknowledge in place of {step.standby}")

    def _await_near(self, step: AwaitNear) -> Performing:
        """Catch up again and again; how long that took is how far the node was behind."""
        clock = self.tools.clock
        end = clock.monotonic() + step.deadline_seconds
        least_seconds = math.inf
        while True:
            began = clock.monotonic()
            left = replace(step, deadline_seconds=max(0.001, end - began))
            with contextlib.suppress(StepFailedError):
                yield from self._await_caught_up(left)
                least_seconds = min(least_seconds, clock.monotonic() - began)
            if least_seconds <= step.within_seconds:
                return
            if clock.monotonic() >= end:
                break
            yield Pause(POLL_SECONDS)
        behind = min(least_seconds, step.deadline_seconds)
        raise NotNearError(
            f"{step.node} is too far behind {step.source}: by {behind * 1000:.0f} ms or more, and "
            f"{step.within_seconds * 1000:.0f} ms is the limit; nothing was changed"
        )

    def _require_no_errant(self, step: RequireNoErrant) -> None:
        """The node first, the reference second: what that one gets meanwhile is no error."""
        own = self.tools.servers[step.node].executed()
        reference = self.tools.servers[step.reference].executed()
        errant = own.minus(reference)
        if not errant.is_empty():
            raise StepFailedError(
                f"{step.node} has transactions that {step.reference} lacks: {errant}"
            )

    def _job(self, step: StartJob | StopJob) -> None:
        jobs, deadline = self.tools.jobs, step.deadline_seconds
        if isinstance(step, StopJob):
            jobs.stop(step.kind, step.node, deadline)
            return
        order = JobOrder(
            kind=step.kind,
            node=step.node,
            method=step.method,
            id=step.id,
            writer=step.writer,
            epoch=step.epoch,
            accept_loss=step.accept_loss,
        )
        jobs.start(order, deadline)

    def _fence_outside(self, step: FenceOutside) -> None:
        if self.tools.outside is None:
            raise StepFailedError(f"there is no fence_command for {step.node}")
        self.tools.outside.fence(step.node, step.deadline_seconds)
