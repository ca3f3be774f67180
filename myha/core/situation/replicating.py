"""Whether the two replicate, from whom, as setup made it, and whose history has what."""

from __future__ import annotations

from myha.core.gtid import GtidSet
from myha.core.node import NodeName, ThreadState
from myha.core.record import Cause
from myha.core.settings import Difference
from myha.core.situation.acknowledging import Acknowledging
from myha.core.situation.once import once

# A standby may be this far behind and still be waited for without a stall that clients notice.
MAX_TRANSACTIONS_BEHIND_TO_ARM = 20
# So long after the standby joined the writer has written since (a heartbeat, if nothing else).
SETTLED_SECONDS = 2.0
OWN_SESSIONS = 50  # at most, of supervisors and whoever else looks does not count


class Replicating(Acknowledging):
    """What is known of the replication between the two."""

    @once
    def standby_replicates(self) -> bool:
        look, running = self.member_look, ThreadState.RUNNING
        return look is not None and (look.receiver.state, look.applier.state) == (running, running)

    @once
    def writer_receives(self) -> bool:
        """What its peer has committed arrives there, as far as was seen."""
        look = self.w.look
        return look is not None and look.receiver.state is ThreadState.RUNNING

    @once
    def standby_threads_stopped(self) -> bool:
        look = self.s.look
        if look is None:
            return False
        stopped = ThreadState.STOPPED
        return look.receiver.state is stopped and look.applier.state is stopped

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
    def standby_ahead(self) -> bool:
        """The standby has all that the restarted writer has, and more: that one lost something.

        So may a former writer, when the one that replaced it lost its relay log before it opened.
        """
        w_look, s_look = self.w.look, self.s.look
        replaced = self.away and self.s.answering and self.entry.cause is Cause.REPLACED
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
    def outdated(self) -> bool:
        """The standby cannot catch up by replication any more; while no heal sees to that.

        Away it has to have tried: an error of its receiver may be from before it was lost.
        """
        if not self.source_purged or not self.standby_source_is_peer or self.heal is not None:
            return False
        tried = any(one.plan == "rejoin" for one in self.view.incidents)
        return self.member_present or (self.returned and tried)

    @once
    def writer_lost(self) -> GtidSet | None:
        """What the restarted writer was seen to have for good, and has no more: its data are older.

        None: nothing, as far as this supervisor has seen its former life.
        """
        look, kept = self.w.look, self.w.kept
        if not self.writer_restarted or look is None or kept is None:
            return None
        return None if look.executed.contains(kept) else kept.minus(look.executed)

    @once
    def left_out(self) -> GtidSet | None:
        """What the writer has from others, and what replication does not bring to the standby.

        It comes before the writer's own in its binary log: a standby that has received all of those
        was sent it, and did not take it. MySQL takes nothing that bears the server id of its own,
        so that what it has lost of what it wrote itself never comes back to it.
        """
        w_look, s_look = self.installed_look, self.member_look
        if w_look is None or s_look is None or s_look.at < w_look.at:
            return None  # with two writers its own have reached the writer meanwhile
        joined_at = self.s.joined_at
        if joined_at < 0 or w_look.at - joined_at < SETTLED_SECONDS:
            return None
        if not self.standby_replicates or s_look.received.contains(w_look.executed):
            return None
        lacks = w_look.executed.minus(s_look.received)
        of_others = lacks.of_others(w_look.server_uuid, w_look.server_id)
        return None if of_others.is_empty() or of_others != lacks else of_others

    @once
    def claimed(self) -> GtidSet | None:
        """What the writer is to write yet, and the standby takes for its own already.

        Commits in flight may look so: the writer counts them when they have ended, and the standby
        may have applied them. But no session has two of them, and none lasts while nothing waits.
        """
        w_look, s_look, kept = self.installed_look, self.member_look, self.s.kept
        if w_look is None or s_look is None or kept is None or w_look.at < s_look.at:
            return None
        if w_look.executed.contains(kept):
            return None
        lacks = kept.minus(w_look.executed)
        own = lacks.minus(lacks.of_others(w_look.server_uuid, w_look.server_id))
        if own.count() > w_look.sessions + OWN_SESSIONS:
            return own
        known_at, waits = self.s.executed_known_at, w_look.semisync.waiting_sessions
        rests = 0.0 <= known_at <= w_look.at - SETTLED_SECONDS
        ended = not waits and w_look.commits_stuck_seconds == 0.0
        return own if rests and ended and not own.is_empty() else None

    @once
    def log_reset_on(self) -> NodeName:
        """Whose binary log was reset since the standby joined; empty: nobody's."""
        return self.whose_log_was_reset(self.writer, self.w)

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

    @once
    def drifted(self) -> tuple[tuple[str, tuple[Difference, ...]], ...]:
        """Each node that serves and what of it is not as setup made it; the standby first.

        Not where a filter makes its data doubtful: that is judged before anything is put right.
        """
        found = []
        if self.member_look is not None and not self.filters:
            found.append((self.standby, self.member_look.differs))
        if self.installed_look is not None and not self.writer_filters:
            found.append((self.writer, self.installed_look.differs))
        return tuple((node, differs) for node, differs in found if differs)

    @once
    def filtered(self) -> bool:
        """The standby's data cannot be known to be right: a filter was in force there.

        Not where its data was replaced since, or a person has said that nothing was left out: what
        is still in force then is cleared before it replicates.
        """
        returned = self.returned and not self.judged
        return bool(self.filters) and (self.member_present or returned)

    @once
    def writer_filters(self) -> tuple[Difference, ...]:
        """With two writers: what keeps changes of its peer from being applied on the writer.

        With one the peer writes nothing, and its filter is an option like any other.
        """
        look = self.installed_look
        return look.filters if self.dual and look is not None else ()

    @once
    def filter_names(self) -> str:
        found = ((self.standby, self.filters), (self.writer, self.writer_filters))
        return _by_node(found)

    @once
    def difference_names(self) -> str:
        return _by_node(self.drifted)


def _by_node(found: tuple[tuple[str, tuple[Difference, ...]], ...]) -> str:
    """What differs, as `node: this, that; node: that`."""
    return "; ".join(f"{node}: {', '.join(map(str, these))}" for node, these in found if these)
