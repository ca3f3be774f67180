"""Two balancers that share an address, in one history: who has it, what strikes it, its judge.

Clients know the address alone. Two keepalived move it; what they go by is said by the program's own
`Standings`, one for each supervisor, after each of its looks at a balancer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from myha.core.address import Standings
from myha.core.balancer import BalancerLook
from myha.core.policy import Mode
from myha.sim.balancer import SimBalancer
from myha.sim.cluster import Cluster
from myha.sim.keepalived import Host
from myha.sim.parameters import Fault
from myha.sim.process import Session
from myha.sim.shared_balancer import PREFERENCE_SECONDS, SharedBalancer
from myha.sim.supervisor import SimSupervisor
from myha.sim.whole import Missing

JUDGE_SECONDS = 0.05
# A stale balancer may have the address for so long while another one is right: the dead time, two
# looks, a check of keepalived's, the looks' own order, and a preference of its own from before.
STALE_SECONDS = 1.0 + PREFERENCE_SECONDS
OUTLASTS = ("cut-off", "loses-database")
OUTLASTS_SECONDS = 1.2  # who is struck for so long, is so for a while after all is repaired
GOES_ON_SECONDS = STALE_SECONDS + 0.6
RIGHT_BEFORE_SECONDS = 0.5  # who was right so long ago may have been told so


class SharedAddress:
    """The address, where clients connect; and all of it in one history."""

    name = "address"

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world, self.judge = cluster.world, cluster.judge
        self.balancers = {
            one.name: one for one in cluster.balancers.values() if isinstance(one, SharedBalancer)
        }
        host = cluster.mutation.host
        self.hosts = [host(one, i) for i, one in enumerate(self.balancers.values())]
        self.keepalived = cluster.mutation.keepalived(self.world, self.hosts)
        self.keepalived.on_taken = self._taken
        self.over = False
        self._outlasts: list[Callable[[], None]] = []
        self._cut_off: set[str] = set()  # the hosts that no supervisor reaches
        self._stale_since: float | None = None
        self._right_at = dict.fromkeys(self.balancers, 0.0)
        cluster.on_new_supervisor.append(self._begins)
        self.world.after(JUDGE_SECONDS, self._judge)
        for fault in cluster.parameters.address_faults:
            self.world.after(fault.at_seconds, self._strike, fault)

    # -- a door for clients ------------------------------------------------------------------------

    def connect(self, broke: Callable[[], None]) -> Session | None:
        holders = self.keepalived.holders
        if not holders:
            return None
        host = holders[0] if len(holders) == 1 else self.world.rng.choice(holders)
        return host.balancer.connect(broke)

    def closed(self, session: Session) -> None:
        self.balancers[session.balancer].closed(session)

    # -- what the supervisors say ------------------------------------------------------------------

    def _begins(self, supervisor: SimSupervisor) -> None:
        address = self.cluster.policy.address
        assert address is not None
        standings = self.cluster.mutation.standings(tuple(self.balancers), address, self.world.now)
        for host in self._cut_off:
            self.world.cut(supervisor.name, host)
        supervisor.on_balancer_look = partial(self._tell, supervisor, standings)

    def _tell(
        self,
        supervisor: SimSupervisor,
        standings: Standings,
        balancer: SimBalancer,
        look: BalancerLook,
    ) -> None:
        if isinstance(balancer, SharedBalancer) and not supervisor.deposed:
            standing = standings.after(supervisor.loop.view, balancer.name, look)
            self.world.after(self.world.latency_seconds, balancer.stand, standing)

    # -- what happens to it ------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        if self.over:
            return
        self.world.note(f"FAULT {fault.what} {fault.role}")
        first, second = self.hosts
        holder = second if second.holds else first
        other = first if holder is second else second
        host = holder if fault.role == "holder" else other
        deed = DEEDS[fault.what]
        deed(self, host, fault.for_seconds)
        if fault.what in OUTLASTS and fault.for_seconds >= OUTLASTS_SECONDS:
            self._outlasts.append(partial(deed, self, host, GOES_ON_SECONDS))

    def host_dies(self, host: Host, for_seconds: float) -> None:
        host.up = False
        host.balancer.crash()
        self._checks(host)
        self.world.after(for_seconds, self._host_returns, host)

    def _host_returns(self, host: Host) -> None:
        if not host.up:
            host.up = True
            host.balancer.restart()
            host.begins()
            self.keepalived.settle()

    def haproxy_ends(self, host: Host, for_seconds: float) -> None:
        """The script on its host holds a connection to it, and knows at once."""
        host.balancer.crash()
        self._checks(host)
        self.world.after(for_seconds, self._haproxy_returns, host)

    def _haproxy_returns(self, host: Host) -> None:
        if host.up and not host.balancer.up:
            host.balancer.restart()

    def haproxy_hangs(self, host: Host, for_seconds: float) -> None:
        host.balancer.freeze()
        self.world.after(for_seconds, host.balancer.thaw)

    def cut_off(self, host: Host, for_seconds: float) -> None:
        """From the supervisors, and so stale after the next change."""
        self._cut_off.add(host.name)
        for supervisor in self.cluster.supervisors:
            self.world.cut(supervisor.name, host.name)
        self.world.after(for_seconds, self._reached_again, host)

    def _reached_again(self, host: Host) -> None:
        self._cut_off.discard(host.name)
        for supervisor in self.cluster.supervisors:
            self.world.mend(supervisor.name, host.name)

    def loses_database(self, host: Host, for_seconds: float) -> None:
        """The supervisors reach it, and it reaches no node."""
        for node in self.cluster.servers:
            self._cut(node, host, for_seconds)

    def deaf(self, host: Host, for_seconds: float) -> None:
        """The two keepalived do not hear each other: both have the address."""
        for other in self.hosts:
            if other is not host:
                self._cut(other.name, host, for_seconds)

    def _cut(self, name: str, host: Host, for_seconds: float) -> None:
        self.world.cut(name, host.name)
        self.world.after(for_seconds, self.world.mend, name, host.name)

    def moves(self, host: Host, for_seconds: float) -> None:
        """Somebody stops keepalived there."""
        host.runs = False
        self._checks(host)
        self.world.after(for_seconds, self._runs_again, host)

    def _runs_again(self, host: Host) -> None:
        if not host.runs:
            host.runs = True
            host.begins()
            self.keepalived.settle()

    def _checks(self, host: Host) -> None:
        host.check()
        self.keepalived.settle()

    def repair(self) -> None:
        """All but what was to last: for that there is time now that all else is well."""
        self.over = True
        first, second = self.hosts
        self.world.mend(first.name, second.name)
        for host in self.hosts:
            self._reached_again(host)
            host.balancer.thaw()
            self._host_returns(host)
            self._haproxy_returns(host)
            self._runs_again(host)
        for strikes_again in self._outlasts:
            strikes_again()

    # -- what has to hold --------------------------------------------------------------------------

    def _is_right(self, host: Host) -> bool:
        """It serves: there, with the routes of the record, and it reaches the writer."""
        record, balancer = self.cluster.store.record, host.balancer
        routes = balancer.routes
        if not (host.up and host.runs and balancer.answers and routes["writer", record.writer]):
            return False
        peer = self.cluster.policy.peer(record.writer)
        astray = self.cluster.policy.mode is Mode.SINGLE_WRITER and routes["writer", peer]
        return not astray and self.world.linked(host.name, record.writer)

    def _judge(self) -> None:
        self.world.after(JUDGE_SECONDS, self._judge)
        right = [one for one in self.hosts if self._is_right(one)]
        for one in right:
            self._right_at[one.name] = self.world.now
        astray = [one for one in self.keepalived.holders if one not in right]
        if not (astray and right and self._undisturbed(right)):
            self._stale_since = None
        elif self._stale_since is None:
            self._stale_since = self.world.now
        elif self.world.now - self._stale_since > STALE_SECONDS:
            what = f"{astray[0].name} does not serve and has the address, {right[0].name} would"
            self.judge.broken("address-where-it-serves", what)

    def _undisturbed(self, right: list[Host]) -> bool:
        """Somebody could have done something about it all the time."""
        first, second = self.hosts
        one, record, linked = self.cluster.supervisor, self.cluster.store.record, self.world.linked
        writer = self.cluster.servers[record.writer]
        if one is None or record.maintenance or not linked(first.name, second.name):
            return False
        if self.world.latency_seconds > self.cluster.parameters.latency_seconds:
            return False
        in_place = writer.alive and writer.open and not writer.full and not writer.leaving
        reached = linked(one.name, writer.name) and all(linked(one.name, h.name) for h in right)
        return in_place and reached and record.node(writer.name).boot_id == writer.boot_id

    def _taken(self, host: Host) -> None:
        """Nobody who does not serve takes it from a balancer that does, unless a supervisor took it
        for right: that it does not reach the writer is not known before a client has tried."""
        just_right = self.world.now - self._right_at[host.name] < RIGHT_BEFORE_SECONDS
        told = host.balancer.told or host.balancer.preferred
        if self._is_right(host) or just_right or told:
            return
        for other in self.keepalived.heard_by(host):
            if self._is_right(other):
                what = f"{host.name} does not serve and takes the address from {other.name}"
                self.judge.broken("address-taken-by-who-serves", what)

    def missing(self) -> Missing | None:
        """What keeps the address from being as it should be at the end."""
        holders = [one.name for one in self.keepalived.holders]
        if len(holders) != 1:
            return Missing("address-held", f"the address is at {' and '.join(holders) or 'nobody'}")
        return None


DEEDS: dict[str, Callable[[SharedAddress, Host, float], None]] = {
    "host-dies": SharedAddress.host_dies,
    "haproxy-ends": SharedAddress.haproxy_ends,
    "haproxy-hangs": SharedAddress.haproxy_hangs,
    "cut-off": SharedAddress.cut_off,
    "loses-database": SharedAddress.loses_database,
    "deaf": SharedAddress.deaf,
    "moves": SharedAddress.moves,
}
