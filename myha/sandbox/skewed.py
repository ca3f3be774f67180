"""`python -m myha.sandbox.skewed FILE ARGUMENTS`: myha with a wall clock that is off.

By how many seconds is in the file, which is read anew at every glance. Python's own waits do not
stand libfaketime, so the supervisor of a sandbox has its clock this way.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path


def skewed(path: Path, wall: Callable[[], float]) -> Callable[[], float]:
    """A wall clock that is as far off as the file says; as it is where that cannot be read."""

    def off() -> float:
        try:
            return wall() + float(path.read_text())
        except (OSError, ValueError):
            return wall()

    return off


if __name__ == "__main__":
    time.time = skewed(Path(sys.argv[1]), time.time)
    sys.argv = ["myha", *sys.argv[2:]]
    runpy.run_module("myha", run_name="__main__")
