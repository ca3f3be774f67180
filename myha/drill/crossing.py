"""Two writers change the same rows at the same time, and neither sees the other's change."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

from myha.drill.errant import ERRANT_CLIENT, ErrantRow
from myha.drill.rows import Row
from myha.drill.stage import Fault, Scenario, Stage, expect
from myha.drill.target import DATABASE
from myha.drill.worker import payload
from myha.errors import MyhaError
from myha.hosts.commands import output_of

ROWS = 10
READER_DEADLINE_SECONDS = 30.0
REPORT_DEADLINE_SECONDS = 15.0
SETTLE_DEADLINE_SECONDS = 15.0
REPAIR_DEADLINE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Crossing:
    """A row, and what each of the two nodes made of it."""

    before: Row
    on_writer: Row
    on_standby: Row


def _cross(stage: Stage) -> Fault:
    """Each row is held on both nodes before either commits, so that neither can see the other's.

    The event of the one that commits first waits on the other node for the row, which the second
    one still holds.
    """
    _await_reader(stage)
    target = stage.target
    statements = target.flavour.statements("drill")
    update = statements.one("drill_update")
    with target.node_session(stage.writer) as first, target.node_session(stage.standby) as second:
        values = {"below": ERRANT_CLIENT, "limit": ROWS}
        rows = [Row(*one) for one in first.query(statements.one("drill_oldest") % values)]
        at = time.monotonic()
        for row in rows:
            crossing = Crossing(row, _changed(stage, row, 1), _changed(stage, row, 2))
            for session, after in ((first, crossing.on_writer), (second, crossing.on_standby)):
                session.query("BEGIN")
                key = {"client": row.client, "number": row.number}
                session.query(update % {**key, "payload": after.payload})
            first.query("COMMIT")
            second.query("COMMIT")
            # What was written on the writer ends up on the standby, where the repair finds it.
            stage.errant.add(ErrantRow(row, crossing.on_writer))
            stage.crossings.append(crossing)
    return Fault(at, stage.writer)


def _await_reader(stage: Stage) -> None:
    """Until the supervisor reads both binary logs for conflicts, from where they are now."""

    def reads() -> bool:
        jobs = stage.target.status().jobs
        reader = next((one for one in jobs if one.kind == "conflicts"), None)
        return reader is not None and reader.phase == "watch" and "not read" not in reader.text

    problem = "the supervisor reads no conflicts: is conflicts.enabled set?"
    expect(stage, reads, READER_DEADLINE_SECONDS, problem)


def _changed(stage: Stage, row: Row, side: int) -> Row:
    return row.spoilt(payload(stage.seed, side * ERRANT_CLIENT + row.client, row.number))


def _repair(stage: Stage, _fault: Fault) -> None:
    """Wait for the reports, then make the standby's rows the writer's, as an operator does."""
    stage.await_conflicts(len(stage.crossings), REPORT_DEADLINE_SECONDS)
    stage.slow_down()
    _await_crossed(stage)
    stage.tell(
        f"the nodes differ in {len(stage.crossings)} rows: myha repair --from {stage.writer}"
    )
    _run_repair(stage)
    for name in (stage.writer, stage.standby):
        held = set(stage.target.tables(name).rows)
        wrong = [one for one in stage.crossings if one.on_standby not in held]
        if wrong:
            stage.problem(f"{len(wrong)} rows of {name} are not what the repair was to make them")
    _restore(stage)


def _await_crossed(stage: Stage) -> None:
    """Until each node has the other one's change, which it must have as soon as it applied it."""

    def crossed() -> bool:
        writer = set(stage.target.tables(stage.writer).rows)
        standby = set(stage.target.tables(stage.standby).rows)
        return all(one.on_standby in writer and one.on_writer in standby for one in stage.crossings)

    problem = "the crossing updates did not leave the nodes different"
    expect(stage, crossed, SETTLE_DEADLINE_SECONDS, problem)


def _run_repair(stage: Stage) -> None:
    config = stage.target.config
    command = (sys.executable, "-m", "myha", "--config", str(config.path), "repair")
    table = f"{DATABASE}.myha_drill"
    options = ("--from", stage.writer, "--tables", table, "--apply", "--yes")
    try:
        output_of("the repair", (*command, *options), REPAIR_DEADLINE_SECONDS)
    except MyhaError as error:
        stage.problem(str(error))


def _restore(stage: Stage) -> None:
    """What the clients wrote comes back by plain updates: the judge knows rows by their payload."""
    target = stage.target
    update = target.flavour.statements("drill").one("drill_update")
    with target.node_session(stage.writer) as session:
        for one in stage.crossings:
            row = one.before
            values = {"client": row.client, "number": row.number, "payload": row.payload}
            session.query(update % values)


CROSSING = (
    Scenario(
        "conflict",
        f"{ROWS} rows are updated on both writers at the same time",
        f"update {ROWS} rows on both nodes at once, so that their data differ",
        _cross,
        _repair,
        needs_host=False,
        dual_writer_only=True,
        needs_administrator=True,
    ),
)
