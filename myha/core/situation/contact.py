"""Which node answers, which is gone, and whether it lives the life that is on record."""

from __future__ import annotations

from myha.core.node import Contact, NodeView, ThreadState
from myha.core.plans import ChangeRecord, RecordChange, Step
from myha.core.policy import Durability, Mode
from myha.core.record import NodeRecord, Record, Sync
from myha.core.situation.once import once
from myha.core.situation.subject import Subject
from myha.core.view import View

HEARTBEATS_MISSED = 2
SEEN_MISSED = 1.5  # of these by a look


class Contacts(Subject[View]):
    """Two nodes, seen from the writer on record (`w`) and its peer, the standby (`s`)."""

    methods = ("merge", "rewind", "reseed")

    def __init__(self, view: View, record: Record) -> None:
        self.record = record
        self.writer = record.writer
        self.standby = view.policy.peer(record.writer)
        self.w: NodeView = view.node(self.writer)
        self.s: NodeView = view.node(self.standby)
        self.w_entry: NodeRecord = record.node(self.writer)
        self.dual = view.policy.mode is Mode.DUAL_WRITER
        self.lossless = view.policy.durability is Durability.LOSSLESS
        self.armed = record.sync is Sync.ARMED
        guard = (record.epoch, record.version)
        super().__init__(view, self.standby, self.s, record.node(self.standby), guard)
        look = self.w.look if self.w.answering else None
        in_recorded_life = look is not None and look.boot_id == self.w_entry.boot_id
        self.writer_restarted = look is not None and not in_recorded_life
        # The look at the writer, while it takes writes in the life that is on record.
        self.installed_look = look if look is not None and in_recorded_life and look.open else None
        self.writer_installed = self.installed_look is not None
        self.member_present = self.member_look is not None
        self.apart = not self.member  # nothing may flow from it to the writer
        # An away node answers while the writer is in place: it can be looked at.
        self.returned = self.away and self.look is not None and self.writer_installed

    def record_as(self, sentence: str, entry: NodeRecord) -> Step:
        return ChangeRecord(change=RecordChange(sentence, nodes=((self.standby, entry),)))

    @property
    def writer_in_place(self) -> bool:
        return self.writer_installed

    def gone(self, node: NodeView) -> bool:
        """Refused, and either a connection broke or it has been so for the dead time."""
        if node.contact is not Contact.REFUSING:
            return False
        broke = node.hung_up_at >= 0
        return broke or self.at - node.contact_since >= self.policy.deadtime_seconds

    @once
    def standby_silent(self) -> bool:
        """A member that has answered nothing for the dead time, while the writer answers."""
        return self.member and self.w.answering and self.silent_for_deadtime(self.s)

    @once
    def standby_silent_alone(self) -> bool:
        """The writer has answered a look that began when it had been silent for so long: so it is
        not we who are cut off from both, having heard of the standby's silence first."""
        look, s = self.w.look, self.s
        if not self.standby_silent or look is None:
            return False
        since = s.answered_at if s.answered_at >= 0 else s.contact_since
        return look.at >= max(since + self.policy.deadtime_seconds, s.contact_since)

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
    def standby_hears_nothing(self) -> bool:
        """A look at the standby shows that heartbeats have been missed, or that it has no source.

        Looks that are late prove nothing: no news of the standby is no news of the writer.
        """
        look = self.s.look
        if not self.s.answering or look is None:
            return False
        if look.receiver.state is not ThreadState.RUNNING:
            return look.at >= self.w.contact_since
        if self.standby_heard_from_writer:
            return False
        # Less than what is missed by now: looks have an interval too, and the next one may be late.
        seen = SEEN_MISSED * self.policy.heartbeat_period_seconds
        return look.at - self.s.heard_source_at >= seen

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
        return self.silent_for_deadtime(self.w) and self.standby_hears_nothing

    @once
    def writer_stalled(self) -> bool:
        """It is there and commits nothing, as when its disk takes nothing any more."""
        return self._silent_but_there or self._stuck_in_commits

    @once
    def _stuck_in_commits(self) -> bool:
        """It answers; commits do not end, and wait for neither an acknowledgement nor a lock."""
        look, limit = self.installed_look, self.policy.stalled_seconds
        if not limit or look is None or look.semisync.waiting_sessions:
            return False
        known_at = self.w.executed_known_at
        unchanged_seconds = self.at - known_at if known_at >= 0 else 0.0
        return min(unchanged_seconds, look.commits_stuck_seconds) >= limit

    @once
    def standby_stalled(self) -> bool:
        """Commits wait for the standby, which answers, is connected, and receives nothing."""
        look, limit = self.installed_look, self.policy.stalled_seconds
        if not limit or look is None or not look.semisync.waiting_sessions:
            return False
        if self.member_look is None or not self.armed:
            return False
        known_at = self.s.received_known_at
        unchanged_seconds = self.at - known_at if known_at >= 0 else 0.0
        return min(unchanged_seconds, look.writes_stalled_seconds) >= limit

    @once
    def _silent_but_there(self) -> bool:
        """Its host is there and its replica hears heartbeats, but it answers nobody and has sent
        no transaction since: as when its disk takes nothing any more.

        Who is cut off from the writer does not get through to its port; where clients still write,
        transactions arrive.
        """
        limit, w, s = self.policy.stalled_seconds, self.w, self.s
        if not limit or w.contact is not Contact.SILENT or not w.connects or w.answered_at < 0:
            return False
        if not self.standby_heard_from_writer or s.received_known_at < 0:
            return False
        return self.at - max(w.answered_at, s.received_known_at) >= limit

    @once
    def cut_off(self) -> bool:
        """We do not reach the writer, and the standby does."""
        lost = self.silent_for_deadtime(self.w) or self.gone(self.w)
        heard_since = self.s.heard_source_at > self.w.contact_since
        heard = heard_since and self.standby_heard_from_writer
        return lost and heard and not (self.writer_closing or self.writer_stalled)

    @once
    def watched(self) -> bool:
        """The writer closes itself when it hears nothing from this supervisor, as it last said."""
        return self.policy.watchdog is not None and self.w.lease.armed

    @once
    def writer_lapsed(self) -> bool:
        """It has heard nothing for so long that it is closed, if it was watched."""
        watchdog, heard_until = self.policy.watchdog, self.w.lease.heard_until
        if watchdog is None or not self.watched:
            return False
        return self.at >= heard_until + watchdog.total_seconds

    @once
    def writer_closing(self) -> bool:
        """It said so, and its port refuses; the standby may go on hearing it for many seconds."""
        return self.w.contact is Contact.REFUSING and self.w.closing_at >= 0 and self.s.answering
