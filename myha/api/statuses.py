"""What several answers ask of a pair's status: its servers and jobs, of replicas too."""

from __future__ import annotations

from collections.abc import Mapping

from myha.core.node import Contact
from myha.supervisor.status import JobStatus, NodeStatus, SeenNodeStatus, Status


def servers_of(status: Status) -> Mapping[str, NodeStatus]:
    """Of the pair, then its replicas."""
    return {**status.nodes, **status.replicas}


def jobs_of(status: Status) -> list[JobStatus]:
    """That run now."""
    return [*status.jobs, *(job for one in status.replicas.values() for job in one.jobs)]


def looked_at(seen: NodeStatus) -> SeenNodeStatus | None:
    """What the last look saw; None where that is old, or there was none."""
    answers = seen.contact is Contact.ANSWERING
    return seen if answers and isinstance(seen, SeenNodeStatus) else None
