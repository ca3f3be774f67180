"""The process that answers HTTP: started, told the pairs, and started again when it has ended.

It is another process so that nothing that anybody sends it can delay a failover: it has an
interpreter of its own, runs behind everything else, and knows the supervisor only by the control
socket. Nothing here waits for it but threads of its own.
"""

from __future__ import annotations

import contextlib
import json
import select
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from myha.config import ApiConfig, ProcessConfig
from myha.core.backoff import backoff_seconds
from myha.core.events import Kind
from myha.errors import MyhaError
from myha.supervisor.journal import ITSELF, log

NAME = "api"
# The supervisor has better to do first: to look at its servers.
FIRST_SECONDS = 0.5
AGAIN_FIRST_SECONDS, AGAIN_LIMIT_SECONDS = 0.5, 30.0
SETTLED_SECONDS = 60.0
# It says every few seconds that it is there. One that has been silent for so long is ended.
SILENT_SECONDS = 60.0
STOP_SECONDS = 3.0
LINE_LIMIT_BYTES = 10_000
TRY_SECONDS = 30.0  # to begin a process that only tries a configuration

Order = dict[str, Any]
Made = tuple[object, ...]


class ApiProcess:
    """Keeps it running, as the configuration says, until `stop`. Safe for several threads."""

    def __init__(
        self,
        command: tuple[str, ...],
        order: Callable[[ProcessConfig], Order],
        first_seconds: float = FIRST_SECONDS,
    ) -> None:
        """`order` is what it is told of a configuration, as JSON; no command: there is none."""
        self.url = ""  # where it answers; empty while it does not
        self._command = command
        self._make_order = order
        self._first_seconds = first_seconds
        self._changed = threading.Condition()
        self._config: ProcessConfig | None = None
        self._made: Made = ()  # what the process that runs was made of
        self._stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper = threading.Thread(target=self._keep, name=NAME, daemon=True)

    # -- from other threads: only `try_out` waits for a process, and for one of its own ------------

    def try_out(self, config: ProcessConfig) -> bool:
        """Whether HTTP is answered in another way by this configuration. Raises MyhaError when it
        could not be.

        A process tries it, and listens there for a moment; the one that runs goes on.
        """
        with self._changed:
            before = self._config
        if before is None or not self._command:
            return False
        if made_of(config.api) == (self._made if before.api.enabled else made_of(before.api)):
            return False
        if config.api.enabled:
            self._try(config)
        return True

    def _try(self, config: ProcessConfig) -> None:
        order = {**self._make_order(config), "trial": True, "own_port": urlsplit(self.url).port}
        try:
            found = subprocess.run(
                self._command,
                input=json.dumps(order).encode() + b"\n",
                stdout=subprocess.PIPE,
                timeout=TRY_SECONDS,
                check=False,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise MyhaError(f"[api] could not be tried in {TRY_SECONDS:g} s") from None
        except OSError as error:
            raise MyhaError(f"[api] could not be tried: {error.strerror or error}") from None
        said = [
            str(one["failed"]) for one in map(_parsed, found.stdout.splitlines()) if "failed" in one
        ]
        if said or found.returncode:
            raise MyhaError(f"[api]: {said[-1] if said else f'exit status {found.returncode}'}")

    def have(self, config: ProcessConfig) -> None:
        """Answer by this configuration from now on."""
        with self._changed:
            before, self._config = self._config, config
            process = self._process
            if process is not None and self._made != made_of(config.api):
                process.terminate()  # it is begun anew: it may listen elsewhere
                self._process = None
            self._changed.notify_all()
        if before is None and self._command:
            self._keeper.start()

    @property
    def pid(self) -> int | None:
        process = self._process
        return None if process is None else process.pid

    def stop(self) -> None:
        """Have it end, and wait a moment for that; then it is killed."""
        with self._changed:
            self._stopping = True
            process = self._process
            self._changed.notify_all()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    # -- its life ----------------------------------------------------------------------------------

    def _pause(self, seconds: float) -> None:
        """Until a time has passed, or there is something else to do."""
        with self._changed:
            config = self._config
            self._changed.wait_for(
                lambda: self._stopping or self._config is not config, timeout=seconds
            )

    def _keep(self) -> None:
        self._pause(self._first_seconds)
        attempts = 0
        while not self._stopping:
            config = self._config
            assert config is not None
            if not config.api.enabled:
                self._pause(3600.0)
                continue
            began, made = time.monotonic(), made_of(config.api)
            try:
                status = self._live(made)
            except OSError as error:
                status = error.strerror or str(error)
            self.url = ""
            if self._stopping:
                return
            if self._config is not config and self._config and made_of(self._config.api) != made:
                attempts = 0
                continue
            attempts = 1 if time.monotonic() - began > SETTLED_SECONDS else attempts + 1
            pause = backoff_seconds(attempts, AGAIN_FIRST_SECONDS, AGAIN_LIMIT_SECONDS)
            log(ITSELF, Kind.API, f"HTTP is not answered ({status}); tried again in {pause:g} s")
            self._pause(pause)

    def _live(self, made: Made) -> str:
        """Start it, and listen to what it says until it ends; how it ended."""
        with self._changed:
            if self._stopping:
                return ""
            process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # a terminal's Ctrl-C is ours to pass on
            )
            self._process, self._made = process, made
        threading.Thread(
            target=self._send_orders, args=(process,), name=f"{NAME}-orders", daemon=True
        ).start()
        try:
            said = self._listen(process)
            status = process.wait()
        finally:
            with self._changed:
                if self._process is process:
                    self._process = None
                self._changed.notify_all()
        if said:
            return said
        return f"signal {-status}" if status < 0 else f"exit status {status}"

    def _send_orders(self, process: subprocess.Popen[bytes]) -> None:
        """Every configuration from now on. It may wait for the process, and nobody for it."""
        told: ProcessConfig | None = None
        assert process.stdin is not None
        with contextlib.suppress(OSError, ValueError), process.stdin:
            while True:
                with self._changed:
                    while self._process is process and self._config is told:
                        self._changed.wait()
                    told = self._config
                    if self._process is not process or self._stopping or told is None:
                        return
                process.stdin.write(json.dumps(self._make_order(told)).encode() + b"\n")
                process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> str:
        """To its end; the last trouble that it told of, if any."""
        assert process.stdout is not None
        said = ""
        poll = select.poll()
        poll.register(process.stdout, select.POLLIN)
        with process.stdout:
            while True:
                if not poll.poll(SILENT_SECONDS * 1000):
                    process.kill()
                    return f"it has said nothing for {SILENT_SECONDS:g} s and is ended"
                line = process.stdout.readline(LINE_LIMIT_BYTES)
                if not line:
                    return said
                said = self._take(line) or said

    def _take(self, line: bytes) -> str:
        told = _parsed(line)
        if "url" in told:
            self.url = str(told["url"])
            log(ITSELF, Kind.API, f"HTTP is answered at {self.url}")
        if "log" in told:
            log(ITSELF, Kind.API, str(told["log"]))
        if "failed" in told:
            return str(told["failed"])
        return ""


def made_of(api: ApiConfig) -> Made:
    """What a process that answers is made of: the keys, and the files of the certificate as they
    are now, since it reads them once."""
    return (api, *(_version(one) for one in (api.tls_certificate, api.tls_key)))


def _version(path: Path | None) -> tuple[int, ...]:
    if path is None:
        return ()
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _parsed(line: bytes) -> dict[str, Any]:
    """What one line of it says; nothing where it says no object."""
    try:
        told = json.loads(line)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}
