"""The simulated cluster of one history: servers, balancers, store and supervisors, all healthy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from myha.core.address import Standings
from myha.core.node import ThreadState
from myha.core.plans import RecordChange
from myha.core.policy import AddressPolicy, Durability, Mode, Policy
from myha.core.record import Membership, NodeRecord, Record, Sync
from myha.core.watchdog import Watchdog
from myha.sim.balancer import SimBalancer
from myha.sim.channel import Channel
from myha.sim.clients import Ledger
from myha.sim.election import IN_LINE_SECONDS, Claims, SimEtcd, SimLease, SimLeasedStore
from myha.sim.flavours import FLAVOURS
from myha.sim.heal import SimHeal, SimJobs
from myha.sim.judge import Judge
from myha.sim.keepalived import Host, Keepalived
from myha.sim.leases import SimLeases
from myha.sim.parameters import BALANCERS, NODES, REPLICA, Parameters
from myha.sim.server import SimServer
from myha.sim.shared_balancer import SharedBalancer
from myha.sim.store import SimStore
from myha.sim.supervisor import MutatePlan, SimSupervisor
from myha.sim.watchdog import SimWatchdog
from myha.sim.world import World
from myha.supervisor.executor import Executor

HEARTBEAT_SECONDS = 0.1
WATCHDOG = Watchdog(0.6, closing_seconds=0.15)
FLAP_LIMIT = 1
FLAP_SETTLED_SECONDS = 0.4
DEADTIME_SECONDS = 0.4
STALLED_SECONDS = 0.5
INTERVAL_SECONDS = 0.25
BOUNDED_WAIT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Mutation:
    """A deliberate mistake: what is put in the place of the real thing."""

    executor: type[Executor] = Executor
    server: type[SimServer] = SimServer
    mutate_plan: MutatePlan | None = None
    heal: type[SimHeal] = SimHeal
    policy: Callable[[Policy], Policy] = lambda policy: policy
    replica: MutatePlan | None = None  # its plans
    leases: type[SimLeases] = SimLeases
    etcd: type[SimEtcd] = SimEtcd
    lease: type[SimLease] = SimLease
    leased_store: type[SimLeasedStore] = SimLeasedStore
    claims: type[Claims] = Claims
    balancer: type[SharedBalancer] = SharedBalancer  # of those that share an address
    host: type[Host] = Host
    keepalived: type[Keepalived] = Keepalived
    standings: type[Standings] = Standings


class Cluster:
    """What a history happens to. `on_new_supervisor` are told of each that begins."""

    def __init__(self, parameters: Parameters, mutation: Mutation, *, trace: bool) -> None:
        self.parameters = parameters
        self.mutation = mutation
        self.world = World(parameters.seed, trace=trace)
        self.world.latency_seconds = parameters.latency_seconds
        self.policy = _policy(parameters)
        self.servers = self._servers()
        make: type[SimBalancer] = mutation.balancer if parameters.address else SimBalancer
        self.balancers = {
            name: make(self.world, name, self.servers) for name in self.policy.balancers
        }
        self.store = SimStore(_first_record(parameters))
        self.ledger = Ledger()
        self._wire()
        self.judge = Judge(self.world, self.policy, self.servers, self.store, self.ledger)
        for balancer in self.balancers.values():
            balancer.on_routed = self.judge.routed
        self.plans: list[str] = []
        self.supervisors: list[SimSupervisor] = []
        self.on_new_supervisor: list[Callable[[SimSupervisor], None]] = []
        self.etcd = mutation.etcd(self.world) if parameters.supervisors else None
        if self.etcd is not None:
            self.etcd.on_believed = lambda: self.judge.one_acts(self.supervisors)
            self.world.after(IN_LINE_SECONDS, self._next_in_line)

    def _servers(self) -> dict[str, SimServer]:
        parameters, make = self.parameters, self.mutation.server
        flavour = FLAVOURS[parameters.flavour]
        first, second = (make(self.world, i, name, flavour) for i, name in enumerate(NODES))
        serial = iter(range(1, 10**9))
        for server, peer in ((first, second), (second, first)):
            server.peer = peer
            server.make_serial = serial.__next__
            server.apply_seconds = parameters.apply_seconds
            server.channel = Channel(server, peer, f"{peer.name}:3306", HEARTBEAT_SECONDS)
            server.channel.transfer_seconds = parameters.transfer_seconds
            server.channel.batch = parameters.batch
            if self.policy.watchdog is not None:
                server.watchdog = SimWatchdog(server, self.policy.watchdog, server.close_itself)
            if parameters.durability is Durability.BOUNDED:
                server.wait_limit_seconds = BOUNDED_WAIT_SECONDS
        return {first.name: first, second.name: second}

    def _wire(self) -> None:
        dual = self.parameters.mode is Mode.DUAL_WRITER
        for server in self.servers.values():
            server.applier_running = True
            server.channel.state = ThreadState.RUNNING
            server.open = dual or server.index == 0
            server.waits = server.open and self.parameters.durability is not Durability.ASYNC
            if server.index == 0:
                server.do_place_events(run=True)
        for balancer in self.balancers.values():
            for pool, node in balancer.routes:
                balancer.routes[pool, node] = pool == "reader" or self.servers[node].open
        self.world.on_links.extend(server.channel.link_changed for server in self.servers.values())

    # -- supervisors -----------------------------------------------------------------------------

    def new_supervisor(self) -> SimSupervisor:
        """One that begins takes the record over: plans of any other are void from then on."""
        record = self.store.record
        if self.supervisors:
            change = RecordChange("another supervisor takes over")
            taken = change.apply(record, self.world.now)
            self.store.compare_and_set(record.version, replace(taken, term=taken.version))
        name = f"supervisor-{len(self.supervisors) + 1}"
        store: SimStore | SimLeasedStore = self.store
        if self.etcd is not None:
            self.etcd.grant(name)
            store = self.mutation.leased_store(self.store, self.etcd, name)
        one = SimSupervisor(
            self.world,
            name,
            self.mutation.policy(self.policy),
            servers=self.servers,
            balancers=self.balancers,
            store=store,
            interval_seconds=INTERVAL_SECONDS,
            executor=self.mutation.executor,
            mutate_plan=self.mutation.mutate_plan,
            make_jobs=partial(SimJobs, heal=self.mutation.heal),
            leases=self.mutation.leases,
            claims=self.mutation.claims(),
            term=0 if self.etcd is None else self.store.record.version,
        )
        if isinstance(store, SimLeasedStore) and self.etcd is not None:
            store.lease = self.mutation.lease(self.etcd, one)
            one.has(store.lease)
            self.judge.one_acts((*self.supervisors, one))
        one.plans = self.plans
        one.on_decided = partial(self.judge.decided, name)
        one.on_looked = partial(self.judge.looked, name)
        for hook in self.on_new_supervisor:
            hook(one)
        self.supervisors.append(one)
        return one

    def _next_in_line(self) -> None:
        """There is always somebody in line, who has the lease as soon as it is free."""
        assert self.etcd is not None
        self.world.after(IN_LINE_SECONDS, self._next_in_line)
        if self.etcd.free and self.supervisors:
            self.new_supervisor()

    @property
    def supervisor(self) -> SimSupervisor | None:
        """The one that acts."""
        for one in reversed(self.supervisors):
            if one.alive and not one.paused and not one.deposed and one.may_act:
                return one
        return None


def _policy(parameters: Parameters) -> Policy:
    return Policy(
        nodes=NODES,
        sources=(f"{NODES[0]}:3306", f"{NODES[1]}:3306"),
        balancers=BALANCERS[: parameters.balancers],
        mode=parameters.mode,
        durability=parameters.durability,
        deadtime_seconds=DEADTIME_SECONDS,
        heartbeat_period_seconds=HEARTBEAT_SECONDS,
        fence_commands=NODES if parameters.fence_command else (),
        followers=(REPLICA,) if parameters.replica else (),
        delays=(0,) if parameters.replica else (),
        heal=parameters.heal,
        stalled_seconds=STALLED_SECONDS,
        flap_limit=FLAP_LIMIT,
        flap_settled_seconds=FLAP_SETTLED_SECONDS,
        stray_replicas=parameters.stray_replicas,
        address=AddressPolicy() if parameters.address else None,
        watchdog=WATCHDOG if parameters.watchdog else None,
    )


def _first_record(parameters: Parameters) -> Record:
    armed = parameters.durability is Durability.LOSSLESS
    return Record(
        version=1,
        epoch=1,
        writer=NODES[0],
        sync=Sync.ARMED if armed else Sync.SOLO,
        nodes=tuple((name, NodeRecord(Membership.MEMBER, boot_id=f"{name}-1")) for name in NODES),
    )
