"""Rewind, as a heal: exactly the errant transactions are undone on the node."""

from __future__ import annotations

from myha.operations.heal.work import HealWork
from myha.undo.rewind import rewind_node

# Bounded by what the binary log and the disk can do; a node that hangs must not hold it for ever.
DEADLINE_SECONDS = 1800.0


def rewind(work: HealWork) -> str:
    """Undo them; what was done, in a sentence. Raises as `rewind_node`."""
    executed = work.node.executed()
    keep = work.writer.executed()
    work.permit.require_record()
    report = rewind_node(
        work.connector(work.order.node),
        work.flavour,
        executed,
        keep,
        quarantine_dir=work.quarantine_dir,
        incident=work.incident,
        reporter=work.reporter,
        deadline_seconds=DEADLINE_SECONDS,
    )
    return str(report)
