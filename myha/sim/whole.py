"""What a pair has to be at the end of a history, each with the name of the invariant it breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from myha.core.policy import Durability, Mode, Policy
from myha.core.record import Membership, Record, Sync
from myha.sim.balancer import SimBalancer
from myha.sim.process import ENABLED, RUNS
from myha.sim.server import SimServer

CLIENTS_SERVED = "clients-served"


class Missing(NamedTuple):
    """What keeps a pair from being whole, and the invariant that says that it may not."""

    invariant: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Pair:
    """All that is looked at."""

    policy: Policy
    record: Record
    servers: dict[str, SimServer]
    balancers: dict[str, SimBalancer]

    @property
    def _writer(self) -> SimServer:
        return self.servers[self.record.writer]

    @property
    def _standby(self) -> SimServer:
        return self.servers[self.policy.peer(self.record.writer)]

    def not_serving(self) -> Missing | None:
        """While clients still write."""
        writer = self._writer
        if self._standby.channel.refused:
            sentence = f"{self._standby.name} lacks what {writer.name} has purged"
            return Missing("not-outdated", sentence)
        missing = self._node(writer) or self._node(self._standby)
        if missing is not None:
            return missing
        if self.policy.durability is Durability.LOSSLESS and self.record.sync is not Sync.ARMED:
            return Missing("armed-again", "the record does not say armed")
        if writer.waits is (self.policy.durability is Durability.ASYNC):
            return Missing("armed-again", f"{writer.name} waits: {writer.waits}")
        for balancer in self.balancers.values():
            for (pool, node), on in balancer.routes.items():
                if node not in self.servers:
                    continue  # a read replica's, see `replica.py`
                if on is not (pool == "reader" or self.servers[node].open):
                    return Missing(
                        "routes-restored", f"{balancer.name} routes {pool} to {node}: {on}"
                    )
        return None

    def _node(self, server: SimServer) -> Missing | None:
        entry, is_writer = self.record.node(server.name), server is self._writer
        if entry.membership is not Membership.MEMBER or entry.boot_id != server.boot_id:
            sentence = f"{server.name} is {entry.membership} on record ({entry.reason})"
            return Missing("both-members", sentence)
        if not server.channel.flows or not server.applier_running:
            return Missing("both-replicate", f"{server.name} does not replicate")
        if server.open is not (is_writer or self.policy.mode is Mode.DUAL_WRITER):
            sentence = f"{server.name} is {'open' if server.open else 'closed'}"
            return Missing("open-as-on-record", sentence)
        if (server.events[RUNS] == ENABLED) is not is_writer:
            sentence = f"the event on {server.name} is {server.events[RUNS]}"
            return Missing("events-on-the-writer", sentence)
        return None

    def not_equal(self) -> Missing | None:
        """When the clients rest."""
        writer, standby = self._writer, self._standby
        for server in (writer, standby):
            if server.left_out:
                return Missing("left-out", f"{server.name} left changes out")
            if server.changed:
                return Missing("as-setup-made-it", f"{server.name} is not as setup made it")
        if writer.waiting or standby.waiting or writer.relay or standby.relay:
            return Missing("nodes-equal", "transactions are still under way")
        if writer.executed_now() != standby.executed_now() or writer.has != standby.has:
            return Missing("nodes-equal", "the nodes differ")
        return None
