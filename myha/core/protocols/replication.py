"""Replication that has stopped or lost its source is started again. Pure."""

from __future__ import annotations

from myha.core.applier_errors import relay_log_is_damaged
from myha.core.plans import (
    AwaitApplied,
    ChangeRecord,
    ForgetReceived,
    RecordChange,
    Refusal,
    RestoreSource,
    StartReplication,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.fencing import closing_steps
from myha.core.record import Sync
from myha.core.situation import Situation


def solo_first(it: Situation, node: str, sentence: str) -> ChangeRecord | None:
    """Before anything that may cost an armed standby what it has received; None where it is not."""
    if not it.armed or node != it.standby:
        return None
    return ChangeRecord(change=RecordChange(sentence, sync=Sync.SOLO))


def restart_standby_replication(it: Situation) -> Answer:
    """Where both threads were stopped, a start may throw away what was received and not applied.

    (MariaDB does, with GTID.) It is received again, but until then the record must not say armed.
    So too where one of them still ran: whoever stopped the other may stop that before the start.
    """
    sentence = f"start replication on {it.standby}"
    solo = solo_first(it, it.standby, f"solo while {it.standby} starts again")
    step = StartReplication(node=it.standby)
    return make(it, "restart-replication", it.standby, sentence, solo, step)


def restore_source(it: Situation) -> Answer:
    """What was received went with the source: it is received again, and until then it is solo."""
    node = it.standby if it.standby_sourceless else it.writer
    solo = solo_first(it, node, f"solo: {node} has lost its source")
    sentence = f"set up replication on {node} again"
    return make(
        it,
        "restore-source",
        node,
        sentence,
        solo,
        RestoreSource(node=node),
        StartReplication(node=node, deadline_seconds=5.0),
    )


def receive_again(it: Situation, node: str) -> Answer:
    """Its peer still has what cannot be read in a node's relay log.

    That it gets through belongs to it: where it comes to the same end again (the peer's own log
    is damaged), the plan has failed, and waits longer each time. One that has only not got through
    in time finds nothing to do.
    """
    return make(
        it,
        "receive-again",
        node,
        f"have {node} receive again what it has not applied: its relay log is damaged",
        solo_first(it, node, f"solo: the relay log of {node} is damaged"),
        ForgetReceived(node=node, deadline_seconds=5.0),
        StartReplication(node=node, deadline_seconds=5.0),
        AwaitApplied(node=node, deadline_seconds=2.0),
    )


def mend_reverse(it: Situation) -> Answer:
    """The writer does not get what is written on its peer, which nobody may write on any more.

    The peer has all that the writer has: it may take over. But no heal is for this: what it has and
    the writer has not was acknowledged, and is no less right than what it collides with there.
    """
    look, second = it.installed_look, it.s.look
    if look is None or second is None:
        return None
    if relay_log_is_damaged(look.applier.errno):
        return receive_again(it, it.writer)
    if second.open:
        sentence = f"close {it.standby}: what is written there does not reach {it.writer}"
        return make(it, "close-second", it.standby, sentence, *closing_steps(it))
    failed = f"its applier failed: {look.applier.error} (error {look.applier.errno})"
    return Refusal(
        f"{it.writer}: {failed}; correct what the change from {it.standby} collides with on"
        f" {it.writer}, and start its replication there"
    )


def restart_writer_replication(it: Situation) -> Answer:
    sentence = f"start replication on {it.writer}"
    step = StartReplication(node=it.writer)
    return make(it, "restart-replication", it.writer, sentence, step)
