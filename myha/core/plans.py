"""Plans: what to do, as data. The executor carries the steps out in the order given here.

A step is one effect on one thing. Its class says when it counts as done; the adapters confirm it by
reading back. `best_effort` steps may fail without ending the plan, `beside` steps run beside the
ones that follow: nothing that concerns the old writer may be in the way of the new one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from myha.core.node import NodeName
from myha.core.record import NodeRecord, Record, Sync
from myha.core.values import value

POOLS = ("writer", "reader")
FAILOVERS_KEPT_SECONDS = 3600.0  # on record
ROUTE = "route"  # the kind of a plan that tells balancers and does nothing to a node or the record


@value(frozen=True, slots=True)
class RecordChange:
    """What a compare-and-set alters; None leaves a field as it is.

    `unattended` notes the time of a failover that nobody asked for, for the count of flapping.
    """

    sentence: str
    writer: NodeName | None = None
    new_epoch: bool = False
    sync: Sync | None = None
    nodes: tuple[tuple[NodeName, NodeRecord], ...] = ()
    maintenance: bool | None = None
    unattended: bool = False

    def apply(self, record: Record, wall: float) -> Record:
        """The changed record, one version on. `wall` is the time of the change.

        Nothing on record is later than that: whoever wrote it had another clock, and to wait until
        this one gets there would hold back failovers for as long.
        """
        nodes = dict(record.nodes)
        nodes.update(self.nodes)
        walls = tuple(min(then, wall) for then in record.failover_walls)
        if self.unattended:
            walls = (*(then for then in walls if wall - then < FAILOVERS_KEPT_SECONDS), wall)
        moved = self.writer is not None and self.writer != record.writer
        return replace(
            record,
            version=record.version + 1,
            epoch=record.epoch + (1 if self.new_epoch else 0),
            writer=record.writer if self.writer is None else self.writer,
            sync=record.sync if self.sync is None else self.sync,
            nodes=tuple((name, nodes[name]) for name, _ in record.nodes),
            maintenance=record.maintenance if self.maintenance is None else self.maintenance,
            failover_walls=walls,
            writer_since_wall=wall if moved else min(record.writer_since_wall, wall),
        )


@value(frozen=True, slots=True)
class Step:
    """One effect. `deadline_seconds` bounds it, waiting included."""

    name: ClassVar[str] = "step"
    deadline_seconds: float = 1.0
    best_effort: bool = False
    beside: bool = False

    def __str__(self) -> str:
        return self.name


@value(frozen=True, slots=True)
class ChangeRecord(Step):
    """Compare-and-set the record; everything after it is done under the new epoch."""

    name: ClassVar[str] = "record"
    change: RecordChange = RecordChange("nothing")

    def __str__(self) -> str:
        return f"record: {self.change.sentence}"


@value(frozen=True, slots=True)
class NodeStep(Step):
    node: NodeName = ""

    def __str__(self) -> str:
        return f"{self.name} {self.node}"


@value(frozen=True, slots=True)
class TakeOut(NodeStep):
    """Out of the pools in the named balancers, sessions shut, zero sessions read back.

    Where a balancer leaves open sessions alone, the node ends those of all its clients. A balancer
    that does not answer is named in the journal and is not in the way.
    """

    name: ClassVar[str] = "take-out"
    pools: tuple[str, ...] = POOLS
    balancers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"take {self.node} out of {' and '.join(self.pools)}"


@value(frozen=True, slots=True)
class PutIn(NodeStep):
    """Into one pool in the named balancers; done when one of them has done it."""

    name: ClassVar[str] = "put-in"
    pool: str = "writer"
    balancers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"put {self.node} into {self.pool}"


@value(frozen=True, slots=True)
class Drain(NodeStep):
    """No new sessions through the balancers; those there go on."""

    name: ClassVar[str] = "drain"
    pool: str = "writer"
    balancers: tuple[str, ...] = ()


@value(frozen=True, slots=True)
class StopReceiver(NodeStep):
    """The node receives nothing more: from here its source gets no acknowledgement from it."""

    name: ClassVar[str] = "stop-receiver"


@value(frozen=True, slots=True)
class ForgetReceived(NodeStep):
    """Replication on the node stops, and what it says that it has received goes: its log was reset,
    and names that it has forgotten must not stand there as something that it still has to apply."""

    name: ClassVar[str] = "forget-received"


@value(frozen=True, slots=True)
class AwaitDrained(NodeStep):
    """Nothing more has reached the node from its source for so long.

    A server that shuts down takes no more statements, but what it is committing it still finishes.
    MySQL tells these clients OK as soon as its replica leaves, whether that has the commit or not.
    """

    name: ClassVar[str] = "await-drained"
    quiet_seconds: float = 0.0
    deadline_seconds: float = 2.0


@value(frozen=True, slots=True)
class StopReplication(NodeStep):
    """Receiver and applier are stopped."""

    name: ClassVar[str] = "stop-replication"


@value(frozen=True, slots=True)
class RestoreSource(NodeStep):
    """The node's replication channel is as setup made it; its threads rest.

    A filter that is found is an error, since the node's data is not known to be right then, unless
    it `clears_filters`.
    """

    name: ClassVar[str] = "restore-source"
    clears_filters: bool = False


@value(frozen=True, slots=True)
class RestoreSettings(NodeStep):
    """The node's settings are as setup made them, now and, where the server can, at its next start.

    Sessions keep what they began with. `resting`: replication rests, so that those that need it are
    set as well.
    """

    name: ClassVar[str] = "restore-settings"
    resting: bool = False


@value(frozen=True, slots=True)
class StartReplication(NodeStep):
    """The node replicates from its peer: both threads are started and the receiver is connected."""

    name: ClassVar[str] = "start-replication"


@value(frozen=True, slots=True)
class AwaitApplied(NodeStep):
    """Everything that the node's receiver got is committed on it.

    `frees`: clients' sessions there that hold it up are ended, since all clients wait for it.
    """

    name: ClassVar[str] = "await-applied"
    frees: bool = False


@value(frozen=True, slots=True)
class AwaitCaughtUp(NodeStep):
    """The node has committed all that `source` had committed when this step began."""

    name: ClassVar[str] = "await-caught-up"
    source: NodeName = ""


@value(frozen=True, slots=True)
class AwaitNear(NodeStep):
    """A moment in which `source` goes on writing and the node is less than `within_seconds` behind.

    How far an applier is behind goes up and down under load. If the moment does not come before
    the deadline, nothing has been touched: whoever asked may ask again, and whatever else has
    become due meanwhile is done first.
    """

    name: ClassVar[str] = "await-near"
    source: NodeName = ""
    within_seconds: float = 0.01


@value(frozen=True, slots=True)
class AwaitReceived(NodeStep):
    """The node has received (not: applied) all that `source` had committed when this began."""

    name: ClassVar[str] = "await-received"
    source: NodeName = ""


@value(frozen=True, slots=True)
class RequireOnlyWithStandby(NodeStep):
    """No commit on the node is acknowledged without the standby, as far as the servers tell now.

    Both are asked anew, the standby first: the connection that it speaks of is known to the node.
    `identities` are the names under which the node may know the standby, see `Acknowledger`.
    """

    name: ClassVar[str] = "require-standby-acknowledges"
    standby: NodeName = ""
    identities: tuple[str, ...] = ()


@value(frozen=True, slots=True)
class RequireNoErrant(NodeStep):
    """The node has nothing that `reference` lacks; read in that order, never falsely so."""

    name: ClassVar[str] = "require-no-errant"
    reference: NodeName = ""


@value(frozen=True, slots=True)
class Open(NodeStep):
    """The node takes writes, in the life that the plan was made for: one that has restarted since
    waits for nobody, and has not been looked at."""

    name: ClassVar[str] = "open"
    boot_id: str = ""  # empty: in any life


@value(frozen=True, slots=True)
class CloseGently(NodeStep):
    """The node takes no more writes; commits in flight finish, blockers are ended after a grace."""

    name: ClassVar[str] = "close"
    grace_seconds: float = 0.5


@value(frozen=True, slots=True)
class Fence(NodeStep):
    """No client hears an answer any more, then no commit waits, then the node is read-only.

    In this order, since releasing the waiting commits first would tell their clients OK.
    """

    name: ClassVar[str] = "fence"


@value(frozen=True, slots=True)
class FenceOutside(NodeStep):
    """The configured fence command has said that the node is certainly off."""

    name: ClassVar[str] = "fence-outside"


@value(frozen=True, slots=True)
class AwaitClosed(NodeStep):
    """The node's watchdog has closed it: `total_seconds` have passed since a renewal of the lease
    can last have reached it, and none is sent from this step's beginning on."""

    name: ClassVar[str] = "await-closed"
    total_seconds: float = 0.0


