"""The words that verdicts are made of: facts derived from one view, each a property of few lines.

A situation belongs to one view and lives as long as the decision about it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from myha.core import acknowledgement
from myha.core.acknowledgement import standby_of
from myha.core.gtid import GtidSet
from myha.core.model import (
    Acknowledger,
    Cause,
    Contact,
    Durability,
    Heal,
    HealOutcome,
    Job,
    JobResult,
    Membership,
    Mode,
    NodeRecord,
    NodeView,
    Record,
    StrayRule,
    Sync,
    ThreadState,
    View,
)
from myha.core.observations import HEAL
from myha.core.plans import Step
from myha.core.routing import differences
from myha.core.settings import Difference

# A standby may be this far behind and still be waited for without a stall that clients notice.
MAX_TRANSACTIONS_BEHIND_TO_ARM = 20
HEARTBEATS_MISSED = 2
HEAL_ATTEMPTS = 5  # a method that failed so often is given up
HEAL_BACKOFF_FIRST_SECONDS = 1.0


T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  # reads as what it is: a decorator
    """A property that is found out once. As `functools.cached_property`, without its lock.

    Half of what a decision costs was that lock; a situation is never shared between threads.
    """

    def __init__(self, find: Callable[[Any], T]) -> None:
        self._find = find
        self.__doc__ = find.__doc__
        self._name = find.__name__

    @overload
    def __get__(self, it: None, owner: type) -> once[T]: ...
    @overload
    def __get__(self, it: object, owner: type) -> T: ...
    def __get__(self, it: object | None, owner: type) -> T | once[T]:
        if it is None:
            return self
        found = it.__dict__[self._name] = self._find(it)
        return found


class Situation:
    """One view, seen from the writer on record (`w`) and its peer, the standby (`s`)."""

    def __init__(self, view: View, record: Record) -> None:
        self.view = view
        self.record = record
        self.policy = view.policy
        self.at = view.at
        self.writer = record.writer
        self.standby = view.policy.peer(record.writer)
        self.w: NodeView = view.node(self.writer)
        self.s: NodeView = view.node(self.standby)
        self.w_entry: NodeRecord = record.node(self.writer)
        self.s_entry: NodeRecord = record.node(self.standby)
        self.dual = view.policy.mode is Mode.DUAL_WRITER
        self.lossless = view.policy.durability is Durability.LOSSLESS
        self.armed = record.sync is Sync.ARMED

    # -- contact ---------------------------------------------------------------------------------

    def silent_for_deadtime(self, node: NodeView) -> bool:
        if node.contact is not Contact.SILENT:
            return False
        since = node.answered_at if node.answered_at >= 0 else node.contact_since
        return self.at - since >= self.policy.deadtime_seconds

    def gone(self, node: NodeView) -> bool:
        """Refused, and either a connection broke or it has been so for the dead time."""
        if node.contact is not Contact.REFUSING:
            return False
        broke = node.hung_up_at >= 0
        return broke or self.at - node.contact_since >= self.policy.deadtime_seconds

    @once
    def standby_heard_from_writer(self) -> bool:
        """The standby's receiver has got something, heartbeats included, a moment ago."""
        look = self.s.look
        if not self.s.answering or look is None:
            return False
        if look.receiver.state is not ThreadState.RUNNING:
            return False
        window = HEARTBEATS_MISSED * self.policy.heartbeat_period_seconds
        return self.at - self.s.heard_source_at < window

    @once
    def standby_lost_writer(self) -> bool:
        """The standby, looked at after our own loss, has no source either."""
        look = self.s.look
        return (
            self.s.answering
            and look is not None
            and look.at >= self.w.contact_since
            and look.receiver.state is not ThreadState.RUNNING
        )

    @once
    def writer_dead(self) -> bool:
        """Proven: connections broke, new ones are refused, and the peer lost its source."""
        return self.gone(self.w) and self.standby_lost_writer

    @once
    def writer_hung(self) -> bool:
        return (
            self.silent_for_deadtime(self.w)
            and self.s.answering
            and not self.standby_heard_from_writer
        )

    @once
    def cut_off(self) -> bool:
        """We do not reach the writer, and the standby does."""
        lost = self.silent_for_deadtime(self.w) or self.gone(self.w)
        heard_since = self.s.heard_source_at > self.w.contact_since
        heard = heard_since and self.standby_heard_from_writer
        return lost and heard and not self.writer_closing

    @once
    def writer_closing(self) -> bool:
        """It said so, and its port refuses; the standby may go on hearing it for many seconds."""
        return self.w.contact is Contact.REFUSING and self.w.closing_at >= 0 and self.s.answering

    # -- the writer ------------------------------------------------------------------------------

    @once
    def writer_restarted(self) -> bool:
        look = self.w.look
        return self.w.answering and look is not None and look.boot_id != self.w_entry.boot_id

    @once
    def writer_installed(self) -> bool:
        look = self.w.look
        return (
            self.w.answering
            and look is not None
            and look.open
            and look.boot_id == self.w_entry.boot_id
        )

    @once
    def standby_ahead(self) -> bool:
        """The standby has all that the restarted writer has, and more: that one lost something.

        So may a former writer, when the one that replaced it lost its relay log before it opened.
        """
        w_look, s_look = self.w.look, self.s.look
        replaced = self.away and self.s.answering and self.s_entry.cause is Cause.REPLACED
        if not (self.member_present or replaced) or w_look is None or s_look is None:
            return False
        more = not w_look.executed.contains(s_look.executed)
        return more and s_look.received.contains(w_look.executed)

    @once
    def diverged(self) -> bool:
        """The standby was seen to have what the writer, looked at no earlier, lacks."""
        w_look, s_look = self.w.look, self.s.look
        if w_look is None or s_look is None or w_look.at < s_look.at:
            return False
        return not w_look.executed.contains(s_look.executed)

    @once
    def writer_waits(self) -> bool:
        return self.w.look is not None and self.w.look.semisync.source_enabled

    @once
    def writer_stalls(self) -> bool:
        """Commits wait on the writer and nobody is there to acknowledge them, or none does."""
        look = self.w.look
        if not self.w.answering or look is None or not look.semisync.source_enabled:
            return False
        return look.semisync.waiting_sessions > 0 or look.semisync.source_clients == 0

    @once
    def strays(self) -> tuple[Acknowledger, ...]:
        """Who besides the standby can acknowledge commits of the writer, or may be the one."""
        look = self.w.look
        if not self.w.answering or look is None:
            return ()
        return acknowledgement.strays(look.semisync, standby_of(self.s.look))

    @once
    def stray_count(self) -> int:
        look = self.w.look
        return (
            0
            if look is None
            else acknowledgement.stray_count(look.semisync, standby_of(self.s.look))
        )

    @once
    def stray_names(self) -> str:
        """Where to look for them: those that do not use the pair's own account, if there are."""
        known = self.policy.replication_user
        others = [one for one in self.strays if one.user != known] or list(self.strays)
        return ", ".join(str(one) for one in others)

    @once
    def stray_suffices(self) -> bool:
        """A commit on the writer can be acknowledged without the standby."""
        look = self.w.look
        if not self.strays or look is None:
            return False
        return not look.semisync.source_enabled or (
            look.semisync.source_wait_count <= self.stray_count
        )

    @once
    def stray_when_last_seen(self) -> bool:
        """The last look at the writer, which may be lost by now, showed a stray that suffices."""
        look = self.w.look
        return look is not None and acknowledgement.surely_without_standby(
            look.semisync, standby_of(self.s.look)
        )

    @once
    def waits_for_all(self) -> bool:
        """Strays are waited for as well, where the server can wait for several."""
        look = self.w.look
        wanted = self.policy.stray_replicas is StrayRule.WAIT_FOR_ALL
        return wanted and look is not None and look.semisync.source_may_wait_for_several

    @once
    def standby_acknowledges(self) -> bool:
        """The standby is one of those that acknowledge; by what it said itself only while it does
        answer."""
        look = self.w.look
        if not self.w.answering or look is None:
            return False
        semisync = look.semisync
        if not self.s.answering and not all(one.identity for one in semisync.acknowledgers):
            return False
        return acknowledgement.standby_among(semisync, standby_of(self.s.look))

    # -- the standby -----------------------------------------------------------------------------

    @once
    def member(self) -> bool:
        return self.s_entry.membership is Membership.MEMBER

    @once
    def away(self) -> bool:
        return self.s_entry.membership is Membership.AWAY

    @once
    def fenced(self) -> bool:
        return self.s_entry.membership is Membership.FENCED

    @once
    def member_present(self) -> bool:
        """A member, answering, in the life that was looked at."""
        look = self.s.look
        return (
            self.member
            and self.s.answering
            and look is not None
            and look.boot_id == self.s_entry.boot_id
        )

    @once
    def standby_restarted(self) -> bool:
        look = self.s.look
        return (
            self.member
            and self.s.answering
            and look is not None
            and look.boot_id != self.s_entry.boot_id
        )

    @once
    def standby_replicates(self) -> bool:
        look = self.s.look
        if not self.member_present or look is None:
            return False
        running = ThreadState.RUNNING
        return look.receiver.state is running and look.applier.state is running

    @once
    def standby_threads_stopped(self) -> bool:
        look = self.s.look
        if look is None:
            return False
        stopped = ThreadState.STOPPED
        return look.receiver.state is stopped and look.applier.state is stopped

    @once
    def unsourced_seconds(self) -> float:
        """For how long the standby's receiver has been without its source."""
        if self.s.unsourced_since is None:
            return 0.0
        return self.at - self.s.unsourced_since

    @once
    def standby_near(self) -> bool:
        """The standby has received nearly all that the writer had committed a look ago."""
        s_look, w_look = self.s.look, self.w.look
        if s_look is None or w_look is None:
            return False
        behind = w_look.executed.minus(s_look.received)
        return behind.is_empty() or behind.count() <= MAX_TRANSACTIONS_BEHIND_TO_ARM

    @once
    def standby_source_is_peer(self) -> bool:
        look = self.s.look
        return look is None or look.source in ("", self.policy.source_of(self.standby))

    @once
    def standby_sourceless(self) -> bool:
        """No replication source is configured on it any more."""
        return self.s.look is not None and not self.s.look.source

    @once
    def writer_sourceless(self) -> bool:
        return self.w.look is not None and not self.w.look.source

    @once
    def drifted(self) -> tuple[tuple[str, tuple[Difference, ...]], ...]:
        """Each node that serves and what of it is not as setup made it; the standby first.

        Not where a filter makes its data doubtful: that is judged before anything is put right.
        """
        found = []
        s_look, w_look = self.s.look, self.w.look
        if self.member_present and s_look is not None and not self.filters:
            found.append((self.standby, s_look.differs))
        if self.writer_installed and w_look is not None and not self.writer_filters:
            found.append((self.writer, w_look.differs))
        return tuple((node, differs) for node, differs in found if differs)

    @once
    def filters(self) -> tuple[Difference, ...]:
        """What keeps changes of the writer from being applied on the standby."""
        return self.s.look.filters if self.s.look is not None else ()

    @once
    def filtered(self) -> bool:
        """The standby's data cannot be known to be right: a filter was in force there.

        Not where its data was replaced since, or a person has said that nothing was left out: what
        is still in force then is cleared before it replicates.
        """
        returned = self.returned and not self.standby_judged
        return bool(self.filters) and (self.member_present or returned)

    @once
    def standby_judged(self) -> bool:
        """Away since its data was healed, or since a person has said that they are right."""
        return self.away and self.s_entry.cause in (Cause.HEALED, Cause.TRUSTED)

    @once
    def writer_filters(self) -> tuple[Difference, ...]:
        """With two writers: what keeps changes of its peer from being applied on the writer.

        With one the peer writes nothing, and its filter is an option like any other.
        """
        look = self.w.look
        return look.filters if self.dual and self.writer_installed and look is not None else ()

    @once
    def filter_names(self) -> str:
        found = ((self.standby, self.filters), (self.writer, self.writer_filters))
        return _by_node(found)

    @once
    def difference_names(self) -> str:
        return _by_node(self.drifted)

    @once
    def apart(self) -> bool:
        """Not a member: nothing may flow from it to the writer."""
        return not self.member

    @once
    def returned(self) -> bool:
        """An away node answers while the writer is in place: it can be looked at."""
        return self.away and self.s.answering and self.writer_installed

    @once
    def standby_quiet(self) -> bool:
        """Closed, not replicating, holding nobody up: its history stands still."""
        look = self.s.look
        if look is None:
            return False
        return not look.open and self.standby_threads_stopped and not look.semisync.source_enabled

    @once
    def errant(self) -> GtidSet | None:
        """What the returned node has and the writer, looked at later, lacks. None: unknown."""
        s_look, w_look = self.s.look, self.w.look
        if not self.returned or not self.standby_quiet or s_look is None or w_look is None:
            return None
        if self.dual and not w_look.applied and w_look.applier.state is ThreadState.RUNNING:
            return None  # a writer that was open already took over before it had applied all
        if w_look.executed.contains(s_look.executed):
            return s_look.executed.minus(w_look.executed)
        # What the node has was there before `executed_known_at`; a look at the writer that began
        # later can tell. (Looks of the same round cannot: which of the two was first may be the
        # same in every round, and there would never be an answer.)
        if not 0.0 <= self.s.executed_known_at < w_look.at:
            return None
        return s_look.executed.minus(w_look.executed)

    # -- decisions about rules -------------------------------------------------------------------

    @once
    def recent_failovers(self) -> int:
        window = self.policy.flap_window_seconds
        return sum(self.view.wall - wall < window for wall in self.record.failover_walls)

    @once
    def flaps(self) -> bool:
        return self.recent_failovers >= self.policy.flap_limit

    @once
    def flaps_all_the_same(self) -> bool:
        """More unattended failovers than the limit: only a proven death brings that about."""
        return self.recent_failovers > self.policy.flap_limit

    @once
    def writer_settled(self) -> bool:
        """The writer has been one for long enough not to be part of a loop."""
        held_seconds = self.view.wall - self.record.writer_since_wall
        return held_seconds >= self.policy.flap_settled_seconds

    @once
    def routing(self) -> tuple[Step, ...]:
        return differences(self.view)

    @once
    def heal_methods(self) -> tuple[str, ...]:
        """What the policy lets myha do about a diverged node by itself, in order."""
        methods = []
        for one in self.policy.heal:
            if one == "manual":
                break
            if one != "resume":
                methods.append(one)
        return tuple(methods)

    # -- heals -----------------------------------------------------------------------------------

    @once
    def heal(self) -> Heal | None:
        """The heal of the standby that is under way on record."""
        return self.s_entry.heal if self.s_entry.cause is Cause.HEALING else None

    @once
    def heal_job(self) -> Job | None:
        """The process that heals the standby now."""
        for job in self.view.jobs:
            if job.kind == HEAL and job.node == self.standby:
                return job
        return None

    @once
    def heal_outcome(self) -> HealOutcome | None:
        """How the present method of the present heal ended, when its job is over."""
        heal = self.heal
        if heal is None or self.heal_job is not None:
            return None
        for one in self.view.heals:
            if (one.node, one.id, one.method) == (self.standby, heal.id, heal.method):
                return one
        return None

    @once
    def heal_gives_up(self) -> bool:
        """The present method was refused, or has failed too often."""
        one = self.heal_outcome
        if one is None:
            return False
        failed = one.result is JobResult.FAILED and one.attempts >= HEAL_ATTEMPTS
        return failed or one.result is JobResult.REFUSED

    @once
    def heal_pauses(self) -> bool:
        """The last attempt failed a moment ago."""
        one = self.heal_outcome
        if one is None:
            return False
        return self.at < one.at + HEAL_BACKOFF_FIRST_SECONDS * 2.0 ** max(0, one.attempts - 1)


def _by_node(found: tuple[tuple[str, tuple[Difference, ...]], ...]) -> str:
    """What differs, as `node: this, that; node: that`."""
    return "; ".join(f"{node}: {', '.join(map(str, these))}" for node, these in found if these)
