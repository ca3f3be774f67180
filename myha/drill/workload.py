"""The clients' process as the drill holds it: started, watched through its ledger, stopped."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from myha.drill.ledger import LedgerReader
from myha.drill.worker import SLOW_DOWN, STOP_DEADLINE_SECONDS, Order, order_line
from myha.errors import MyhaError
from myha.waiting import wait_until


class Workload:
    """Clients at work between `start` and `stop`; as a context manager, not beyond its block."""

    def __init__(self, order: Order, launcher: tuple[str, ...] = ()) -> None:
        """`launcher` begins the command line: it says on which host the clients are."""
        self.order = order
        self._launcher = launcher
        self.directory = Path(order.directory)
        self.ledger = LedgerReader(self.directory)
        self._process: subprocess.Popen[bytes] | None = None
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process

    def __enter__(self) -> Workload:
        if self._process is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        self._printed.close()

    def start(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            (*self._launcher, sys.executable, "-m", "myha.drill.worker"),
            stdin=subprocess.PIPE,
            stdout=self._printed,
            stderr=self._printed,
            # Ctrl-C is for the drill, which then ends the clients in its own time.
            start_new_session=True,
        )
        if self._process.stdin is None:
            raise MyhaError("the drill's clients have no standard input")
        try:
            self._process.stdin.write(order_line(self.order))
            self._process.stdin.flush()
        except OSError as error:
            raise self._ended() from error

    def await_acknowledged(self, more: int, deadline_seconds: float) -> None:
        """Wait until so many more transactions are acknowledged; MyhaError at the deadline."""
        self.ledger.advance()
        wanted = self.ledger.acknowledged + more

        def acknowledged() -> bool:
            self.ledger.advance()
            if self.ledger.acknowledged >= wanted:
                return True
            if self._process is None or self._process.poll() is not None:
                raise self._ended()
            return False

        if not wait_until(acknowledged, deadline_seconds):
            raise MyhaError(
                f"the drill's clients got {self.ledger.acknowledged} acknowledgements in"
                f" {deadline_seconds:g} s: is the writer port of the balancer"
                f" ({self.order.host}:{self.order.port}) served, and may {self.order.user!r}"
                f" write in the database {self.order.database!r}?{self._errors()}"
            )

    def await_served(self, since: float, deadline_seconds: float) -> None:
        """Wait until each client has had an acknowledgement since then, or until the deadline."""

        def served() -> bool:
            self.ledger.advance()
            gone = self._process is None or self._process.poll() is not None
            return gone or self.ledger.served_since(since) >= self.order.clients

        wait_until(served, deadline_seconds)

    def _errors(self) -> str:
        """What the clients were told instead, most often first; they are stopped for it."""
        try:
            seen: dict[str, int] = self.stop()["errors"]
        except MyhaError as error:
            return f" ({error})"
        listed = sorted(seen.items(), key=lambda item: -item[1])[:3]
        said = [f"{what}: {count} times" for what, count in listed]
        said += self._output().splitlines()[:-1][-1:]  # a defect's, which ended a client
        return f" ({', '.join(said)})" if said else ""

    def slow_down(self) -> None:
        """From now on each client rests between two transactions.

        At full speed on one machine the writer would outrun the applier of the node that has just
        come back, for as long as they write.
        """
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):  # clients that ended are noticed by whoever waits for them
                self._process.stdin.write(SLOW_DOWN + b"\n")
                self._process.stdin.flush()

    def stop(self) -> dict[str, Any]:
        """Let every client finish its transaction; what they saw."""
        process = self._process
        if process is None or process.stdin is None:
            raise MyhaError("the drill's clients have not been started")
        try:
            process.stdin.close()
            process.wait(STOP_DEADLINE_SECONDS + 5)
        except (subprocess.TimeoutExpired, OSError):
            process.send_signal(signal.SIGKILL)
            process.wait()
            raise MyhaError("the drill's clients did not end; they were killed") from None
        lines = self._output().splitlines()
        if process.returncode != 0 or not lines:
            raise self._ended()
        answer: dict[str, Any] = json.loads(lines[-1])
        return answer

    def _output(self) -> str:
        self._printed.seek(0)
        return self._printed.read().decode(errors="replace")

    def _ended(self) -> MyhaError:
        last = self._output().strip().splitlines()[-1:] or ["no output"]
        return MyhaError(f"the drill's clients ended by themselves: {last[0]}")
