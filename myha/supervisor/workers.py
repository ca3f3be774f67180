"""The processes that the pairs are spread over: started, told their pairs, and started again.

A Python process has one interpreter lock, and so at most one core. A worker that dies takes no pair
with it for longer than its next one needs to start: what there is to know, that one sees anew.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from myha.config import Config
from myha.core.backoff import backoff_seconds
from myha.core.events import Kind
from myha.errors import SupervisorAwayError
from myha.supervisor.control import PING, Data, exchange
from myha.supervisor.journal import ITSELF, log
from myha.supervisor.log import LOG

MODULE = "myha.supervisor.worker"
AGAIN_FIRST_SECONDS, AGAIN_LIMIT_SECONDS = 0.2, 30.0
SETTLED_SECONDS = 60.0
CHECK_SECONDS = 5.0
# One that answers nothing for so long is ended: its pairs would have nobody. One that has too much
# to do is slow, and must not lose what it has done so far.
SILENT_SECONDS = 120.0
PING_SECONDS = 5.0
FORWARD_SECONDS = 60.0
STOP_SECONDS = 75.0  # a plan under way, then its jobs


class Worker:
    """One process, kept running until `stop`."""

    def __init__(
        self,
        number: int,
        directory: Path,
        niceness: int,
        command: tuple[str, ...] = (sys.executable, "-m", MODULE),
    ) -> None:
        self.pairs: dict[str, Config] = {}
        self.name = f"worker-{number}"
        self.socket = directory / f"{self.name}.sock"
        self._niceness = niceness
        self._command = command
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._heard_at = time.monotonic()
        self._keeper = threading.Thread(target=self._keep, name=self.name, daemon=True)
        self._watcher = threading.Thread(target=self._watch, name=f"ping-{self.name}", daemon=True)

    # -- orders ----------------------------------------------------------------------------------

    def start(self) -> None:
        self._keeper.start()
        self._watcher.start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None else process.pid

    def have(self, pairs: Mapping[str, Config]) -> None:
        """Have these pairs from now on; the next process of it too."""
        with self._lock:
            if pairs.keys() == self.pairs.keys() and all(
                pairs[name].order == self.pairs[name].order for name in pairs
            ):
                return
            self.pairs = dict(pairs)
            if self._process is not None:
                self._send_order(self._process, {})

    def _send_order(self, process: subprocess.Popen[str], more: Data) -> None:
        line = {**more, "pairs": {name: one.order for name, one in self.pairs.items()}}
        assert process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it has ended: the next one is told all
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()

    def ask(self, request: Data, seconds: float = FORWARD_SECONDS) -> Data:
        """Its answer. `SupervisorAwayError` when there is none."""
        try:
            return exchange(self.socket, request, seconds)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise SupervisorAwayError(
                f"the process {self.pid} that supervises this pair does not answer ({why}); "
                "it is started anew when it has ended"
            ) from None

    def stop(self) -> None:
        """Have it end at rest; `join` waits for that."""
        self._stopping.set()
        with self._lock:
            process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.close()

    def join(self) -> None:
        self._keeper.join(STOP_SECONDS)
        process = self._process
        if process is not None and process.poll() is None:
            log(ITSELF, Kind.WORKER, f"{self.name} (process {process.pid}) does not end: killed")
            process.kill()
            self._keeper.join()

    # -- its life --------------------------------------------------------------------------------

    def _keep(self) -> None:
        attempts = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                status = self._live()
            except OSError as error:
                status = error.strerror or str(error)
            if self._stopping.is_set():
                return
            attempts = 1 if time.monotonic() - began > SETTLED_SECONDS else attempts + 1
            pause = backoff_seconds(attempts, AGAIN_FIRST_SECONDS, AGAIN_LIMIT_SECONDS)
            log(
                ITSELF,
                Kind.WORKER,
                f"{self.name} has ended ({status}) with {len(self.pairs)} pairs; "
                f"another one is started in {pause:g} s",
            )
            self._stopping.wait(pause)

    def _live(self) -> str:
        """Start it and wait for its end; how it ended."""
        with self._lock:
            if self._stopping.is_set():
                return ""
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,  # a terminal's Ctrl-C is ours to pass on
            )
            self._process, self._heard_at = process, time.monotonic()
            self._send_order(
                process,
                {"socket": str(self.socket), "niceness": self._niceness, "log": LOG.format},
            )
        status = process.wait()
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def _watch(self) -> None:
        while not self._stopping.wait(CHECK_SECONDS):
            process = self._process
            try:
                exchange(self.socket, {"do": PING}, PING_SECONDS)
                self._heard_at = time.monotonic()
            except (OSError, ValueError):
                silent = time.monotonic() - self._heard_at
                if process is None or process.poll() is not None or silent < SILENT_SECONDS:
                    continue
                text = f"{self.name} (process {process.pid}) has answered nothing"
                log(ITSELF, Kind.WORKER, f"{text} for {silent:.0f} s: ended by force")
                process.kill()


class Workers:
    """All of them. A pair stays with its worker for as long as both are there."""

    def __init__(self, count: int, directory: Path, niceness: int) -> None:
        self._all = [Worker(number, directory, niceness) for number in range(1, count + 1)]
        self._of: dict[str, Worker] = {}

    def start(self, pairs: Mapping[str, Config]) -> None:
        self._share(pairs)
        for worker in self._all:
            worker.have({n: one for n, one in pairs.items() if self._of[n] is worker})
            worker.start()

    def have(self, pairs: Mapping[str, Config]) -> None:
        self._share(pairs)
        for worker in self._all:
            worker.have({n: one for n, one in pairs.items() if self._of[n] is worker})

    def _share(self, pairs: Mapping[str, Config]) -> None:
        """New pairs go where there are the fewest."""
        of = {name: worker for name, worker in self._of.items() if name in pairs}
        loads = {worker.name: 0 for worker in self._all}
        for worker in of.values():
            loads[worker.name] += 1
        for name in sorted(pairs.keys() - of.keys()):
            worker = min(self._all, key=lambda one: loads[one.name])
            of[name] = worker
            loads[worker.name] += 1
        self._of = of

    def ask(self, pair: str, request: Data) -> Data:
        return self._of[pair].ask(request)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def stop(self) -> None:
        for worker in self._all:
            worker.stop()

    def join(self) -> None:
        for worker in self._all:
            worker.join()


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))
