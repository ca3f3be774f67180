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


TURNS = """
import ctypes, os, platform, struct, sys, threading
from myha.hosts import priority
NUMBER = {"x86_64": 315, "aarch64": 275}[platform.machine()]  # sched_getattr
def told():
    raw = ctypes.create_string_buffer(56)
    assert ctypes.CDLL(None).syscall(NUMBER, 0, raw, 56, 0) == 0
    return struct.unpack_from("=Q", raw, 24)[0]
said = [told()]
for niceness in map(int, sys.argv[1:]):
    priority.set_niceness(niceness)
    thread = threading.Thread(target=lambda: said.append(told()))
    thread.start()
    thread.join()
print(*said)
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may go first")
def test_who_goes_first_asks_for_short_turns_and_who_does_not_has_those_of_all() -> None:
    said = subprocess.run(
        [sys.executable, "-c", TURNS, "-10", "5"],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=True,
    ).stdout.split()
    usual, first, last = map(int, said)
    if not usual:
        pytest.skip("this kernel knows of no turns")
    assert (first, last) == (priority.SHORT_TURN_NS, usual)
