"""One server process on another machine, signalled through a shell there.

It is known by the pid file that the server itself writes, and looked at before each signal: a pid
is a number that the kernel gives out again. It is started by a command of this machine's, such as
`ssh db1 systemctl start mysql`; a service manager there may well start it sooner.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from myha.errors import MyhaError
from myha.hosts.commands import run_to_end
from myha.hosts.shell import Shell, load_script
from myha.waiting import wait_until

POLL_SECONDS = 0.2  # each look is a way there and back
FREEZE_DEADLINE_SECONDS = 5.0


class RemoteHost:
    """Implements the Host port. Every method raises MyhaError with one line.

    `shell` is the way to its machine; `aim` says which server there is meant. `start_command` and
    `stop_command` are run on this machine; without the latter it is ended with SIGTERM. `ready`
    says when it serves.
    """

    def __init__(
        self,
        name: str,
        shell: Shell,
        *,
        start_command: tuple[str, ...],
        stop_command: tuple[str, ...] = (),
        ready: Callable[[], bool],
    ) -> None:
        self.name = name
        self._shell = shell
        self._start_command = start_command
        self._stop_command = stop_command
        self._ready = ready
        self._pid_file = ""
        self._machine = ""
        self._seen = False  # that the shell leads to that machine
        self._hit = ""  # the pid that was last told to end

    def aim(self, pid_file: str, machine: str) -> None:
        """Where the server itself says that its pid file is, and how it calls its machine.

        Nothing is looked at yet. Where the shell leads to another machine, everything is refused:
        what it would hit there is another server.
        """
        self._pid_file, self._machine = pid_file, machine

    def start(self, deadline_seconds: float) -> None:
        """Start it and wait until it serves; one that already serves is left as it is."""
        if self._ready():
            return
        ends = time.monotonic() + deadline_seconds
        run_to_end(f"{self.name}: start_command", self._start_command, deadline_seconds)
        if not wait_until(self._ready, ends - time.monotonic(), POLL_SECONDS):
            raise MyhaError(f"{self.name}: start_command has ended, but it accepts no connections")

    def stop(self, deadline_seconds: float) -> None:
        """End it in good order, and wait until it is gone."""
        self._hit = self._look()[0]
        if self._stop_command:
            run_to_end(f"{self.name}: stop_command", self._stop_command, deadline_seconds)
        else:
            self._signal("TERM")
        if not self.await_gone(deadline_seconds):
            raise MyhaError(
                f"{self.name} has not ended {deadline_seconds:g} s after the request to stop"
            )

    def kill(self) -> None:
        """SIGKILL; `await_gone` tells when it is gone."""
        self._hit = self._signal("KILL")

    def freeze(self) -> None:
        """SIGSTOP: it accepts connections (the kernel does) and answers nothing."""
        self._signal("STOP")
        if not wait_until(lambda: self.frozen() or not self.running(), FREEZE_DEADLINE_SECONDS, 0):
            raise MyhaError(f"{self.name} does not stop at SIGSTOP")

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal("CONT")

    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return bool(self._look()[0])

    def frozen(self) -> bool:
        """Whether the process is stopped by a signal."""
        return self._look()[1] in {"T", "t"}

    def await_gone(self, deadline_seconds: float) -> bool:
        """True when what was told to end is gone, False when it is still there at the deadline."""

        def gone() -> bool:
            return not self._hit or not self._look(self._hit)[0]

        return wait_until(gone, deadline_seconds, POLL_SECONDS)

    def _look(self, pid: str = "") -> tuple[str, str]:
        """The server's pid, or this one, and its state's letter; empty when it is gone."""
        first, _, command = self._shell.run(
            load_script("process_state"), self._aimed_at(), pid
        ).partition("\n")
        found, _, rest = first.partition(" ")
        fields = rest.split()
        # A killed server's first thread is a zombie while others still hold its files and memory.
        if not fields or (fields[0] in "ZXx" and int(fields[17]) <= 1):
            return "", ""
        is_server = "mysqld" in command or "mariadbd" in command
        return (found, fields[0]) if is_server or pid else ("", "")

    def _signal(self, name: str) -> str:
        """Send it; the pid of the process that has it."""
        return self._shell.run(load_script("process_signal"), self._aimed_at(), name).strip()

    def _aimed_at(self) -> str:
        if not self._pid_file:
            raise MyhaError(f"{self.name}: its server was not asked yet where its pid file is")
        if not self._seen:
            machine = self._shell.run("uname -n").strip()
            if machine != self._machine:
                raise MyhaError(
                    f"{self.name}: its shell leads to the machine {machine}, and the server calls"
                    f" its own {self._machine}: correct nodes.{self._shell.name}.shell"
                )
            self._seen = True
        return self._pid_file
