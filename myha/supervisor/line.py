"""Standing in line for the lease of a pair.

Who stands in line looks at nothing and connects to no server. It is there for the moment in which
the lease is free, and begins then as any supervisor does: with the record, and by looking.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

from myha.config import Config
from myha.errors import LeaseHeldError, StoreSilentError
from myha.ports import Lease
from myha.stores.factory import require_record, supervisor_lease

WAIT_SECONDS = 1.0
RETRY_SECONDS = 0.5
ASK_SECONDS = 0.1

Patience = Callable[[Config, bool], float]
# Why, and how the balancers of the one that acts differ from ours.
Waits = Callable[[str, str], None]


def stand_in_line(
    config: Config,
    leave: threading.Event,
    waits: Waits,
    patience_seconds: Patience,
) -> Lease | None:
    """The lease, held; None when it was time to leave first. `waits` is told why it takes a while,
    and for `patience_seconds` others may have it that should; it is told whether somebody has had
    it meanwhile.

    Raises MyhaError when there is no record, and when another supervisor has the lease and nobody
    can stand in line for it.
    """
    lease, was_taken = supervisor_lease(config), False
    with ExitStack() as left:
        left.callback(lease.release)  # in line it holds the folder on this machine
        while not leave.is_set():
            try:
                require_record(config)  # before anything is made there
                _leave_to_others(lease, leave, patience_seconds(config, was_taken))
                lease.acquire()
            except LeaseHeldError as held:
                if not lease.waits:
                    raise
                was_taken = True
                differs = _differs(config, held)
                more = f"; its file names other balancers: {differs}" if differs else ""
                waits(f"in line for the lease; {held} has it{more}", differs)
                lease.await_free(WAIT_SECONDS)
            except StoreSilentError as error:
                waits(f"in line for the lease: {error}", "")
                leave.wait(RETRY_SECONDS)
            else:
                left.pop_all()
                return lease
    return None


def _differs(config: Config, held: LeaseHeldError) -> str:
    """What would change for clients if this one took over: whom it would not steer, or only it."""
    if held.balancers is None:
        return ""
    here = frozenset(config.balancers)
    missing, more = sorted(held.balancers - here), sorted(here - held.balancers)
    said = [f"{', '.join(missing)} only there"] * bool(missing)
    said += [f"{', '.join(more)} only here"] * bool(more)
    return " and ".join(said)


def _leave_to_others(lease: Lease, leave: threading.Event, seconds: float) -> None:
    """For so long, or until one of them has it. Raises MyhaError."""
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0 and not lease.taken():
        if leave.wait(min(left, ASK_SECONDS)):
            return
