"""A replica outside the pair acknowledges what the standby does not have, and the writer dies.

What makes it dangerous is that all looks well: the writer waits, it is told that somebody has the
write, clients hear OK. Only who it was that has it tells that the standby must not take over.
"""

from __future__ import annotations

import time

from myha.config import Config
from myha.core.record import Sync
from myha.drill.stage import (
    START_DEADLINE_SECONDS,
    Fault,
    Scenario,
    Stage,
    await_decision,
    await_gone,
    expect,
    silence,
)
from myha.drill.target import Target
from myha.errors import MyhaError, RefusedError, ServerError
from myha.sandbox.cluster import Cluster

NOTICED_DEADLINE_SECONDS = 20.0
STANDBY_FROZEN_SECONDS = 1.0  # less than the dead time
REFUSED_DEADLINE_SECONDS = 20.0
WRITER_BACK_SECONDS = 10.0  # the refusal, and the start of a server after a crash


def _let_a_stray_acknowledge(stage: Stage) -> Fault:
    target, cluster = stage.target, _cluster(stage.target)
    cluster.start_stray()
    _connect(target, cluster, stage.writer)
    _await_noticed(stage)
    standby, writer = target.hosts[stage.standby], target.hosts[stage.writer]
    at = time.monotonic()
    standby.freeze()
    time.sleep(STANDBY_FROZEN_SECONDS)
    writer.kill()
    standby.thaw()
    return Fault(at, stage.writer, ("reinstate",))


def _cluster(target: Target) -> Cluster:
    if target.cluster is None:
        raise RefusedError("stray-replica starts a server of its own: use --sandbox")
    return target.cluster


def _connect(target: Target, cluster: Cluster, writer: str) -> None:
    """With the pair's own account and from its host: told from the standby by its identity only."""
    statements = target.flavour.statements("drill")
    with target.administrator(writer) as session:
        ((position,),) = session.query(statements.one("drill_position"))
    account, node = target.config.accounts.replication(), target.config.nodes[writer]
    values = {
        "position": "".join(str(position).split()),
        "host": node.replication_host,
        "port": node.replication_port,
        "user": account.user,
        "password": account.password.get_secret_value(),
    }
    admin = target.config.accounts.admin()
    stray = cluster.stray
    with target.session(stray.host, stray.port, account=admin, database=None) as session:
        try:
            for statement in statements.all("drill_stray"):
                session.query(statement, values if "%(" in statement else None)
        except ServerError as error:
            raise MyhaError(f"the replica outside the pair cannot be set up: {error}") from None


def _until_the_writer_is_back(config: Config) -> float:
    """Nobody takes over: writes wait for a server's whole start."""
    return STANDBY_FROZEN_SECONDS + WRITER_BACK_SECONDS + silence(config)


def _await_noticed(stage: Stage) -> None:
    def noticed() -> bool:
        status = stage.target.status()
        names = {one.name for one in status.verdicts}
        return "stray-acknowledger" in names and status.sync is Sync.SOLO

    problem = "the record says armed although a replica outside the pair acknowledges"
    expect(stage, noticed, NOTICED_DEADLINE_SECONDS, problem)


def _bring_the_writer_back(stage: Stage, fault: Fault) -> None:
    """No failover: the standby lacks what was acknowledged. So the writer has to come back."""
    stage.slow_down()
    try:
        _await_refusal(stage)
        host = stage.target.hosts[fault.node]
        await_gone(host)
        stage.tell(f"no failover, as it should be; starting {fault.node} again")
        host.start(START_DEADLINE_SECONDS)
        stage.await_plan(fault.plans)
    finally:
        _cluster(stage.target).end_stray()


def _await_refusal(stage: Stage) -> None:
    status = await_decision(stage, "writer-dead", REFUSED_DEADLINE_SECONDS)
    if status is not None and status.writer != stage.writer:
        stage.problem(
            f"{stage.standby} took over although what a replica outside the pair had"
            " acknowledged was not on it"
        )


STRAY = (
    Scenario(
        "stray-replica",
        "a replica outside the pair acknowledges while the standby is frozen, and the writer dies",
        "start a third server that replicates from the writer, and kill the writer",
        _let_a_stray_acknowledge,
        _bring_the_writer_back,
        needs_administrator=True,
        sandbox_only=True,
        single_writer_only=True,
        explains=_until_the_writer_is_back,
    ),
)
