"""Who was what, before a round and after it: for pictures."""

from __future__ import annotations

from dataclasses import dataclass

from myha.core.node import Contact, ThreadState
from myha.core.policy import Mode
from myha.core.record import Membership
from myha.supervisor.status import NodeStatus, SeenNodeStatus, Status


@dataclass(frozen=True, slots=True)
class Member:
    """A server. `role`: writer, standby or replica; `state`: what else is to be said of it."""

    name: str
    role: str
    state: str
    well: bool
    version: str = ""
    follows: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """The servers, and which of them each balancer's pools lead to."""

    epoch: int
    sync: str
    members: tuple[Member, ...]
    routes: tuple[tuple[str, str, str], ...]  # balancer, pool, node


def topology_of(status: Status) -> Topology:
    dual = status.mode is Mode.DUAL_WRITER
    members = []
    for name, node in status.nodes.items():
        other = next((one for one in status.nodes if one != name), "")
        writes = name == status.writer or (dual and isinstance(node, SeenNodeStatus) and node.open)
        follows = other if isinstance(node, SeenNodeStatus) and _replicates(node) else ""
        members.append(_member(name, "writer" if writes else "standby", node, follows))
    for name, replica in status.replicas.items():
        members.append(_member(name, "replica", replica, replica.follows))
    routes = tuple(
        (balancer, route.pool, route.node)
        for balancer, one in status.balancers.items()
        for route in one.routes
        if route.takes_traffic
    )
    return Topology(status.epoch or 0, str(status.sync or ""), tuple(members), routes)


def _replicates(node: SeenNodeStatus) -> bool:
    return node.receiver.state is ThreadState.RUNNING


def _member(name: str, role: str, node: NodeStatus, follows: str) -> Member:
    version = node.version if isinstance(node, SeenNodeStatus) else ""
    if node.contact is not Contact.ANSWERING:
        return Member(name, role, str(node.contact), False, version, follows)
    if node.membership is not Membership.MEMBER:
        return Member(name, role, str(node.membership), False, version, follows)
    return Member(name, role, "", True, version, follows)
