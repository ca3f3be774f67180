"""Replication that has stopped or lost its source is started again. Pure."""

from __future__ import annotations

from myha.core.plans import (
    ChangeRecord,
    RecordChange,
    RestoreSource,
    StartReplication,
)
from myha.core.protocols.answer import Answer, make
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


def restart_writer_replication(it: Situation) -> Answer:
    sentence = f"start replication on {it.writer}"
    step = StartReplication(node=it.writer)
    return make(it, "restart-replication", it.writer, sentence, step)
