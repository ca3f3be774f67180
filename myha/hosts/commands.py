"""Commands that are run to their end on this machine, and their failures as one line."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import IO

from myha.errors import MyhaError
from myha.hosts.shell import telling

OUTPUT_KEPT_BYTES = 4096


def run_to_end(
    name: str,
    words: tuple[str, ...],
    deadline_seconds: float,
    *,
    given: str = "",
    environment: Mapping[str, str] | None = None,
    whole_group: bool = False,
) -> str:
    """Run a configured command: one that starts a server, fences, or tells. Returns the end of what
    it has printed. `given` is its standard input.

    What it prints goes to a file, not through a pipe: a process that it leaves behind would hold
    the pipe open, and whoever waits for its end with it. At the deadline it is killed, with
    `whole_group` together with all that it has started and that has not left its session. Raises
    MyhaError with one line that begins with `name`: it cannot be run, has not ended, or ended with
    another status than 0.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as there:
        there.write(given.encode())
        there.seek(0)
        try:
            process = subprocess.Popen(
                words,
                stdin=there,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=whole_group,
            )
        except OSError as error:
            raise MyhaError(f"{name} does not work: {error}") from error
        try:
            status = process.wait(deadline_seconds)
        except subprocess.TimeoutExpired:
            raise MyhaError(f"{name} has not ended within {deadline_seconds:g} s") from None
        finally:
            _end(process, whole_group=whole_group)
        said = _last(output)
        if status != 0:
            raise MyhaError(f"{name} failed: {telling(said, status)}")
        return said.decode(errors="replace").strip()


def output_of(
    name: str,
    words: Sequence[str],
    deadline_seconds: float,
    *,
    given: str = "",
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run a program of the machine's; returns all that it writes to its standard output.

    Errors as those of `run_to_end`, of what it writes to its standard error, or else to the other.
    """
    try:
        done = subprocess.run(
            words,
            input=given.encode(errors="surrogateescape"),
            capture_output=True,
            env=environment,
            timeout=deadline_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MyhaError(f"{name} has not ended within {deadline_seconds:g} s") from None
    except OSError as error:
        raise MyhaError(f"{name} does not work: {error}") from error
    if done.returncode != 0:
        said = telling(done.stderr or done.stdout, done.returncode)
        raise MyhaError(f"{name} failed: {said}")
    return done.stdout.decode(errors="replace")


def _end(process: subprocess.Popen[bytes], *, whole_group: bool) -> None:
    """Kill one that still runs. What one that has ended leaves behind may stay."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError, PermissionError):
        if whole_group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _last(output: IO[bytes]) -> bytes:
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), OUTPUT_KEPT_BYTES, max(0, size - OUTPUT_KEPT_BYTES))
