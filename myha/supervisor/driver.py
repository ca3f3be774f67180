"""Drives one pair's loop: its queue, its thread, and those of the watchers and the executor.

The loop's thread never blocks on a server or a balancer; whatever takes time has a thread, and its
result comes back on the queue.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Protocol

from myha.core.address import Standing
from myha.core.balancer import BalancerLook
from myha.core.events import Kind
from myha.core.observations import Tick
from myha.core.plans import Plan
from myha.core.record import Record
from myha.errors import MyhaError
from myha.ports import WatchedServer
from myha.supervisor.base_loop import (
    IDLE_SECONDS,
    Begin,
    Effect,
    LookNow,
    Note,
    PlanResult,
    Stop,
    Turn,
)
from myha.supervisor.executor import Executor, NotNearError, Tools
from myha.supervisor.inbox import Inbox
from myha.supervisor.requests import Reply, Request
from myha.supervisor.rhythm import Rhythm
from myha.supervisor.turns import Turns
from myha.supervisor.watchers import BalancerWatcher, NodeWatcher, Watcher

# The looks at a pair are taken at the same time, and what they find is decided upon together: as
# long as none brings news, each waits so long for the others.
GATHER_SECONDS = 0.05


class DrivenLoop(Protocol):
    """Events in, effects out: the pair's loop, or a replica's."""

    def take(self, event: Any) -> tuple[Effect, ...]: ...

    def is_news(self, event: Any) -> bool: ...

    def decide(self) -> Turn: ...


class Driver:
    """Owns those threads. `run` is the loop's own, and returns when the loop has been stopped.

    `balancers`: watchers that are another driver's, to be asked to look now; without them it has
    its own, which tell each balancer what `standing` says of it after a look.
    """

    def __init__(
        self,
        loop: DrivenLoop,
        tools: Tools,
        servers: Mapping[str, WatchedServer],
        interval_seconds: float,
        *,
        executor: Executor | None = None,
        balancers: Mapping[str, BalancerWatcher] | None = None,
        standing: Callable[[str, BalancerLook], Standing] | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.loop = loop
        self.tools = tools
        self.queue = Inbox() if inbox is None else inbox
        self._plans: queue.Queue[Plan | None] = queue.Queue(1)
        self._nodes = {
            name: NodeWatcher(server, interval_seconds, self.queue.put)
            for name, server in servers.items()
        }
        self._own_balancers = (
            {
                name: BalancerWatcher(
                    balancer,
                    interval_seconds,
                    self.queue.put,
                    partial(standing, name) if standing else None,
                )
                for name, balancer in tools.balancers.items()
            }
            if balancers is None
            else {}
        )
        self.balancers = self._own_balancers if balancers is None else balancers
        self._executor = Executor(tools) if executor is None else executor
        self._replies: dict[Request, Future[Reply]] = {}
        self._rhythm = Rhythm(interval_seconds)
        self.rested = False  # before this turn, to its end: nothing that came was news
        self.lost = False  # the right to act
        self.turns = Turns()
        # Called in the loop's thread: before every turn, and after one that decided. Must not wait
        # for anything.
        self.before_turn: Callable[[], None] = lambda: None
        self.after_turn: Callable[[], None] = lambda: None

    @property
    def watchers(self) -> list[Watcher]:
        return [*self._nodes.values(), *self._own_balancers.values()]

    # -- from other threads ----------------------------------------------------------------------

    def stop(self) -> None:
        self.queue.put(Stop())

    def lose(self) -> None:
        """Another supervisor may act now: `run` returns at once, whatever was half done."""
        self.lost = True
        self.queue.put(Stop())

    def ask(self, request: Request, deadline_seconds: float) -> Reply:
        """Wait until the loop has replied; says so when it has not in time."""
        if not self.tools.may_act:
            return Reply(False, "the lease is not renewed just now, so nothing may be done")
        future = self._replies[request] = Future()
        self.queue.put(request)
        try:
            return future.result(deadline_seconds)
        except TimeoutError:
            return Reply(ok=False, text="still under way; see `myha events`")

    # -- the loop's thread -----------------------------------------------------------------------

    def run(self) -> None:
        """Until the loop may leave. Raises what the executor's thread ended with, a defect."""
        threading.Thread(target=self._execute_plans, name="executor", daemon=True).start()
        for watcher in self.watchers:
            watcher.start()
        try:
            wait_seconds: float | None = 0.0
            while wait_seconds is not None:
                wait_seconds = self._turn(wait_seconds)
        finally:
            self._plans.put(None)
            for watcher in self.watchers:
                watcher.stop()
            for future in list(self._replies.values()):
                future.set_result(Reply(False, "the supervisor has ended; see `myha events`"))

    def _turn(self, wait_seconds: float) -> float | None:
        """Take in everything that waits on the queue, then decide once.

        How long to wait for the next event, None when the loop leaves.
        """
        self.before_turn()
        self.rested = rested = self._rest(wait_seconds)
        items = self.queue.all() if rested else self.queue.wait(wait_seconds)
        self.turns.begin()
        clock = self.tools.clock
        self._do(self.loop.take(Tick(clock.monotonic(), clock.wall())))
        if rested:
            self._rhythm.rested(time.monotonic(), looks=bool(items))
        elif items:
            items = self._gathered(items)
        while items:
            self._take(items)
            items = self.queue.all()
        if self.lost:
            return None
        if not self.tools.may_act:
            return IDLE_SECONDS
        turn = self.loop.decide()
        self._do(turn.effects)
        self.after_turn()
        self.turns.end()
        return None if turn.leave else turn.wait_seconds

    def _rest(self, wait_seconds: float) -> bool:
        """Until the next looks are there, or so long; False when there is news first, and where
        nobody knows when they will be."""
        seconds = self._rhythm.rest_seconds(time.monotonic())
        if seconds is None:
            return False
        return not self.queue.gather(min(seconds, wait_seconds), self.loop.is_news)

    def _gathered(self, items: list[Any]) -> list[Any]:
        """These, and the looks of the same time; only these where any of them is news."""
        self._rhythm.lost()
        if any(self.loop.is_news(one) for one in items):
            return items
        began = time.perf_counter()
        if not self.queue.gather(GATHER_SECONDS, self.loop.is_news):
            self._rhythm.found(time.monotonic())
        self.turns.waited(time.perf_counter() - began)
        return [*items, *self.queue.all()]

    def _take(self, items: Iterable[Any]) -> None:
        """Raises what the executor's thread ended with."""
        for item in items:
            if isinstance(item, BaseException):
                raise item
            self._do(self.loop.take(item))

    def _do(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, LookNow):
                for name in effect.nodes:
                    self._nodes[name].poke()
                for name in effect.balancers:
                    self.balancers[name].poke()
            elif isinstance(effect, Begin):
                self._plans.put(effect.plan)
            elif isinstance(effect, Note):
                self.tools.journal.note(effect.kind, effect.text, effect.fields)
            else:
                self._replies.pop(effect.request).set_result(effect.reply)

    # -- the executor's thread -------------------------------------------------------------------

    def _execute_plans(self) -> None:
        while (plan := self._plans.get()) is not None:
            reason, ask_again = "", False
            try:
                self._execute(plan)
            except MyhaError as error:
                reason, ask_again = str(error), isinstance(error, NotNearError)
            except BaseException as defect:  # noqa: BLE001  # a defect ends the supervisor, loudly
                self.queue.put(defect)
                return
            self.queue.put(self._result(reason, ask_again=ask_again))

    def _result(self, reason: str, *, ask_again: bool) -> Any:
        """What the loop is told of a plan's end."""
        return PlanResult(reason, self._read_record(), ask_again)

    def _execute(self, plan: Plan) -> None:
        for pause in self._executor.run(plan):
            if pause.seconds:
                time.sleep(pause.seconds)

    def _read_record(self) -> Record | None:
        try:
            return self.tools.store.read()
        except MyhaError as error:
            self.tools.journal.note(Kind.STORE, f"cannot be read: {error}", {})
            return None
