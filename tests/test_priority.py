"""Who goes first: a process of its own, since a niceness cannot be taken back without privilege."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from myha.hosts import priority

ASK = """
import os, sys
from pathlib import Path
from myha.hosts import priority
getattr(priority, sys.argv[1])(int(sys.argv[2]))
group = Path("/proc/self/autogroup")
own = group.read_text().split()[-1:] if group.exists() else []
print(os.getpriority(os.PRIO_PROCESS, 0), *own)
"""


def ask(call: str, niceness: int, *, before: int = 0, own_session: bool = True) -> list[str]:
    return subprocess.run(
        ["nice", "-n", str(before), sys.executable, "-c", ASK, call, str(niceness)],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=own_session,
    ).stdout.split()


needs_groups = pytest.mark.skipif(
    not Path("/proc/self/autogroup").exists(), reason="this kernel groups no sessions"
)


@needs_groups
def test_a_process_and_its_own_session_get_it() -> None:
    base = priority.own_niceness()
    assert ask("set_niceness", base + 3) == [str(base + 3)] * 2


@needs_groups
def test_a_session_of_others_is_left_alone() -> None:
    base = priority.own_niceness()
    # Nothing is in it for a session that has no group of its own, as the machine's first one.
    mine = Path("/proc/self/autogroup").read_text(encoding="ascii").split()[-1:]
    assert ask("set_niceness", base + 3, own_session=False) == [str(base + 3), *mine]


def test_what_is_not_permitted_is_left_out_and_what_was_chosen_stands() -> None:
    base = priority.own_niceness()
    first = ask("go_first", -10)[0]
    assert first == ("-10" if os.geteuid() == 0 and base == 0 else str(base))
    assert ask("go_first", -10, before=7)[0] == str(min(19, base + 7))
