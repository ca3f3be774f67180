"""What the store holds of a pair: who is the writer, and the standing of each node. Pure."""

from __future__ import annotations

from enum import StrEnum

from myha.core.node import NodeName
from myha.core.values import value


class Sync(StrEnum):
    """What the record says of acknowledgements: never more than is true."""

    ARMED = "armed"
    SOLO = "solo"


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


@value(frozen=True, slots=True)
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


@value(frozen=True, slots=True)
class NodeRecord:
    """A node's standing, why, and the life of the server process that it holds for.

    `heal` is under way while the cause is HEALING; else it is what became of the last one.
    """

    membership: Membership = Membership.AWAY
    cause: Cause = Cause.NONE
    reason: str = ""
    boot_id: str = ""
    heal: Heal | None = None


@value(frozen=True, slots=True)
class Record:
    """What the store holds, changed by compare-and-set only. `version` grows at every change.

    `pair` is the name of the pair that it is of; empty in one from before records had it. `store`
    names the lineage of records that it belongs to, which the nodes know too: a second record of
    the same pair, made elsewhere, has another one. `term` is the version at the last takeover by a
    supervisor.
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
    store: str = ""
    term: int = 0

    def node(self, name: NodeName) -> NodeRecord:
        for known, record in self.nodes:
            if known == name:
                return record
        raise KeyError(name)


def member(boot_id: str) -> NodeRecord:
    return NodeRecord(Membership.MEMBER, boot_id=boot_id)


def away(cause: Cause, reason: str) -> NodeRecord:
    return NodeRecord(Membership.AWAY, cause, reason)


def fenced(cause: Cause, reason: str, heal: Heal | None = None) -> NodeRecord:
    return NodeRecord(Membership.FENCED, cause, reason, heal=heal)
