"""The configuration as far as decisions depend on it. Pure."""

from __future__ import annotations

from enum import StrEnum

from myha.core.node import NodeName
from myha.core.values import value
from myha.core.watchdog import Watchdog


class Mode(StrEnum):
    """Who takes writes."""

    SINGLE_WRITER = "single-writer"
    DUAL_WRITER = "dual-writer"


class Durability(StrEnum):
    """What a client's OK promises."""

    LOSSLESS = "lossless"
    BOUNDED = "bounded"
    ASYNC = "async"


class StrayRule(StrEnum):
    """What is done when a replica outside the pair can acknowledge commits of the writer."""

    SOLO = "solo"  # the record says solo until it cannot any more
    WAIT_FOR_ALL = "wait-for-all"  # commits wait for it too, and so for the standby


@value(frozen=True, slots=True)
class AddressPolicy:
    """The shared address, which keepalived on the balancers' hosts moves. Durations in seconds."""

    auto_failback: bool = False
    preferred: str = ""  # a balancer
    failback_after_seconds: float = 300.0


@value(frozen=True, slots=True)
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
    stalled_seconds: float = 10.0  # 0: a writer that stalls is not replaced
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
    address: AddressPolicy | None = None  # None: clients know each balancer's own
    watchdog: Watchdog | None = None  # inside the writer, where commits do not wait for the standby
    # Balancers where sessions stay open on a node that is taken out, until the node ends them.
    leave_sessions: tuple[str, ...] = ()

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
