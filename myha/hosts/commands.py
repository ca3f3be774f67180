"""A configured command that has done its work when it ends, as one that starts a server."""

from __future__ import annotations

import subprocess
import tempfile

from myha.errors import MyhaError
from myha.hosts.shell import telling


def run_to_end(name: str, words: tuple[str, ...], deadline_seconds: float) -> None:
    """Run it on this machine. `name` is for the error: MyhaError with one line when it fails."""
    # A file, not a pipe: a server that it leaves behind would hold the pipe open.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=deadline_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MyhaError(f"{name} has not ended within {deadline_seconds:.0f} s") from None
        except OSError as error:
            raise MyhaError(f"{name} does not work: {error}") from error
        if done.returncode != 0:
            output.seek(0)
            raise MyhaError(f"{name} failed: {telling(output.read(), done.returncode)}")
