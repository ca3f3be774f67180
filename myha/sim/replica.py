"""A read replica beside a simulated pair: its server, its lane, what happens to it, its judge.

The lane drives the program's own loop and executor for replicas. Its calls take the world's time as
the pair's do; a call of the one that is under way while the other one makes one ends after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from myha.core.followers.record import FollowerRecord
from myha.core.followers.view import FollowerRecordRead
from myha.core.node import SemiSync, ThreadState
from myha.core.policy import Policy
from myha.core.record import Cause, Membership, NodeRecord
from myha.errors import StoreConflictError
from myha.sim.balancer import SimBalancer
from myha.sim.channel import Channel
from myha.sim.cluster import Cluster, Mutation
from myha.sim.flavours import FLAVOURS
from myha.sim.heal import SimHeal, SimJobs
from myha.sim.judge import Judge
from myha.sim.parameters import REPLICA, Fault, Parameters
from myha.sim.ports import ServerPort
from myha.sim.process import ServerProcess
from myha.sim.server import SimServer
from myha.sim.store import SimStore
from myha.sim.supervisor import HANG_UP_SECONDS, SimSupervisor
from myha.sim.whole import Missing
from myha.sim.world import World
from myha.supervisor.base_loop import LookNow, PlanResult
from myha.supervisor.executor import Tools
from myha.supervisor.followers.executor import FollowerExecutor
from myha.supervisor.followers.loop import FollowerLoop

POLL_SECONDS = 0.01
JUDGE_SECONDS = 0.1
# For so long it may show what the writer lacks: looks, a plan, and calls of the pair in between.
READS_SECONDS = 3.0


class ReplicaChannel(Channel[ServerProcess]):
    """Asynchronous, and from either node of the pair: it is no part of what those know."""

    def __init__(self, owner: ServerProcess, source: ServerProcess, period: float) -> None:
        super().__init__(owner, source, f"{source.name}:3306", period)
        self._life, self._binlog = source.life, source.binlog
        owner.world.after(POLL_SECONDS, self._poll)

    def point_at(self, source: ServerProcess) -> None:
        self.peer, self.source, self.position = source, f"{source.name}:3306", 0
        self.own_source = self.source

    def _poll(self) -> None:
        """What a pair's server tells its peer's channel, this one finds out."""
        self.owner.world.after(POLL_SECONDS, self._poll)
        peer = self.peer
        if self._life != peer.life or not peer.up:
            self._life = peer.life
            self.lose()
        if self._binlog is not peer.binlog:
            self._binlog = peer.binlog
            self.reset()
        self.go_on()

    def _left(self) -> None:
        """No commit waits for it."""

    def _acknowledge(self) -> None:
        self._unacknowledged.clear()


class _Nobody:
    """In the place of the peer of a server that has none."""

    name, index, up = "nobody", 0, False

    def __init__(self) -> None:
        self.channel = self
        self.has = self

    def __contains__(self, _serial: int) -> bool:
        return True

    def connected_to(self, _server: ServerProcess) -> bool:
        return False

    def __getattr__(self, _name: str) -> Callable[[], None]:
        return lambda: None


class SimReplica(SimServer):
    """Closed, follows, and acknowledges nothing."""

    sources: dict[str, SimServer]

    def semisync_now(self) -> SemiSync:
        return replace(super().semisync_now(), replica_enabled=False, replica_acknowledges=False)

    def do_follow(self, source: str) -> None:
        """What was received goes with the old channel."""
        self.drop_relay()
        cast("ReplicaChannel", self.channel).point_at(self.sources[source])


class SimFollowers:
    """Implements `myha.ports.FollowerStore` for the one replica."""

    def __init__(self, record: FollowerRecord) -> None:
        self.record = record

    def read(self, _name: str) -> FollowerRecord:
        return self.record

    def all(self) -> dict[str, FollowerRecord]:
        return {REPLICA: self.record}

    def compare_and_set(self, _name: str, expected_version: int, record: FollowerRecord) -> None:
        if self.record.version != expected_version:
            raise StoreConflictError("somebody changed it")
        self.record = record

    def remove(self, name: str) -> None:
        raise NotImplementedError(name)

    def close(self) -> None:
        """Nothing is held."""


class ReplicaPort(ServerPort):
    """`myha.ports.FollowingServer` for a lane."""

    def follow(self, source: str, deadline_seconds: float, *, clears_filters: bool) -> None:  # noqa: ARG002  # a port
        server = cast("SimReplica", self._server)
        self._do(deadline_seconds, lambda: server.do_follow(source))


class ReplicaHeal(SimHeal):
    """By the replica's own record, from the writer on record."""

    def _entry(self) -> NodeRecord:
        return cast("SimLane", self.supervisor).followers.record.entry

    def _point(self, clears: bool) -> None:  # noqa: ARG002
        cast("SimReplica", self.node).do_follow(self.order.writer)


