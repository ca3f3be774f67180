"""The view as plain data, for the control socket and whoever reads it."""

from __future__ import annotations

from typing import Any

from myha.core.model import BalancerView, Heal, Job, NodeLook, NodeView, Record, View
from myha.core.planning import Decision
from myha.core.plans import Plan
from myha.core.routing import wanted
from myha.core.verdicts import NOT_SET_UP, situation_of
from myha.core.verdicts.row import Verdict

Data = dict[str, Any]

OF_FAILED_APPLIER = frozenset({"replication-broken", "broken-fenced"})


def status(
    view: View, decision: Decision, running: Plan | None, failures: dict[str, Data] | None = None
) -> Data:
    """What `myha status` shows: the verdict, the record, the nodes, the balancers.

    `failures`: by node, what is known of the error that its applier has stopped with.
    """
    failures = failures or {}
    it = situation_of(view)
    verdicts = decision.verdicts
    first = verdicts[0] if verdicts else None
    record = view.record
    settled = decision.settled and running is None
    healthy = first is not None and first.name == "healthy" and settled
    return {
        "settled": settled,
        "verdict": first.name if first else "not-set-up",
        "sentence": _sentence(first.say(it), first, it.standby, failures)
        if first and it
        else NOT_SET_UP,
        "verdicts": [{"name": v.name, "sentence": v.say(it)} for v in verdicts if it],
        "healthy": healthy,
        "mode": view.policy.mode.value,
        "durability": view.policy.durability.value,
        "writer": record.writer if record else None,
        "epoch": record.epoch if record else None,
        "sync": record.sync.value if record else None,
        "maintenance": record.maintenance if record else False,
        "running": running.sentence if running else None,
        "refusals": [
            {"verdict": name, "reason": one.reason, "override": one.override}
            for name, one in decision.refusals
        ],
        "incidents": [
            {
                "plan": one.plan,
                "node": one.node,
                "reason": one.reason,
                "attempts": one.attempts,
                "ago_seconds": round(view.at - one.at, 1),
            }
            for one in view.incidents
        ],
        "jobs": [_job(view, one) for one in view.jobs],
        "nodes": {
            name: {**_node(view, name, node, record), "failure": failures.get(name)}
            for name, node in view.nodes
        },
        "balancers": {name: _balancer(one) for name, one in view.balancers},
    }


def _sentence(said: str, verdict: Verdict, standby: str, failures: dict[str, Data]) -> str:
    """The verdict's, and of a failed applier which heal applies, once that is known."""
    if verdict.name not in OF_FAILED_APPLIER or standby not in failures:
        return said
    return f"{said} {failures[standby]['kind']}: {failures[standby]['sentence']}."


def _node(view: View, name: str, node: NodeView, record: Record | None) -> Data:
    entry = record.node(name) if record else None
    data: Data = {
        "contact": node.contact.value,
        "contact_seconds": round(view.at - node.contact_since, 1),
        "error": node.error,
        "membership": entry.membership.value if entry else None,
        "cause": entry.cause.value if entry else "",
        "reason": entry.reason if entry else "",
        "fenced": bool(entry and entry.membership.value == "fenced"),
        "heal": _heal(view, name, entry.heal) if entry and entry.heal else None,
        "wanted": {pool: wanted(view, pool, name) for pool in ("writer", "reader")},
        "reader_ok": node.reader_ok,
    }
    return data if node.look is None else {**data, **_look(node.look)}


def _job(view: View, job: Job) -> Data:
    return {
        "kind": job.kind,
        "node": job.node,
        "method": job.method,
        "heal": job.id,
        "seconds": round(view.at - job.since, 1),
        "phase": job.phase,
        "percent": None if job.percent is None else round(job.percent, 1),
        "left_seconds": job.left_seconds,
        "text": job.text,
    }


def _heal(view: View, node: str, heal: Heal) -> Data:
    """The heal on record, under way or the last one, and how its last job ended."""
    last = [one for one in view.heals if one.node == node and one.id == heal.id]
    return {
        "id": heal.id,
        "method": heal.method,
        "methods": list(heal.methods),
        "cause": heal.cause.value,
        "refused": list(heal.refused),
        "last": [
            {
                "method": one.method,
                "result": one.result.value,
                "reason": one.reason,
                "attempts": one.attempts,
            }
            for one in last
        ],
    }


def _look(look: NodeLook) -> Data:
    return {
        "version": look.version,
        "server_id": look.server_id,
        "boot_id": look.boot_id,
        "open": look.open,
        "executed": str(look.executed),
        "receiver": _thread(look.receiver.state.value, look.receiver.errno, look.receiver.error),
        "applier": _thread(look.applier.state.value, look.applier.errno, look.applier.error),
        "source": look.source,
        "lag_seconds": look.lag_seconds,
        "lag_transactions": look.lag_transactions,
        "lag_bytes": look.lag_bytes,
        "semisync": {
            "source_enabled": look.semisync.source_enabled,
            "source_waits": look.semisync.source_waits,
            "source_clients": look.semisync.source_clients,
            "source_wait_count": look.semisync.source_wait_count,
            "acknowledgers": [
                {
                    "name": str(one),
                    "user": one.user,
                    "host": one.host,
                    "identity": one.identity,
                    "session": one.session,
                }
                for one in look.semisync.acknowledgers
            ],
            "replica_enabled": look.semisync.replica_enabled,
            "waiting_sessions": look.semisync.waiting_sessions,
        },
        "sessions": look.sessions,
        "writes_stalled_seconds": round(look.writes_stalled_seconds, 2),
        "stall_reason": look.stall_reason,
    }


def _thread(state: str, errno: int, error: str) -> Data:
    return {"state": state, "errno": errno, "error": error}


def _balancer(balancer: BalancerView) -> Data:
    routes = balancer.look.routes if balancer.look else ()
    return {
        "answering": balancer.answering,
        "error": balancer.error,
        "boot_id": balancer.look.boot_id if balancer.look else "",
        "routes": [
            {
                "pool": one.pool,
                "node": one.node,
                "takes_traffic": one.takes_traffic,
                "sessions": one.sessions,
            }
            for one in routes
        ],
    }
