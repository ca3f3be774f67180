"""Jobs as processes: what they tell, how they end, and that none outlives its supervisor."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from myha import progress
from myha.core.events import Kind
from myha.core.jobs import Job, JobResult
from myha.core.observations import JobEnded, JobProgressed, first_view, fold
from myha.core.policy import Durability, Mode
from myha.errors import MyhaError
from myha.job import only_one
from myha.ports import JobOrder
from myha.progress import JsonReporter, Meter, Progress
from myha.supervisor.jobs import ProcessJobs
from tests.configurations import NOBODY_THERE, write_config, write_secrets
from tests.core.views import record, view
from tests.reporters import ListReporter
from tests.waiting import until

ORDER = JobOrder("heal", "b", "rewind", 7, "a", 3)
ROOT = Path(__file__).parent.parent

# A job as the supervisor sees it, in few lines: reads its order, and does what the test says.
TELLS = """
import json, sys, time
order = json.loads(sys.stdin.readline())
def say(**line):
    print(json.dumps(line), flush=True)
"""
DONE = (
    TELLS
    + """
say(progress={"phase": "undo", "done": 5, "total": 10, "unit": "rows", "left_seconds": 2})
say(event={"kind": "quarantine", "text": "kept", "fields": {"path": "/q"}})
print("not a line of JSON", flush=True)
say(done={"text": "all is well with " + order["node"], "more": 1})
"""
)
DIES = TELLS + "print('the disk is on fire', file=sys.stderr); sys.exit(3)"
REFUSES = TELLS + "say(refused={'reason': 'there is DDL'})"
WAITS = TELLS + "say(progress={'phase': 'wait', 'done': 0})\nsys.stdin.read()"
STUBBORN = (
    TELLS
    + "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    + "say(progress={'phase': 'wait', 'done': 0})\ntime.sleep(600)"
)


class Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()


class Notes:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, str]]] = []

    def note(self, kind: str, text: str, fields: dict[str, str]) -> None:
        self.lines.append((kind, text, fields))


class Jobs:
    """Jobs that run the given program, and all that is heard of them."""

    def __init__(self, program: str) -> None:
        self.notes = Notes()
        self.seen: list[Any] = []
        self.more: dict[str, Any] = {}
        command = (sys.executable, "-c", program)
        self.jobs = ProcessJobs(Path("myha.toml"), Clock(), self.notes, command, pair="main")
        self.jobs.emit = self.seen.append
        self.jobs.on_ended = lambda _order, _result, more: self.more.update(more)

    def ended(self) -> JobEnded:
        until(lambda: [one for one in self.seen if isinstance(one, JobEnded)], "the job ends")
        found = [one for one in self.seen if isinstance(one, JobEnded)]
        assert len(found) == 1
        return found[0]

    def await_phase(self, phase: str) -> None:
        until(
            lambda: any(
                isinstance(one, JobProgressed) and one.job.phase == phase for one in self.seen
            ),
            f"phase {phase}",
        )


@pytest.fixture
def started() -> Iterator[Callable[[str], Jobs]]:
    made: list[Jobs] = []

    def start(program: str) -> Jobs:
        jobs = Jobs(program)
        made.append(jobs)
        jobs.jobs.start(ORDER, 10)
        return jobs

    yield start
    for one in made:
        one.jobs.close()


def test_what_a_job_tells_becomes_observations_and_lines(started: Callable[[str], Jobs]) -> None:
    jobs = started(DONE)
    end = jobs.ended()
    assert (end.result, end.reason) == (JobResult.DONE, "all is well with b")
    first = jobs.seen[0]
    assert isinstance(first, JobProgressed)
    assert (first.job.kind, first.job.node, first.job.method, first.job.id) == (
        "heal",
        "b",
        "rewind",
        7,
    )
    half = jobs.seen[1].job
    assert (half.phase, half.percent, half.left_seconds) == ("undo", 50.0, 2)
    assert half.text == "undo 50% (5 rows of 10 rows), 2 s left"
    assert jobs.more == {"text": "all is well with b", "more": 1}
    kinds = {kind: (text, fields) for kind, text, fields in jobs.notes.lines}
    assert kinds["quarantine"][1]["path"] == "/q"
    assert kinds["job-done"][0] == "heal of b by rewind: done: all is well with b"
    assert kinds["job-done"][1] == {"job": "heal", "node": "b", "method": "rewind"}


def test_a_job_that_dies_has_failed_with_its_last_words(started: Callable[[str], Jobs]) -> None:
    end = started(DIES).ended()
    assert end.result is JobResult.FAILED
    assert end.reason == "its process ended with 3: the disk is on fire"


def test_a_refusal_is_told(started: Callable[[str], Jobs]) -> None:
    end = started(REFUSES).ended()
    assert (end.result, end.reason) == (JobResult.REFUSED, "there is DDL")


def test_a_second_start_leaves_the_first_to_run(started: Callable[[str], Jobs]) -> None:
    jobs = started(WAITS)
    jobs.await_phase("wait")
    jobs.jobs.start(ORDER, 10)
    assert len(jobs.jobs.running()) == 1
    assert sum(isinstance(one, JobProgressed) for one in jobs.seen) == 2


def test_a_stopped_job_is_gone_and_has_no_outcome(started: Callable[[str], Jobs]) -> None:
    jobs = started(WAITS)
    jobs.await_phase("wait")
    jobs.jobs.stop("heal", "b", 20)
    assert jobs.ended().result is JobResult.STOPPED
    assert jobs.jobs.running() == ()
    jobs.jobs.stop("heal", "b", 20)


def test_a_job_that_does_not_listen_is_killed(started: Callable[[str], Jobs]) -> None:
    jobs = started(STUBBORN)
    jobs.await_phase("wait")
    jobs.jobs.stop("heal", "b", 2)
    assert jobs.ended().result is JobResult.STOPPED


def test_nothing_starts_after_the_end(started: Callable[[str], Jobs]) -> None:
    jobs = started(WAITS)
    jobs.jobs.close()
    assert jobs.ended().result is JobResult.STOPPED
    with pytest.raises(MyhaError, match="is stopping"):
        jobs.jobs.start(ORDER, 5)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_job_outlives_its_supervisor(number: signal.Signals, tmp_path: Path) -> None:
    """The real module, waiting for the lock that this test holds."""
    config = write_config(tmp_path, pair=NOBODY_THERE)
    write_secrets(tmp_path)
    lock = tmp_path / "job-heal-b.lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        parent = subprocess.Popen(
            [sys.executable, "-c", PARENT, str(config)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        until(
            lambda: str(lock) in {one.path for one in child.open_files()}, "it waits for the lock"
        )
        os.kill(parent.pid, number)
        parent.wait(20)
        until(lambda: not child.is_running() or child.status() == "zombie", "the job has gone", 15)
        parent.stdout.close()


def test_a_job_told_to_end_many_times_at_once_ends(tmp_path: Path) -> None:
    """Each told it to, and the next came while that was being done: it waited for itself."""
    config = write_config(tmp_path, pair=NOBODY_THERE)
    order = {"kind": "conflicts", "config": str(config)}
    with (tmp_path / "job-conflicts.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        job = subprocess.Popen(
            [sys.executable, "-m", "myha.job"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # it ends what is in its group by force
        )
        assert job.stdin is not None
        job.stdin.write(json.dumps(order).encode() + b"\n")
        job.stdin.flush()
        waits = str(tmp_path / "job-conflicts.lock")
        until(
            lambda: any(one.path == waits for one in psutil.Process(job.pid).open_files()),
            "it waits for the lock",
        )
        while job.poll() is None:
            job.send_signal(signal.SIGTERM)
        # In good order, or by the next signal after that; not by force.
        assert job.wait() in {0, -signal.SIGTERM}
        job.stdin.close()


PARENT = """
import sys, time
from pathlib import Path
from myha.ports import JobOrder
from myha.supervisor.jobs import ProcessJobs
from tests.test_jobs import Clock, Notes
jobs = ProcessJobs(Path(sys.argv[1]), Clock(), Notes(), pair="main")
jobs.start(JobOrder("heal", "b", "rewind", 7, "a", 3), 10)
print(next(iter(jobs._running.values())).process.pid, flush=True)
time.sleep(600)
"""


def test_outcomes_are_folded_by_heal_and_method() -> None:
    policy = view().policy
    seen = first_view(policy, 0.0, 0.0, record())
    job = Job("heal", "db2", "rewind", 7)
    seen = fold(seen, JobProgressed(1.0, job))
    assert seen.jobs == (job,)
    for attempt in (1, 2, 3):
        seen = fold(fold(seen, JobProgressed(1.0, job)), JobEnded(2.0, job, JobResult.FAILED, "x"))
        assert seen.jobs == ()
        assert seen.heals[0].attempts == attempt
    stopped = fold(seen, JobEnded(3.0, job, JobResult.STOPPED))
    assert stopped.heals == seen.heals
    other = Job("heal", "db2", "rewind", 8)
    seen = fold(seen, JobEnded(4.0, other, JobResult.FAILED, "y"))
    assert [(one.id, one.attempts) for one in seen.heals] == [(8, 1)]
    assert fold(seen, JobEnded(5.0, Job("verify"), JobResult.DONE)).heals == seen.heals
    assert policy.mode is Mode.SINGLE_WRITER
    assert policy.durability is Durability.LOSSLESS


def test_an_order_for_another_pair_is_not_carried_out(tmp_path: Path) -> None:
    """The file was put in the place of another while the supervisor ran."""
    path = write_config(tmp_path, pair=NOBODY_THERE)
    order = {"kind": "heal", "node": "a", "config": str(path)}
    with only_one({**order, "pair": "main"}, ListReporter()):
        pass
    refused = pytest.raises(MyhaError, match="is of the pair main alone, and has no other")
    with refused, only_one({**order, "pair": "other"}, ListReporter()):
        pass


def test_a_reporter_whose_reader_has_gone_ends_the_permit() -> None:
    reading, writing = os.pipe()
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "w") as out:
        reporter = JsonReporter(out)
        os.close(reading)
        assert not reporter.permit.refusal()
        reporter.event(Kind.HEAL, "nobody hears it")
        assert "nobody reads" in reporter.permit.refusal()


def test_progress_in_words() -> None:
    one = Progress("copy", 1.5 * (1 << 30), 3.0 * (1 << 30), "bytes", 210.5 * (1 << 20), 200.0)
    assert one.line() == "copy 50% (1.5 GiB of 3.0 GiB), 210.5 MiB/s, 3 min 20 s left"
    assert Progress("read").line() == "read"
    assert Progress.of({"phase": "x", "done": 3, "unknown": 1}).done == 3


def test_a_meter_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    reporter, now = ListReporter(), 100.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: now))
    meter = Meter(reporter, "undo", total=100, unit="rows")
    now += 0.25
    meter.advance(50)
    last = reporter.seen[-1]
    assert (last.done, last.percent) == (50, 50.0)
    assert (last.rate, last.left_seconds) == (200.0, 0.25)
