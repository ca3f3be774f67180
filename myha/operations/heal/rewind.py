"""Rewind, as a heal: exactly the errant transactions are undone on the node."""

from __future__ import annotations

from myha.operations.heal.work import HealWork
from myha.progress import Meter, go_on
from myha.undo.rewind import rewind_node

# Bounded by what the binary log and the disk can do; a node that hangs must not hold it for ever.
DEADLINE_SECONDS = 1800.0


def rewind(work: HealWork) -> str:
    """Undo them; what was done, in a sentence. Raises as `rewind_node`."""
    executed = work.node.executed()
    keep = work.writer.executed()
    meters: dict[str, Meter] = {}

    def tell(phase: str, done: float, total: float | None, unit: str) -> None:
        go_on(work.reporter)
        if phase not in meters:
            meters[phase] = Meter(work.reporter, phase, total=total, unit=unit)
        meters[phase].to(done)

    work.reporter.require_record()
    report = rewind_node(
        work.connector(work.order.node),
        work.flavour,
        executed,
        keep,
        quarantine_dir=work.quarantine_dir,
        incident=work.incident,
        deadline_seconds=DEADLINE_SECONDS,
        tell=tell,
    )
    return str(report)
