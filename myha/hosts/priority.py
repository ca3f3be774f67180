"""Which processes the kernel runs first when there are more than cores.

On a machine whose cores are all in use a process that has next to nothing to do was seen to wait up
to 225 ms for its turn, and 17 ms with a niceness for its session. Cluster software has run ahead of
the rest since Heartbeat, mostly under the real-time scheduler; a niceness does without its danger.

The kernel shares the cores out among sessions first, where it groups by them (`autogroup`, see
sched(7)), and a niceness then counts within its session only; so the session has one too. Where
control groups share out instead, a unit's `CPUWeight` does that. Nothing here is an error: what is
not permitted is left out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_SESSION = Path("/proc/self/autogroup")


def set_niceness(niceness: int) -> None:
    """Run this thread, and those it starts from now on, at `niceness` (-20 first, 19 last).

    A session of this process's own gets the same. Call it before other threads are started.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if os.getsid(0) == os.getpid():  # else other people's processes are in it
        with suppress(OSError):
            _SESSION.write_text(str(niceness), encoding="ascii")


def own_niceness() -> int:
    """That of this thread: what it was given, or has from whoever started this process."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def go_first(niceness: int) -> None:
    """The same as `set_niceness`, unless somebody has chosen one for this process already."""
    if own_niceness() == 0:
        set_niceness(niceness)
