"""A simulated server as its callers reach it: the steps of a supervisor, and what heals do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from myha.core.gtid import GtidSet
from myha.core.node import ThreadState
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.sim.flavours import Transaction
from myha.sim.process import (
    DISABLED,
    ENABLED,
    FILTER,
    LEFT,
    RESTS,
    SETTING,
    ServerProcess,
)
from myha.sim.watchdog import SimWatchdog
from myha.sim.world import Doing

T = TypeVar("T")

POLL_SECONDS = 0.02
UNREACHABLE_POLL_SECONDS = 0.1
COMMAND_SURVIVES = 0.5  # how often a command sent to a frozen server is carried out when it thaws


@dataclass(frozen=True, slots=True)
class Data:
    """A copy of what a server has."""

    binlog: list[Transaction]
    forgotten: list[Transaction]
    purged: set[int]


class SimServer(ServerProcess):
    """Methods that yield are calls of a supervisor."""

    watchdog: SimWatchdog | None = None

    def call(self, caller: str, deadline_seconds: float, act: Callable[[], T]) -> Doing[T]:
        """Reach the server, act there, and come back; a frozen one may act when it thaws."""
        world, life = self.world, self.life
        yield from self._reach(caller, deadline_seconds, act)
        if not self.up or self.leaving or self.life != life:
            raise ServerGoneError(f"{self.name}: connection lost")
        result = act()
        self.touched()
        yield world.latency_seconds
        if not self.up or self.life != life:
            raise ServerGoneError(f"{self.name}: connection lost")
        return result

    def _reach(self, caller: str, deadline_seconds: float, act: Callable[[], T]) -> Doing[None]:
        world = self.world
        end = world.now + deadline_seconds
        yield world.latency_seconds
        while self.frozen or not world.linked(caller, self.name):
            left = end - world.now
            if left <= 1e-6:
                self._leave_behind(act)
                raise ServerSilentError(f"{self.name}: no answer in {deadline_seconds} s")
            yield min(UNREACHABLE_POLL_SECONDS, left)

    def _leave_behind(self, act: Callable[[], T]) -> None:
        if self.frozen and self.world.rng.random() < COMMAND_SURVIVES:

            def later() -> None:
                try:
                    act()
                except ServerError as error:
                    self.world.note(f"{self.name}: a late command failed: {error}")
                self.touched()

            self.inbox.append(later)

    def until(self, caller: str, deadline_seconds: float, so: Callable[[], bool]) -> Doing[bool]:
        """Wait on the server until something is so; False when it is not at the deadline."""
        end = self.world.now + deadline_seconds
        while not (yield from self.call(caller, max(0.001, end - self.world.now), so)):
            if self.world.now >= end:
                return False
            yield min(POLL_SECONDS, max(0.0005, end - self.world.now))
        return True

    def do_stop_receiver(self) -> None:
        self.channel.stop()

    def do_stop_replication(self) -> None:
        self.channel.stop()
        self.applier_running = False

    def do_forget_received(self) -> None:
        self.do_stop_replication()
        self.drop_relay()
        if self.forgotten and self.flavour.keeps_position:
            others = [one for one in self.forgotten if one.origin != self.index]
            self._executed, self._unfolded = self.named([*others, *self.binlog]), []

    def do_start_replication(self) -> None:
        if not self.channel.source:
            raise ServerError(f"{self.name}: no source is configured")
        both_stopped = self.channel.state is ThreadState.STOPPED and not self.applier_running
        if both_stopped and self.flavour.drops_relay_log_at_start:
            self.drop_relay()
        self.applier_running = self.applier_errno == 0
        self.channel.start()
        self.start_applying()

    def do_restore_source(self, *, clears_filters: bool) -> None:
        if self.channel.state is not ThreadState.STOPPED or self.applier_running:
            raise ServerError(f"{self.name}: replication runs")
        if FILTER in self.changed and not clears_filters:
            raise ServerError(f"{self.name}: a filter is in force")
        self.channel.source = self.channel.own_source
        self.changed = tuple(one for one in self.changed if one is SETTING)

    def do_restore_settings(self) -> None:
        self.changed = tuple(one for one in self.changed if one is not SETTING)

    def is_applied(self) -> bool:
        if not self.applier_running and not self.applier_errno and self.channel.source:
            self.applier_running = True
            self.start_applying()
        return not self.relay

    def do_open(self, boot_id: str) -> None:
        if boot_id not in ("", self.boot_id):
            raise ServerError(f"{self.name}: it has restarted since")
        if not self.open:
            self.on_opened(self)
            self.watchdog_reset()
        self.overslept = False
        self.open, self.offline, self.closing, self.by_stranger = True, False, False, False

    def watchdog_reset(self) -> None:
        if self.watchdog is not None:
            self.watchdog.reset()

    def watchdog_renewed(self, by: str) -> bool:
        return self.watchdog is not None and self.watchdog.renewed(by)

    def watchdog_let_go(self, by: str) -> None:
        if self.watchdog is not None:
            self.watchdog.let_go(by)

    def close_itself(self) -> None:
        """As its watchdog does: no client hears an answer any more, then it is read-only."""
        self.do_fence()
        self.offline = True
        self.touched()

    def do_fence(self) -> None:
        """Cut the clients off, then release the waiting commits, then read-only."""
        self.cut_sessions()
        self.waits = False
        self.finish(tuple(self.waiting))
        self.open = self.by_stranger = self.closing = self.overslept = False

    def do_enable_waiting(self, acknowledgements: int = 1) -> None:
        if self.semisync_now().source_clients < acknowledgements:
            raise ServerError(f"{self.name}: fewer semi-sync replicas are connected")
        self.waits, self.wait_count = True, acknowledgements
        if acknowledgements == 1 and self.acknowledged_once:
            self.finish(tuple(self.acknowledged_once))
        self.acknowledged_once.clear()

    def do_place_events(self, *, run: bool) -> str:
        """Which one the application has disabled is known on both nodes."""
        if run and not self.open and LEFT in self.events.values():
            raise ServerError(f"{self.name}: is read-only")
        for name, status in self.events.items():
            if run and status == LEFT:
                self.events[name] = DISABLED if self.is_noted(name) else ENABLED
            elif not run and status == ENABLED:
                self.events[name] = LEFT
        return ""

    def is_noted(self, event: str) -> bool:
        return event == RESTS

    def do_disable_waiting(self) -> None:
        self.waits = False
        self.finish(tuple(self.waiting))

    def close_gently(self, caller: str, grace: float, deadline: float) -> Doing[None]:
        """Read-only blocks behind commits that wait; they are left to it, or it is put back."""
        life, given_up = self.life, False

        def begin() -> None:
            if given_up:
                self._end_closing()  # what had reached a frozen server closes it when it goes on
            else:
                self.closing = True

        try:
            yield from self.call(caller, deadline, begin)
            kill_at = self.world.now + grace
            while self.waiting:
                if self.world.now >= kill_at + deadline - grace:
                    raise ServerError(f"{self.name}: commits still wait; it is open again")
                yield POLL_SECONDS
                if self.life != life or not self.up:
                    raise ServerGoneError(f"{self.name}: connection lost")
            yield from self.call(caller, deadline, self._end_closing)
        finally:
            given_up = True
            if self.closing and self.life == life:
                self.closing = False
                self.touched()

    def _end_closing(self) -> None:
        self.open = self.closing = self.by_stranger = self.overslept = False

    def prove_write(self, caller: str, deadline: float) -> Doing[None]:
        life = self.life
        one = yield from self.call(caller, deadline, lambda: self.begin(None, None))
        if one is None:
            raise ServerError(f"{self.name}: is read-only")
        end = self.world.now + deadline
        while one.serial in self.waiting:
            if self.world.now >= end:
                raise ServerSilentError(f"{self.name}: the write was not acknowledged in time")
            yield POLL_SECONDS
            if not self.up or self.life != life:
                raise ServerGoneError(f"{self.name}: connection lost")

    # -- what heals do -----------------------------------------------------------------------------

    def rewind(self, keep: GtidSet, elsewhere: set[int] | None = None) -> None:
        """Take out everything outside `keep`. What is in `elsewhere` is elsewhere: no loss."""
        self.drop_relay()
        has = self.flavour.has
        gone = [one for one in self.binlog if not has(keep, one)]
        self._set_binlog([one for one in self.binlog if has(keep, one)])
        only_here = {one.serial for one in gone} - (elsewhere or set()) - self.written_when_emptied
        only_here -= self.given_up
        if self.resets:  # what a stranger writes there bears names that its peer knows
            only_here -= self.written_by_stranger
        kept = {one.serial for one in self.quarantine}
        self.on_undone(self, len(only_here), len(only_here & kept))

    def empty(self, elsewhere: set[int]) -> None:
        """Take out everything, what its log has forgotten too."""
        self.binlog, self.forgotten = [*self.forgotten, *self.binlog], []
        self.rewind(self.flavour.empty, elsewhere)
        self.emptied = True

    def replace_data(self, donor: SimServer) -> None:
        """Everything that the donor has committed, and nothing else."""
        self.drop_relay()
        executed, has = donor.executed_now(), self.flavour.has
        self.forgotten, self.purged = list(donor.forgotten), set()
        self.fills += 1
        self._set_binlog([one for one in donor.binlog if has(executed, one)])
        self._executed = executed
        self.events = dict(donor.events)  # as they are there: a copy is no replica yet
        self.applier_errno = 0
        self.left_out = set(donor.left_out)
        self.emptied = False
        self.on_undone(self, 0, 0)

    def data(self) -> Data:
        return Data(list(self.binlog), list(self.forgotten), set(self.purged))

    def put_back(self, data: Data) -> None:
        """While it is down: other data, from whose last name on it gives names anew."""
        self.waiting.clear()
        self.drop_relay()
        self.forgotten, self.purged = list(data.forgotten), set(data.purged)
        self.resets += 1
        self._set_binlog(list(data.binlog))

    def _set_binlog(self, ones: list[Transaction]) -> None:
        self.binlog = ones
        self.has = {one.serial for one in (*self.forgotten, *ones)}
        self.left_out &= self.has
        named = [*self.forgotten, *ones] if self.flavour.keeps_position else ones
        self._executed, self._unfolded = self.named(named), []
        self.number = max((o.number for o in named if o.origin == self.index), default=0)
        self.channel.position = 0
        self.peer.channel.reset()
        self.touched()

    def take_in(self, one: Transaction) -> None:
        """A transaction of the peer's, under its own name."""
        if not self.open:
            raise ServerError(f"{self.name}: is read-only")
        if one.serial in self.has:
            return
        if one.origin == self.index and one.number > self.number:
            self.number = one.number
        self._write(one)
        self._unfolded.append(one)
        self.touched()
        self.on_merged(self.peer)
