"""One server process on this machine: started, stopped, killed, frozen, thawed.

The process is known by its pid file, so that another process of myha can manage what an earlier one
started. A pid is a number that the kernel gives out again: before anything is signalled, the
process behind it is recognised by its command line or by having begun before the pid file was
written, and the signal goes through a descriptor of that very process.
"""

import errno
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from myha.errors import MyhaError
from myha.files import locked, replacing
from myha.hosts.shell import load_script
from myha.waiting import wait_until
from myha.words import one_line

POLL_SECONDS = 0.02
ACCEPTS_SECONDS = 1.0
FREEZE_POLL_SECONDS = 0.001
FREEZE_DEADLINE_SECONDS = 2.0
# An assertion's line says what failed; the error after it only that a signal came.
_ERROR_MARKS = ("ERROR", "[ALERT]", "Assertion")
_PID_FILE_SLACK_SECONDS = 2.0  # the kernel's boot time has whole seconds


@dataclass(frozen=True)
class ProcessState:
    """What /proc says of a process."""

    letter: str  # R, S, D, T (stopped by a signal), Z (dead and not yet reaped) ...
    threads: int
    started_wall_seconds: float
    command: tuple[str, ...]

    @property
    def alive(self) -> bool:
        # A killed server's first thread is a zombie while others still hold its files and memory.
        return self.letter not in "ZXx" or self.threads > 1


def process_state(pid: int) -> ProcessState | None:
    """The state of a process; None when there is none with this pid."""
    folder = Path("/proc") / str(pid)
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        command = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    started = _boot_wall_seconds() + int(fields[19]) / os.sysconf("SC_CLK_TCK")
    words = command.rstrip(b"\0").split(b"\0")
    return ProcessState(
        fields[0], int(fields[17]), started, tuple(os.fsdecode(word) for word in words)
    )


def _boot_wall_seconds() -> float:
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise MyhaError("/proc/stat has no btime line: cannot tell when a process began")


def accepts_tcp(host: str, port: int) -> bool:
    """Whether something accepts connections there and says a first word, as a server does."""
    try:
        with socket.create_connection((host, port), ACCEPTS_SECONDS) as connection:
            connection.settimeout(ACCEPTS_SECONDS)
            return bool(connection.recv(1))
    except OSError:
        return False


def connects_tcp(host: str, port: int) -> bool:
    """Whether something accepts connections there, and waits for the first word."""
    try:
        with socket.create_connection((host, port), ACCEPTS_SECONDS):
            return True
    except OSError:
        return False


