"""What is seen of a balancer: which server it sends traffic to. Pure."""

from __future__ import annotations

from dataclasses import field

from myha.core.node import NodeName
from myha.core.values import value


@value(frozen=True, slots=True)
class ServerRoute:
    """One server in one pool of a balancer."""

    pool: str  # "writer" or "reader"
    node: NodeName
    takes_traffic: bool
    sessions: int = 0
    errors: int = 0  # connections to it that failed, in this life of the balancer
    bytes_out: int = 0  # what clients got from it, in this life of the balancer


@value(frozen=True, slots=True)
class AddressLook:
    """What a balancer knows of the shared address: see `core/address.py`."""

    holds: bool  # its host had the address a moment ago
    told: bool
    preferred: bool


@value(frozen=True, slots=True)
class BalancerLook:
    """One look at an answering balancer; `boot_id` names one life of its process.

    `address` is None where it has nothing that keepalived could read.
    """

    at: float
    boot_id: str
    routes: tuple[ServerRoute, ...]
    address: AddressLook | None = None

    @property
    def holds(self) -> bool:
        return self.address is not None and self.address.holds


FAILING_LOOKS = 2  # with connections that failed and not a byte in between


@value(frozen=True, slots=True)
class Reach:
    """What the looks at one balancer say of its connections to the writer.

    `life`: of the process, and which writer it is about. `failures`: looks in a row that found more
    connections failed, and not a byte more from the writer; `failed_at`: the last of them.
    """

    life: tuple[str, str] = ("", "")
    errors: int = 0
    bytes_out: int = 0
    failures: int = 0
    failed_at: float = -1.0

    @property
    def failing(self) -> bool:
        return self.failures >= FAILING_LOOKS


@value(frozen=True, slots=True)
class BalancerView:
    answering: bool = False
    checked_at: float = -1.0
    error: str = ""
    look: BalancerLook | None = None
    misses: int = 0  # attempts to look that have failed in a row
    held_at: float = -1.0  # when it was last seen to hold the shared address
    held_since: float | None = None  # seen to hold it at every look since; None: it does not
    reach: Reach = field(default_factory=Reach)
