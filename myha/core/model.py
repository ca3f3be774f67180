"""The values that everything else speaks in: what was seen of nodes and balancers, and the record.

Only frozen values, no decisions. Times called `at` are seconds of the supervisor's monotonic clock,
those called `wall` seconds since the epoch; they are never compared with each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from myha.core.gtid import GtidSet
from myha.core.settings import Difference, Kind

NodeName: TypeAlias = str


class Mode(StrEnum):
    """Who takes writes."""

    SINGLE_WRITER = "single-writer"
    DUAL_WRITER = "dual-writer"


class Durability(StrEnum):
    """What a client's OK promises."""

    LOSSLESS = "lossless"
    BOUNDED = "bounded"
    ASYNC = "async"


class Sync(StrEnum):
    """What the record says of acknowledgements: never more than is true."""

    ARMED = "armed"
    SOLO = "solo"


class Contact(StrEnum):
    """How a node met our last attempt to look at it."""

    UNKNOWN = "unknown"  # not looked at yet
    ANSWERING = "answering"
    REFUSING = "refusing"  # the port refuses connections: no server process there
    SILENT = "silent"  # no answer within the deadline, whether TCP connects or not
    FULL = "full"  # too many connections: alive, but not for us
    DENIED = "denied"  # our login is refused: alive
    FOREIGN = "foreign"  # the port speaks another protocol


class Membership(StrEnum):
    """A node's standing on record."""

    MEMBER = "member"  # looked at, replicates, may take traffic
    AWAY = "away"  # lost or restarted: must be looked at before anything replicates
    FENCED = "fenced"  # holds what the writer lacks, or was fenced by hand: stays out


class Cause(StrEnum):
    """Why a node is not a member."""

    NONE = ""
    LOST = "lost"  # dead, hung or cut off while it was the standby
    REPLACED = "replaced"  # was the writer when another took over
    RESTARTED = "restarted"
    HEALED = "healed"
    ERRANT = "errant"  # has transactions that the writer lacks
    BROKEN = "broken"  # its applier failed on its data
    HEALING = "healing"  # a heal is under way: nothing else touches it
    BY_HAND = "by-hand"
    TRUSTED = "trusted"  # unfenced by somebody who was told why its data was in doubt
    STRANGER = "stranger"  # replicated from a server outside the pair
    NEW = "new"  # a read replica that setup has added: it has no data of the pair yet


class JobResult(StrEnum):
    """How a job ended."""

    DONE = "done"
    REFUSED = "refused"  # nothing was changed, and trying again would not help
    FAILED = "failed"  # may be begun again
    STOPPED = "stopped"  # the supervisor stopped it: that says nothing of it


class StrayRule(StrEnum):
    """What is done when a replica outside the pair can acknowledge commits of the writer."""

    SOLO = "solo"  # the record says solo until it cannot any more
    WAIT_FOR_ALL = "wait-for-all"  # commits wait for it too, and so for the standby


