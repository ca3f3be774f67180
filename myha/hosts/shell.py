"""Scripts on a node's host: this machine, or another one behind a command such as ssh or docker.

A shell is the words before a script: `sh -c` here, `ssh db1` or `docker exec -i db1 sh -c` for a
host elsewhere. The script is appended as one last word, and values reach it as its positional
parameters, quoted. Nothing else is known of the way to the host.

Short scripts are run to their end. A long one holds on to its standard input and ends what it has
started when that closes, or when nothing has come through it for a while: so nothing goes on
there after the one who began it has died, been cut off, or lost interest.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import IO

from myha.errors import MyhaError
from myha.words import one_line

LOCAL_WORDS = ("sh", "-c")
DEADLINE_SECONDS = 30.0
END_DEADLINE_SECONDS = 60.0
ALIVE_EVERY_SECONDS = 5.0
# A host that hears nothing for so long is cut off, and gives up: it may hold the donor's commits.
SILENCE_SECONDS = 60.0
LET_GO_SECONDS = 15.0  # what is ended from there gets 5 s before it is killed
_OUTPUT_BYTES = 4096
_BEGUN = "myha-begun"
_TELLING = r"error|fail|no space|denied|refused|not found|no such|cannot|timed out|not running"


class ShellError(MyhaError):
    """A script that could not be run on a host, or failed there; the line says what was said."""


@dataclass
class Running:
    """A script that runs, and what it says meanwhile."""

    name: str
    process: subprocess.Popen[bytes]
    output: IO[bytes]

    def ended(self) -> bool:
        return self.process.poll() is not None

    def check(self, what: str) -> None:
        """Wait for its end. Raises ShellError unless that comes soon and is a good one."""
        try:
            status = self.process.wait(END_DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            raise ShellError(f"{self.name}: {what} does not end") from None
        if status != 0:
            size = os.fstat(self.output.fileno()).st_size
            last = os.pread(self.output.fileno(), _OUTPUT_BYTES, max(0, size - _OUTPUT_BYTES))
            raise ShellError(f"{self.name}: {what} failed: {telling(last, status)}")


class Shell:
    """Runs scripts for a POSIX shell on the host of `name`. Every method raises ShellError."""

    def __init__(self, name: str, words: tuple[str, ...] = ()) -> None:
        self.name = name
        self._words = words or LOCAL_WORDS
        self._of_whom = f"nodes.{name}.shell" if words else self._words[0]

    def run(self, script: str, *arguments: str, deadline_seconds: float = DEADLINE_SECONDS) -> str:
        """What the script writes to its standard output."""
        # The mark tells a shell that could not be reached from a script that failed in it.
        text = _text(f"echo {_BEGUN}\n{script}", arguments)
        try:
            done = subprocess.run(
                (*self._words, text),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                start_new_session=True,
                timeout=deadline_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ShellError(
                f"{self.name}: {self._of_whom} does not answer within {deadline_seconds:.0f} s"
            ) from None
        except OSError as error:
            raise self._not_started(error) from error
        before, mark, output = done.stdout.decode(errors="replace").partition(f"{_BEGUN}\n")
        if not mark:
            why = telling(done.stderr or done.stdout, done.returncode)
            raise ShellError(f"{self.name}: {self._of_whom} does not work: {why}")
        if before:  # it would also be in the midst of the data
            raise ShellError(
                f"{self.name}: {self._of_whom} prints something before the script does:"
                f" {telling(before.encode(), 0)}; make its login silent"
            )
        if done.returncode != 0:
            raise ShellError(f"{self.name}: {telling(done.stderr, done.returncode)}")
        return output

    @contextmanager
    def fed(self, script: str, *arguments: str) -> Iterator[Running]:
        """A script that reads a stream from its standard input; it ends when that does."""
        with self._running(_text(script, arguments), subprocess.DEVNULL) as running:
            yield running

    @contextmanager
    def held(
        self, script: str, *arguments: str, first: bytes = b"", streams: bool = False
    ) -> Iterator[Running]:
        """A script that defines `work`, which goes on for no longer than this block.

        `first` can be read from its descriptor 3. `streams`: its output is for us to read.
        """
        held = load_script("held").replace("{silence_seconds}", f"{SILENCE_SECONDS:.0f}")
        text = _text(held.replace("{script}", script), arguments)
        stdout = subprocess.PIPE if streams else None
        with self._running(text, stdout) as running, _kept_alive(running.process, first):
            yield running

    @contextmanager
    def _running(self, text: str, stdout: int | None) -> Iterator[Running]:
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(
                    (*self._words, text),
                    stdin=subprocess.PIPE,
                    stdout=output if stdout is None else stdout,
                    stderr=output,
                    # What ends us at once leaves it alive to clear up; and nobody is asked here
                    # for a password.
                    start_new_session=True,
                )
            except OSError as error:
                raise self._not_started(error) from error
            try:
                yield Running(self.name, process, output)
            finally:
                _let_go(process)

    def _not_started(self, error: OSError) -> ShellError:
        return ShellError(f"{self.name}: cannot start {self._words[0]}: {error.strerror or error}")


def telling(output: bytes, status: int) -> str:
    """The lines that name the error, of the last that a program has said."""
    text = output[-_OUTPUT_BYTES:].decode(errors="replace")
    lines = [one_line(line) for line in text.splitlines() if line.strip()]
    found = [line for line in lines if re.search(_TELLING, line, re.IGNORECASE)]
    return " / ".join((found or lines)[:2])[:400] or f"exit status {status}"


@cache
def load_script(name: str) -> str:
    """The text of scripts/NAME.sh. FileNotFoundError when there is none."""
    return resources.files("myha").joinpath("scripts", f"{name}.sh").read_text(encoding="utf-8")


def _text(script: str, arguments: tuple[str, ...]) -> str:
    return f"set -- {shlex.join(arguments)}\n{script}"


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """Close the ends that are ours, which ends it on its host, and wait for that."""
    for end in (process.stdin, process.stdout):
        if end is not None:
            with suppress(OSError):
                end.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(LET_GO_SECONDS)
    if process.poll() is None:
        process.kill()
    process.wait()


@contextmanager
def _kept_alive(process: subprocess.Popen[bytes], first: bytes) -> Iterator[None]:
    """Say `first`, then that we are still there, for as long as the block lasts."""
    ends = threading.Event()

    def speak() -> None:
        words = first
        while process.stdin is not None:
            try:
                process.stdin.write(words)
                process.stdin.flush()
            except (OSError, ValueError):
                return  # it has ended; whoever waits for it says why
            if ends.wait(ALIVE_EVERY_SECONDS):
                return
            words = b"."

    thread = threading.Thread(target=speak, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join(LET_GO_SECONDS)
