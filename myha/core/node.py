"""What is seen of one node: by a whole look at it, and from looks that failed. Pure.

Times called `at` are seconds of the supervisor's monotonic clock, those called `wall` seconds since
the epoch; they are never compared with each other. So it is in all of `core/`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias

from myha.core.gtid import GtidSet
from myha.core.settings import Difference, Kind
from myha.core.values import value

NodeName: TypeAlias = str


class Contact(StrEnum):
    """How a node met our last attempt to look at it."""

    UNKNOWN = "unknown"  # not looked at yet
    ANSWERING = "answering"
    REFUSING = "refusing"  # the port refuses connections: no server process there
    SILENT = "silent"  # no answer within the deadline, whether TCP connects or not
    FULL = "full"  # too many connections: alive, but not for us
    DENIED = "denied"  # our login is refused: alive
    FOREIGN = "foreign"  # the port speaks another protocol


class ThreadState(StrEnum):
    """A replication thread: the receiver (I/O) or the applier (SQL)."""

    RUNNING = "running"
    CONNECTING = "connecting"
    STOPPED = "stopped"


PURGED = frozenset({1236, 13114})


@value(frozen=True, slots=True)
class ReplicationThread:
    """State of a receiver or applier with its last error (errno 0: none)."""

    state: ThreadState = ThreadState.STOPPED
    errno: int = 0
    error: str = ""

    @property
    def purged(self) -> bool:
        """A receiver stopped since its source has purged what it asked for. Both servers say so
        with an error that they use for other things too, and in these words only for this."""
        return self.state is ThreadState.STOPPED and self.errno in PURGED and "purged" in self.error


@value(frozen=True, slots=True)
class Acknowledger:
    """A replica's connection to a node, by which commits there can be acknowledged.

    `identity` is the replica's server_uuid (MySQL) or server_id (MariaDB); empty where the server
    does not tell which of several replicas it is. `session` is the connection's id, for KILL.
    """

    session: int
    user: str
    host: str
    identity: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """Who it is, for people."""
        return f"{self.user}@{self.host}" + (f" ({self.identity})" if self.identity else "")


@value(frozen=True, slots=True)
class SemiSync:
    """Semi-synchronous replication as one node reports it.

    `source_waits`: a commit here waits for an acknowledgement and does not give up before the
    durability allows it (enabled, status ON, and a time-out that fits; `source_timeout_fits` is
    that last one alone: a bounded wait is not ON all the time). `source_clients` counts
    the connections that acknowledge, `acknowledgers` says which they are, as far as the server
    tells; `source_wait_count` is how many acknowledgements a commit waits for, and
    `source_may_wait_for_several` whether that can be set. `replica_acknowledges`: this node's own
    receiver is connected and acknowledges what it gets.
    """

    source_enabled: bool = False
    source_waits: bool = False
    source_clients: int = 0
    replica_enabled: bool = False
    waiting_sessions: int = 0
    acknowledgers: tuple[Acknowledger, ...] = ()
    source_wait_count: int = 1
    source_may_wait_for_several: bool = False
    replica_acknowledges: bool = False
    source_timeout_fits: bool = True


@value(frozen=True, slots=True)
class Events:
    """The application's scheduled events on one node, not more than a few seconds old.

    `enabled` run here; `left` do not, since they are left to the node that they came from. `noted`:
    which ones the application has disabled here stands in the replicated table. `visible`: our
    account may see events.
    """

    enabled: int = 0
    left: int = 0
    noted: bool = True
    visible: bool = True


@value(frozen=True, slots=True)
class NodeLook:
    """One whole look at an answering server.

    `boot_id` names one life of the server process. `executed` is what it has committed, `received`
    all that its receiver has got (executed or not). `progress` changes whenever the receiver hears
    anything from its source, heartbeats included. `source` is the `host:port` that it replicates
    from, empty when none is configured. `logged` is what its binary log itself says that it has:
    None where that is `executed`. `lag_seconds` is None when no heartbeat has been seen.
    """

    at: float
    server_id: int
    server_uuid: str
    boot_id: str
    version: str
    open: bool
    executed: GtidSet
    received: GtidSet
    receiver: ReplicationThread
    applier: ReplicationThread
    source: str
    progress: str
    semisync: SemiSync
    sessions: int = 0
    lag_seconds: float | None = None
    lag_bytes: int | None = None
    writes_stalled_seconds: float = 0.0
    commits_stuck_seconds: float = 0.0  # in their commits, behind no lock, and nothing is logged
    stall_reason: str = ""
    offline: bool = False
    schema: bool = True  # the tables that the supervisor itself writes to are there
    events: Events = Events()
    logged: GtidSet | None = None
    differs: tuple[Difference, ...] = ()  # what is not as setup made it; every few looks anew

    @property
    def history(self) -> GtidSet:
        """What its binary log says that it has."""
        return self.executed if self.logged is None else self.logged

    @property
    def applied(self) -> bool:
        """Whether everything received is committed."""
        return self.executed.contains(self.received)

    @property
    def filters(self) -> tuple[Difference, ...]:
        """What keeps changes of its source from being applied."""
        return tuple(one for one in self.differs if one.kind is Kind.FILTER)

    @property
    def lag_transactions(self) -> int:
        """Transactions received but not committed."""
        return 0 if self.applied else self.received.minus(self.executed).count()


@value(frozen=True, slots=True)
class Lease:
    """What this supervisor knows of the lease by which the node's watchdog lets it stay open.

    `armed`: when the node last answered a renewal its watchdog waited for this lease. No renewal
    has reached the node later than at `heard_until` (-1: none ever has). `since`: when `armed`
    became what it is. Another supervisor's lease is not known, so nothing of this is on record.
    """

    armed: bool = False
    heard_until: float = -1.0
    since: float = -1.0


@value(frozen=True, slots=True)
class NodeView:
    """What is known of one node: the present contact, and the last whole look."""

    contact: Contact = Contact.UNKNOWN
    checked_at: float = -1.0  # when the last attempt, good or bad, began
    contact_since: float = 0.0  # since when the contact is what it is
    answered_at: float = -1.0  # when the node last answered at all
    hung_up_at: float = -1.0  # when an established connection last broke
    closing_at: float = -1.0  # when it said that it is shutting down; -1 once it answers again
    heard_source_at: float = -1.0  # when its receiver was last seen to make progress
    # When a look began that found executed as the look before it had; -1: it has just changed.
    executed_known_at: float = -1.0
    # The same of what it has received; kept while it does not answer.
    received_known_at: float = -1.0
    connects: bool = False  # it is silent, and yet its port accepted a connection a moment ago
    unsourced_since: float | None = None  # since when its receiver is not running
    purged_since: float | None = None  # since when its receiver has found its source purged
    lag_bad_since: float | None = None
    lag_good_since: float | None = None
    lag_unknown_since: float | None = None
    reader_ok: bool = True  # with hysteresis: may take reads as far as lag goes
    error: str = ""
    look: NodeLook | None = None
    lease: Lease = Lease()
    member: bool = False  # on record, at the last look
    joined_at: float = -1.0  # the first look of its present or last membership; -1: it had none
    # When a member's binary log was last seen to have less than before, in one life of its server:
    # somebody has reset it. -1: never since it joined.
    forgot_at: float = -1.0
    # What a member was last seen to have for good, in the life that is on record: None before that,
    # or where it is none. In another life it may turn out to have less: older data.
    kept: GtidSet | None = None

    @property
    def answering(self) -> bool:
        return self.contact is Contact.ANSWERING and self.look is not None
