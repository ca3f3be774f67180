"""Which processes the kernel runs first when there are more than cores.

On a machine whose cores are all in use a process that has next to nothing to do was seen to wait up
to 225 ms for its turn, and 17 ms with a niceness for its session. Cluster software has run ahead of
the rest since Heartbeat, mostly under the real-time scheduler; a niceness does without its danger.

The kernel shares the cores out among sessions first, where it groups by them (`autogroup`, see
sched(7)), and a niceness then counts within its session only; so the session has one too. Where
control groups share out instead, a unit's `CPUWeight` does that.

Who goes first by a niceness still waits until whoever runs has had its turn, and once more when it
has been sent away itself. What asks for short turns gets them sooner, for no more of the core in
all (Linux 6.12 and later, sched(7)). Nothing here is an error: what is not permitted or not known
is left out.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from contextlib import suppress
from pathlib import Path

_SESSION = Path("/proc/self/autogroup")
_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # the C library has no function for it
# size, policy, flags, niceness, real-time priority, then in ns: turn, deadline, period; two more.
_ATTRIBUTES = struct.Struct("=IIQiIQQQII")
SHORT_TURN_NS = 100_000  # the shortest that the kernel gives


def set_niceness(niceness: int) -> None:
    """Run this thread, and those it starts from now on, at `niceness` (-20 first, 19 last).

    A session of this process's own gets the same. Call it before other threads are started.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():  # else other people's processes are in it
        with suppress(OSError):
            _SESSION.write_text(str(niceness), encoding="ascii")
    _ask_for_turns(SHORT_TURN_NS if niceness < 0 else 0)


def _ask_for_turns(length_ns: int) -> None:
    """Of this length, 0: like all else. An older kernel takes no notice of it."""
    number = _SCHED_SETATTR.get(platform.machine())
    if number is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    turn = (length_ns, 0, 0)
    raw = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, own_niceness(), 0, *turn, 0, 0)
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).syscall(number, 0, raw, 0)


def own_niceness() -> int:
    """That of this thread: what it was given, or has from whoever started this process."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def go_first(niceness: int) -> None:
    """The same as `set_niceness`, unless somebody has chosen one for this process already."""
    if own_niceness() == 0:
        set_niceness(niceness)
