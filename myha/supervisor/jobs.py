"""Long work as child processes: a heal, a verify, the reader of conflicts.

A job is another process so that it cannot hold the interpreter from a failover, can be killed, and
dies with the supervisor: its standard input is a pipe that ends with us, and the kernel tells it
when the thread that started it is gone, which therefore lives as long as this process does. What it
tells on its standard output becomes observations for the loop and lines of the journal.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from myha.core.events import Kind
from myha.core.jobs import Job, JobResult
from myha.core.journal_line import Note
from myha.core.observations import JobEnded, JobProgressed, Observation
from myha.errors import MyhaError
from myha.ports import Clock, JobOrder, Journal
from myha.progress import Progress
from myha.waiting import wait_until
from myha.words import one_line

MODULE = "myha.job"
MAX_JOBS = 4
STDERR_LINES_KEPT = 20
LINE_LIMIT_BYTES = 1_000_000
# A job that was told to end has so long to leave its servers in peace; then it is killed.
TERM_GRACE_SECONDS = 12.0
POLL_SECONDS = 0.02

Emit = Callable[[Observation], None]
Ended = Callable[[JobOrder, JobResult, dict[str, Any]], None]
Key = tuple[str, str]


@dataclass(slots=True)
class _Running:
    order: JobOrder
    process: subprocess.Popen[str]
    job: Job
    outcome: tuple[JobResult, dict[str, Any]] | None = None
    said: deque[str] = field(default_factory=lambda: deque(maxlen=STDERR_LINES_KEPT))
    stopping: bool = False
    gone: threading.Event = field(default_factory=threading.Event)


class ProcessJobs:
    """Implements `myha.ports.Jobs`; safe for several threads. One job of a kind for each node."""

    def __init__(
        self,
        config_path: Path,
        clock: Clock,
        journal: Journal,
        command: tuple[str, ...] = (sys.executable, "-m", MODULE),
        *,
        pair: str,
        order: Mapping[str, Any] | None = None,
    ) -> None:
        """`pair` is the name of the pair that all of these work on; `order` more for each order."""
        self._command = command
        self._pair = pair
        self._order = dict(order or {})
        self._config_path = config_path
        self._clock = clock
        self._journal = journal
        self._running: dict[Key, _Running] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._orders: queue.Queue[tuple[JobOrder, Future[_Running]] | None] = queue.Queue(MAX_JOBS)
        self._starter = threading.Thread(target=self._start_jobs, name="jobs", daemon=True)
        self._starter.start()
        self.emit: Emit = lambda _seen: None  # the loop's queue, as soon as there is one
        self.on_ended: Ended = lambda _order, _result, _more: None

    # -- the port --------------------------------------------------------------------------------

    def start(self, order: JobOrder, deadline_seconds: float) -> None:
        """Begin it, unless one of its kind runs on that node. Raises `MyhaError`."""
        with self._lock:
            if (order.kind, order.node) in self._running:
                return
            if self._closed:
                raise MyhaError("the supervisor is stopping")
            if len(self._running) >= MAX_JOBS:
                raise MyhaError(
                    f"{len(self._running)} jobs are running already; wait until one ends"
                )
        future: Future[_Running] = Future()
        try:
            self._orders.put((order, future), timeout=deadline_seconds)
            running = future.result(deadline_seconds)
        except (queue.Full, FutureTimeoutError):
            raise MyhaError(f"a job could not be started in {deadline_seconds:g} s") from None
        except OSError as error:
            raise MyhaError(f"a job cannot be started: {error.strerror or error}") from None
        self._journal.note(Kind.JOB, f"{describe(order)} begins", _fields(running))

    def stop(self, kind: str, node: str, deadline_seconds: float) -> None:
        """Its process is gone when this returns; raises `MyhaError` when it is not in time."""
        with self._lock:
            running = self._running.get((kind, node))
        if running is None:
            return
        self._end(running, min(TERM_GRACE_SECONDS, deadline_seconds / 2))
        if not running.gone.wait(deadline_seconds / 2):
            raise MyhaError(f"{describe(running.order)} has not ended in {deadline_seconds:g} s")

    def running(self) -> tuple[Job, ...]:
        """What runs now, each as it last told of itself."""
        with self._lock:
            return tuple(one.job for one in self._running.values())

    def close(self) -> None:
        """Stop everything, and start nothing more: for the end of the supervisor."""
        with self._lock:
            self._closed = True
            all_running = list(self._running.values())
        enders = [
            threading.Thread(target=self._end, args=(one, TERM_GRACE_SECONDS), daemon=True)
            for one in all_running
        ]
        for ender in enders:
            ender.start()
        for ender in enders:
            ender.join(TERM_GRACE_SECONDS + 2)
        for one in all_running:
            one.gone.wait(2)
        self._orders.put(None)
        self._starter.join(2)

    # -- one job's life --------------------------------------------------------------------------

    def _start_jobs(self) -> None:
        """The thread whose end the kernel reports to the jobs: nothing else may end it."""
        while (item := self._orders.get()) is not None:
            order, future = item
            try:
                future.set_result(self._spawn(order))
            except OSError as error:
                future.set_exception(error)

    def _spawn(self, order: JobOrder) -> _Running:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # so that its own children can be ended with it
        )
        assert process.stdin is not None
        since = self._clock.monotonic()
        job = Job(order.kind, order.node, order.method, order.id, since, "begin", text="begin")
        running = _Running(order, process, job)
        line = {
            **asdict(order),
            "pair": self._pair,
            "config": str(self._config_path),
            **self._order,
            "parent": os.getpid(),
        }
        with contextlib.suppress(BrokenPipeError):  # it died at once: its end is told as any other
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
        with self._lock:
            self._running[order.kind, order.node] = running
        self.emit(JobProgressed(since, job))
        errors = threading.Thread(target=self._read_errors, args=(running,), daemon=True)
        errors.start()
        threading.Thread(
            target=self._follow, args=(running, errors), name=f"job-{order.kind}", daemon=True
        ).start()
        return running

    def _read_errors(self, running: _Running) -> None:
        assert running.process.stderr is not None
        for line in running.process.stderr:
            if line.strip():
                running.said.append(line.rstrip()[:500])

    def _follow(self, running: _Running, errors: threading.Thread) -> None:
        """Everything that the job says, to its end."""
        assert running.process.stdout is not None
        while line := running.process.stdout.readline(LINE_LIMIT_BYTES):
            try:
                said = json.loads(line)
            except ValueError:
                running.said.append(line.rstrip()[:500])
                continue
            if isinstance(said, dict):
                self._take(running, said)
        status = running.process.wait()
        errors.join(2)
        self._kill_group(running)  # whatever it left behind
        with contextlib.suppress(OSError):
            if running.process.stdin is not None:
                running.process.stdin.close()
        self._ended(running, status)

    def _take(self, running: _Running, said: dict[str, Any]) -> None:
        if isinstance(progress := said.get("progress"), dict):
            one = Progress.of(progress)
            running.job = replace(
                running.job,
                phase=one.phase,
                percent=one.percent,
                left_seconds=one.left_seconds,
                text=one.line(),
            )
            if not running.stopping:
                self.emit(JobProgressed(self._clock.monotonic(), running.job))
        elif isinstance(event := said.get("event"), dict):
            note = Note.of_json(event)
            text = f"{describe(running.order)}: {note.text}"
            self._journal.note(note.kind, text, {**_fields(running), **note.fields})
        else:
            for result in (JobResult.DONE, JobResult.REFUSED, JobResult.FAILED):
                if isinstance(more := said.get(result.value), dict):
                    running.outcome = result, more

    def _ended(self, running: _Running, status: int) -> None:
        if running.outcome is not None:
            result, more = running.outcome
        elif running.stopping:
            result, more = JobResult.STOPPED, {"reason": "stopped"}
        else:
            last = running.said[-1] if running.said else "no output"
            result, more = JobResult.FAILED, {"reason": f"its process ended with {status}: {last}"}
        if running.stopping and result is JobResult.FAILED:
            result = JobResult.STOPPED  # it failed since it was told to end
        reason = one_line(more.get("text") or more.get("reason") or "")
        with self._lock:
            self._running.pop((running.order.kind, running.order.node), None)
        text = f"{describe(running.order)}: {result}" + (f": {reason}" if reason else "")
        self._journal.note(Kind(f"job-{result}"), text, _fields(running))
        self.emit(JobEnded(self._clock.monotonic(), running.job, result, reason))
        self.on_ended(running.order, result, more)
        running.gone.set()

    def _end(self, running: _Running, grace_seconds: float) -> None:
        """Ask it to end, by the end of its input and a signal; kill it after the grace."""
        running.stopping = True
        with contextlib.suppress(OSError, ValueError):
            if running.process.stdin is not None:
                running.process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: running.process.poll() is not None, grace_seconds, POLL_SECONDS)
        self._kill_group(running)

    def _kill_group(self, running: _Running) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.process.pid, signal.SIGKILL)


def describe(order: JobOrder) -> str:
    """`heal of db2 by rewind`, `verify`."""
    of = f" of {order.node}" if order.node else ""
    by = f" by {order.method}" if order.method else ""
    return f"{order.kind}{of}{by}"


def _fields(running: _Running) -> dict[str, str]:
    order = running.order
    fields = {"job": order.kind, "node": order.node, "method": order.method}
    return {name: value for name, value in fields.items() if value}
