"""Faults that make the nodes' data differ, and leave it to the supervisor to heal that."""

from __future__ import annotations

from myha.drill.administrator import Administrator
from myha.drill.stage import Fault, Scenario, Stage, freeze_writer, silence, thaw


def _diverge(stage: Stage, fault: Fault) -> None:
    _write_on_the_replaced_writer(stage, fault, ddl=False)


def _diverge_ddl(stage: Stage, fault: Fault) -> None:
    _write_on_the_replaced_writer(stage, fault, ddl=True)


def _write_on_the_replaced_writer(stage: Stage, fault: Fault, *, ddl: bool) -> None:
    """In maintenance, or the supervisor would fence the node before anybody could write on it."""
    stage.await_plan(fault.plans)
    stage.hold_supervisor()
    thaw(stage, fault)
    stage.tell(f"an administrator writes on {fault.node}, which has been replaced")
    administrator = Administrator(stage.target, fault.node, stage.errant, stage.seed)
    count = administrator.diverge(ddl=ddl)
    stage.tell(f"{fault.node} has {count} errant rows; the supervisor may see it now")
    stage.release_supervisor()


DIVERGING = (
    Scenario(
        "diverge",
        "the writer freezes, is replaced, and is then written to by an administrator",
        "freeze the writer's process, and write on it after it was replaced",
        freeze_writer,
        _diverge,
        unattended_failover=True,
        needs_administrator=True,
        heals=("merge", "rewind", "reseed"),
        explains=silence,
    ),
    Scenario(
        "diverge-ddl",
        "the writer freezes, is replaced, and is then written to, with a CREATE TABLE among it",
        "freeze the writer's process, and write on it and make a table there after it was replaced",
        freeze_writer,
        _diverge_ddl,
        unattended_failover=True,
        needs_administrator=True,
        heals=("reseed",),
        explains=silence,
    ),
)
