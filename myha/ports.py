"""What the supervisor needs from the outside, as protocols of a few methods.

Duties of every implementation: a call returns within its deadline or raises; what it says it did,
it has read back; it never retries by itself something that is not idempotent; a failure is one of
the errors of `myha.errors`, with a message of one line and without a password.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from typing import Any, Protocol

from myha.core.address import Standing
from myha.core.balancer import BalancerLook
from myha.core.events import Kind
from myha.core.followers.record import FollowerRecord
from myha.core.gtid import GtidSet
from myha.core.node import NodeLook, SemiSync
from myha.core.record import Record
from myha.core.values import value


@value(frozen=True, slots=True)
class JobOrder:
    """What a job is to do. All but `kind` are those of a heal, `term` the supervisor's."""

    kind: str
    node: str = ""
    method: str = ""
    id: int = 0
    writer: str = ""
    epoch: int = 0
    accept_loss: bool = False
    term: int = 0

    @staticmethod
    def of(line: Mapping[str, Any]) -> JobOrder:
        """As the job reads it, among what else it is told."""
        own = {one.name for one in fields(JobOrder)}
        return JobOrder(**{name: told for name, told in line.items() if name in own})


class Server(Protocol):
    """One database server, seen and changed by the supervisor.

    Raises `ServerGoneError` (connection refused or broken), `ServerSilentError` (deadline passed)
    or `ServerError` (the server said no). All methods are idempotent.
    """

    name: str

    def look(self) -> NodeLook: ...

    def executed(self) -> GtidSet: ...

    def received(self) -> GtidSet:
        """All that is committed here or has reached the receiver whole."""

    def semisync(self) -> SemiSync:
        """Who acknowledges and who waits, now."""

    def stop_receiver(self, deadline_seconds: float) -> None: ...

    def stop_replication(self, deadline_seconds: float) -> None: ...

    def forget_received(self, deadline_seconds: float) -> None:
        """Stop replication, and drop what was received; the source stays what it is."""

    def start_replication(self, deadline_seconds: float) -> None:
        """Start both threads and wait until the receiver is connected."""

    def restore_source(self, deadline_seconds: float, *, clears_filters: bool) -> None:
        """The channel is as setup makes it. Its threads have to be stopped, and are left so; one
        that is as it should be is not touched. ServerError when a filter is left in force."""

    def restore_settings(self, deadline_seconds: float, *, resting: bool) -> None:
        """The settings are as setup makes them; those for which replication has to rest only if it
        does. ServerError naming those that it may not set."""

    def await_applied(self, deadline_seconds: float) -> bool:
        """True when all that was received is committed; False when that is not so at the deadline.

        Starts the applier if it is stopped without an error.
        """

    def end_holders(self, deadline_seconds: float) -> str:
        """End the clients' sessions whose locks the applier, or a session of the supervisor's own,
        waits for. Returns what was done, in one line; empty when there was nothing to do."""

    def await_executed(self, wanted: GtidSet, deadline_seconds: float) -> bool:
        """True when `wanted` is committed here; False when that is not so at the deadline."""

    def open(self, deadline_seconds: float, boot_id: str = "") -> None:
        """Takes writes; ServerError in another life than that of `boot_id`, if one is given."""

    def close_gently(self, grace_seconds: float, deadline_seconds: float) -> None:
        """Read-only with commits in flight finished; blockers are ended after the grace."""

    def fence(self, deadline_seconds: float) -> None:
        """Cut the clients off first, then stop waiting, then read-only."""

    def enable_waiting(self, acknowledgements: int, deadline_seconds: float) -> None:
        """Make commits wait for so many; ServerError when fewer semi-sync replicas are there."""

    def disable_waiting(self, deadline_seconds: float) -> None: ...

    def kill_clients(self, deadline_seconds: float) -> None: ...

    def claim_now(self, deadline_seconds: float) -> None:
        """Make the server this supervisor's; ClaimedError when it is another one's."""

    def make_schema(self, deadline_seconds: float) -> None:
        """Make what is missing of the schema `myha`, into the binary log."""

    def place_events(
        self, *, run: bool, disabled: frozenset[tuple[str, str]], deadline_seconds: float
    ) -> str:
        """Let the application's scheduled events run here, or leave them to the peer.

        `disabled`: which ones (schema, name) the application has disabled, beside those noted.
        Returns what was changed, in one line; empty when nothing was.
        """

    def disabled_events(self, deadline_seconds: float) -> frozenset[tuple[str, str]]:
        """Which events are disabled here, as (schema, name)."""

    def prove_write(self, epoch: int, deadline_seconds: float) -> None: ...

    def disconnect(self) -> None: ...


class WatchedServer(Server, Protocol):
    """What a watcher's thread needs beside: its own connection, apart from the one for steps."""

    def hangup_fds(self) -> tuple[int, ...]:
        """Descriptors that become readable, or hang up, as soon as the server ends or begins to.

        Empty while there is no watch connection.
        """

    def refuses(self) -> bool | None:
        """True only when a new TCP connection is refused by the host: no server process there. None
        when nobody answered within the deadline of a call."""

    def connects(self) -> bool:
        """Its port accepts a new connection, so that its host is reached, both ways."""

    def leave_watch(self) -> None:
        """Close the watch connection."""

    def write_heartbeat(self, wall: float, deadline_seconds: float) -> None:
        """Write the heartbeat row on a connection of its own; may wait for an acknowledgement."""


class FollowingServer(WatchedServer, Protocol):
    """A read replica beside the pair."""

    def follow(self, source: str, deadline_seconds: float, *, clears_filters: bool) -> None:
        """Its channel is that to this node of the pair, delay included; as `restore_source`."""

    def stop_acknowledging(self, deadline_seconds: float) -> None:
        """Its receiver acknowledges nothing any more. One that runs is started anew for that."""


