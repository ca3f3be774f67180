"""What is seen of a balancer: which server it sends traffic to. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from myha.core.node import NodeName


@dataclass(frozen=True, slots=True)
class ServerRoute:
    """One server in one pool of a balancer."""

    pool: str  # "writer" or "reader"
    node: NodeName
    takes_traffic: bool
    sessions: int = 0


@dataclass(frozen=True, slots=True)
class BalancerLook:
    """One look at an answering balancer; `boot_id` names one life of its process."""

    at: float
    boot_id: str
    routes: tuple[ServerRoute, ...]


@dataclass(frozen=True, slots=True)
class BalancerView:
    answering: bool = False
    checked_at: float = -1.0
    error: str = ""
    look: BalancerLook | None = None
