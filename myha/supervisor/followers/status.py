"""The status of one read replica from what its loop knows. Pure."""

from __future__ import annotations

from myha.core.followers.planning import FollowerDecision
from myha.core.followers.verdicts import NOT_SET_UP, situation_of
from myha.core.followers.view import FollowerView
from myha.core.plans import Plan
from myha.supervisor.status import ReplicaStatus, SeenReplicaStatus, VerdictStatus
from myha.supervisor.status_builder import (
    incidents_status,
    job_status,
    node_known,
    refusals_status,
    seen_of,
)


def replica_status(
    view: FollowerView, decision: FollowerDecision, running: Plan | None, defect: str = ""
) -> ReplicaStatus:
    """`defect`: what its lane has ended by; nothing of it is looked at any more then."""
    it, node = situation_of(view), view.node
    verdicts = () if it is None else decision.verdicts
    first = verdicts[0] if verdicts else None
    settled = decision.fresh and running is None and not defect
    sentence = first.text(it) if first is not None and it is not None else NOT_SET_UP
    source = node.look.source if node.look is not None else ""
    follows = [one for one in view.policy.core if view.policy.source_at(one) == source]
    known = {
        **node_known(
            view.name, node, view.record.entry if view.record else None, view.heals, view.at
        ),
        "wanted": {"writer": False, "reader": it.wanted if it is not None else None},
        "failure": None,
        "verdict": first.name if first is not None else "not-set-up",
        "sentence": f"Its lane in the supervisor has ended: {defect}" if defect else sentence,
        "verdicts": tuple(VerdictStatus(name=v.name, sentence=v.text(it)) for v in verdicts if it),
        "settled": settled,
        "healthy": first is not None and first.name == "replica-healthy" and settled,
        "follows": follows[0] if follows else "",
        "delay_seconds": view.policy.delay_of(view.name),
        "running": running.sentence if running else None,
        "refusals": refusals_status(decision.refusals),
        "incidents": incidents_status(view.incidents, view.at),
        "jobs": tuple(job_status(one, view.at) for one in view.jobs),
    }
    if node.look is None:
        return ReplicaStatus(**known)
    return SeenReplicaStatus(**known, **seen_of(node.look))
