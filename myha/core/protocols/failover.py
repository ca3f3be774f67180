"""Failover: the standby takes over, or why it may not; and a writer that restarted first. Pure."""

from __future__ import annotations

import math

from myha.core.balancer import BalancerView
from myha.core.gtid import GtidSet
from myha.core.node import Contact
from myha.core.plans import (
    AwaitClosed,
    AwaitDrained,
    ChangeRecord,
    DisableWaiting,
    Fence,
    FenceOutside,
    Plan,
    RecordChange,
    Refusal,
    RequireNoErrant,
    Step,
    StopReceiver,
    StopReplication,
    TakeOut,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.opening import BESIDE_DEADLINE_SECONDS, install_steps
from myha.core.record import Cause, NodeRecord, Sync, away, fenced, member
from myha.core.situation import Situation

FENCE_OUTSIDE_DEADLINE_SECONDS = 30.0
# The last commits of a MySQL that shuts down: all of them were seen to stop for 100 ms at times.
QUIET_SECONDS, QUIET_BOUNDED_SECONDS = 0.15, 0.05
# Where it does not wait for its standby, it has acknowledged what it has still to send: longer than
# a network is silent for no reason.
QUIET_UNARMED_SECONDS, DRAINED_UNARMED_SECONDS = 0.5, 10.0
LAST_RENEWAL_SECONDS = 5.0  # how long an attempt to renew the lease may still be under way


def promotable(it: Situation) -> Refusal | None:
    """Whether the standby may become the writer; the reason if not."""
    override = f"myha failover --to {it.standby} --accept-loss"
    look = it.s.look
    if it.heal is not None:
        reason = f"{it.standby} is being healed by {it.heal.method}: {it.heal.reason}"
        return Refusal(reason, f"myha fence {it.standby}")
    if it.fenced:
        return Refusal(f"{it.standby} is fenced: {it.entry.reason}", f"myha unfence {it.standby}")
    if not it.member_present or look is None:
        return Refusal(
            f"{it.standby} is not known to have all of {it.writer}'s transactions", override
        )
    if look.applier.errno:
        return Refusal(f"the applier of {it.standby} has failed: {look.applier.error}", None)
    if it.filters:
        names = ", ".join(one.name for one in it.filters)
        reason = f"{it.standby} replicates with a filter ({names}): it may lack changes"
        return Refusal(reason, override)
    if it.lossless and not it.armed:
        reason = (
            f"the record says solo: {it.standby} may lack writes that {it.writer} has acknowledged"
        )
        return Refusal(reason, override)
    if it.lossless and it.stray_when_last_seen:
        reason = (
            f"when {it.writer} was last seen a replica outside the pair could acknowledge its "
            f"commits: {it.standby} may lack writes"
        )
        return Refusal(reason, override)
    return None


def for_death(it: Situation) -> Answer:
    return promotable(it) or _flapping(it, death_proven=True) or failover(it)


def for_closing(it: Situation) -> Answer:
    """It takes no more statements, and is replaced as soon as its last commits have arrived.

    Without that a MySQL would be waited for until its process ends, 8 s later. It is where a
    balancer leaves sessions open: nobody can end them on the server any more, and their clients
    would hear OK for what the standby lacks.
    """
    refusal = promotable(it) or _flapping(it)
    if refusal is not None or it.policy.leave_sessions:
        return refusal
    return failover(it, closing=True)


def for_silence(it: Situation) -> Answer:
    refusal = promotable(it) or _flapping(it)
    if refusal is not None:
        return refusal
    if it.dual or it.armed:
        # Armed: whatever the writer may still do, it cannot acknowledge without the standby.
        # Dual: its peer takes writes anyway, and all that changes is where clients go.
        return failover(it)
    if it.writer_lapsed:
        return failover(it, _closed_itself(it))
    if it.writer in it.policy.fence_commands:
        deadline = FENCE_OUTSIDE_DEADLINE_SECONDS
        return failover(it, FenceOutside(node=it.writer, deadline_seconds=deadline))
    if it.policy.watchdog is not None:
        return _not_closed_yet(it)
    return Refusal(
        f"{it.writer} is silent, not proven dead, and could still acknowledge writes: without "
        "lossless durability a failover needs a fence_command",
        f"myha failover --to {it.standby} --accept-loss",
    )


def for_cut_off(it: Situation) -> Answer:
    """The standby hears the writer and we do not. Nothing, unless it has closed itself for that:
    then what it wrote arrives first."""
    if not it.writer_lapsed or it.dual or it.armed:
        return None
    return promotable(it) or _flapping(it) or failover(it, _closed_itself(it), closing=True)


def _closed_itself(it: Situation) -> AwaitClosed:
    """Asked again, and of the one who renews: an attempt may have been under way."""
    total = it.policy.watchdog.total_seconds if it.policy.watchdog is not None else math.inf
    deadline = total + LAST_RENEWAL_SECONDS
    return AwaitClosed(node=it.writer, total_seconds=total, deadline_seconds=deadline)


def _not_closed_yet(it: Situation) -> Refusal:
    override = f"myha failover --to {it.standby} --accept-loss"
    if it.watched and it.policy.watchdog is not None:
        return Refusal(
            f"{it.writer} is silent and may live: its watchdog closes it within "
            f"{it.policy.watchdog.total_seconds:g} s of the last renewal of its lease, and then "
            f"{it.standby} takes over",
            override,
        )
    return Refusal(
        f"{it.writer} is silent, not proven dead, and could still acknowledge writes: its watchdog "
        "was not known to be armed when it was last reached",
        override,
    )


def _flapping(it: Situation, *, death_proven: bool = False) -> Refusal | None:
    """Too many failovers in a row are refused, since the next one may be brought about by the last.

    Not where that would help nobody: the writer is proven dead, it was no part of a quick loop,
    and the standby is proven to hold everything.
    """
    if not it.flaps or (death_proven and it.armed and it.writer_held_role_long):
        return None
    reason = (
        f"{it.recent_failovers} failovers in the last {it.policy.flap_window_seconds:.0f} s: "
        "the writer role is flapping, and a person must find the cause"
    )
    return Refusal(reason, f"myha failover --to {it.standby}")


def failover(
    it: Situation,
    outside: Step | None = None,
    *,
    unattended: bool = True,
    closing: bool = False,
) -> Plan:
    """The standby takes over. The record first: from then on this is the only truth to go on from.

    After the receiver has stopped no write on the old writer can be acknowledged; only what it has
    received up to there must be applied before the new writer opens. `closing`: the old writer is
    shutting down, and tells OK for commits in flight when the receiver leaves: so its clients are
    cut off first, and what it has in hand arrives. Where it acknowledges without the standby, that
    is waited for before anything is recorded, and goes on for as long as more arrives.
    """
    old, new = it.writer, it.standby
    nodes: tuple[tuple[str, NodeRecord], ...] = (
        (old, away(Cause.REPLACED, f"{new} took over from it")),
    )
    if not it.member_present and it.s.look is not None:
        # Forced: whatever the new writer has is the pair's history from now on.
        nodes = (*nodes, (new, member(it.s.look.boot_id)))
    change = RecordChange(
        f"{new} is the writer, solo; {old} is away",
        writer=new,
        new_epoch=True,
        sync=Sync.SOLO,
        nodes=nodes,
        unattended=unattended,
    )
    reachable = it.w.contact is not Contact.REFUSING
    fence = Fence(node=old, beside=True, best_effort=True, deadline_seconds=BESIDE_DEADLINE_SECONDS)
    waited_for = _reached_balancers(it) if unattended else it.policy.balancers
    out = TakeOut(node=old, balancers=waited_for, best_effort=True)
    unarmed = closing and not (it.armed or it.dual)
    drained = _drained(it, unarmed=unarmed)
    cut_off = (out, drained, StopReceiver(node=new)) if closing else (StopReceiver(node=new),)
    stop_waiting = DisableWaiting(node=new, best_effort=True)
    return make(
        it,
        "failover",
        new,
        f"fail over from {old} to {new}",
        outside,
        # Where the new writer is open already, nothing may flow to it from a node that is away.
        *(cut_off if it.dual or unarmed else ()),
        ChangeRecord(change=change),
        # Its clients write all the time, and would wait for the one that is gone.
        stop_waiting if it.dual and _standby_waits(it) else None,
        fence if reachable else None,
        *(cut_off if not (it.dual or unarmed) else ()),
        out if waited_for and not closing else None,
        *install_steps(it, new, is_open=it.dual and it.s.look is not None and it.s.look.open),
    )


def _reached_balancers(it: Situation) -> tuple[str, ...]:
    """Those that have answered since a writer fell silent; of one that is dead those whose last
    look did not fail; of another writer all.

    One that is cut off together with the writer cannot be told anything, and waiting for it would
    keep the clients of the others waiting: it is routed as soon as it answers. A silent writer is
    replaced by itself only where it acknowledges nothing any more, and a dead one acknowledges
    nothing.
    """

    def reached(view: BalancerView) -> bool:
        if it.w.contact is Contact.REFUSING:
            return not view.misses
        return view.look is not None and view.look.at >= it.w.contact_since

    if it.w.contact not in (Contact.SILENT, Contact.REFUSING):
        return it.policy.balancers
    views = dict(it.view.balancers)
    return tuple(
        name for name in it.policy.balancers if (view := views.get(name)) is None or reached(view)
    )


def _drained(it: Situation, *, unarmed: bool) -> AwaitDrained:
    """The last commits of an old writer that shuts down have reached the new one."""
    if unarmed:
        deadline = DRAINED_UNARMED_SECONDS
        return AwaitDrained(
            node=it.standby, quiet_seconds=QUIET_UNARMED_SECONDS, deadline_seconds=deadline
        )
    quiet = QUIET_SECONDS if it.lossless else QUIET_BOUNDED_SECONDS
    return AwaitDrained(node=it.standby, quiet_seconds=quiet, best_effort=True)


def _standby_waits(it: Situation) -> bool:
    return it.s.look is not None and it.s.look.semisync.source_enabled


def better_of_two(it: Situation) -> bool:
    """Whether the standby is to be the writer rather than one that has restarted."""
    return it.standby_ahead and (it.away or promotable(it) is None)


def blank(it: Situation) -> Answer:
    """Opened, it would be the pair's data, and whatever the standby has an excess."""
    return Refusal(
        f"{it.writer} has no schema myha, which setup has made there: it is another server, or its "
        f"data are gone. If they are not, `myha setup` makes the schema again; if they are, start "
        f"{it.standby}",
        f"myha failover --to {it.standby} --accept-loss",
    )


def older(it: Situation) -> Answer:
    """Opened, it would give to other transactions the names of those that it had before."""
    lost = it.writer_lost
    if lost is None:
        return None
    return Refusal(
        f"{it.writer} had {lost.count()} transactions that it lacks now: {lost}. If the data that "
        f"it had still exist, start it with them. {_elsewhere(it, lost)} If nobody has them any "
        f"more, this opens {it.writer} as it is",
        f"myha failover --to {it.writer} --accept-loss",
    )


def _elsewhere(it: Situation, lost: GtidSet) -> str:
    look = it.s.look if it.s.answering else None
    if look is None:
        return f"{it.standby} does not answer, and may have them: start it."
    missing = lost.minus(look.executed).count()
    if missing:
        return f"{it.standby} lacks {missing} of them too."
    return f"{it.standby} has these: `myha failover --to {it.standby} --accept-loss` opens that."


def open_older(it: Situation, *, accept_loss: bool) -> Answer:
    """A person says that the writer goes on with what it has."""
    return _reopen(it) if accept_loss else older(it)


def reinstate(it: Situation) -> Answer:
    """The writer restarted before anyone took over: its history is the truth, if it is whole."""
    if better_of_two(it):
        # A dual-writer's peer went on taking writes, or the restart lost what the peer has.
        return failover(it)
    return _reopen(it)


def _reopen(it: Situation) -> Answer:
    look = it.w.look
    if look is None:
        return None
    nodes: tuple[tuple[str, NodeRecord], ...] = ((it.writer, member(look.boot_id)),)
    if (standby := _beside_reopened(it)) is not None:
        nodes = (*nodes, (it.standby, standby))
    check = None
    if it.member and it.s.answering and not (it.diverged or it.writer_lost):
        # A standby that is seen to have diverged waits for its own look, being away from here.
        check = RequireNoErrant(node=it.standby, reference=it.writer)
    change = RecordChange(f"{it.writer} has restarted, solo", sync=Sync.SOLO, nodes=nodes)
    return make(
        it,
        "reinstate",
        it.writer,
        f"open {it.writer} again after its restart",
        check,
        ChangeRecord(change=change),
        StopReplication(node=it.writer),
        *install_steps(it, it.writer),
    )


def _beside_reopened(it: Situation) -> NodeRecord | None:
    """The standby's entry from now on; None: as it is.

    What an older writer has lost bore names that it gives anew, and by which the standby may have
    it: nothing would tell the two apart, so that only other data help.
    """
    if it.writer_lost is not None and it.heal is None:
        reason = f"{it.writer} was opened with older data than it had, and gives old names anew"
        return fenced(Cause.BROKEN, reason)
    if it.member:
        return away(Cause.RESTARTED, f"the writer {it.writer} restarted")
    return None