def accepts_unix(path: Path) -> bool:
    """Whether something accepts connections on a unix socket."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ACCEPTS_SECONDS)
            connection.connect(str(path))
            return True
    except OSError:
        return False


class LocalHost:
    """One process on this machine. Implements the Host port.

    `argv` starts it, in the foreground or not. `ready` says when it serves; without it a start is
    over as soon as the process is there. `environment` is the whole one; None means our own.
    `lock_file` is where the program writes its pid to keep others away (MySQL: the socket's).
    `launcher` begins the command line that starts it and becomes it, as nsenter does.
    Every method raises MyhaError with one line.
    """

    def __init__(
        self,
        name: str,
        argv: tuple[str, ...],
        *,
        pid_file: Path,
        log_file: Path,
        ready: Callable[[], bool] | None = None,
        environment: dict[str, str] | None = None,
        lock_file: Path | None = None,
        launcher: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.argv = argv
        self.pid_file = pid_file
        self.log_file = log_file
        self._ready = ready
        self.environment = environment
        self._lock_file = lock_file
        self._launcher = launcher
        self._child: subprocess.Popen[bytes] | None = None
        self._hit: int | None = None  # the pid that was last killed

    def __repr__(self) -> str:
        return f"LocalHost({self.name!r}, pid={self.pid()})"

    def start(self, deadline_seconds: float) -> None:
        """Start it and wait until it serves; one that already serves is left as it is.

        One that is just ending is waited for first, and of several who start it at the same time
        one does: two servers on one data directory ruin it. They do not always keep each other
        away: MySQL begins after a clone by exchanging the files that it locks.
        """
        ends = time.monotonic() + deadline_seconds
        self._hit = None

        def serves_or_gone() -> bool:
            return not self.running() or self._is_ready()

        if not wait_until(serves_or_gone, deadline_seconds, POLL_SECONDS):
            raise MyhaError(
                f"{self.name} (pid {self.pid()}) runs but accepts no connections;"
                f" see {self.log_file}, or kill it"
            )
        with self._alone(deadline_seconds):
            started = not self.running()
            log_size = self._spawn() if started else 0
        if started or not self._is_ready():
            self._await_ready(ends, deadline_seconds, log_size)

    def stop(self, deadline_seconds: float) -> None:
        """Ask it to end (SIGTERM) and wait until it is gone."""
        self._hit = None
        if not self._signal(signal.SIGTERM):
            return
        self._signal(signal.SIGCONT)  # one that is frozen could not end
        if not self.await_gone(deadline_seconds):
            raise MyhaError(
                f"{self.name} (pid {self.pid()}) has not ended {deadline_seconds:g} s after"
                f" SIGTERM; see {self.log_file}"
            )

    def kill(self) -> None:
        """SIGKILL; returns at once, `await_gone` tells when the kernel has freed it."""
        self._hit = self.pid()
        self._signal(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: it accepts connections (the kernel does) and answers nothing."""
        self._signal_or_raise(signal.SIGSTOP)
        if not wait_until(
            lambda: self.frozen() or not self.running(),
            FREEZE_DEADLINE_SECONDS,
            FREEZE_POLL_SECONDS,
        ):
            raise MyhaError(f"{self.name} (pid {self.pid()}) does not stop at SIGSTOP")

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal_or_raise(signal.SIGCONT)

    def running(self) -> bool:
        """Whether the process is there, frozen or not."""
        return self.pid() is not None

    def frozen(self) -> bool:
        """Whether the process is stopped by a signal."""
        pid = self.pid()
        state = process_state(pid) if pid is not None else None
        return state is not None and state.letter in "Tt"

    def pid(self) -> int | None:
        """The running process's pid; None when it does not run."""
        try:
            pid = int(self.pid_file.read_text().split()[0])
        except (OSError, ValueError, IndexError):
            pid = 0
        # A pid file from inside a container may say 1, which is another process out here.
        found = pid if pid > 1 and self._is_ours(pid) else None
        if found is None and self._child is not None:
            self._child.poll()  # reaps our own child, so that no zombie is left
        return found

    def await_gone(self, deadline_seconds: float) -> bool:
        """True when it is gone, False when it is still there at the deadline.

        Of one that was killed: whether that process is gone. A service manager may have started
        another by then.
        """

        def gone() -> bool:
            pid = self.pid()
            return pid is None or pid != (self._hit or pid)

        return wait_until(gone, deadline_seconds, POLL_SECONDS)

    def last_error(self, from_byte: int = 0) -> str:
        """The log's last line that tells an error, else its last line, else an empty text."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(from_byte, self.log_file.stat().st_size - 65536))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        lines = [one_line(line) for line in lines if line.strip()]
        errors = [line for line in lines if any(mark in line for mark in _ERROR_MARKS)]
        # A server's first error is the cause; "Aborting" at the end says nothing.
        telling = [line for line in errors if not line.endswith("Aborting")] or lines[-1:]
        return " / ".join(telling[:2])[:600]

    def _is_ours(self, pid: int) -> bool:
        state = process_state(pid)
        if state is None or not state.alive:
            return False
        if state.command in (self.argv, self._told_words()):
            return True
        try:
            written = self.pid_file.stat().st_mtime
        except OSError:
            return False
        return state.started_wall_seconds <= written + _PID_FILE_SLACK_SECONDS

    def _signal(self, number: signal.Signals) -> bool:
        """Send a signal to the process; False when there is none."""
        pid = self.pid()
        if pid is None:
            return False
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return False
        try:
            # Looked at again with the descriptor held: now the pid cannot change its meaning.
            if not self._is_ours(pid):
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        except PermissionError as error:
            raise MyhaError(
                f"may not signal {self.name} (pid {pid}): run as the user that started it"
            ) from error
        finally:
            os.close(descriptor)
        return True

    def _signal_or_raise(self, number: signal.Signals) -> None:
        if not self._signal(number):
            raise MyhaError(f"{self.name} does not run: there is nothing to send {number.name} to")

    def _remove_stale_lock(self) -> None:
        """Remove the lock of a process that is dead and that nobody has waited for.

        In a container whose first process does not reap what it inherits, a killed server stays a
        zombie for ever. `kill(pid, 0)`, by which the next one looks, finds it alive.
        """
        if self._lock_file is None:
            return
        try:
            state = process_state(int(self._lock_file.read_text()))
            if state is not None and not state.alive:
                self._lock_file.unlink()
        except (OSError, ValueError):
            return  # no lock; or one whose owner the program has to judge for itself

    def _told_words(self) -> tuple[str, ...]:
        """Its command line before it becomes the program."""
        script = load_script("start_when_told")
        return ("/bin/sh", "-c", script, "sh", *self._launcher, *self.argv)

    @contextmanager
    def _alone(self, wait_seconds: float) -> Iterator[None]:
        """Nobody else on this machine starts it meanwhile."""
        lock = self.pid_file.with_name(f".{self.pid_file.name}.lock")
        try:
            with locked(lock, wait_seconds=wait_seconds):
                yield
        except OSError as error:
            raise MyhaError(f"cannot start {self.name} ({self.argv[0]}): {error}") from error

    def _spawn(self) -> int:
        """Start the process in a session of its own; returns the log's size before.

        It becomes the program when its pid is on file, and ends if whoever starts it is killed
        before: a server that no pid file names would be started a second time.
        """
        self._remove_stale_lock()
        words = self._told_words()
        path = None if self.environment is None else self.environment.get("PATH", os.defpath)
        if shutil.which((*self._launcher, *self.argv)[0], path=path) is None:
            raise FileNotFoundError(errno.ENOENT, "there is no such program")
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as log:
            log_size = os.fstat(descriptor).st_size
            child = self._child = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        assert child.stdin is not None
        with child.stdin:
            with replacing(self.pid_file, 0o644) as file:
                file.write(f"{child.pid}\n".encode())
            child.stdin.write(b"\n")
        return log_size

    def _await_ready(self, ends: float, deadline_seconds: float, log_size: int) -> None:
        def serves() -> bool:
            if self.running() and self._is_ready():
                return True
            status = self._ended_with()
            # A command that hands over to a daemon ends with 0 before the daemon has its pid file.
            # Another one, which somebody else has started, has the data and comes up: it writes
            # its own pid file then.
            if status and not _is_of_a_lock(self.last_error(log_size)):
                raise MyhaError(
                    f"{self.name} ended at its start ({status}):"
                    f" {self.last_error(log_size) or 'its log is empty'} ({self.log_file})"
                )
            return False

        if not wait_until(serves, ends - time.monotonic(), POLL_SECONDS):
            raise MyhaError(
                f"{self.name} accepts no connections {deadline_seconds:g} s after its start:"
                f" {self.last_error(log_size) or 'its log is empty'} ({self.log_file})"
            )

    def _ended_with(self) -> str:
        """The failure of what was started; empty while there is none."""
        child = self._child
        if self.running() or (child is not None and child.poll() in (None, 0)):
            return ""
        return "begun by another" if child is None else f"exit status {child.returncode}"

    def _is_ready(self) -> bool:
        return self._ready is None or self._ready()


def _is_of_a_lock(error: str) -> bool:
    """Whether a server says that another process has its data: InnoDB's words, and Aria's."""
    return any(
        words in error
        for words in ("Unable to lock", "Can't lock", "Could not get an exclusive lock")
    )


def end_processes(argvs: list[tuple[str, ...]], deadline_seconds: float) -> None:
    """SIGKILL every process of ours with exactly one of these command lines, and wait for its end.

    For clean-up when a pid file is gone. Raises MyhaError when one is still there at the deadline.
    """
    left: list[int] = []

    def gone() -> bool:
        left[:] = _processes_with(argvs)
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return not left

    if not wait_until(gone, deadline_seconds, POLL_SECONDS):
        raise MyhaError(f"process {left[0]} does not end after SIGKILL: inspect it with ps")


def _processes_with(argvs: list[tuple[str, ...]]) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        state = process_state(int(folder.name))
        if state is not None and state.alive and state.command in argvs:
            found.append(int(folder.name))
    return found
