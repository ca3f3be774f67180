"""Which supervisor may act on a pair: a key that lives as long as an etcd lease is renewed.

The holder counts its time from before it sent a renewal, so that neither the network nor a pause of
its own process can make it believe for longer than etcd does; and by a clock that goes on while the
machine is suspended.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable

from myha.errors import LeaseHeldError, MyhaError, StoreError
from myha.ports import Lease
from myha.stores.etcd.client import Compare, Entry, EtcdClient, Put

MARGIN = 0.1  # of the lease: by so much the two machines' clocks may run apart
RENEWALS = 5  # in a lease
_RETRY_SECONDS = 0.2


def now() -> float:
    """Seconds, counted through suspension too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class EtcdLease:
    """Implements `myha.ports.Lease`. Safe for use by several threads."""

    waits = True

    def __init__(
        self,
        client: EtcdClient,
        key: str,
        seconds: int,
        holder: str,
        here: Lease | None = None,
        *,
        balancers: Iterable[str] = (),
    ) -> None:
        """`holder` says who this is, and `balancers` what it steers, for those who ask for it
        meanwhile. `here` is what keeps a
        second process of this machine from using the same folder; it is held while in line too."""
        self._here = here
        self._client = client
        self._key = key
        self._seconds = seconds
        self._about = {"holder": holder, "balancers": sorted(balancers)}
        self._lease = 0
        self._created = 0
        self._valid_until = 0.0
        self._seen_revision = 0
        self.lost = False
        self._ending = threading.Event()
        self._renewing: threading.Thread | None = None
        # Called from the lease's own thread: it has run out; it is not renewed, and why.
        self.on_lost: Callable[[], None] = lambda: None
        self.on_trouble: Callable[[str], None] = lambda _text: None

    def acquire(self) -> None:
        """Raises LeaseHeldError, naming the holder, StoreError when etcd cannot be asked."""
        self._claim_folder()
        found = self._client.get(self._key)  # one question, where a try would be three
        if found is not None:
            self._seen_revision = found.revision
            raise _held(found)
        sent = now()
        lease, granted = self._client.grant(self._seconds)
        try:
            mine = Put(self._key, json.dumps(self._about).encode(), lease)
            revision = self._client.transact((Compare(self._key, "CREATE", 0),), (mine,))
        except StoreError:
            self._give_back(lease)
            raise
        if revision is None:
            self._give_back(lease)
            found = self._client.get(self._key)
            self._seen_revision = 0 if found is None else found.revision
            raise _held(found)
        self._lease, self._created, self.lost = lease, revision, False
        self._valid_until = sent + granted * (1 - MARGIN)
        self._ending.clear()
        self._renewing = threading.Thread(
            target=self._keep, args=(granted,), name="etcd-lease", daemon=True
        )
        self._renewing.start()

    def _claim_folder(self) -> None:
        if self._here is None or self._here.holds():
            return
        try:
            self._here.acquire()
        except LeaseHeldError as error:
            raise MyhaError(str(error)) from None  # nobody stands in line for a folder

    def taken(self) -> bool:
        return self._client.get(self._key) is not None

    def await_free(self, seconds: float) -> None:
        """After a LeaseHeldError: until it may be free, or for so long."""
        try:
            for _ in self._client.watch(self._key, self._seen_revision, seconds):
                return
        except StoreError:
            time.sleep(min(_RETRY_SECONDS, seconds))

    def holds(self) -> bool:
        """Whether it is certain that no other supervisor has it now."""
        return bool(self._lease) and not self.lost and now() < self._valid_until

    def guard(self) -> tuple[Compare, ...]:
        """The condition under which a change of the store is this holder's."""
        return (Compare(self._key, "CREATE", self._created),)

    def renew(self) -> None:
        """The lease itself is renewed by its own thread."""
        if self._here is not None:
            self._here.renew()

    def release(self) -> None:
        """Another one has it at once."""
        self._ending.set()
        lease, self._lease = self._lease, 0
        if lease:
            self._give_back(lease)
        if self._here is not None:
            self._here.release()

    def _give_back(self, lease: int) -> None:
        try:
            self._client.revoke(lease)
        except StoreError:
            return  # it runs out by itself

    def _keep(self, granted: int) -> None:
        lease, told = self._lease, ""
        while not self._ending.wait(granted / RENEWALS):
            sent = now()
            try:
                left = self._client.keep_alive(lease)
            except StoreError as error:
                told = self._trouble(str(error), told)
                continue
            if left == 0:
                self.lost = True
                self.on_lost()
                return
            self._valid_until = sent + left * (1 - MARGIN)  # after a release nobody looks at it
            told = self._trouble("", told)

    def _trouble(self, text: str, told: str) -> str:
        """Once when it begins, and once when it is over."""
        if bool(text) != bool(told) and not self._ending.is_set():
            self.on_trouble(text)
        return text


def holder_of(found: Entry | None) -> str:
    """Who has it, from the key's value."""
    if found is None:
        return "nobody any more"
    try:
        return str(json.loads(found.value)["holder"])
    except (ValueError, KeyError, TypeError):
        return "unknown"


def _held(found: Entry | None) -> LeaseHeldError:
    """By a version that does not say what it steers, too."""
    try:
        balancers = None if found is None else frozenset(json.loads(found.value)["balancers"])
    except (ValueError, KeyError, TypeError):
        balancers = None
    return LeaseHeldError(holder_of(found), balancers)
