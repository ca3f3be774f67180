"""Carries a plan out: one step at a time, under its epoch, confirmed, journalled.

`Executor.run` is a generator, so that the daemon and the simulator drive the same code: it yields
before every step and whenever it waits, and the driver decides what passes in between (real time,
or anything that a simulated world can do to it).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from myha.core import acknowledgement
from myha.core.events import Kind
from myha.core.gtid import GtidSet
from myha.core.plans import (
    AwaitApplied,
    AwaitCaughtUp,
    AwaitClosed,
    AwaitDrained,
    AwaitNear,
    AwaitReceived,
    ChangeRecord,
    CloseGently,
    DisableWaiting,
    Drain,
    EnableWaiting,
    Fence,
    FenceOutside,
    ForgetReceived,
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
from myha.core.record import Record
from myha.core.values import value
from myha.errors import (
    BalancerError,
    MyhaError,
    ServerError,
    ServerSilentError,
    StoreConflictError,
)
from myha.ports import (
    Balancer,
    Clock,
    ConcurrentCalls,
    JobOrder,
    Jobs,
    Journal,
    Lease,
    Leases,
    OutsideFence,
    RecordStore,
    Server,
)

POLL_SECONDS = 0.01
SESSIONS_END_SECONDS = 0.5
WAIT_SLICE_SECONDS = 0.25
HELD_SECONDS = 0.4  # a session that holds up a new writer has so long to end by itself


class StepFailedError(MyhaError):
    """A step that did not succeed; the message names it and says why."""


class NotNearError(StepFailedError):
    """The standby was not near enough to begin; nothing was touched, and asking again may help."""


@value(frozen=True, slots=True)
class Pause:
    """Yielded by the executor: nothing to do for this long, in seconds (0: just a boundary)."""

    seconds: float = 0.0


BOUNDARY = Pause()


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
    leases: Leases | None = None
    lease: Lease | None = None  # the right to act; None where nobody else can have it

    @property
    def may_act(self) -> bool:
        """Whether it is certain that no other supervisor acts on the pair."""
        return self.lease is None or self.lease.holds()


@dataclass(slots=True)
class Run:
    """One plan under way: the epoch and version that its next step must find on record."""

    plan: Plan
    epoch: int
    version: int
    record: Record | None = None
    failures: list[str] = field(default_factory=list)


Performing = Generator[Pause, None, None]
Performer = Callable[[Run, Any], Performing | None]


class Executor:
    """Performs plans with the given tools. Not for use by two threads at once."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.performers = self._table()

    def run(self, plan: Plan) -> Generator[Pause, None, Run]:
        """Perform all steps. Raises `StepFailedError` at the first that fails and may not.

        Whatever had been done by then stays done: it is seen by the next looks, and decided upon.
        """
        run = Run(plan, plan.epoch, plan.version)
        self._note(Kind.PLAN, plan.sentence, run)
        for step in plan.steps:
            yield BOUNDARY
            self._check_epoch(run, step)
            started = self.tools.clock.monotonic()
            if step.beside:
                self._beside(run, step)
                continue
            try:
                yield from self._perform(run, step)
            except MyhaError as error:
                self._note(Kind.STEP_FAILED, f"{step}: {error}", run, step=step.name)
                if isinstance(error, NotNearError):
                    raise
                if not step.best_effort:
                    raise StepFailedError(f"{step}: {error}") from error
                run.failures.append(f"{step}: {error}")
                continue
            took_ms = (self.tools.clock.monotonic() - started) * 1000
            self._note(Kind.STEP, str(step), run, step=step.name, took_ms=f"{took_ms:.1f}")
        self._note(Kind.PLAN_DONE, plan.sentence, run)
        return run

    def _check_epoch(self, run: Run, step: Step) -> None:
        """A command of an old epoch is refused: somebody else has decided since.

        So is one of an old version: whatever was changed on record since the plan was made, also
        without a change of writer, was not known to it. (A plan that was made before the standby
        was lost would otherwise route to it, and one that was made before the pair was armed would
        release the writer.)
        """
        if not self.tools.may_act:
            reason = f"{step}: refused, the lease has run out: another supervisor may be at work"
            self._note(Kind.STEP_FAILED, reason, run, step=step.name)
            raise StepFailedError(reason)
        standing = self._standing(run)
        if standing != (run.epoch, run.version):
            found = "none" if standing is None else "{}, version {}".format(*standing)
            reason = (
                f"{step}: refused, the epoch on record is {found}, "
                f"the plan's is {run.epoch}, version {run.version}"
            )
            self._note(Kind.STEP_FAILED, reason, run, step=step.name)
            raise StepFailedError(reason)

    def _standing(self, _run: Run) -> tuple[int, int] | None:
        """The epoch and version on record; None when there is no record."""
        record = self.tools.store.read()
        return None if record is None else (record.epoch, record.version)

    def _note(self, kind: Kind, text: str, run: Run, **fields: str) -> None:
        fields.update(plan=run.plan.kind, node=run.plan.node, epoch=str(run.epoch))
        self.tools.journal.note(kind, text, fields)

    def _beside(self, run: Run, step: Step) -> None:
        def call() -> None:
            for _ in self._perform(run, step):
                pass  # steps that go beside never wait by polling

        def done(error: Exception | None) -> None:
            kind = Kind.STEP if error is None else Kind.STEP_FAILED
            text = str(step) if error is None else f"{step}: {error}"
            self._note(kind, f"{text} (beside)", run, step=step.name, beside="yes")

        self.tools.calls.start(call, done)

    def _perform(self, run: Run, step: Step) -> Performing:
        performer = self.performers.get(type(step))
        if performer is None:
            raise StepFailedError(f"no way to perform {step!r}")
        waiting = performer(run, step)
        if waiting is not None:
            yield from waiting

    def _table(self) -> dict[type[Step], Performer]:
        """How each kind of step is performed."""

        def on(call: Callable[[Server, float, Any], None]) -> Performer:
            """One call to one server."""

            def perform(_run: Run, step: Any) -> None:
                call(self.tools.servers[step.node], step.deadline_seconds, step)

            return perform

        return {
            ChangeRecord: self._change_record,
            TakeOut: self._balance,
            PutIn: self._balance,
            Drain: self._balance,
            AwaitApplied: self._await_applied,
            AwaitCaughtUp: self._await_caught_up,
            AwaitNear: self._await_near,
            AwaitReceived: self._await_received,
            AwaitDrained: self._await_drained,
            AwaitClosed: self._await_closed,
            ProveWrite: self._prove_write,
            RequireNoErrant: self._require_no_errant,
            RequireOnlyWithStandby: self._require_only_with_standby,
            StartJob: self._start_job,
            StopJob: self._stop_job,
            FenceOutside: self._fence_outside,
            PlaceEvents: self._place_events,
            StopReceiver: on(lambda server, seconds, _: server.stop_receiver(seconds)),
            ForgetReceived: on(lambda server, seconds, _: server.forget_received(seconds)),
            StopReplication: on(lambda server, seconds, _: server.stop_replication(seconds)),
            StartReplication: on(lambda server, seconds, _: server.start_replication(seconds)),
            Open: on(lambda server, seconds, step: server.open(seconds, step.boot_id)),
            Fence: on(lambda server, seconds, _: server.fence(seconds)),
            DisableWaiting: on(lambda server, seconds, _: server.disable_waiting(seconds)),
            KillClients: on(lambda server, seconds, _: server.kill_clients(seconds)),
            MakeSchema: on(lambda server, seconds, _: server.make_schema(seconds)),
            CloseGently: on(
                lambda server, seconds, step: server.close_gently(step.grace_seconds, seconds)
            ),
            EnableWaiting: on(
                lambda server, seconds, step: server.enable_waiting(step.acknowledgements, seconds)
            ),
            RestoreSource: on(
                lambda server, seconds, step: server.restore_source(
                    seconds, clears_filters=step.clears_filters
                )
            ),
            RestoreSettings: on(
                lambda server, seconds, step: server.restore_settings(seconds, resting=step.resting)
            ),
        }

    def _place_events(self, run: Run, step: PlaceEvents) -> None:
        deadline = step.deadline_seconds
        disabled: frozenset[tuple[str, str]] = frozenset()
        if step.ask:
            disabled = self.tools.servers[step.ask].disabled_events(deadline)
        said = self.tools.servers[step.node].place_events(
            run=step.run, disabled=disabled, deadline_seconds=deadline
        )
        if said:
            self._note(Kind.EVENTS, f"{step.node}: {said}", run)

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
            self._note(Kind.BALANCER_FAILED, f"{step} in {name}: {error}", run, balancer=name)
        if failed and len(failed) == len(calls):
            raise BalancerError("no balancer did it: " + ", ".join(failed))
        if isinstance(step, TakeOut):
            self._end_sessions(run, step, [name for name in step.balancers if name not in failed])

    def _end_sessions(self, run: Run, step: TakeOut, out_of: Iterable[str]) -> None:
        """Where a balancer leaves the sessions alone that are open there, the server ends them.

        All of its clients', since nobody can tell which way each has come: those of another pool
        connect anew. A server that hangs is not in the way of its successor for long.
        """
        leave = [name for name in out_of if not self.tools.balancers[name].ends_sessions]
        if not leave:
            return
        try:
            self.tools.servers[step.node].kill_clients(
                min(step.deadline_seconds, SESSIONS_END_SECONDS)
            )
        except MyhaError as error:
            text = f"{step}: sessions through {' and '.join(leave)} may go on: {error}"
            self._note(Kind.BALANCER_FAILED, text, run, balancer=leave[0])

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
        server = self.tools.servers[step.node]
        try:
            server.prove_write(run.epoch, step.deadline_seconds)
        except ServerSilentError:
            if not (step.frees and self._end_holders(run, step)):
                raise
            server.prove_write(run.epoch, step.deadline_seconds)

    def _await_applied(self, run: Run, step: AwaitApplied) -> Performing:
        clock, server = self.tools.clock, self.tools.servers[step.node]
        held_at = clock.monotonic() + HELD_SECONDS

        def applied(slice_seconds: float) -> bool:
            if server.await_applied(slice_seconds):
                return True
            if step.frees and clock.monotonic() >= held_at:
                self._end_holders(run, step)
            return False

        yield from self._await(step, applied)

    def _end_holders(self, run: Run, step: NodeStep) -> bool:
        """Whether anything was done."""
        try:
            said = self.tools.servers[step.node].end_holders(step.deadline_seconds)
        except ServerError as error:
            said = f"who holds it up cannot be found out: {error}"
        if said:
            self._note(Kind.SESSIONS_ENDED, f"{step.node}: {said}", run)
        return bool(said)

    def _await_caught_up(self, _run: Run, step: AwaitCaughtUp | AwaitNear) -> Performing:
        wanted: GtidSet = self.tools.servers[step.source].executed()
        server = self.tools.servers[step.node]
        yield from self._await(step, lambda slice_: server.await_executed(wanted, slice_))

    def _await_drained(self, _run: Run, step: AwaitDrained) -> Performing:
        clock, server = self.tools.clock, self.tools.servers[step.node]
        end = clock.monotonic() + step.deadline_seconds
        received, since = server.received(), clock.monotonic()
        while clock.monotonic() - since < step.quiet_seconds:
            if clock.monotonic() >= end:
                raise StepFailedError(f"more has arrived all the {step.deadline_seconds:.1f} s")
            yield Pause(POLL_SECONDS)
            now = server.received()
            if now != received:
                received, since = now, clock.monotonic()

    def _await_closed(self, _run: Run, step: AwaitClosed) -> Performing:
        clock, leases = self.tools.clock, self.tools.leases
        if leases is None:
            raise StepFailedError(f"{step.node} has no watchdog")
        gives_up = clock.monotonic() + step.deadline_seconds
        closed_at = leases.end(step.node, step.deadline_seconds) + step.total_seconds
        while clock.monotonic() < closed_at:
            if clock.monotonic() >= gives_up:
                raise StepFailedError(f"{step.node} was reached a moment ago")
            yield Pause(min(WAIT_SLICE_SECONDS, max(POLL_SECONDS, closed_at - clock.monotonic())))

    def _await_received(self, _run: Run, step: AwaitReceived) -> Performing:
        clock = self.tools.clock
        wanted: GtidSet = self.tools.servers[step.source].executed()
        end = clock.monotonic() + step.deadline_seconds
        while not self.tools.servers[step.node].received().contains(wanted):
            if clock.monotonic() >= end:
                raise StepFailedError(f"not reached after {step.deadline_seconds:.1f} s")
            yield Pause(POLL_SECONDS)

    def _require_only_with_standby(self, _run: Run, step: RequireOnlyWithStandby) -> None:
        own_word = self.tools.servers[step.standby].semisync().replica_acknowledges
        standby = acknowledgement.Standby(step.identities, own_word)
        here = self.tools.servers[step.node].semisync()
        if not acknowledgement.standby_among(here, standby):
            raise StepFailedError(f"{step.standby} does not acknowledge")
        if not acknowledgement.only_with_standby(here, standby):
            others = ", ".join(str(one) for one in acknowledgement.strays(here, standby))
            raise StepFailedError(f"{others} can acknowledge in place of {step.standby}")

    def _await_near(self, run: Run, step: AwaitNear) -> Performing:
        """Catch up again and again; how long that took is how far the node was behind."""
        clock = self.tools.clock
        end = clock.monotonic() + step.deadline_seconds
        least_seconds = math.inf
        while True:
            began = clock.monotonic()
            left = replace(step, deadline_seconds=max(0.001, end - began))
            with contextlib.suppress(StepFailedError):
                yield from self._await_caught_up(run, left)
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

    def _require_no_errant(self, _run: Run, step: RequireNoErrant) -> None:
        """The node first, the reference second: what that one gets meanwhile is no error."""
        own = self.tools.servers[step.node].executed()
        reference = self.tools.servers[step.reference].executed()
        errant = own.minus(reference)
        if not errant.is_empty():
            raise StepFailedError(
                f"{step.node} has transactions that {step.reference} lacks: {errant}"
            )

    def _start_job(self, _run: Run, step: StartJob) -> None:
        record = self.tools.store.read()
        order = JobOrder(
            kind=step.kind,
            node=step.node,
            method=step.method,
            id=step.id,
            writer=step.writer,
            epoch=step.epoch,
            accept_loss=step.accept_loss,
            term=0 if record is None else record.term,
        )
        self.tools.jobs.start(order, step.deadline_seconds)

    def _stop_job(self, _run: Run, step: StopJob) -> None:
        self.tools.jobs.stop(step.kind, step.node, step.deadline_seconds)

    def _fence_outside(self, _run: Run, step: FenceOutside) -> None:
        if self.tools.outside is None:
            raise StepFailedError(f"there is no fence_command for {step.node}")
        self.tools.outside.fence(step.node, step.deadline_seconds)
