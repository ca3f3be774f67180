"""Faults that take data away: a row behind replication's back, a whole data directory."""

from __future__ import annotations

import shutil
import time

from myha.core.policy import Durability
from myha.drill.errant import ERRANT_CLIENT
from myha.drill.rows import Row
from myha.drill.stage import (
    REST_SECONDS,
    TAKEOVER_PLANS,
    Fault,
    Scenario,
    Stage,
    await_gone,
)
from myha.drill.worker import payload
from myha.errors import MyhaError

RELEASE_PLANS = ("release",)
FENCE_PLANS = ("fence", "heal")


def _remove_row(stage: Stage) -> Fault:
    """The standby loses a row that is then updated on the writer, forth and back."""
    target = stage.target
    statements = target.flavour.statements("drill")
    with target.administrator(stage.standby) as session:
        (values,) = session.query(
            statements.one("drill_oldest") % {"below": ERRANT_CLIENT, "limit": 1}
        )
        row = Row(*values)
        key = {"client": row.client, "number": row.number}
        for name in ("drill_unlogged", "drill_let_administrators_write"):
            session.run(statements.all(name))
        try:
            session.query(statements.all("drill_delete")[0] % key)
        finally:
            session.run(statements.all("drill_let_nobody_write"))
    at = time.monotonic()
    spoilt = payload(stage.seed, ERRANT_CLIENT + row.client, row.number)
    # Not through the balancer, which may lead to the standby where that takes writes too.
    with target.node_session(stage.writer) as session:
        session.query("BEGIN")
        for one in (spoilt, row.payload):
            session.query(statements.one("drill_update") % {**key, "payload": one})
        session.query("COMMIT")
    return Fault(at, stage.standby, FENCE_PLANS)


def _await_fence(stage: Stage, fault: Fault) -> None:
    stage.await_plan(fault.plans)
    stage.slow_down()
    stage.tell(f"{fault.node} is fenced; the policy heals it")


def _lose_data(stage: Stage) -> Fault:
    """The writer's where no acknowledged write can be lost with it, else the standby's."""
    lossless = stage.target.config.cluster.durability is Durability.LOSSLESS
    node = stage.writer if lossless else stage.standby
    directory = stage.target.config.nodes[node].data_dir
    if directory is None:
        raise MyhaError(f"nodes.{node}.data_dir is not set: the drill does not know what to delete")
    at = time.monotonic()
    host = stage.target.hosts[node]
    host.kill()
    await_gone(host)
    shutil.rmtree(directory)
    plans = TAKEOVER_PLANS if lossless else RELEASE_PLANS
    return Fault(at, node, plans, writer_lost=lossless)


def _ask_for_reseed(stage: Stage, fault: Fault) -> None:
    """A server without data does not start, and only a person knows that it has none."""
    stage.await_plan(fault.plans)
    time.sleep(REST_SECONDS)
    stage.slow_down()
    stage.tell(f"{fault.node} has lost its data directory: myha heal {fault.node} --method reseed")
    stage.request("heal", node=fault.node, method="reseed")


DATA_LOSS = (
    Scenario(
        "reseed",
        "the writer is killed, and its data directory is deleted",
        "kill the writer and delete its data directory",
        _lose_data,
        _ask_for_reseed,
        unattended_failover=True,
        sandbox_only=True,
    ),
    Scenario(
        "bad-applier",
        "the standby loses a row behind replication's back, and the writer changes it",
        "delete a row on the standby, so that its applier fails",
        _remove_row,
        _await_fence,
        needs_host=False,
        hits_standby=True,
        needs_administrator=True,
        heals=("reseed",),
    ),
)