@value(frozen=True, slots=True)
class EnableWaiting(NodeStep):
    """Commits on the node wait for so many acknowledgements, seen by reading back."""

    name: ClassVar[str] = "enable-waiting"
    acknowledgements: int = 1


@value(frozen=True, slots=True)
class DisableWaiting(NodeStep):
    """Commits on the node wait for nobody. Tells the clients of waiting commits OK.

    MySQL takes up to a second to return from it, and longer on a machine that is busy; whom it
    releases it has released by then.
    """

    name: ClassVar[str] = "disable-waiting"
    deadline_seconds: float = 3.0


@value(frozen=True, slots=True)
class KillClients(NodeStep):
    """Every client session on the node is ended (for one that was opened behind our back)."""

    name: ClassVar[str] = "kill-clients"


@value(frozen=True, slots=True)
class StartJob(NodeStep):
    """Work on the node is begun in a process of its own; how it ends is another observation.

    `id` is the heal's on record. Done when it has begun; one that runs already is left to run.
    """

    name: ClassVar[str] = "start-job"
    kind: str = "heal"
    method: str = ""
    id: int = 0
    writer: NodeName = ""
    epoch: int = 0
    accept_loss: bool = False

    def __str__(self) -> str:
        return f"start the {self.kind} of {self.node} by {self.method}"


