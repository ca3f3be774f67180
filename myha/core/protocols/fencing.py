"""Taking the standby out: closed, fenced, isolated until it has been inspected. Pure."""

from __future__ import annotations

from myha.core.plans import (
    ChangeRecord,
    CloseGently,
    DisableWaiting,
    Fence,
    KillClients,
    Plan,
    RecordChange,
    Step,
    StopReceiver,
    StopReplication,
    TakeOut,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.events import no_events
from myha.core.record import Cause, Heal, Sync, fenced
from myha.core.situation import Situation


def close_standby(it: Situation) -> Answer:
    sentence = f"close {it.standby}, which takes writes without being the writer"
    return make(it, "close-standby", it.standby, sentence, *closing_steps(it))


def closing_steps(it: Situation, *, best_effort: bool = False) -> tuple[Step, ...]:
    """A standby takes no more writes that somebody opened; what it took stays."""
    names = it.policy.balancers
    return (
        TakeOut(node=it.standby, pools=("writer",), balancers=names, best_effort=True),
        CloseGently(node=it.standby, best_effort=best_effort),
        KillClients(node=it.standby, best_effort=True),
    )


def fence_changed(it: Situation) -> Answer:
    source = it.s.look.source if it.s.look is not None else ""
    return fence(it, Cause.STRANGER, f"it replicates from {source}, which is not its peer")


def fence(it: Situation, cause: Cause, reason: str, heal: Heal | None = None) -> Plan:
    """Take the standby out for good: on record, out of traffic, read-only, not replicating."""
    change = RecordChange(
        f"{it.standby} is fenced: {reason}",
        sync=Sync.SOLO,
        nodes=((it.standby, fenced(cause, reason, heal)),),
    )
    return make(
        it,
        "fence",
        it.standby,
        f"fence {it.standby}: {reason}",
        ChangeRecord(change=change),
        DisableWaiting(node=it.writer),
        StopReceiver(node=it.writer, best_effort=True),
        *(quiet_steps(it) if it.s.answering else _out_steps(it)),
    )


def _out_steps(it: Situation) -> tuple[Step, ...]:
    return (TakeOut(node=it.standby, balancers=it.policy.balancers, best_effort=True),)


def quiet_steps(it: Situation) -> tuple[Step, ...]:
    return (
        *_out_steps(it),
        Fence(node=it.standby, deadline_seconds=5.0),
        StopReplication(node=it.standby, deadline_seconds=5.0),
    )


def isolate(it: Situation) -> Answer:
    sentence = f"fence {it.standby} and stop its replication to inspect it"
    return make(
        it,
        "isolate",
        it.standby,
        sentence,
        *quiet_steps(it),
        # Whatever it holds must not flow to the writer before it has been looked at.
        StopReceiver(node=it.writer),
        # On MariaDB read-only does not bind an event whose definer may write all the same.
        no_events(it.standby),
    )


def stop_listening(it: Situation) -> Answer:
    sentence = f"stop the receiver of {it.writer} until {it.standby} has been inspected"
    return make(it, "stop-listening", it.writer, sentence, StopReceiver(node=it.writer))


def fence_errant(it: Situation) -> Answer:
    if it.errant is None:
        return None
    reason = f"it has {it.errant.count()} errant transactions: {it.errant}"
    record = it.record_as(f"{it.standby} is fenced: {reason}", fenced(Cause.ERRANT, reason))
    return make(it, "fence-errant", it.standby, f"fence {it.standby}: {reason}", record)
