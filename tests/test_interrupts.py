"""Ctrl-C that arrives while an object is finalized, where Python drops it."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal, sys, time
from myha.interrupts import hear_everywhere

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0)

hear_everywhere()
try:
    Finalized()
    time.sleep(60)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_it_ends_the_program_all_the_same_and_shows_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 130
    assert done.stderr == ""
