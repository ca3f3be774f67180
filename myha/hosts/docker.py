"""One server that is process 1 of a Docker container, acted upon by the engine.

From inside such a container nobody can kill or stop its process 1: the kernel ignores that. So this
is for the drill. What a reseed needs is `docker start`, `docker stop` and a shell, all of which are
commands like any other (`nodes.NAME.start_command`, `stop_command`, `shell`).

It is the command `docker` of this machine, with the engine that its environment names (DOCKER_HOST,
or its context). Freezing is the control group's freezer: every process of the container stops.
"""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping

from myha.errors import MyhaError
from myha.hosts.commands import output_of
from myha.waiting import wait_until

COMMAND_DEADLINE_SECONDS = 30.0
_STATE = "{{.State.Pid}} {{.State.Running}} {{.State.Paused}}"


class DockerHost:
    """Implements the Host port. Every method raises MyhaError with one line.

    `ready` says when the server serves.
    """

    def __init__(self, name: str, container: str, *, ready: Callable[[], bool]) -> None:
        self.name = name
        self.container = container
        self._ready = ready
        self._hit = 0  # the pid that was last told to end

    def start(self, deadline_seconds: float) -> None:
        """Start it and wait until it serves; one that already serves is left as it is."""
        if self._ready():
            return
        ends = time.monotonic() + deadline_seconds
        self._docker("start", self.container, deadline_seconds=deadline_seconds)
        if not wait_until(self._ready, ends - time.monotonic()):
            raise MyhaError(
                f"{self.name}: container {self.container} has started, but accepts no connections;"
                f" see `docker logs {self.container}`"
            )

    def stop(self, deadline_seconds: float) -> None:
        """End it in good order, and wait until it is gone. The engine does not restart it."""
        self._hit, _, frozen = self._look()
        if frozen:  # one that is frozen could not end
            self.thaw()
        wait = ("--time", f"{deadline_seconds:.0f}")
        self._docker("stop", *wait, self.container, deadline_seconds=deadline_seconds + 15)

    def kill(self) -> None:
        """SIGKILL to its process 1. The engine does not restart it, whatever its restart policy."""
        self._hit, running, _ = self._look()
        if running:
            self._docker("kill", self.container)

    def freeze(self) -> None:
        """It accepts connections (the kernel does) and answers nothing."""
        self._docker("pause", self.container)

    def thaw(self) -> None:
        self._docker("unpause", self.container)

    def running(self) -> bool:
        """Whether it runs, frozen or not."""
        return self._look()[1]

    def frozen(self) -> bool:
        return self._look()[2]

    def run_out_of_memory(self, spare_bytes: int) -> None:
        """Let the kernel end its process 1 for want of memory.

        Its limit becomes what that process has of its own and `spare_bytes` more, and another
        process in it takes all it can get: the larger of the two is ended. MyhaError when the limit
        cannot be set, as where the container holds more that cannot be reclaimed.
        """
        self._hit = self._look()[0]
        self._limit_memory(self._own_memory() + spare_bytes)
        # What it reads has no end of a line, and it keeps a whole line.
        self._docker("exec", "--detach", self.container, "tail", "/dev/zero")

    def give_memory_back(self) -> None:
        """As much as its machine has: the engine cannot take a limit away altogether."""
        self._limit_memory(int(self._docker("info", "--format", "{{.MemTotal}}")))

    def out_of_memory_since(self, wall: float) -> bool:
        """Whether the kernel has ended a process of it for that since then (seconds since 1970)."""
        said = self._docker(
            *("events", "--since", f"{wall:.3f}", "--until", f"{time.time():.3f}"),
            *("--filter", f"container={self.container}", "--filter", "event=oom"),
        )
        return bool(said.strip())

    def _own_memory(self) -> int:
        """What process 1 has in memory that is in no file, in bytes."""
        said = self._docker("exec", self.container, "cat", "/proc/1/status")
        found = re.search(r"^RssAnon:\s+(\d+) kB$", said, re.MULTILINE)
        if found is None:
            raise MyhaError(f"{self.name}: process 1 of {self.container} tells no RssAnon")
        return 1024 * int(found[1])

    def _limit_memory(self, limit_bytes: int) -> None:
        limit = str(limit_bytes)  # of both, so that there is no swap to go to
        self._docker("update", "--memory", limit, "--memory-swap", limit, self.container)

    def await_gone(self, deadline_seconds: float) -> bool:
        """True when what was told to end is gone, False when it is still there at the deadline."""

        def gone() -> bool:
            pid, running, _ = self._look()
            return not running or pid != (self._hit or pid)

        return wait_until(gone, deadline_seconds)

    def _look(self) -> tuple[int, bool, bool]:
        """The pid of its process 1 as the engine's machine sees it; whether it runs; is frozen."""
        said = self._docker("inspect", "--type", "container", "--format", _STATE, self.container)
        try:
            pid, running, paused = said.split()
            return int(pid), running == "true", paused == "true"
        except ValueError:
            raise MyhaError(
                f"{self.name}: docker says {said.strip()[:80]!r} of container {self.container},"
                " which is no state"
            ) from None

    def _docker(self, *words: str, deadline_seconds: float = COMMAND_DEADLINE_SECONDS) -> str:
        return docker(self.name, *words, deadline_seconds=deadline_seconds)


def docker(
    name: str,
    *words: str,
    deadline_seconds: float = COMMAND_DEADLINE_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What the command says, with `environment` besides this process's own.

    Raises MyhaError with one line that begins with `name`.
    """
    if shutil.which("docker") is None:
        raise MyhaError(
            f"{name}: cannot run docker (there is none): install its command on this machine"
        )
    return output_of(
        f"{name}: docker {words[0]}",
        ("docker", *words),
        deadline_seconds,
        environment={**os.environ, **(environment or {})},
    )
