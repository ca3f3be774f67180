"""keepalived on two balancers' hosts, as `balancers/keepalived/render.py` configures it.

VRRP, as far as it decides who has the address: each host has a priority by its own checks; who
hears nothing from the one that has it, or something of a lower priority, takes it after a moment;
of two that have it the lower one gives way, and of equals the one with the lower address.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from myha.balancers.keepalived.render import PREFERRED_WEIGHT, PRIORITY, TOLD_WEIGHT
from myha.sim.shared_balancer import SharedBalancer
from myha.sim.world import World

CHECK_SECONDS = 0.1
DOWN_SECONDS = 0.03  # so long nothing is heard before the address is taken
UNTOLD_CHECKS = 2  # `fall 2` of that check
FAULT = 0  # the priority of a host that gives the address up, whoever else is there


class Host:
    """One balancer's host and the keepalived on it."""

    def __init__(self, balancer: SharedBalancer, index: int) -> None:
        self.balancer = balancer
        self.name = balancer.name
        self.index = index
        self.up = self.runs = True  # the host; keepalived on it
        self.holds = False
        self.priority = PRIORITY + TOLD_WEIGHT
        self._untold = 0
        balancer.holds = lambda: self.holds

    def check(self) -> None:
        """All three scripts."""
        balancer = self.balancer
        alive = self.up and self.runs and balancer.answers
        self._untold = 0 if alive and balancer.told else self._untold + 1
        if not alive:
            self.priority = FAULT
            return
        told = TOLD_WEIGHT if self._untold < UNTOLD_CHECKS else 0
        preferred = PREFERRED_WEIGHT if balancer.preferred else 0
        self.priority = PRIORITY + told + preferred

    def begins(self) -> None:
        """After the host or keepalived was started: it listens first, and knows of no check yet."""
        self._untold = UNTOLD_CHECKS
        self.check()

    def gives_way(self, other: Host) -> bool:
        """To another one that has the address and is heard."""
        return (other.priority, other.index) > (self.priority, self.index)


class Keepalived:
    """Both hosts. `on_taken` is told who takes the address, and from whom it is heard of."""

    def __init__(self, world: World, hosts: Sequence[Host]) -> None:
        self.world = world
        self.hosts = hosts
        self.on_taken: Callable[[Host], None] = lambda _host: None
        hosts[0].holds = True
        for host in hosts:
            world.after(CHECK_SECONDS * (1 + host.index / 2), self._tick, host)
        world.on_links.append(self.settle)

    @property
    def holders(self) -> list[Host]:
        return [one for one in self.hosts if one.holds]

    def _tick(self, host: Host) -> None:
        self.world.after(CHECK_SECONDS, self._tick, host)
        host.check()
        self.settle()

    def heard_by(self, host: Host) -> list[Host]:
        """Who says that it has the address."""
        linked = self.world.linked
        return [
            one
            for one in self.hosts
            if one is not host and one.holds and linked(one.name, host.name)
        ]

    def settle(self) -> None:
        """What follows at once from what each host has checked and heard, and what later."""
        for host in self.hosts:
            if host.holds and (
                host.priority == FAULT or any(host.gives_way(one) for one in self.heard_by(host))
            ):
                self.leave(host)
        for host in self.hosts:
            if self._may_take(host):
                self.world.after(DOWN_SECONDS, self._take, host)

    def _may_take(self, host: Host) -> bool:
        if host.holds or host.priority == FAULT:
            return False
        return all(one.priority < host.priority for one in self.heard_by(host))

    def _take(self, host: Host) -> None:
        if not self._may_take(host):
            return
        self.world.note(f"{host.name} takes the address")
        self.on_taken(host)
        host.holds = True
        self.settle()

    def leave(self, host: Host) -> None:
        self.world.note(f"{host.name} has the address no more")
        host.holds = False
        host.balancer.address_left()
