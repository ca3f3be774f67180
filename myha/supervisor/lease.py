"""Holds the lease by which the writer's watchdog lets it stay open, on a thread of its own.

Whoever fails over asks `Leases.end`, which waits for an attempt under way. From then on none is
made: the plan that asks runs, and while it runs the keepers rest.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from myha.core.observations import LeaseTried
from myha.core.watchdog import Watchdog
from myha.errors import MyhaError, ServerError
from myha.servers.lease import ServerLease

TRIES_IN_A_LEASE = 4
INTERVAL_SECONDS = 0.5
DISMISS_SECONDS = 3.0


class LeaseKeeper(threading.Thread):
    """One node's lease: taken and renewed at a quarter of its length or more often.

    `wanted` says which lease that is, empty for none: another one is taken anew, with a watchdog of
    its own. `resting`: nothing is done now.
    """

    def __init__(
        self,
        lease: ServerLease,
        watchdog: Watchdog,
        call_deadline_seconds: float,
        *,
        wanted: Callable[[], str],
        resting: Callable[[], bool],
        emit: Callable[[LeaseTried], None],
    ) -> None:
        super().__init__(name=f"lease-{lease.name}", daemon=True)
        self._lease = lease
        self._interval_seconds = min(INTERVAL_SECONDS, watchdog.lease_seconds / TRIES_IN_A_LEASE)
        self._deadline_seconds = call_deadline_seconds
        self._wanted = wanted
        self._resting = resting
        self._emit = emit
        self._ending = threading.Event()
        self._trying = threading.Lock()
        self._kept = ""  # which lease
        self._armed = False  # as the node last said

    def run(self) -> None:
        while not self._ending.wait(self._interval_seconds):
            self._keep()

    def stop(self) -> None:
        """The watchdog is dismissed: what a supervisor does that ends closes nothing."""
        self._ending.set()
        with self._trying:
            if self._lease.held:
                # Not reached: it closes in time, as for a supervisor that is lost.
                with suppress(ServerError):
                    self._lease.dismiss(DISMISS_SECONDS)

    def end(self, deadline_seconds: float) -> float:
        """As `Leases.end`."""
        if not self._trying.acquire(timeout=deadline_seconds):
            raise MyhaError(f"{self._lease.name}: an attempt to renew the lease does not end")
        try:
            if not (self._resting() and self._armed and self._kept == self._wanted()):
                raise MyhaError(f"the watchdog of {self._lease.name} is not known to be armed")
            return self._lease.heard_until
        finally:
            self._trying.release()

    def _keep(self) -> None:
        """A failover waits for no attempt to connect, which renews nothing and may hear nobody."""
        with self._trying:
            wanted = "" if self._resting() else self._wanted_now()
        if not wanted or not self._connected():
            return
        with self._trying:
            if not (self._resting() or self._ending.is_set()) and self._wanted() == wanted:
                self._renew()

    def _wanted_now(self) -> str:
        wanted = self._wanted()
        if wanted != self._kept:
            self._lease.drop()
            self._say(armed=False)
            self._kept = wanted
        return wanted

    def _connected(self) -> bool:
        try:
            if not self._lease.held:
                self._lease.connect(self._deadline_seconds)
        except ServerError:
            self._say(armed=None)
            return False
        return True

    def _renew(self) -> None:
        try:
            if not self._lease.held:
                # Before anything is sent that could renew it: until the node says so again, what
                # holds there is not known.
                self._say(armed=False)
                self._say(armed=self._lease.take(self._deadline_seconds))
            else:
                self._say(armed=self._lease.renew(self._deadline_seconds))
        except ServerError:
            self._say(armed=None)

    def _say(self, *, armed: bool | None) -> None:
        self._armed = self._armed if armed is None else armed
        self._emit(LeaseTried(self._lease.name, time.monotonic(), self._lease.heard_until, armed))


class KeptLeases:
    """Implements `myha.ports.Leases` on the keepers of a pair's nodes."""

    def __init__(self, keepers: Mapping[str, LeaseKeeper]) -> None:
        self._keepers = keepers

    def end(self, node: str, deadline_seconds: float) -> float:
        return self._keepers[node].end(deadline_seconds)
