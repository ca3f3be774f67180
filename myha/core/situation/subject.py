"""One server beside the writer: its standing, and how its heal stands. The same for the standby of
the pair and for a read replica.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import takewhile
from typing import ClassVar, Generic

from myha.core.applier_errors import relay_log_is_damaged
from myha.core.backoff import backoff_seconds
from myha.core.jobs import HealOutcome, Job, JobResult
from myha.core.node import Contact, NodeLook, NodeName, NodeView
from myha.core.observations import HEAL, AnyView
from myha.core.plans import Step
from myha.core.record import Cause, Heal, Membership, NodeRecord
from myha.core.settings import Difference
from myha.core.situation.once import once

HEAL_ATTEMPTS = 5  # a method that failed so often is given up
HEAL_BACKOFF_FIRST_SECONDS = 1.0
PURGED_SECONDS = 2.0  # for so long its receiver has found its source purged before other data come


class Subject(ABC, Generic[AnyView]):
    """The server `name`, with its `entry` on record.

    `epoch` is the pair's; `version` that of the record that its plans are made under.
    """

    # By which its data can be healed, beside a simple resumption.
    methods: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        view: AnyView,
        name: NodeName,
        node: NodeView,
        entry: NodeRecord,
        guard: tuple[int, int],
    ) -> None:
        self.view = view
        self.policy = view.policy
        self.at = view.at
        self.name = name
        self.node = node
        self.entry = entry
        self.epoch, self.version = guard
        # What nearly every row asks is found out at once: that costs less than to ask for it.
        self.look: NodeLook | None = node.look if node.answering else None  # while it answers
        membership = entry.membership
        self.member = membership is Membership.MEMBER
        self.away = membership is Membership.AWAY
        self.fenced = membership is Membership.FENCED
        in_recorded_life = self.look is not None and self.look.boot_id == entry.boot_id
        # The look at it, while it is a member and answers in the life on record.
        self.member_look = self.look if self.member and in_recorded_life else None
        # Its heal that is under way on record.
        self.heal: Heal | None = entry.heal if entry.cause is Cause.HEALING else None

    @abstractmethod
    def record_as(self, sentence: str, entry: NodeRecord) -> Step:
        """The step by which this is its entry from now on, and nothing else on record changes."""

    @property
    @abstractmethod
    def writer_in_place(self) -> bool:
        """The writer takes writes, and it can be healed from there."""

    def silent_for_deadtime(self, node: NodeView) -> bool:
        if node.contact is not Contact.SILENT:
            return False
        since = node.answered_at if node.answered_at >= 0 else node.contact_since
        return self.at - since >= self.policy.deadtime_seconds

    # -- standing --------------------------------------------------------------------------------

    @once
    def restarted(self) -> bool:
        """A member answers in another life than the one on record."""
        return self.member and self.look is not None and self.member_look is None

    @once
    def judged(self) -> bool:
        """Away since its data was healed, or since a person has said that they are right."""
        return self.away and self.entry.cause in (Cause.HEALED, Cause.TRUSTED)

    # -- replication -----------------------------------------------------------------------------

    @once
    def filters(self) -> tuple[Difference, ...]:
        """What keeps changes of the writer from being applied on it."""
        return self.look.filters if self.look is not None else ()

    @once
    def unsourced_seconds(self) -> float:
        """For how long its receiver has been without its source."""
        since = self.node.unsourced_since
        return 0.0 if since is None else self.at - since

    @once
    def source_purged(self) -> bool:
        """Its source has purged what it lacks, and has said so again and again."""
        look, since = self.look, self.node.purged_since
        if look is None or since is None or not look.receiver.purged:
            return False
        return self.at - since >= PURGED_SECONDS

    @once
    def relay_log_is_damaged(self) -> bool:
        """Its applier cannot read what was received; received again, it goes on."""
        return self.look is not None and relay_log_is_damaged(self.look.applier.errno)

    def whose_log_was_reset(self, writer: NodeName, w: NodeView) -> NodeName:
        """That of the writer or its own, since it joined; empty: nobody's.

        One that was lost meanwhile is asked the same when it is back: what it has by name tells as
        little then, unless its data was replaced.
        """
        joined_at = self.node.joined_at
        back = self.away and not self.judged and self.look is not None
        if joined_at < 0 or not (self.member or back):
            return ""
        if w.forgot_at >= joined_at:
            return writer
        return self.name if self.node.forgot_at >= joined_at else ""

    # -- heals -----------------------------------------------------------------------------------

    @once
    def heal_methods(self) -> tuple[str, ...]:
        """What the policy lets myha do about it by itself when it has diverged, in order."""
        before_manual = takewhile(lambda one: one != "manual", self.policy.heal)
        return tuple(one for one in before_manual if one in self.methods)

    @once
    def heal_job(self) -> Job | None:
        """The process that heals it now."""
        jobs = (one for one in self.view.jobs if one.kind == HEAL and one.node == self.name)
        return next(jobs, None)

    @once
    def heal_runs(self) -> bool:
        """The heal on record has a process; until that ends nothing else is done to the server."""
        return self.heal is not None and self.heal_job is not None

    @once
    def left_to_heal(self) -> bool:
        """What replicates there is its heal's affair; whoever opened it is not."""
        opened = self.look is not None and self.look.open
        return self.heal is not None and not opened

    @once
    def heal_due(self) -> bool:
        """A heal on record has no process, and its present method can be begun."""
        if self.heal is None or self.heal_job is not None or not self.writer_in_place:
            return False
        if self.heal_gives_up or self.heal_done:
            return False
        # Only a reseed can do something about a server that does not even start.
        return self.look is not None or self.heal.method == "reseed"

    @once
    def errant_to_heal(self) -> bool:
        """Fenced with errant transactions, which the policy lets myha heal."""
        return self._fenced_anew(Cause.ERRANT) and bool(self.heal_methods)

    @once
    def broken_to_heal(self) -> bool:
        """Fenced since it cannot go on with its data, which the policy lets myha replace."""
        return self._fenced_anew(Cause.BROKEN) and "reseed" in self.heal_methods

    def _fenced_anew(self, cause: Cause) -> bool:
        """For this cause and no heal tried yet, with both servers there for one."""
        fresh = self.fenced and self.entry.cause is cause and self.entry.heal is None
        return fresh and self.look is not None and self.writer_in_place

    @once
    def heal_unwanted(self) -> bool:
        """A process heals it that is not the one on record."""
        job = self.heal_job
        return job is not None and (self.heal is None or self.heal.id != job.id)

    @once
    def heal_outcome(self) -> HealOutcome | None:
        """How the present method of the present heal ended last, when its job is over."""
        if self.heal is None or self.heal_job is not None:
            return None
        wanted = (self.name, self.heal.id, self.heal.method)
        ended = (one for one in self.view.heals if (one.node, one.id, one.method) == wanted)
        return next(ended, None)

    @once
    def heal_done(self) -> bool:
        return self.heal_outcome is not None and self.heal_outcome.result is JobResult.DONE

    @once
    def heal_gives_up(self) -> bool:
        """The present method was refused, or has failed too often."""
        outcome = self.heal_outcome
        if outcome is None:
            return False
        failed = outcome.result is JobResult.FAILED and outcome.attempts >= HEAL_ATTEMPTS
        return failed or outcome.result is JobResult.REFUSED

    @once
    def heal_pauses(self) -> bool:
        """The last attempt failed a moment ago."""
        outcome = self.heal_outcome
        if outcome is None:
            return False
        pause = backoff_seconds(outcome.attempts, HEAL_BACKOFF_FIRST_SECONDS, float("inf"))
        return self.at < outcome.at + pause
