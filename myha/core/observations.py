"""What the watchers put on the queue, and how each changes the view. Pure: `fold(view, seen)`."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias, TypeVar

from myha.core.balancer import BalancerLook, BalancerView, Reach
from myha.core.gtid import GtidSet
from myha.core.jobs import HealOutcome, Job, JobResult
from myha.core.node import Contact, Lease, NodeLook, NodeName, NodeView, ThreadState
from myha.core.plans import ROUTE
from myha.core.policy import Policy
from myha.core.reaching import reach_after
from myha.core.record import Membership, NodeRecord, Record
from myha.core.values import value
from myha.core.view import Incident, LoopView, View

MAX_INCIDENTS = 32
INCIDENT_KEPT_SECONDS = 600.0  # what has not been tried again for so long is no news any more
HEAL = "heal"  # the kind of job whose outcome decisions depend on

T = TypeVar("T")
AnyView = TypeVar("AnyView", bound=LoopView)


@value(frozen=True, slots=True)
class Tick:
    """Time passes. `wall` is seconds since the epoch."""

    at: float
    wall: float


@value(frozen=True, slots=True)
class NodeLooked:
    """A whole look at a node that began at `look.at`."""

    node: NodeName
    look: NodeLook

    @property
    def at(self) -> float:
        return self.look.at


@value(frozen=True, slots=True)
class NodeMissed:
    """An attempt to look that began at `at` and failed.

    `hung_up`: a connection broke by it. `closing`: the server said that it is shutting down.
    `connects`: its port accepts a new connection, so that its host is reached, both ways.
    """

    node: NodeName
    at: float
    contact: Contact
    hung_up: bool = False
    error: str = ""
    closing: bool = False
    connects: bool = False


@value(frozen=True, slots=True)
class LeaseTried:
    """An attempt to renew a node's lease, or to take it, ended. See `Lease`.

    `armed` is None when the node said nothing: what it was, it is.
    """

    node: NodeName
    at: float
    heard_until: float
    armed: bool | None = None


@value(frozen=True, slots=True)
class BalancerLooked:
    balancer: str
    look: BalancerLook

    @property
    def at(self) -> float:
        return self.look.at


@value(frozen=True, slots=True)
class BalancerMissed:
    balancer: str
    at: float
    error: str = ""


@value(frozen=True, slots=True)
class RecordRead:
    """The record as the store holds it."""

    at: float
    record: Record


@value(frozen=True, slots=True)
class PlanEnded:
    """A plan reached its end (`reason` empty) or failed; its step's sentence is in the reason."""

    at: float
    kind: str
    node: NodeName
    reason: str = ""


@value(frozen=True, slots=True)
class JobProgressed:
    """A job has begun, or tells how far it is."""

    at: float
    job: Job


@value(frozen=True, slots=True)
class JobEnded:
    """A job is over; `job` as it last was."""

    at: float
    job: Job
    result: JobResult
    reason: str = ""


Observation: TypeAlias = (
    Tick
    | NodeLooked
    | NodeMissed
    | LeaseTried
    | BalancerLooked
    | BalancerMissed
    | RecordRead
    | PlanEnded
    | JobProgressed
    | JobEnded
)


def first_view(policy: Policy, at: float, wall: float, record: Record | None) -> View:
    """The view of a supervisor that has seen nothing yet."""
    return View(
        policy=policy,
        at=at,
        wall=wall,
        record=record,
        nodes=tuple((name, NodeView(contact_since=at)) for name in policy.nodes),
        balancers=tuple((name, BalancerView(held_at=at)) for name in policy.balancers),
        plan_ended_at=at,
        acted_at=at,
    )


def fold(view: View, seen: Observation) -> View:
    """The view after `seen`. Time never runs backwards in it."""
    at = max(view.at, seen.at)
    if isinstance(seen, NodeLooked):
        record = view.record
        entry = record.node(seen.node) if record is not None else NodeRecord()
        node = looked(view.policy, view.node(seen.node), seen.look, entry)
        return _seen(view, at, seen.node, node)
    if isinstance(seen, NodeMissed):
        return _seen(view, at, seen.node, missed(view.node(seen.node), seen))
    if isinstance(seen, LeaseTried):
        return _seen(view, at, seen.node, leased(view.node(seen.node), seen))
    if isinstance(seen, BalancerLooked):
        known = view.balancer(seen.balancer)
        reach = known.reach
        if view.record is not None:
            writer = view.record.writer
            reach = reach_after(reach, seen.look, writer, view.node(writer))
        return _balanced(view, at, seen.balancer, balancer_looked(known, seen.look, reach))
    if isinstance(seen, BalancerMissed):
        old = view.balancer(seen.balancer)
        balancer = BalancerView(
            checked_at=seen.at,
            error=seen.error,
            look=old.look,
            misses=old.misses + 1,
            held_at=old.held_at,
            reach=old.reach,
        )
        return _balanced(view, at, seen.balancer, balancer)
    if isinstance(seen, RecordRead):
        return replace(view, at=at, record=seen.record)
    if isinstance(seen, Tick):
        return _anew(view, at, wall=seen.wall, incidents=_still_news(view.incidents, at))
    return fold_own(view, at, seen)


