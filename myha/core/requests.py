"""What an operator asks for: each request becomes a plan or a refusal. Pure."""

from __future__ import annotations

from myha.core.node import Contact
from myha.core.plans import ChangeRecord, FenceOutside, RecordChange, Refusal
from myha.core.protocols.answer import Answer, make, unknown
from myha.core.protocols.failover import (
    FENCE_OUTSIDE_DEADLINE_SECONDS,
    failover,
    open_older,
    promotable,
)
from myha.core.protocols.fencing import fence
from myha.core.protocols.heals import stop_heal, stop_job, unfence
from myha.core.record import Cause
from myha.core.situation import Situation


def forced_failover(it: Situation, to: str, *, accept_loss: bool) -> Answer:
    """A failover that a person answers for: flapping and silence do not hold it back."""
    if to and (refusal := unknown(it, to)) is not None:
        return refusal
    if to == it.writer and it.writer_lost is not None:
        return open_older(it, accept_loss=accept_loss)
    if to and to != it.standby:
        return Refusal(f"{to} is not the standby; the standby is {it.standby}")
    if it.writer_installed:
        reason = f"the writer {it.writer} takes writes: no failover is needed"
        return Refusal(reason, f"myha switchover --to {it.standby}")
    refusal = promotable(it) or _may_still_serve(it)
    if refusal is not None and not (accept_loss and it.s.answering and not it.fenced):
        return refusal
    outside = None
    if it.w.contact is Contact.SILENT and it.writer in it.policy.fence_commands:
        # It may live and go on. Who accepts a loss takes over even if it cannot be fenced.
        deadline = FENCE_OUTSIDE_DEADLINE_SECONDS
        outside = FenceOutside(node=it.writer, best_effort=accept_loss, deadline_seconds=deadline)
    return failover(it, outside, unattended=False)


def _may_still_serve(it: Situation) -> Refusal | None:
    """A living writer goes on serving whom the balancers do not cut off, and there would be two.

    Not where its commits need the standby, which stops acknowledging.
    """
    override = f"myha failover --to {it.standby} --accept-loss"
    if it.dual or (it.armed and not it.cut_off):
        return None
    if it.cut_off:
        reason = f"{it.standby} still hears the writer {it.writer}: it lives and may serve clients"
        return Refusal(reason, override)
    if it.w.contact is Contact.REFUSING or it.writer in it.policy.fence_commands:
        return None
    if it.w.answering:
        return None  # closed: it only has to be looked at
    reason = f"{it.writer} is not proven dead and could still acknowledge writes"
    return Refusal(reason, override)


def fence_node(it: Situation, node: str, reason: str) -> Answer:
    if (refusal := unknown(it, node)) is not None:
        return refusal
    if node == it.writer:
        return Refusal(
            f"{node} is the writer: fencing it would stop all writes",
            f"myha switchover --to {it.standby}",
        )
    if it.heal is not None:
        return stop_heal(it, reason)
    if it.fenced:
        return Refusal(f"{node} is fenced already: {it.entry.reason}")
    return fence(it, Cause.BY_HAND, reason)


def unfence_node(it: Situation, node: str) -> Answer:
    if (refusal := unknown(it, node)) is not None:
        return refusal
    if node != it.standby or not it.fenced:
        return Refusal(f"{node} is not fenced")
    return unfence(it, Cause.STRANGER)


def maintenance(it: Situation, *, on: bool) -> Answer:
    if it.record.maintenance is on:
        return Refusal(f"maintenance is {'on' if on else 'off'} already")
    sentence = f"maintenance {'on' if on else 'off'}"
    change = ChangeRecord(change=RecordChange(sentence, maintenance=on))
    # It stays on record, and goes on afterwards.
    stop = stop_job(it) if on and it.heal_job is not None else None
    return make(it, "maintenance", it.writer, sentence, change, stop)
