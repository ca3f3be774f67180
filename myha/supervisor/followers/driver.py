"""Drives one replica's loop; `pair_seen` brings in what the pair's loop sees, and never waits."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Mapping
from typing import Any

from myha.core.events import Kind
from myha.core.followers.record import FollowerRecord
from myha.core.followers.view import FollowerRecordRead, PairSeen
from myha.errors import MyhaError
from myha.supervisor.base_loop import PlanResult, Stop
from myha.supervisor.driver import Driver
from myha.supervisor.executor import Tools
from myha.supervisor.followers.executor import FollowerExecutor
from myha.supervisor.followers.loop import FollowerLoop
from myha.supervisor.inbox import Inbox
from myha.supervisor.watchers import BalancerWatcher

QUEUE_LIMIT = 10_000
RECORD_EVERY_SECONDS = 1.0  # setup may add or remove it while the supervisor runs


class FollowerDriver(Driver):
    """Owns the threads of one replica's lane. `balancers` are the pair's watchers."""

    def __init__(
        self,
        loop: FollowerLoop,
        tools: Tools,
        executor: FollowerExecutor,
        interval_seconds: float,
        balancers: Mapping[str, BalancerWatcher],
    ) -> None:
        self._followers, self._name = executor.followers, loop.name
        self._record: FollowerRecord | None = loop.view.record
        self._record_read_at = 0.0
        super().__init__(
            loop,
            tools,
            {loop.name: executor.server},
            interval_seconds,
            executor=executor,
            balancers=balancers,
            inbox=Inbox(QUEUE_LIMIT),
        )

    def stop(self) -> None:
        """Never waits either: a lane that has ended by a defect takes nothing in any more."""
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(Stop())

    def pair_seen(self, seen: PairSeen) -> None:
        """From the pair's thread. One that is lost is followed by the next."""
        with contextlib.suppress(queue.Full):
            self.queue.put_nowait(seen)

    def _turn(self, wait_seconds: float) -> float | None:
        now = self.tools.clock.monotonic()
        if now - self._record_read_at >= RECORD_EVERY_SECONDS:
            self._record_read_at = now
            with contextlib.suppress(MyhaError):  # said where it is changed
                record = self._followers.read(self._name)
                self._do(self.loop.take(FollowerRecordRead(now, record)))
        return super()._turn(wait_seconds)

    def _result(self, reason: str, *, ask_again: bool) -> Any:  # noqa: ARG002
        try:
            self._record = self._followers.read(self._name)
        except MyhaError as error:
            self.tools.journal.note(Kind.STORE, f"cannot be read: {error}", {"node": self._name})
        return PlanResult(reason, self._record)
