"""The words that verdicts about a replica are made of: facts from one view, a property each."""

from __future__ import annotations

from myha.core.applier_errors import needs_other_data
from myha.core.followers.plans import ChangeFollower
from myha.core.followers.record import FollowerRecord
from myha.core.followers.routing import differences, unrouted
from myha.core.followers.view import FollowerView
from myha.core.gtid import GtidSet
from myha.core.node import Contact, NodeLook, NodeName, ThreadState
from myha.core.plans import Step
from myha.core.policy import Mode
from myha.core.record import NodeRecord, Record
from myha.core.situation import Situation
from myha.core.situation.once import once
from myha.core.situation.subject import Subject


class FollowerSituation(Subject[FollowerView]):
    """One replica (`name`), seen from the writer on the pair's record."""

    methods = ("rewind", "reseed")  # what it has beyond the writer is not applied there

    def __init__(self, view: FollowerView, record: FollowerRecord, pair_record: Record) -> None:
        self.pair_record = pair_record
        self.writer = pair_record.writer
        guard = (pair_record.epoch, record.version)
        super().__init__(view, view.name, view.node, record.entry, guard)

    def record_as(self, sentence: str, entry: NodeRecord) -> Step:
        return ChangeFollower(node=self.name, sentence=sentence, entry=entry)

    # -- the writer ------------------------------------------------------------------------------

    @once
    def writer_look(self) -> NodeLook | None:
        """The look at the writer on record, while it takes writes."""
        return Situation(self.view.pair, self.pair_record).installed_look

    @once
    def writer_ready(self) -> bool:
        """The writer takes writes, has applied what it had received from the one before it, and no
        plan that may change it is under way."""
        return self.writer_whole is not None and not self.view.changing

    @once
    def writer_whole(self) -> NodeLook | None:
        """The look at it, when what it has tells what others should not have.

        With two writers one that was open already takes over before it has applied all.
        """
        look = self.writer_look
        if look is None or self.policy.mode is not Mode.DUAL_WRITER:
            return look
        behind = not look.applied and look.applier.state is ThreadState.RUNNING
        return None if behind else look

    @property
    def writer_in_place(self) -> bool:
        return self.writer_ready

    # -- contact ---------------------------------------------------------------------------------

    @once
    def unreachable(self) -> bool:
        """Refused, or silent for the dead time, or it does not let us in."""
        if self.node.contact is Contact.SILENT:
            return self.silent_for_deadtime(self.node)
        return self.node.contact not in (Contact.ANSWERING, Contact.UNKNOWN)

    # -- replication -----------------------------------------------------------------------------

    @once
    def follows_writer(self) -> bool:
        look = self.look
        return look is not None and look.source == self.policy.source_at(self.writer)

    @once
    def threads_stopped(self) -> bool:
        look, stopped = self.look, ThreadState.STOPPED
        return look is not None and look.receiver.state is look.applier.state is stopped

    @once
    def quiet(self) -> bool:
        """Closed and not replicating: its history stands still."""
        return self.look is not None and not self.look.open and self.threads_stopped

    @once
    def errant(self) -> GtidSet | None:
        """What it has and the writer, looked at later, lacks. None: nobody can tell yet.

        What the look before the last had found was there when the last one began; a look at the
        writer that began later still can tell. So it is known while both go on, too.
        """
        look, before, writer = self.look, self.view.before, self.writer_whole
        if look is None or writer is None:
            return None
        if writer.executed.contains(look.executed):
            return look.executed.minus(writer.executed)
        if before is None or before.boot_id != look.boot_id or writer.at <= look.at:
            return None
        if writer.received.contains(before.executed):
            return None  # the writer has it from its standby, and is about to apply it
        return before.executed.minus(writer.executed)

    @once
    def clean(self) -> bool:
        """The writer is known to have all that it has."""
        return self.errant is not None and self.errant.is_empty()

    @once
    def doubtful(self) -> bool:
        """It may have what the writer lacks. Not where it has a source: that has been the writer,
        or replicates from it, and a writer that handed over has handed over everything."""
        look = self.member_look
        if look is None:
            return True
        return not self.clean and look.receiver.state is not ThreadState.RUNNING

    @once
    def broken_reason(self) -> str:
        """Why it goes on nowhere by itself; empty when it does."""
        look = self.look
        if look is None:
            return ""
        if self.log_reset_on:
            return f"somebody has reset the binary log of {self.log_reset_on}"
        if look.applier.errno:
            return f"its applier failed: {look.applier.error} (error {look.applier.errno})"
        if self.outdated:
            return f"{self.writer} has no longer what it lacks: {look.receiver.error}"
        return ""

    @once
    def needs_other_data(self) -> bool:
        look = self.look
        if look is None:
            return False
        return needs_other_data(look.applier.errno) or self.outdated or bool(self.log_reset_on)

    @once
    def outdated(self) -> bool:
        """The writer has purged what it lacks."""
        return self.source_purged and self.follows_writer

    @once
    def log_reset_on(self) -> NodeName:
        """Whose binary log was reset since it joined: its own, or that of who is the writer now;
        empty: nobody's."""
        return self.whose_log_was_reset(self.writer, self.view.pair.node(self.writer))

    # -- reads -----------------------------------------------------------------------------------

    @once
    def routing(self) -> tuple[Step, ...]:
        """The steps that make every answering balancer route reads to it as wanted."""
        return differences(self.view, self.wanted)

    @once
    def unrouted(self) -> str:
        """The balancers that do not know it."""
        return ", ".join(unrouted(self.view))

    @once
    def wanted(self) -> bool | None:
        """Whether it takes reads; None: as it is, since nothing that is known says in or out."""
        if not self.member:
            return False
        node, look = self.node, self.look
        if look is None:
            waits = node.contact in (Contact.UNKNOWN, Contact.FULL)
            brief = node.contact is Contact.SILENT and not self.unreachable
            return None if waits or brief else False
        if look.boot_id != self.entry.boot_id or look.open:
            return False
        if look.source not in ("", *self.policy.sources):
            return False
        if self.log_reset_on or (self.errant is not None and not self.errant.is_empty()):
            return False
        if not node.reader_ok or self.delayed or look.applier.state is not ThreadState.RUNNING:
            return False
        if look.receiver.state is ThreadState.RUNNING and self.follows_writer:
            return True
        # Without its source it grows old, which its lag tells; a new writer is not there at once.
        lost = self.writer_ready and self.unsourced_seconds >= self.policy.deadtime_seconds
        return False if lost else None

    @once
    def delayed(self) -> bool:
        """Its delay alone is above the limit of lag: it takes no reads."""
        return self.policy.delay_of(self.name) > self.policy.lag_out_seconds