class Balancer(Protocol):
    """A TCP balancer with the pools `writer` and `reader`. Raises `BalancerError`.

    `ends_sessions`: `take_out` also ends the sessions that are open there. Where it does not, the
    server ends those of all its clients.
    """

    name: str
    ends_sessions: bool

    def look(self) -> BalancerLook: ...

    def appearance(self) -> object:
        """Something that changes when the balancer comes up anew, found out at no cost; always the
        same where there is no such thing."""

    def appears_in(self) -> str:
        """The folder that has another time whenever `appearance` has changed; empty: none has."""

    def put_in(self, pool: str, node: str) -> None: ...

    def take_out(self, node: str, pools: tuple[str, ...], deadline_seconds: float) -> None: ...

    def drain(self, pool: str, node: str) -> None: ...

    def stand(self, standing: Standing) -> None:
        """Tell it how it stands to the shared address; keepalived on its host reads that there."""

    def close(self) -> None: ...


class RecordStore(Protocol):
    """The record. Every method raises `MyhaError` when the store fails."""

    def read(self) -> Record | None: ...

    def compare_and_set(self, expected_version: int, record: Record) -> None:
        """Durable when it returns. `expected_version` 0 creates the record.

        Raises `StoreConflictError` when another version is there.
        """

    def close(self) -> None: ...


class FollowerStore(Protocol):
    """The records of the read replicas, apart from the pair's. Raises as `RecordStore`."""

    def all(self) -> dict[str, FollowerRecord]: ...

    def read(self, name: str) -> FollowerRecord | None: ...

    def compare_and_set(self, name: str, expected_version: int, record: FollowerRecord) -> None:
        """As `RecordStore.compare_and_set`."""

    def remove(self, name: str) -> None:
        """There need not be one."""

    def close(self) -> None: ...


class Journal(Protocol):
    """Where it is written what was seen and done, one sentence each."""

    def note(self, kind: Kind, text: str, fields: dict[str, str]) -> None:
        """Add a line; need not be durable when it returns.

        `fields` are short strings for programs to read.
        """


class Presence(Protocol):
    """Which supervisors there are. Every method raises StoreError when nobody answers."""

    def announce(self, pairs: Iterable[str]) -> None:
        """This one is there, and has these in its configuration. Again and again."""

    def alive(self) -> Mapping[str, Collection[str]]:
        """The pairs of each supervisor that has said so lately, this one too."""

    def end(self) -> None:
        """It is not there any more."""


class Lease(Protocol):
    """The right to act on a pair: one supervisor has it at a time.

    `on_lost` is called, from any thread, when another one may have it; `on_trouble` with why it is
    not renewed just now, and with nothing once it is again.
    """

    lost: bool  # for good
    on_lost: Callable[[], None]
    on_trouble: Callable[[str], None]

    @property
    def waits(self) -> bool:
        """Whether supervisors stand in line for it, rather than being turned away."""

    def acquire(self) -> None:
        """Raises `LeaseHeldError`, naming the holder, when another one has it, and `MyhaError` when
        that cannot be found out."""

    def taken(self) -> bool:
        """Whether somebody has it, as far as that can be found out."""

    def await_free(self, seconds: float) -> None:
        """After a `LeaseHeldError`: until it may be free, or for so long."""

    def holds(self) -> bool:
        """Whether it is certain, by this process's own clock, that no other one has it now."""

    def renew(self) -> None:
        """Leave a sign of life for those who ask a holder that does not answer."""

    def release(self) -> None: ...


class Host(Protocol):
    """The machine or process that a server runs in, for drills and heals.

    Every method raises MyhaError with one line. `kill` and `freeze` do not wait for the server's
    connections to notice; `await_gone` is about the process that was told to end, not about one
    that a service manager has started since.
    """

    @property
    def name(self) -> str: ...

    def start(self, deadline_seconds: float) -> None: ...

    def stop(self, deadline_seconds: float) -> None: ...

    def kill(self) -> None: ...

    def freeze(self) -> None: ...

    def thaw(self) -> None: ...

    def running(self) -> bool: ...

    def frozen(self) -> bool: ...

    def await_gone(self, deadline_seconds: float) -> bool: ...


class Jobs(Protocol):
    """Long work in processes of its own. How one ends is told as an observation, never here."""

    def start(self, order: JobOrder, deadline_seconds: float) -> None:
        """Begin it, unless one of its kind runs on that node already; raises `MyhaError`.

        The view knows of it before this returns.
        """

    def stop(self, kind: str, node: str, deadline_seconds: float) -> None:
        """Its process is gone when this returns; raises `MyhaError` when it is not in time."""


class OutsideFence(Protocol):
    """Fences a node from outside. Raises `MyhaError` unless the node is certainly off."""

    def fence(self, node: str, deadline_seconds: float) -> None: ...


class Leases(Protocol):
    """The leases by which the watchdogs inside the servers let them stay open."""

    def end(self, node: str, deadline_seconds: float) -> float:
        """No renewal is sent to the node from now on, as long as the plan runs that asks.

        When the last one can have reached it, on the monotonic clock. Raises `MyhaError` when its
        watchdog is not known to wait for this supervisor's lease.
        """


class Clock(Protocol):
    def monotonic(self) -> float: ...

    def wall(self) -> float: ...


class ConcurrentCalls(Protocol):
    """Runs calls beside the plan. `all` waits for every call, or until the deadline."""

    def start(self, call: Callable[[], None], done: Callable[[Exception | None], None]) -> None: ...

    def all(
        self, calls: Iterable[tuple[str, Callable[[], None]]], deadline_seconds: float
    ) -> dict[str, Exception | None]:
        """The outcome of each call by name; one that has not returned is a `MyhaError`."""