def fold_own(
    view: AnyView, at: float, seen: Tick | PlanEnded | JobProgressed | JobEnded
) -> AnyView:
    """The view after what every loop sees: time, and how its own plans and jobs go."""
    if isinstance(seen, Tick):
        return replace(view, at=at, wall=seen.wall, incidents=_still_news(view.incidents, at))
    if isinstance(seen, PlanEnded):
        incidents = _incidents_after(view.incidents, seen)
        acted_at = view.acted_at if seen.kind == ROUTE else at
        return replace(view, at=at, plan_ended_at=at, acted_at=acted_at, incidents=incidents)
    others = tuple(
        one for one in view.jobs if (one.kind, one.node) != (seen.job.kind, seen.job.node)
    )
    if isinstance(seen, JobProgressed):
        return replace(view, at=at, jobs=(*others, seen.job))
    return replace(view, at=at, jobs=others, heals=_heals_after(view.heals, seen))


def _seen(view: View, at: float, name: NodeName, node: NodeView) -> View:
    """The view with another one of a node."""
    return _anew(view, at, nodes=_with(view.nodes, name, node))


def _balanced(view: View, at: float, name: str, balancer: BalancerView) -> View:
    """The view with another one of a balancer."""
    return _anew(view, at, balancers=_with(view.balancers, name, balancer))


def _anew(
    view: View,
    at: float,
    *,
    wall: float | None = None,
    incidents: tuple[Incident, ...] | None = None,
    nodes: tuple[tuple[NodeName, NodeView], ...] | None = None,
    balancers: tuple[tuple[str, BalancerView], ...] | None = None,
) -> View:
    """The view after a look or a tick, which are most of what is folded in. Written out, since
    `replace` takes longer than all the rest of that."""
    return View(
        policy=view.policy,
        at=at,
        wall=view.wall if wall is None else wall,
        plan_ended_at=view.plan_ended_at,
        acted_at=view.acted_at,
        incidents=view.incidents if incidents is None else incidents,
        jobs=view.jobs,
        heals=view.heals,
        record=view.record,
        nodes=view.nodes if nodes is None else nodes,
        balancers=view.balancers if balancers is None else balancers,
    )


def _with(pairs: tuple[tuple[str, T], ...], name: str, new: T) -> tuple[tuple[str, T], ...]:
    return tuple([(known, new if known == name else old) for known, old in pairs])


def looked(policy: Policy, old: NodeView, look: NodeLook, entry: NodeRecord) -> NodeView:
    """The view of a node after a whole look at it; `entry`: its standing on record."""
    before = old.look
    member = entry.membership is Membership.MEMBER
    heard = old.heard_source_at
    running = look.receiver.state is ThreadState.RUNNING
    if running and (before is None or before.progress != look.progress):
        heard = look.at
    unsourced = None
    if not running:
        unsourced = look.at if old.unsourced_since is None else old.unsourced_since
    known_at = -1.0
    if before is not None and _same_history(before, look):
        known_at = look.at if old.executed_known_at < 0 else old.executed_known_at
    received_at = look.at
    if before is not None and before.received == look.received and old.received_known_at >= 0:
        received_at = old.received_known_at
    answered_before = old.contact is Contact.ANSWERING
    bad, good, reader_ok = _lag(policy, old, look)
    forgets = member and _forgets(old, look)
    unknown = None
    if look.lag_seconds is None:
        unknown = look.at if old.lag_unknown_since is None else old.lag_unknown_since
    return NodeView(
        contact=Contact.ANSWERING,
        checked_at=look.at,
        contact_since=old.contact_since if answered_before else look.at,
        answered_at=look.at,
        hung_up_at=old.hung_up_at,
        heard_source_at=heard,
        executed_known_at=known_at,
        received_known_at=received_at,
        unsourced_since=unsourced,
        purged_since=_purged_since(old, look),
        lag_bad_since=bad,
        lag_good_since=good,
        lag_unknown_since=unknown,
        reader_ok=reader_ok,
        look=look,
        # One that was closed has no watchdog any more, until it says so again.
        lease=old.lease if look.open else Lease(False, old.lease.heard_until, look.at),
        member=member,
        joined_at=look.at if member and not old.member else old.joined_at,
        # A heal, which may reset it, is of one that is no member.
        forgot_at=look.at if forgets and old.member else old.forgot_at,
        kept=_kept(old, look, entry.boot_id, forgets=forgets) if member else None,
    )


