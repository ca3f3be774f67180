"""A heal of one node by one method, from the look at it to the proof that its data is right.

The node stays fenced throughout: whoever started this lets it return when this says that it is
done. Every phase may die at any point and be done again: what is undone or merged is no longer
errant, what is in quarantine is found there, and the rest reads its facts from the servers anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any

from myha.binlog.errors import HealRefusedError
from myha.config import load_ordered
from myha.core.events import Kind
from myha.core.gtid import GtidSet
from myha.core.node import ThreadState
from myha.database.schemas import OF_SYSTEM
from myha.database.session import Session
from myha.errors import MyhaError, ServerError
from myha.operations.heal.limit import Limit
from myha.operations.heal.work import HealWork
from myha.ports import JobOrder
from myha.progress import Meter, Reporter

START_DEADLINE_SECONDS = 30.0
STOP_DEADLINE_SECONDS = 30.0
CATCH_UP_SLICE_SECONDS = 0.5
# A node that gets no further for so long has a reason that waiting does not remove.
CATCH_UP_STALL_SECONDS = 120.0
TABLES_DEADLINE_SECONDS = 600.0  # to list a server's tables
DIFFERENCES_TOLD = 3


def run(order: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Carry the order out; what was done, for the outcome.

    Raises HealRefusedError when this method does not do and nothing was changed, MyhaError when it
    did not reach its end and may be begun again.
    """
    with closing(HealWork(load_ordered(order), JobOrder.of(order), reporter)) as work:
        if work.order.method not in METHODS:
            raise HealRefusedError(f"there is no method {work.order.method}")
        work.permit.require_record()
        said = METHODS[work.order.method](work)
        work.reporter.event(Kind.HEAL, said)
        tables = None if work.order.method == "reseed" else work.quarantined_tables() or None
        replicate(work)
        verified = verify_data(work, tables)
        work.node.stop_replication(STOP_DEADLINE_SECONDS)
        work.permit.require_record()
    return {"text": f"{said}; {verified}", "method": work.order.method}


# -- the methods -----------------------------------------------------------------------------------


def _rewind(work: HealWork) -> str:
    from myha.operations.heal.rewind import rewind  # noqa: PLC0415  # as all methods: when needed

    require_quiet(work)
    return rewind(work)


def _merge(work: HealWork) -> str:
    from myha.operations.heal.merge import merge_node  # noqa: PLC0415

    require_quiet(work)
    executed, keep = histories(work)
    work.permit.require_record()
    report = merge_node(
        work.connector(work.order.node),
        work.connector(work.order.writer, admin=True),
        work.flavour,
        executed,
        keep,
        work.quarantine_dir,
        work.incident,
        work.reporter,
    )
    return str(report)


def _reseed(work: HealWork) -> str:
    from myha.operations.heal.reseed import ReseedOrder, reseed_node  # noqa: PLC0415

    order = ReseedOrder(
        work.config,
        work.order.node,
        work.order.writer,
        work.incident,
        accept_loss=work.order.accept_loss,
    )
    return str(reseed_node(order, work.reporter))


METHODS: dict[str, Callable[[HealWork], str]] = {
    "rewind": _rewind,
    "merge": _merge,
    "reseed": _reseed,
}


def require_quiet(work: HealWork) -> None:
    """Fenced as it must be: read-only, with both threads stopped. Raises `MyhaError` if not."""
    look = work.node.look()
    name = work.order.node
    if look.open:
        raise MyhaError(f"{name} takes writes: it is not fenced")
    if {look.receiver.state, look.applier.state} != {ThreadState.STOPPED}:
        raise MyhaError(f"{name} replicates: it is not fenced")


def histories(work: HealWork) -> tuple[GtidSet, GtidSet]:
    """What the node has committed, then the writer: what that one gets meanwhile is no error."""
    executed = work.node.executed()
    return executed, work.writer.executed()


# -- afterwards ------------------------------------------------------------------------------------


