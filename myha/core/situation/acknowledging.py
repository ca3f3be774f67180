"""Who waits for an acknowledgement, and who can give it."""

from __future__ import annotations

from myha.core import acknowledgement
from myha.core.acknowledgement import standby_of
from myha.core.node import Acknowledger
from myha.core.policy import StrayRule
from myha.core.situation.contact import Contacts
from myha.core.situation.once import once


class Acknowledging(Contacts):
    """What is known of semi-synchronous replication between the two."""

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
    def standby_unheard_for_deadtime(self) -> bool:
        """Its receiver runs, and has got nothing for the dead time, heartbeats included."""
        heard_at = self.s.heard_source_at
        silent = heard_at >= 0 and self.at - heard_at >= self.policy.deadtime_seconds
        return silent and self.standby_hears_nothing

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