def _purged_since(old: NodeView, look: NodeLook) -> float | None:
    """Started anew, a receiver may run for a moment before it hears that again."""
    if look.receiver.purged:
        return look.at if old.purged_since is None else old.purged_since
    before = old.look.receiver.state if old.look is not None else None
    running = ThreadState.RUNNING
    return None if (before, look.receiver.state) == (running, running) else old.purged_since


def _forgets(old: NodeView, look: NodeLook) -> bool:
    """Its binary log has less than before, in one life of its server: somebody has reset it."""
    before = old.look
    if before is None or before.boot_id != look.boot_id:
        return False
    return look.history.has_forgotten(before.history)


def _kept(old: NodeView, look: NodeLook, recorded_life: str, *, forgets: bool) -> GtidSet | None:
    """What was there a look ago, where no commit waits any more: it has ended by now, and outlives
    the server. In another life than that on record what was known of that one stays known."""
    before = old.look
    if look.boot_id != recorded_life or before is None or before.boot_id != look.boot_id:
        return old.kept
    if forgets:
        return look.history  # no restart takes that from it
    return old.kept if look.semisync.waiting_sessions else before.history


def _same_history(before: NodeLook, look: NodeLook) -> bool:
    return before.boot_id == look.boot_id and before.executed == look.executed


def _lag(policy: Policy, old: NodeView, look: NodeLook) -> tuple[float | None, float | None, bool]:
    """Hysteresis: out at once above the upper limit, back after a while below the lower one."""
    lag = look.lag_seconds
    if lag is None:
        return old.lag_bad_since, old.lag_good_since, old.reader_ok
    if lag > policy.lag_out_seconds:
        return (look.at if old.lag_bad_since is None else old.lag_bad_since), None, False
    if lag > policy.lag_in_seconds:
        return None, None, old.reader_ok
    good = look.at if old.lag_good_since is None else old.lag_good_since
    ok = old.reader_ok or look.at - good >= policy.lag_in_hold_seconds
    return None, good, ok


def missed(old: NodeView, seen: NodeMissed) -> NodeView:
    """The view of a node after an attempt to look at it that failed."""
    # A server that talks, if only to turn us away, is alive.
    talked = seen.contact in (Contact.FULL, Contact.DENIED)
    return replace(
        old,
        contact=seen.contact,
        checked_at=seen.at,
        contact_since=old.contact_since if old.contact is seen.contact else seen.at,
        answered_at=seen.at if talked else old.answered_at,
        hung_up_at=seen.at if seen.hung_up else old.hung_up_at,
        closing_at=seen.at if seen.closing else old.closing_at,
        connects=seen.connects,
        error=seen.error,
    )


def balancer_looked(old: BalancerView, look: BalancerLook, reach: Reach) -> BalancerView:
    """The view of a balancer after a whole look at it. `reach`: what that says of the writer."""
    if not look.holds:
        return BalancerView(True, look.at, "", look, held_at=old.held_at, reach=reach)
    since = look.at if old.held_since is None else old.held_since
    return BalancerView(True, look.at, "", look, held_at=look.at, held_since=since, reach=reach)


def leased(old: NodeView, seen: LeaseTried) -> NodeView:
    """The view of a node after an attempt to renew its lease."""
    armed = old.lease.armed if seen.armed is None else seen.armed
    since = old.lease.since if armed is old.lease.armed else seen.at
    return replace(old, lease=Lease(armed, max(old.lease.heard_until, seen.heard_until), since))


def _still_news(incidents: tuple[Incident, ...], at: float) -> tuple[Incident, ...]:
    """Without those that have not been tried again for long."""
    if not incidents:
        return incidents
    return tuple(one for one in incidents if at - one.at < INCIDENT_KEPT_SECONDS)


def _incidents_after(incidents: tuple[Incident, ...], ended: PlanEnded) -> tuple[Incident, ...]:
    """With that of a plan that failed, without that of one that reached its end."""
    others = tuple(one for one in incidents if (one.plan, one.node) != (ended.kind, ended.node))
    if not ended.reason:
        return others
    attempts = 1 + sum(
        one.attempts for one in incidents if (one.plan, one.node) == (ended.kind, ended.node)
    )
    new = Incident(ended.kind, ended.node, ended.at, ended.reason, attempts)
    return (*others, new)[-MAX_INCIDENTS:]


def _heals_after(heals: tuple[HealOutcome, ...], ended: JobEnded) -> tuple[HealOutcome, ...]:
    """One outcome for each node. One that was stopped is no outcome, and keeps the count."""
    job = ended.job
    if job.kind != HEAL or ended.result is JobResult.STOPPED:
        return heals
    same = (job.node, job.id, job.method)
    before = sum(one.attempts for one in heals if (one.node, one.id, one.method) == same)
    attempts = before + 1 if ended.result is JobResult.FAILED else before
    outcome = HealOutcome(*same, ended.result, ended.reason, ended.at, attempts)
    return (*(one for one in heals if one.node != job.node), outcome)
