"""What must never be so, as one list for the simulator and the real drill. Pure.

`State` is what can be said of the pair at one instant; `Opened`, `Routed`, `Received` and `Undone`
are what somebody did to it. Each invariant is a row: a name, the sentence that says what was
broken, and a predicate that is true when all is well. A judge that cannot see a field (a drill does
not see what a node would do to a write) leaves it at its default, which breaks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from myha.core.policy import Durability, Mode
from myha.core.record import Membership, Sync
from myha.core.values import value


@value(frozen=True, slots=True)
class NodeState:
    """One node at one instant.

    `acknowledges`: a client that writes to it now would hear OK. `by_stranger`: somebody else
    opened it, and the supervisor has not closed it since. `waits`: its commits wait for an
    acknowledgement without giving up. `runs_disabled`: an event that the application has disabled
    is enabled on it. `lacks`: acknowledged writes that it has not even received.
    """

    acknowledges: bool = False
    by_stranger: bool = False
    waits: bool = True
    runs_disabled: bool = False
    in_recorded_life: bool = True
    lacks: int = 0


@value(frozen=True, slots=True)
class State:
    """The pair at one instant, as the record and the servers themselves have it."""

    mode: Mode
    durability: Durability
    sync: Sync
    writer: NodeState
    standby: NodeState
    standby_membership: Membership
    loss_accepted: bool = False  # an operator took over with --accept-loss


@value(frozen=True, slots=True)
class Opened:
    """The supervisor opened a node for writes.

    `unapplied`: transactions received, not committed. `receiving`: its receiver still runs.
    `known_life`: it is in a life of its server that was looked at before that was decided.
    """

    is_writer: bool
    dual: bool
    membership: Membership
    unapplied: int
    receiving: bool = False
    known_life: bool = True


@value(frozen=True, slots=True)
class Routed:
    """The supervisor let a balancer send traffic to a node."""

    membership: Membership


@value(frozen=True, slots=True)
class Received:
    """The writer on record received transactions from its peer while it took writes.

    `membership` is the best that the peer's has been since the connection was made: what was on its
    way when a member was lost is no stranger's.
    """

    membership: Membership


@value(frozen=True, slots=True)
class Undone:
    """Transactions were taken out of a node's live data, or into the writer's from there.

    `healing`: the record says of the node that it is being healed.
    """

    transactions: int
    quarantined: int
    healing: bool = True


Fact = TypeVar("Fact")


@value(frozen=True, slots=True)
class Invariant(Generic[Fact]):
    """One row; `holds` is true when all is well."""

    name: str
    sentence: str
    holds: Callable[[Fact], bool]


def _single_writer(now: State) -> bool:
    if now.mode is Mode.DUAL_WRITER:
        return True
    writer, standby = now.writer, now.standby
    both = writer.acknowledges and standby.acknowledges
    return not both or writer.by_stranger or standby.by_stranger


def _standby_says_no(now: State) -> bool:
    if now.mode is Mode.DUAL_WRITER or now.standby_membership is not Membership.MEMBER:
        return True
    return not now.standby.acknowledges or now.standby.by_stranger


def _writer_has_all(now: State) -> bool:
    if now.durability is not Durability.LOSSLESS or now.loss_accepted:
        return True
    return now.writer.lacks == 0


def _armed_standby_has_all(now: State) -> bool:
    if now.sync is not Sync.ARMED or not now.standby.in_recorded_life or now.loss_accepted:
        return True
    return now.standby.lacks == 0


def _armed_waits(now: State) -> bool:
    if now.sync is not Sync.ARMED:
        return True
    return now.writer.waits or not now.writer.acknowledges or now.writer.by_stranger


STATE: tuple[Invariant[State], ...] = (
    Invariant("single-writer", "two nodes would acknowledge a write at once", _single_writer),
    Invariant(
        "standby-closed", "a standby in good standing would acknowledge a write", _standby_says_no
    ),
    Invariant(
        "writer-has-all",
        "a write that a client got an OK for is not on the writer on record",
        _writer_has_all,
    ),
    Invariant(
        "armed-standby-has-all",
        "the record says armed, but the standby lacks a write that a client got an OK for",
        _armed_standby_has_all,
    ),
    Invariant(
        "armed-waits",
        "the record says armed, but the writer acknowledges without waiting",
        _armed_waits,
    ),
    Invariant(
        "disabled-events-rest",
        "an event that the application has disabled is enabled",
        lambda now: not (now.writer.runs_disabled or now.standby.runs_disabled),
    ),
)

OPENED: tuple[Invariant[Opened], ...] = (
    Invariant(
        "opened-the-writer",
        "a node was opened that is not the writer on record",
        lambda did: did.is_writer or did.dual,
    ),
    Invariant(
        "opened-a-member",
        "a node was opened that is fenced or has not been inspected",
        lambda did: did.membership is Membership.MEMBER,
    ),
    Invariant(
        "applied-before-open",
        "a node was opened before it had applied all that it had received",
        # Where both take writes there is always something under way between two open nodes.
        lambda did: did.unapplied == 0 or (did.dual and did.receiving),
    ),
    Invariant(
        "opened-in-a-known-life",
        "a node was opened that had restarted since it was last looked at for a decision",
        lambda did: did.known_life,
    ),
)

ROUTED: tuple[Invariant[Routed], ...] = (
    Invariant(
        "routed-to-a-member",
        "traffic was sent to a node that is fenced or has not been inspected",
        lambda did: did.membership is Membership.MEMBER,
    ),
)

RECEIVED: tuple[Invariant[Received], ...] = (
    Invariant(
        "received-from-a-member",
        "the writer received from a node that is fenced or has not been inspected",
        lambda did: did.membership is Membership.MEMBER,
    ),
)

UNDONE: tuple[Invariant[Undone], ...] = (
    Invariant(
        "quarantined",
        "transactions were undone that are not in quarantine",
        lambda did: did.quarantined >= did.transactions,
    ),
    Invariant(
        "healed-on-record",
        "a heal changed data although the record does not say that the node is being healed",
        lambda did: did.healing,
    ),
)


def broken(invariants: tuple[Invariant[Fact], ...], fact: Fact) -> Iterator[Invariant[Fact]]:
    """The invariants that `fact` breaks."""
    return (one for one in invariants if not one.holds(fact))