def replicate(work: HealWork) -> None:
    """One way, from the writer to the node, until it has all that the writer has now."""
    work.permit.require()
    node = work.node
    executed, wanted = histories(work)
    errant = executed.minus(wanted)
    if not errant.is_empty():
        raise MyhaError(f"{work.order.node} still has errant transactions: {errant}")
    # A filter would leave out what it is about to catch up on; only new data make up for the rest.
    clears = work.order.method == "reseed"
    work.restore_source(START_DEADLINE_SECONDS, clears_filters=clears)
    _start(work)
    missing = wanted.minus(executed)
    meter = Meter(work.reporter, "catch up", total=float(missing.count()), unit="transactions")
    progress_at, left = time.monotonic(), missing.count()
    while not node.await_executed(wanted, CATCH_UP_SLICE_SECONDS):
        work.permit.require()
        _require_applying(work)
        now_left = wanted.minus(node.executed()).count()
        if now_left < left:
            progress_at, left = time.monotonic(), now_left
        elif time.monotonic() - progress_at > CATCH_UP_STALL_SECONDS:
            raise MyhaError(
                f"{work.order.node} has applied nothing for {CATCH_UP_STALL_SECONDS:.0f} s and "
                f"lacks {left} transactions"
            )
        meter.to(missing.count() - left)
    meter.to(missing.count())
    meter.report()


def _start(work: HealWork) -> None:
    """Start replication; why it does not start is what its receiver says, if that says anything."""
    try:
        work.node.start_replication(START_DEADLINE_SECONDS)
    except ServerError:
        _require_applying(work)
        raise


def _require_applying(work: HealWork) -> None:
    """Raises HealRefusedError where only other data help, MyhaError where trying again may."""
    look = work.node.look()
    if look.receiver.purged:
        raise HealRefusedError(
            f"{work.order.writer} has purged what {work.order.node} lacks: {look.receiver.error}"
        )
    for thread in (look.applier, look.receiver):
        if thread.errno and thread.state is ThreadState.STOPPED:
            raise MyhaError(f"replication of {work.order.node} failed: {thread.error}")


def verify_data(work: HealWork, tables: frozenset[str] | None) -> str:
    """The rows of `tables` (None: of all) by checksum. Raises `MyhaError` when they differ."""
    from myha.operations.verify import verify  # noqa: PLC0415
    from myha.operations.verify.job import throttle_of  # noqa: PLC0415

    order = work.order
    only = None if tables is None else _still_there(work, tables)
    if only is not None and not only:
        return "none of its tables exists any more: nothing to verify"
    # A reseed replaces everything; the other methods check each row that they change anyway.
    seconds = work.config.heal.verify_limit_seconds if tables is not None else 0.0
    with Limit(work.reporter, seconds) as limit:
        report = verify(
            work.connector(order.writer),
            work.connector(order.node),
            work.flavour,
            reporter=limit,
            tables=only,
            throttle=throttle_of(work.config),
            names=(order.writer, order.node),
        )
    if limit.over:
        if limit.differences:
            raise MyhaError(f"differs after the heal: {limit.differences} rows or more")
        return f"compared for {seconds:g} s and nothing differed; `myha verify` compares the rest"
    if not report.equal:
        for line in report.lines():
            work.reporter.event(Kind.DIFFERS, line)
        first = "; ".join(report.lines()[:DIFFERENCES_TOLD])
        raise MyhaError(f"differs after the heal: {report.text()}: {first}")
    return report.text()


def _still_there(work: HealWork, tables: frozenset[str]) -> frozenset[str]:
    """Without tables that neither node has any more, and those that are nobody's data."""
    found: set[str] = set()
    for name in (work.order.writer, work.order.node):
        with Session(work.connector(name)(), TABLES_DEADLINE_SECONDS, where=name) as session:
            rows = session.query(
                "SELECT table_schema, table_name FROM information_schema.tables"
                " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN"
                f" {OF_SYSTEM}"
            )
        found |= {f"{schema}.{table}" for schema, table in rows}
    return tables & found
