"""The status of a pair from what the loop knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from myha.core.balancer import BalancerView
from myha.core.jobs import HealOutcome, Job
from myha.core.node import NodeLook, NodeView
from myha.core.planning import Decision, PairDecision
from myha.core.plans import Plan
from myha.core.record import Cause, Heal, Membership, NodeRecord, Record
from myha.core.routing import wanted
from myha.core.situation.subject import Subject
from myha.core.verdicts import HEALTHY, NOT_SET_UP, situation_of
from myha.core.verdicts.row import Row
from myha.core.view import LoopView, View
from myha.supervisor.status import (
    AddressStatus,
    ApplierFailure,
    BalancerStatus,
    HealStatus,
    IncidentStatus,
    JobStatus,
    MethodStatus,
    NodeStatus,
    RefusalStatus,
    RouteStatus,
    SeenNodeStatus,
    Status,
    VerdictStatus,
)

S = TypeVar("S", bound=Subject[Any])

OF_FAILED_APPLIER = frozenset({"replication-broken", "broken-fenced"})


def build_status(
    name: str,
    view: View,
    decision: PairDecision,
    running: Plan | None,
    failures: Mapping[str, ApplierFailure] | None = None,
) -> Status:
    """The status of the pair `name`, without what only a supervisor's process can say.

    `failures`: by node, what is known of the error that its applier has stopped with.
    """
    failures = failures or {}
    it, record = situation_of(view), view.record
    known = loop_status(it, decision, running, view, healthy=HEALTHY, not_set_up=NOT_SET_UP)
    if it is not None and decision.verdicts:
        known["sentence"] = _sentence(known["sentence"], decision.verdicts[0], it.standby, failures)
    return Status(
        **known,
        mode=view.policy.mode,
        durability=view.policy.durability,
        writer=record.writer if record else None,
        epoch=record.epoch if record else None,
        sync=record.sync if record else None,
        maintenance=record.maintenance if record else False,
        nodes={n: _node(view, n, node, record, failures.get(n)) for n, node in view.nodes},
        balancers={n: _balancer(one) for n, one in view.balancers},
        ok=True,
        name=name,
    )


def loop_status(
    it: S | None,
    decision: Decision[S],
    running: Plan | None,
    view: LoopView,
    *,
    healthy: Row[S],
    not_set_up: str,
) -> dict[str, Any]:
    """What the status of a pair and that of a replica say of their loops."""
    verdicts = decision.verdicts if it is not None else ()
    told = tuple(VerdictStatus(name=one.name, sentence=one.text(it)) for one in verdicts if it)
    settled = decision.fresh and running is None
    return {
        "settled": settled,
        "verdict": told[0].name if told else "not-set-up",
        "sentence": told[0].sentence if told else not_set_up,
        "verdicts": told,
        "healthy": settled and verdicts[:1] == (healthy,),
        "running": running.sentence if running else None,
        "refusals": tuple(
            RefusalStatus(verdict=of, reason=one.reason, override=one.override)
            for of, one in decision.refusals
        ),
        "incidents": tuple(
            IncidentStatus(
                plan=one.plan,
                node=one.node,
                reason=one.reason,
                attempts=one.attempts,
                ago_seconds=round(view.at - one.at, 1),
            )
            for one in view.incidents
        ),
        "jobs": tuple(_job(one, view.at) for one in view.jobs),
    }


def _sentence(
    said: str, verdict: Row[Any], standby: str, failures: Mapping[str, ApplierFailure]
) -> str:
    """The verdict's, and of a failed applier which heal applies, once that is known."""
    if verdict.name not in OF_FAILED_APPLIER or standby not in failures:
        return said
    return f"{said} {failures[standby].kind}: {failures[standby].sentence}."


def _node(
    view: View, name: str, node: NodeView, record: Record | None, failure: ApplierFailure | None
) -> NodeStatus:
    entry = record.node(name) if record else None
    known = {
        **node_known(name, node, entry, view.heals, view.at),
        "wanted": {pool: wanted(view, pool, name) for pool in ("writer", "reader")},
        "failure": failure,
    }
    if node.look is None:
        return NodeStatus(**known)
    return SeenNodeStatus(**known, **seen_of(node.look))


def node_known(
    name: str, node: NodeView, entry: NodeRecord | None, heals: Iterable[HealOutcome], at: float
) -> dict[str, Any]:
    """The fields of a `NodeStatus` that a node's own view and entry on record tell."""
    return {
        "contact": node.contact,
        "contact_seconds": round(at - node.contact_since, 1),
        "error": node.error,
        "membership": entry.membership if entry else None,
        "cause": entry.cause if entry else Cause.NONE,
        "reason": entry.reason if entry else "",
        "fenced": entry is not None and entry.membership is Membership.FENCED,
        "heal": _heal(heals, name, entry.heal) if entry and entry.heal else None,
        "reader_ok": node.reader_ok,
        "watched": node.lease.armed,
    }


def seen_of(look: NodeLook) -> dict[str, Any]:
    """The further fields of a `SeenNodeStatus`, which are of the same names as the look's."""
    names = SeenNodeStatus.model_fields.keys() - NodeStatus.model_fields.keys()
    return {name: getattr(look, name) for name in names}


def _job(job: Job, at: float) -> JobStatus:
    return JobStatus(
        kind=job.kind,
        node=job.node,
        method=job.method,
        heal=job.id,
        seconds=round(at - job.since, 1),
        phase=job.phase,
        percent=None if job.percent is None else round(job.percent, 1),
        left_seconds=job.left_seconds,
        text=job.text,
    )


def _heal(heals: Iterable[HealOutcome], node: str, heal: Heal) -> HealStatus:
    last = (one for one in heals if one.node == node and one.id == heal.id)
    return HealStatus(
        id=heal.id,
        method=heal.method,
        methods=heal.methods,
        cause=heal.cause,
        refused=heal.refused,
        last=tuple(MethodStatus.model_validate(one) for one in last),
    )


def _balancer(balancer: BalancerView) -> BalancerStatus:
    look = balancer.look
    return BalancerStatus(
        answering=balancer.answering,
        error=balancer.error,
        boot_id=look.boot_id if look else "",
        routes=tuple(RouteStatus.model_validate(one) for one in look.routes) if look else (),
        address=AddressStatus.model_validate(look.address) if look and look.address else None,
    )
