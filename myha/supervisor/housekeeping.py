"""Jobs that nobody asks for each time: the reader of conflicts, timed comparisons, diagnoses.

None decides anything; all only look. What they find is in the journal and in the status.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from myha.config import Config
from myha.core.backoff import backoff_seconds
from myha.core.events import Kind
from myha.core.jobs import JobResult
from myha.core.planning import PairDecision
from myha.core.policy import Mode
from myha.core.record import Cause
from myha.core.view import View
from myha.errors import MyhaError
from myha.ports import Clock, JobOrder, Jobs, Journal
from myha.supervisor.diagnoses import DIAGNOSIS, Diagnoses
from myha.supervisor.status import LastJobStatus

CHECK_SECONDS = 1.0
START_DEADLINE_SECONDS = 10.0
STOP_DEADLINE_SECONDS = 20.0
PAUSE_FIRST_SECONDS, PAUSE_LIMIT_SECONDS = 5.0, 300.0
# A pair that has only just become whole has better to do than to be compared.
HEALTHY_FOR_SECONDS = 5.0
LAST_VERIFY = "verify.last"  # its time of change is when the last comparison ended

LAST_RETENTION = "retention.last"
RETENTION_EVERY_SECONDS = 86_400.0
TIDY_EVERY_SECONDS = 3600.0

CONFLICTS, VERIFY, RETENTION = "conflicts", "verify", "retention"


@dataclass(slots=True)
class _Kind:
    """What is known of the last job of a kind. Times are of the monotonic clock."""

    running: bool = False
    attempts: int = 0
    not_before: float = 0.0
    last: LastJobStatus | None = None


class Housekeeping(threading.Thread):
    """Starts and stops those jobs as the configuration and the state of the pair want it."""

    def __init__(
        self,
        config: Config,
        jobs: Jobs,
        clock: Clock,
        journal: Journal,
        seen: Callable[[], tuple[View, PairDecision]],
        *,
        tidy: Callable[[], bool] = lambda: False,
    ) -> None:
        """`tidy` removes a little of what the journal need not keep any more, and says whether
        there is more; MyhaError when that cannot be done just now."""
        super().__init__(name="housekeeping", daemon=True)
        self._config = config
        self._jobs = jobs
        self._clock = clock
        self._journal = journal
        self._seen = seen
        self._ending = threading.Event()
        self.diagnoses = Diagnoses(jobs, clock, journal)
        self._kinds = {CONFLICTS: _Kind(), VERIFY: _Kind(), RETENTION: _Kind()}
        self._tidy = tidy
        self._tidy_from = clock.monotonic()
        self._healthy_since: float | None = None
        self._marker: Path = config.cluster.state_dir / LAST_VERIFY
        self._retention_marker: Path = config.cluster.state_dir / LAST_RETENTION

    def stop(self) -> None:
        self._ending.set()

    def last(self) -> dict[str, LastJobStatus]:
        """How the last job of each kind ended, for the status; empty before the first."""
        return {name: kind.last for name, kind in self._kinds.items() if kind.last}

    def run(self) -> None:
        while not self._ending.wait(CHECK_SECONDS):
            self.check()

    def check(self) -> None:
        """Start and stop what is due now."""
        view, decision = self._seen()
        self._keep(CONFLICTS, conflicts_wanted(self._config, view))
        if self._verify_due(view, decision):
            self._start(VERIFY)
        if self._retention_due(view):
            self._start(RETENTION)
        self._tidy_a_little()
        self.diagnoses.check(view)

    def ended(self, order: JobOrder, result: JobResult, more: dict[str, Any]) -> None:
        """Called when any job is over."""
        if order.kind == DIAGNOSIS:
            self.diagnoses.ended(order, result, more)
        kind = self._kinds.get(order.kind)
        if kind is None:
            return
        kind.running = False
        if result is not JobResult.STOPPED:
            kind.last = LastJobStatus(**{"at": self._clock.wall(), "result": result, **more})
        if result is JobResult.DONE:
            kind.attempts = 0
        else:
            kind.attempts += 1
        pause = backoff_seconds(kind.attempts + 1, PAUSE_FIRST_SECONDS, PAUSE_LIMIT_SECONDS)
        kind.not_before = self._clock.monotonic() + pause
        if order.kind == VERIFY and result is JobResult.DONE:
            self._verified(more)
        if order.kind == RETENTION and result is JobResult.DONE:
            self._mark(self._retention_marker)

    # -- the reader of conflicts -----------------------------------------------------------------

    def _keep(self, name: str, wanted: bool) -> None:
        running = self._kinds[name].running
        if wanted and not running:
            self._start(name)
        elif running and not wanted:
            try:
                self._jobs.stop(name, "", STOP_DEADLINE_SECONDS)
            except MyhaError as error:
                self._journal.note(Kind.JOB, f"{name} cannot be stopped: {error}", {})

    def _start(self, name: str) -> None:
        kind = self._kinds[name]
        if kind.running or self._clock.monotonic() < kind.not_before:
            return
        kind.running = True
        try:
            self._jobs.start(JobOrder(name), START_DEADLINE_SECONDS)
        except MyhaError as error:
            self._journal.note(Kind.JOB, f"{name} cannot be started: {error}", {})
            self.ended(JobOrder(name), JobResult.FAILED, {"reason": str(error)})

    # -- comparisons -----------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare the nodes now, as somebody has asked for. Raises MyhaError."""
        kind = self._kinds[VERIFY]
        if kind.running:
            raise MyhaError("a comparison is under way already")
        kind.running = True
        try:
            self._jobs.start(JobOrder(VERIFY), START_DEADLINE_SECONDS)
        except MyhaError:
            kind.running = False
            raise

    def _verify_due(self, view: View, decision: PairDecision) -> bool:
        """By the clock, and only on a pair that has been whole for a while."""
        every = self._config.verify.every_seconds
        healthy = bool(decision.verdicts) and decision.verdicts[0].name == "healthy"
        if not healthy or not decision.fresh:
            self._healthy_since = None
            return False
        if self._healthy_since is None:
            self._healthy_since = view.at
        if not every or view.at - self._healthy_since < HEALTHY_FOR_SECONDS:
            return False
        return self._long_ago(self._marker, every)

    def _long_ago(self, marker: Path, every_seconds: float) -> bool:
        try:
            ended_wall = marker.stat().st_mtime
        except OSError:
            return True  # never, so far
        return not 0 <= self._clock.wall() - ended_wall < every_seconds

    def _mark(self, marker: Path) -> None:
        try:
            marker.touch(0o600)
            os.utime(marker, (self._clock.wall(),) * 2)
        except OSError as error:
            self._journal.note(Kind.JOB, f"{marker}: {error.strerror}", {})

    # -- retention -------------------------------------------------------------------------------

    def _retention_due(self, view: View) -> bool:
        """Once a day, where something is to be removed at all, and never beside a heal."""
        limits = self._config.retention
        if not limits.quarantine_days and not limits.quarantine_mb:
            return False
        nodes = () if view.record is None else view.record.nodes
        if any(node.cause is Cause.HEALING for _, node in nodes):
            return False
        return self._long_ago(self._retention_marker, RETENTION_EVERY_SECONDS)

    def _tidy_a_little(self) -> None:
        now = self._clock.monotonic()
        if now < self._tidy_from:
            return
        try:
            more = self._tidy()
        except MyhaError:
            more = False  # a full disk: whoever writes a line says so
        self._tidy_from = now if more else now + TIDY_EVERY_SECONDS

    def _verified(self, more: dict[str, Any]) -> None:
        self._mark(self._marker)
        if more.get("equal") is False:
            text = f"the nodes' data differ: {more.get('text')}; `myha verify` shows the rows"
            self._journal.note(Kind.DIFFERS, text, {})


def conflicts_wanted(config: Config, view: View) -> bool:
    """Always where both nodes take writes; else for a while after the writer has changed."""
    record = view.record
    if not config.conflicts.enabled or record is None:
        return False
    if view.policy.mode is Mode.DUAL_WRITER:
        return True
    if record.epoch <= 1:
        return False  # the first writer, as setup made it
    since = view.wall - record.writer_since_wall
    return 0 <= since < config.conflicts.after_failover_seconds