class ThreadState(StrEnum):
    """A replication thread: the receiver (I/O) or the applier (SQL)."""

    RUNNING = "running"
    CONNECTING = "connecting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ReplicationThread:
    """State of a receiver or applier with its last error (errno 0: none)."""

    state: ThreadState = ThreadState.STOPPED
    errno: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class NodeLook:
    """One whole look at an answering server.

    `boot_id` names one life of the server process. `executed` is what it has committed, `received`
    all that its receiver has got (executed or not). `progress` changes whenever the receiver hears
    anything from its source, heartbeats included. `source` is the `host:port` that it replicates
    from, empty when none is configured. `lag_seconds` is None when no heartbeat has been seen.
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
    stall_reason: str = ""
    offline: bool = False
    schema: bool = True  # the tables that the supervisor itself writes to are there
    events: Events = Events()
    differs: tuple[Difference, ...] = ()  # what is not as setup made it; every few looks anew

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


@dataclass(frozen=True, slots=True)
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
    unsourced_since: float | None = None  # since when its receiver is not running
    lag_bad_since: float | None = None
    lag_good_since: float | None = None
    lag_unknown_since: float | None = None
    reader_ok: bool = True  # with hysteresis: may take reads as far as lag goes
    error: str = ""
    look: NodeLook | None = None

    @property
    def answering(self) -> bool:
        return self.contact is Contact.ANSWERING and self.look is not None


@dataclass(frozen=True, slots=True)
class ServerRoute:
    """One server in one pool of a balancer."""

    pool: str  # "writer" or "reader"
    node: NodeName
    takes_traffic: bool
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class BalancerLook:
    """One look at an answering balancer; `boot_id` names one life of its process."""

    at: float
    boot_id: str
    routes: tuple[ServerRoute, ...]


@dataclass(frozen=True, slots=True)
class BalancerView:
    answering: bool = False
    checked_at: float = -1.0
    error: str = ""
    look: BalancerLook | None = None


@dataclass(frozen=True, slots=True)
class Heal:
    """A heal on record. Its `id` keeps the outcome of an older one from being taken for its own.

    `methods` are those still to be tried, the first is under way; with none left a person has to
    decide. `cause` and `reason` say why the node had been fenced, `refused` of each method that was
    tried why it did not do. `accept_loss`: a person said that what only the node has may be lost
    where it cannot be put into quarantine.
    """

    id: int
    methods: tuple[str, ...]
    cause: Cause
    reason: str
    refused: tuple[str, ...] = ()
    accept_loss: bool = False

    @property
    def method(self) -> str:
        """The one under way, empty when none is left."""
        return self.methods[0] if self.methods else ""


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """A node's standing, why, and the life of the server process that it holds for.

    `heal` is under way while the cause is HEALING; else it is what became of the last one.
    """

    membership: Membership = Membership.AWAY
    cause: Cause = Cause.NONE
    reason: str = ""
    boot_id: str = ""
    heal: Heal | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """What the store holds, changed by compare-and-set only. `version` grows at every change.

    `pair` is the name of the pair that it is of; empty in one from before records had it.
    """

    version: int
    epoch: int
    writer: NodeName
    sync: Sync
    nodes: tuple[tuple[NodeName, NodeRecord], ...]
    maintenance: bool = False
    failover_walls: tuple[float, ...] = ()  # when unattended failovers were decided
    writer_since_wall: float = 0.0
    pair: str = ""

    def node(self, name: NodeName) -> NodeRecord:
        for known, record in self.nodes:
            if known == name:
                return record
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Policy:
    """The configuration as far as decisions depend on it. Durations in seconds."""

    nodes: tuple[NodeName, NodeName]
    sources: tuple[str, str]  # `host:port` under which each node is its peer's source
    balancers: tuple[str, ...]
    mode: Mode = Mode.SINGLE_WRITER
    durability: Durability = Durability.LOSSLESS
    deadtime_seconds: float = 1.5
    heartbeat_period_seconds: float = 0.5
    applied_deadline_seconds: float = 30.0
    lag_out_seconds: float = 10.0
    lag_in_seconds: float = 2.0
    lag_in_hold_seconds: float = 5.0
    max_outage_seconds: float = 0.2  # of a planned change of writer
    flap_limit: int = 3
    flap_window_seconds: float = 600.0
    flap_settled_seconds: float = 60.0
    auto_failback: bool = False
    preferred: NodeName = ""
    failback_after_seconds: float = 300.0
    fence_commands: tuple[NodeName, ...] = ()  # nodes that can be fenced from outside
    heal: tuple[str, ...] = ("resume", "rewind", "manual")
    stray_replicas: StrayRule = StrayRule.SOLO
    replication_user: str = ""  # the account by which the nodes replicate from each other
    followers: tuple[NodeName, ...] = ()  # read replicas beside the pair
    delays: tuple[int, ...] = ()  # of each follower: how long after a change it applies it, seconds

    @property
    def core(self) -> tuple[NodeName, NodeName]:
        """The nodes that the pair consists of: all that its own decisions look at."""
        return self.nodes

    def is_follower(self, name: NodeName) -> bool:
        return name in self.followers

    def delay_of(self, follower: NodeName) -> int:
        """How long after a change this follower applies it, in seconds."""
        return self.delays[self.followers.index(follower)]

    def source_at(self, node: NodeName) -> str:
        """The `host:port` under which this node of the pair is a source."""
        return self.sources[self.nodes.index(node)]

    def peer(self, name: NodeName) -> NodeName:
        first, second = self.nodes
        return second if name == first else first

    def source_of(self, name: NodeName) -> str:
        """The `host:port` that this node has to replicate from: its peer's."""
        return self.sources[1 - self.nodes.index(name)]


@dataclass(frozen=True, slots=True)
class Incident:
    """A plan that did not reach its end, kept until one of its kind succeeds, or for a while."""

    plan: str
    node: NodeName
    at: float
    reason: str
    attempts: int = 1


@dataclass(frozen=True, slots=True)
class Job:
    """Long work that runs beside: a heal has a node, a method and the id of the heal on record.

    `text` is how far it is, in one line; `percent` and `left_seconds` are None when not known.
    """

    kind: str
    node: NodeName = ""
    method: str = ""
    id: int = 0
    since: float = 0.0
    phase: str = ""
    percent: float | None = None
    left_seconds: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class HealOutcome:
    """How the last job of a heal's method ended; `attempts` counts those that failed."""

    node: NodeName
    id: int
    method: str
    result: JobResult
    reason: str
    at: float
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """Everything known at one moment: the input of every decision."""

    policy: Policy
    at: float
    wall: float
    record: Record | None
    nodes: tuple[tuple[NodeName, NodeView], ...]
    balancers: tuple[tuple[str, BalancerView], ...]
    plan_ended_at: float = -1.0  # when the last plan ended: looks from before it prove nothing now
    incidents: tuple[Incident, ...] = field(default=())
    jobs: tuple[Job, ...] = ()
    heals: tuple[HealOutcome, ...] = ()

    def node(self, name: NodeName) -> NodeView:
        for known, view in self.nodes:
            if known == name:
                return view
        raise KeyError(name)

    def balancer(self, name: str) -> BalancerView:
        for known, view in self.balancers:
            if known == name:
                return view
        raise KeyError(name)
