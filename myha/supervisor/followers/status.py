"""The status of one read replica from what its loop knows. Pure."""

from __future__ import annotations

from myha.core.followers.planning import FollowerDecision
from myha.core.followers.verdicts import HEALTHY, NOT_SET_UP, situation_of
from myha.core.followers.view import FollowerView
from myha.core.plans import Plan
from myha.supervisor.status import ReplicaStatus, SeenReplicaStatus
from myha.supervisor.status_builder import loop_status, node_known, seen_of


def replica_status(
    view: FollowerView, decision: FollowerDecision, running: Plan | None, defect: str = ""
) -> ReplicaStatus:
    """`defect`: what its lane has ended by; nothing of it is looked at any more then."""
    it, node = situation_of(view), view.node
    source = node.look.source if node.look is not None else ""
    follows = [one for one in view.policy.core if view.policy.source_at(one) == source]
    entry = view.record.entry if view.record else None
    known = {
        **node_known(view.name, node, entry, view.heals, view.at),
        **loop_status(it, decision, running, view, healthy=HEALTHY, not_set_up=NOT_SET_UP),
        "wanted": {"writer": False, "reader": it.wanted if it is not None else None},
        "failure": None,
        "follows": follows[0] if follows else "",
        "delay_seconds": view.policy.delay_of(view.name),
    }
    if defect:
        sentence = f"Its lane in the supervisor has ended: {defect}"
        known |= {"sentence": sentence, "settled": False, "healthy": False}
    if node.look is None:
        return ReplicaStatus(**known)
    return SeenReplicaStatus(**known, **seen_of(node.look))