class SimLane(SimSupervisor):
    """The lane of the replica in one supervisor's process."""

    def __init__(self, pair: SimSupervisor, beside: ReplicaBeside, mutation: Mutation) -> None:
        self.followers = beside.followers
        self._pair = pair
        servers = {**beside.servers, REPLICA: cast("SimServer", beside.replica)}

        def executor(tools: Tools) -> FollowerExecutor:
            server = cast("Any", tools.servers[REPLICA])
            return FollowerExecutor(tools, server, beside.followers)

        super().__init__(
            pair.world,
            pair.name,
            pair.policy,
            servers=servers,
            balancers=pair.balancers,
            store=pair.store,
            interval_seconds=pair.interval_seconds,
            executor=executor,
            mutate_plan=mutation.replica,
            make_jobs=partial(SimJobs, heal=ReplicaHeal),
        )

    def _make_loop(self) -> FollowerLoop:
        return FollowerLoop(REPLICA, self._pair.loop.view, self.followers.record)

    def _port(self, server: SimServer) -> ServerPort:
        return ReplicaPort(self, server) if server.name == REPLICA else ServerPort(self, server)

    def _result(self, reason: str) -> PlanResult:
        return PlanResult(reason, self.followers.record)

    def decide(self) -> None:
        if self.loop.running is not None or self._pair.deposed or not self.alive or self.paused:
            return
        self._tick_loop()
        self.take(FollowerRecordRead(self.world.now, self.followers.record))
        self._do(self.loop.decide().effects)

    def _look_now(self, asked: LookNow) -> None:
        """Balancers are the pair's to look at."""
        self._wake()
        if asked.balancers:
            for balancer in self._pair.balancers.values():
                self._pair._look_at_balancer(balancer)
            self._pair.after_turn()

    def _tick(self, number: int) -> None:
        if number == self._ticking and self.alive and not self.paused:
            self.world.after(self.interval_seconds, self._tick, number)
            self._look(REPLICA)
            self.decide()


