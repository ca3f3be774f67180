"""Replication filters: what one left out no executed set tells, so its node is fenced. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from myha.core.plans import (
    AwaitCaughtUp,
    ChangeRecord,
    CloseGently,
    DisableWaiting,
    KillClients,
    Plan,
    RecordChange,
    Refusal,
    StopReceiver,
    StopReplication,
    TakeOut,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.failover import promotable
from myha.core.protocols.fencing import fence
from myha.core.record import Cause, Sync, fenced
from myha.core.settings import Difference, listed
from myha.core.situation import Situation

CLOSE_SECONDS, CATCH_UP_SECONDS, STOP_SECONDS = 3.0, 5.0, 5.0


def fence_filtered(it: Situation) -> Answer:
    """What a filter left out is named in the executed set all the same: only other data help.

    It is cleared when the node comes back, healed or unfenced by somebody who knows better.
    """
    if it.filtered:
        return fence(it, Cause.BROKEN, left_out(it.filters))
    refusal = promotable(it)
    if refusal is None:
        return _replace_writer(it)
    return Refusal(f"{it.writer}: {left_out(it.writer_filters)}; and {refusal.reason}")


def left_out(filters: Iterable[Difference]) -> str:
    return f"a replication filter was in force, so changes may be missing ({listed(filters)})"


def _replace_writer(it: Situation) -> Plan:
    """With two writers: the one on record lacks what the other wrote, so that one's history counts.

    It has all of its peer's writes first. Cut before the record changes it is opened again.
    """
    old, new = it.writer, it.standby
    reason = left_out(it.writer_filters)
    change = RecordChange(
        f"{new} is the writer, solo; {old} is fenced: {reason}",
        writer=new,
        new_epoch=True,
        sync=Sync.SOLO,
        nodes=((old, fenced(Cause.BROKEN, reason)),),
    )
    return make(
        it,
        "replace-filtered",
        new,
        f"fence {old}: {reason}",
        TakeOut(node=old, balancers=it.policy.balancers, best_effort=True),
        CloseGently(node=old, deadline_seconds=CLOSE_SECONDS),
        KillClients(node=old, best_effort=True),
        AwaitCaughtUp(node=new, source=old, deadline_seconds=CATCH_UP_SECONDS),
        ChangeRecord(change=change),
        DisableWaiting(node=new, best_effort=True),
        StopReceiver(node=new, best_effort=True),
        StopReplication(node=old, best_effort=True, deadline_seconds=STOP_SECONDS),
    )
