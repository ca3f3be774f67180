"""Simulated heals: jobs that take virtual time, may be refused or fail, and die half way.

A job belongs to the supervisor that started it and dies with it; one whose supervisor only stands
still goes on, which is why it asks the record before it changes anything, and holds the lock that
keeps two jobs off one node. What it changes on a server it changes at once, at its commit point.
"""

from __future__ import annotations

from collections.abc import Callable

from myha.core.gtid import GtidSet
from myha.core.jobs import Job, JobResult
from myha.core.node import ThreadState
from myha.core.observations import JobEnded, JobProgressed
from myha.core.record import Cause, NodeRecord
from myha.errors import MyhaError
from myha.ports import JobOrder
from myha.sim.flavours import Transaction
from myha.sim.server import SimServer
from myha.sim.supervisor import SimSupervisor
from myha.sim.world import Doing

STEP_SECONDS = 0.01
CALL_SECONDS = 1.0
LOCK_SECONDS = 0.5
COPY_SECONDS = 0.1
CAUGHT_UP_SECONDS = 6.0
POLL_SECONDS = 0.05
REFUSED, FAILS = 0.1, 0.1  # how often


class RefusedError(MyhaError):
    """This method does not do; nothing was changed."""


class SimHeal:
    """One job. The methods are its phases, each safe to be done again after a death anywhere."""

    def __init__(self, supervisor: SimSupervisor, order: JobOrder) -> None:
        self.supervisor = supervisor
        self.world = supervisor.world
        self.order = order
        self.node: SimServer = supervisor.servers[order.node]
        self.writer: SimServer = supervisor.servers[order.writer]
        self.alive = True
        self.done = False
        self.on_ended: Callable[[SimHeal, JobResult, str], None] = lambda *_: None
        self._index = -1
        rng = self.world.rng
        self._refuses = order.method != "reseed" and rng.random() < REFUSED
        self._fails_at = rng.randrange(10) if rng.random() < FAILS else -1
        self._doing = self.work()

    def begin(self) -> None:
        self.world.after(STEP_SECONDS, self._step)

    def _step(self) -> None:
        if not (self.alive and self.supervisor.alive):
            self._end()
            return
        try:
            seconds = next(self._doing)
        except StopIteration:
            self._ended(JobResult.DONE, "as it should be")
        except RefusedError as error:
            self._ended(JobResult.REFUSED, str(error))
        except MyhaError as error:
            self._ended(JobResult.FAILED, str(error))
        else:
            self.world.after(seconds, self._step)

    def _end(self) -> None:
        """The process is gone, whatever it was at."""
        self.done = True
        self._doing.close()
        if self.supervisor.store.locks.get(self.order.node) is self:
            del self.supervisor.store.locks[self.order.node]

    def _ended(self, result: JobResult, reason: str) -> None:
        self._end()
        self.world.note(
            f"the heal of {self.order.node} by {self.order.method}: {result} ({reason})"
        )
        self.on_ended(self, result, reason)

    def _boundary(self) -> Doing[None]:
        """Between two phases: whatever a fault waits for may strike."""
        self._index += 1
        if self._index == self._fails_at:
            raise MyhaError("something went wrong")
        self.supervisor.on_step(self.supervisor, "job", self._index)
        yield STEP_SECONDS

    def _call(self, server: SimServer, act: Callable[[], object]) -> Doing[object]:
        return (yield from server.call(self.supervisor.name, CALL_SECONDS, act))

    # -- the phases --------------------------------------------------------------------------------

    def work(self) -> Doing[None]:
        yield from self._lock()
        yield from self._boundary()
        yield from self._call(self.node, self.require_quiet)
        if self._refuses:
            raise RefusedError("this cannot be done exactly")
        yield from self._boundary()
        errant = yield from self._errant()
        yield from self._boundary()
        self.quarantine(errant)
        yield from self._boundary()
        yield from self.change(errant)
        yield from self._boundary()
        yield from self._catch_up()
        yield from self._boundary()
        yield from self.verify()
        yield from self._boundary()
        yield from self._call(self.node, self.node.do_stop_replication)
        yield from self._boundary()

    def _lock(self) -> Doing[None]:
        locks, end = self.supervisor.store.locks, self.world.now + LOCK_SECONDS
        while (holder := locks.get(self.order.node)) is not None and not holder.done:
            if self.world.now >= end:
                raise MyhaError("another job works on it")
            yield POLL_SECONDS
        locks[self.order.node] = self

    def require_quiet(self) -> None:
        node = self.node
        if node.open or node.applier_running or node.channel.state is not ThreadState.STOPPED:
            raise MyhaError("it is not fenced")

    def require_record(self) -> None:
        """Nothing is changed for a heal that is no longer on record."""
        record, entry = self.supervisor.store.record, self._entry()
        heal = entry.heal
        same = (
            entry.cause is Cause.HEALING
            and heal is not None
            and (heal.id, heal.method) == (self.order.id, self.order.method)
        )
        if record.term != self.order.term:
            raise MyhaError("another supervisor has taken over")
        if not same or (record.writer, record.epoch) != (self.order.writer, self.order.epoch):
            raise MyhaError("it is no longer on record as being healed")

    def _entry(self) -> NodeRecord:
        return self.supervisor.store.record.node(self.order.node)

    def _errant(self) -> Doing[list[Transaction]]:
        yield from self._call(self.node, self.node.executed_now)
        yield from self._call(self.writer, self.writer.executed_now)
        keep = self.writer.executed_now()
        has = self.node.flavour.has
        return [one for one in self.node.binlog if not has(keep, one)]

    def quarantine(self, errant: list[Transaction]) -> None:
        """On disk, where this supervisor and the next one find it."""
        self.node.quarantine.extend(errant)

    def change(self, errant: list[Transaction]) -> Doing[None]:
        if self.order.method == "merge":
            for one in errant:
                yield from self._call(self.writer, lambda one=one: self._merge(one))  # type: ignore[misc]
        elif self.order.method == "rewind":
            # What came in since the look at it is not for this undo: it is not in quarantine.
            kept = self._without(errant)
            yield from self._call(self.node, lambda: self._rewind(kept))
        else:
            yield from self._call(self.node, self._empty)
            yield COPY_SECONDS
            yield from self._boundary()
            yield from self._call(self.writer, self.writer.executed_now)
            yield from self._call(self.node, self._fill)

    def _without(self, errant: list[Transaction]) -> GtidSet:
        gtids, add = self.node.flavour.empty, self.node.flavour.add
        gone = {one.serial for one in errant}
        for one in self.node.binlog:
            if one.serial not in gone:
                gtids = add(gtids, one)
        return gtids

    def _merge(self, one: Transaction) -> None:
        self.require_record()
        self.writer.take_in(one)

    def _rewind(self, kept: GtidSet) -> None:
        self.require_record()
        self.require_quiet()
        self.node.rewind(kept)

    def _empty(self) -> None:
        self.require_record()
        self.require_quiet()
        self.node.empty(elsewhere=self.writer.has)

    def _fill(self) -> None:
        self.require_record()
        self.require_quiet()
        self.node.replace_data(self.writer)

    def _catch_up(self) -> Doing[None]:
        """One way: the writer's receiver stays stopped."""
        node, writer = self.node, self.writer
        clears = self.order.method == "reseed"
        yield from self._call(node, lambda: self._point(clears))
        yield from self._call(node, node.do_start_replication)
        yield from self._call(writer, writer.executed_now)
        if node.channel.refused:
            raise RefusedError("the writer has purged what it lacks")
        wanted = writer.executed_now()
        end = self.world.now + CAUGHT_UP_SECONDS
        while True:
            yield from self._call(node, node.executed_now)
            if node.executed_now().contains(wanted):
                return
            if self.world.now >= end:
                raise MyhaError("it has not caught up in time")
            yield POLL_SECONDS

    def _point(self, clears: bool) -> None:
        self.node.do_restore_source(clears_filters=clears)

    def verify(self) -> Doing[None]:
        yield from self._call(self.node, self.node.executed_now)
        found = set(self.node.has)
        yield from self._call(self.writer, self.writer.executed_now)
        if found - self.writer.has:
            raise MyhaError("differs after the heal")


class SimJobs:
    """Implements `myha.ports.Jobs` for one supervisor."""

    def __init__(self, supervisor: SimSupervisor, heal: type[SimHeal]) -> None:
        self._supervisor = supervisor
        self._heal = heal
        self._running: dict[str, SimHeal] = {}

    def start(self, order: JobOrder, deadline_seconds: float) -> None:  # noqa: ARG002  # a port
        if order.node not in self._running:
            heal = self._running[order.node] = self._heal(self._supervisor, order)
            heal.on_ended = self.ended
            self._supervisor.take(JobProgressed(self._supervisor.world.now, _job(order)))
            heal.begin()

    def stop(self, kind: str, node: str, deadline_seconds: float) -> None:  # noqa: ARG002  # a port
        heal = self._running.get(node)
        if heal is not None:
            heal.alive = False
            self.ended(heal, JobResult.STOPPED, "stopped")

    def ended(self, heal: SimHeal, result: JobResult, reason: str) -> None:
        if self._running.get(heal.order.node) is heal:
            del self._running[heal.order.node]
            now = self._supervisor.world.now
            self._supervisor.take(JobEnded(now, _job(heal.order), result, reason))


def _job(order: JobOrder) -> Job:
    return Job(order.kind, order.node, order.method, order.id)