class ReplicaBeside:
    """All of it, in one history."""

    def __init__(self, cluster: Cluster) -> None:
        self.world: World = cluster.world
        self.parameters: Parameters = cluster.parameters
        self.policy: Policy = cluster.policy
        self.servers: dict[str, SimServer] = cluster.servers
        self.balancers: dict[str, SimBalancer] = cluster.balancers
        self.store: SimStore = cluster.store
        self._supervisors = cluster.supervisors
        self._mutation = cluster.mutation
        cluster.on_new_supervisor.append(self._new_lane)
        self._judge: Judge = cluster.judge
        self.replica = self._make()
        self.followers = SimFollowers(
            FollowerRecord(1, NodeRecord(Membership.MEMBER, boot_id=self.replica.boot_id))
        )
        self.repaired = False
        self._errant_since: float | None = None
        self._pointed_at = self.replica.channel.peer.name
        for balancer in self.balancers.values():
            balancer.routes["reader", REPLICA] = True
            balancer.servers = {**self.servers, REPLICA: self.replica}
        self._watch()
        for fault in self.parameters.replica_faults:
            self.world.after(fault.at_seconds, self._strike, fault)

    def _make(self) -> SimReplica:
        parameters = self.parameters
        replica = SimReplica(self.world, 2, REPLICA, FLAVOURS[parameters.flavour])
        replica.sources = self.servers
        replica.peer = cast("Any", _Nobody())
        first = next(iter(self.servers.values()))
        replica.make_serial = first.make_serial
        replica.apply_seconds = parameters.apply_seconds
        channel = ReplicaChannel(replica, first, self.policy.heartbeat_period_seconds)
        channel.transfer_seconds, channel.batch = parameters.transfer_seconds, parameters.batch
        channel.state = ThreadState.RUNNING
        replica.channel = channel
        replica.applier_running = True
        self.world.on_links.append(channel.link_changed)
        return replica

    def _new_lane(self, supervisor: SimSupervisor) -> None:
        lane = SimLane(supervisor, self, self._mutation)
        lane.plans = supervisor.plans
        supervisor.lanes.append(lane)

    # -- what happens to it ------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        if not self.repaired:
            self.world.note(f"FAULT {fault.what} of {REPLICA}")
            DEEDS[fault.what](self, fault.for_seconds)

    def crash(self, for_seconds: float) -> None:
        self.replica.crash()
        for one in self._supervisors:
            for lane in one.lanes:
                self.world.after(HANG_UP_SECONDS, lane.hung_up, REPLICA)
        self.world.after(for_seconds, self.replica.restart)

    def hang(self, for_seconds: float) -> None:
        self.replica.freeze()
        self.world.after(for_seconds, self.replica.thaw)

    def cut_supervisor(self, for_seconds: float) -> None:
        self._cut([one.name for one in self._supervisors], for_seconds)

    def cut_source(self, for_seconds: float) -> None:
        self._cut(list(self.servers), for_seconds)

    def _cut(self, names: list[str], for_seconds: float) -> None:
        for name in names:
            self.world.cut(name, REPLICA)
            self.world.after(for_seconds, self.world.mend, name, REPLICA)

    def stranger_writes(self, _for_seconds: float) -> None:
        if self.replica.alive:
            self.replica.open = True
            self.replica.begin(None, None)
            self.replica.touched()

    def repair(self) -> None:
        self.repaired = True
        self.replica.restart()
        self.replica.thaw()
        for one, other in list(self.world.cuts):
            if other == REPLICA:
                self.world.mend(one, other)

    def operate(self, supervisor: SimSupervisor) -> None:
        """What only a person may do, once the policy's heals have been tried."""
        entry = self.followers.record.entry
        fenced = entry.membership is Membership.FENCED and entry.cause is not Cause.HEALING
        for lane in supervisor.lanes:
            said = [one.override or "" for _, one in lane.loop.decision.refusals]
            if lane.loop.running is None and (fenced or any("reseed" in one for one in said)):
                lane.request("heal", {"node": REPLICA, "method": "reseed"})

    # -- what has to hold --------------------------------------------------------------------------

    def _watch(self) -> None:
        for balancer in self.balancers.values():
            balancer.on_routed = self._routed
        self.replica.on_undone = self._undone
        self.replica.on_opened = self._opened
        self.replica.channel.on_connected = self._connected
        self.world.after(JUDGE_SECONDS, self._look)

    def _opened(self, _server: ServerProcess) -> None:
        self._judge.broken("replica-closed", f"{REPLICA} was opened by the supervisor")

    def _routed(self, node: str) -> None:
        if node != REPLICA:
            self._judge.routed(node)
        elif self.followers.record.entry.membership is not Membership.MEMBER:
            self._judge.broken("replica-routed-as-member", f"reads were sent to {REPLICA}")

    def _undone(self, _server: ServerProcess, transactions: int, quarantined: int) -> None:
        if transactions != quarantined:
            what = f"{transactions} undone on {REPLICA}, {quarantined} of them in quarantine"
            self._judge.broken("replica-quarantined", what)

    def _connected(self, _server: ServerProcess) -> None:
        """Whoever it is pointed at has all that it has; who was lost since counts as it was."""
        source = cast("SimServer", self.replica.channel.peer)
        record = self.store.record
        entry = self.followers.record.entry
        is_writer = source.name == record.writer and source.open
        if not is_writer or entry.cause is Cause.HEALING or not self._just_pointed(source):
            return
        executed, has = source.executed_now(), source.flavour.has
        # What a stranger writes there between the look at it and this is that one's affair.
        mine = [one for one in self.replica.binlog if one.origin != self.replica.index]
        if not all(has(executed, one) for one in mine):
            what = f"{REPLICA} follows {source.name} and has what that lacks"
            self._judge.broken("replica-follows-its-own-history", what)

    def _just_pointed(self, source: SimServer) -> bool:
        """By a plan, not by the server itself that connects again to the same source."""
        told, self._pointed_at = self._pointed_at, source.name
        return told != source.name

    def _look(self) -> None:
        """Reads show nothing for long that the writer on record lacks."""
        self.world.after(JUDGE_SECONDS, self._look)
        writer, replica = self.servers[self.store.record.writer], self.replica
        reads = any(one.routes["reader", REPLICA] for one in self.balancers.values())
        errant = reads and replica.alive and self._undisturbed(writer)
        errant = errant and bool(replica.has - writer.has - {o.serial for o in replica.relay})
        if not errant:
            self._errant_since = None
        elif self._errant_since is None:
            self._errant_since = self.world.now
        elif self.world.now - self._errant_since > READS_SECONDS:
            what = f"{REPLICA} has shown what the writer lacks for {READS_SECONDS:g} s"
            self._judge.broken("replica-reads", what)

    def _undisturbed(self, writer: SimServer) -> bool:
        """Somebody could have done something about it all the time."""
        record = self.store.record
        in_place = writer.alive and writer.open and not writer.full and not writer.leaving
        life = record.node(writer.name).boot_id == writer.boot_id
        return in_place and life and self.repaired and not record.maintenance

    def missing(self) -> Missing | None:
        """What keeps it from being as it should be, when the pair is whole and the clients rest."""
        record, replica = self.followers.record, self.replica
        writer = self.servers[self.store.record.writer]
        if record.entry.membership is not Membership.MEMBER:
            entry = record.entry
            what = f"{REPLICA} is {entry.membership} on record ({entry.reason})"
            return Missing("replica-member", what)
        if replica.channel.peer is not writer or not replica.channel.flows:
            return Missing("replica-follows", f"{REPLICA} does not follow {writer.name}")
        if replica.has != writer.has or replica.executed_now() != writer.executed_now():
            return Missing("replica-equal", f"{REPLICA} differs from {writer.name}")
        if replica.open:
            return Missing("replica-closed", f"{REPLICA} is open")
        for balancer in self.balancers.values():
            if not balancer.routes["reader", REPLICA]:
                return Missing("replica-reads", f"{balancer.name} sends {REPLICA} no reads")
            if balancer.routes.get(("writer", REPLICA)):
                return Missing("replica-closed", f"{balancer.name} sends writes to {REPLICA}")
        return None


DEEDS: dict[str, Callable[[ReplicaBeside, float], None]] = {
    "crash": ReplicaBeside.crash,
    "hang": ReplicaBeside.hang,
    "cut-supervisor": ReplicaBeside.cut_supervisor,
    "cut-source": ReplicaBeside.cut_source,
    "stranger-writes": ReplicaBeside.stranger_writes,
}
