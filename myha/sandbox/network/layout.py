"""Which hosts a sandbox with a network has, on which links, with which addresses. Pure.

The addresses are those set aside for documentation (RFC 5737): none of them is a real host's, so a
command that is run outside of its namespace reaches nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SUPERVISOR = "supervisor"
CLIENT, OTHER_CLIENT = "client", "client2"
BALANCERS = ("lb1", "lb2")  # the first one stands on the side of the first node
PREFIX_BITS = 24
_FIRST_NODE, _FIRST_REPLICA, _STRAY, _FIRST_BALANCER = 11, 21, 30, 31
_FIRST_SUPERVISOR, _CLIENT, _FIRST_MEMBER = 41, 51, 61


@dataclass(frozen=True, slots=True)
class Link:
    """One network that joins hosts: a bridge in the switch."""

    name: str
    number: int  # of the bridge, and of each host's interface on it
    network: str  # the first three numbers of its addresses

    @property
    def bridge(self) -> str:
        return f"br{self.number}"

    @property
    def interface(self) -> str:
        """What each host calls its end."""
        return f"eth{self.number}"


CLIENTS = Link("clients", 0, "198.51.100")  # clients, balancers, supervisor
REPLICATION = Link("replication", 1, "203.0.113")  # the servers among themselves
LINKS = (CLIENTS, REPLICATION)


@dataclass(frozen=True, slots=True)
class HostPlan:
    """One host; `number` is the last one of each of its addresses."""

    name: str
    number: int
    links: tuple[Link, ...] = (CLIENTS,)

    def address(self, link: Link = CLIENTS) -> str:
        return f"{link.network}.{self.number}"

    def hardware_address(self, link: Link) -> str:
        """Locally administered, so no device's."""
        return f"02:00:00:00:{link.number:02x}:{self.number:02x}"

    def port(self, link: Link) -> str:
        """The switch's end of its cable to a link. At most 15 characters, as interfaces have."""
        return f"{self.name}.{link.number}"


def supervisor_name(number: int) -> str:
    """Of the first, second ... supervisor, and of the host that it is on."""
    return SUPERVISOR if number == 1 else f"{SUPERVISOR}-{number}"


def plan_hosts(
    nodes: Sequence[str],
    replicas: Sequence[str],
    stray: str,
    *,
    supervisors: int = 1,
    members: Sequence[str] = (),
) -> dict[str, HostPlan]:
    """All hosts of a sandbox, by name; `members` are etcd's."""
    servers = (
        *((name, _FIRST_NODE + n) for n, name in enumerate(nodes)),
        *((name, _FIRST_REPLICA + n) for n, name in enumerate(replicas)),
        (stray, _STRAY),
    )
    others = (
        *((name, _FIRST_BALANCER + n) for n, name in enumerate(BALANCERS)),
        *((supervisor_name(n + 1), _FIRST_SUPERVISOR + n) for n in range(supervisors)),
        *((name, _FIRST_MEMBER + n) for n, name in enumerate(members)),
        (CLIENT, _CLIENT),
        (OTHER_CLIENT, _CLIENT + 1),
    )
    return {
        **{name: HostPlan(name, number, LINKS) for name, number in servers},
        **{name: HostPlan(name, number) for name, number in others},
    }