@value(frozen=True, slots=True)
class StopJob(NodeStep):
    """No such work is done on the node any more: its process is gone."""

    name: ClassVar[str] = "stop-job"
    kind: str = "heal"

    def __str__(self) -> str:
        return f"stop the {self.kind} of {self.node}"


@value(frozen=True, slots=True)
class MakeSchema(NodeStep):
    """The tables that the supervisor writes to are there; they replicate to the peer."""

    name: ClassVar[str] = "make-schema"


@value(frozen=True, slots=True)
class PlaceEvents(NodeStep):
    """The application's scheduled events run on the node, or are left to its peer (`run` False).

    What the application has disabled stays so; with two writers also what it disabled on `ask`.
    One that cannot be altered is named, after all others have been.
    """

    name: ClassVar[str] = "place-events"
    run: bool = True
    ask: NodeName = ""

    def __str__(self) -> str:
        return f"run the events on {self.node}" if self.run else f"run no events on {self.node}"


@value(frozen=True, slots=True)
class ProveWrite(NodeStep):
    """A row written on the node by the supervisor is there when read back.

    `after_seconds` is left to the clients first: they log in, all at once, and nothing waits for
    the proof. `frees`: as in `AwaitApplied`.
    """

    name: ClassVar[str] = "prove-write"
    after_seconds: float = 0.0
    frees: bool = False


@value(frozen=True, slots=True)
class Plan:
    """Steps under one epoch, for one reason. `kind` names the incident too, if it fails."""

    kind: str
    node: NodeName
    sentence: str
    epoch: int
    version: int
    steps: tuple[Step, ...]


@value(frozen=True, slots=True)
class Refusal:
    """What will not be done, why, and the command that overrides it (None: nothing does)."""

    reason: str
    override: str | None = None

    def __str__(self) -> str:
        return (
            self.reason if self.override is None else f"{self.reason} (override: {self.override})"
        )
