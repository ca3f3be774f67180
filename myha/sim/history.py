"""One history: a healthy pair, faults, the repair of everything, and the wait until it is whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from myha.core.node import ThreadState
from myha.core.plans import RecordChange
from myha.core.policy import Durability, Mode, Policy
from myha.core.record import Cause, Membership, NodeRecord, Record, Sync
from myha.sim.balancer import SimBalancer
from myha.sim.channel import Channel
from myha.sim.clients import Ledger, ServersThemselves, SimClient
from myha.sim.faults import Faults
from myha.sim.flavours import FLAVOURS
from myha.sim.heal import SimHeal
from myha.sim.judge import Judge, Violation
from myha.sim.parameters import BALANCERS, NODES, Parameters
from myha.sim.replica import REPLICA, ReplicaBeside
from myha.sim.server import SimServer
from myha.sim.store import SimStore
from myha.sim.supervisor import MutatePlan, SimSupervisor
from myha.sim.whole import CLIENTS_SERVED, Missing, Pair
from myha.sim.world import RunawayError, World
from myha.supervisor.executor import Executor

HEARTBEAT_SECONDS = 0.1
FLAP_LIMIT = 1
FLAP_SETTLED_SECONDS = 0.4
DEADTIME_SECONDS = 0.4
INTERVAL_SECONDS = 0.25
BOUNDED_WAIT_SECONDS = 0.3
THINK_SECONDS = 0.15
CLIENTS = 2
DIRECT_THINK_SECONDS = 0.5  # all together must not outrun the slowest channel
REPAIRED_SECONDS = 1.7
WHOLE_WITHIN_SECONDS = 30.0  # a heal may fail a few times before it succeeds
OPERATOR_SECONDS = 0.3
CHECK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Mutation:
    """A deliberate mistake: what is put in the place of the real thing."""

    executor: type[Executor] = Executor
    server: type[SimServer] = SimServer
    mutate_plan: MutatePlan | None = None
    heal: type[SimHeal] = SimHeal
    policy: Callable[[Policy], Policy] = lambda policy: policy
    replica: MutatePlan | None = None  # its plans


@dataclass(slots=True)
class Outcome:
    """What became of a history."""

    parameters: Parameters
    violations: list[Violation] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)
    acknowledged: int = 0
    lost: int = 0
    seconds: float = 0.0
    events: int = 0
    trace: list[tuple[float, str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not self.violations


class History:
    """The whole cluster of one history, healthy at the beginning."""

    def __init__(self, parameters: Parameters, mutation: Mutation, *, trace: bool) -> None:
        self.parameters = parameters
        self.mutation = mutation
        self.world = World(parameters.seed, trace=trace)
        self.world.latency_seconds = parameters.latency_seconds
        self.policy = _policy(parameters)
        self.servers = self._servers()
        self.balancers = {
            name: SimBalancer(self.world, name, self.servers) for name in self.policy.balancers
        }
        self.store = SimStore(_first_record(parameters))
        self.ledger = Ledger()
        self._wire()
        self.judge = Judge(self.world, self.policy, self.servers, self.store, self.ledger)
        for balancer in self.balancers.values():
            balancer.on_routed = self.judge.routed
        self.plans: list[str] = []
        self.supervisors: list[SimSupervisor] = []
        self.beside: ReplicaBeside | None = None
        if parameters.replica:
            self.beside = ReplicaBeside(self)
        self.faults = Faults(self)
        self.new_supervisor()
        self.clients = [
            SimClient(
                self.world, list(self.balancers.values()), self.servers, self.ledger, THINK_SECONDS
            )
            for _ in range(CLIENTS)
        ]
        self.clients += [
            SimClient(
                self.world,
                [ServersThemselves(self.servers)],
                self.servers,
                self.ledger,
                DIRECT_THINK_SECONDS,
            )
            for _ in range(parameters.direct_clients)
        ]

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
            self.store.compare_and_set(record.version, change.apply(record, self.world.now))
        one = SimSupervisor(
            self.world,
            f"supervisor-{len(self.supervisors) + 1}",
            self.mutation.policy(self.policy),
            servers=self.servers,
            balancers=self.balancers,
            store=self.store,
            interval_seconds=INTERVAL_SECONDS,
            executor=self.mutation.executor,
            mutate_plan=self.mutation.mutate_plan,
            heal=self.mutation.heal,
        )
        one.plans = self.plans
        one.on_step = self.faults.on_step
        one.on_decided = self.judge.decided
        for name in self.faults.cut_from_supervisor:
            self.world.cut(one.name, name)
        if self.beside is not None:
            self.beside.new_lane(one, self.mutation)
        self.supervisors.append(one)
        return one

    @property
    def supervisor(self) -> SimSupervisor | None:
        """The one that acts."""
        for one in reversed(self.supervisors):
            if one.alive and not one.paused and not one.deposed:
                return one
        return None

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> None:
        world = self.world
        for client in self.clients:
            client.start()
        self.faults.plan()
        bad = self.judge.violations
        world.run_until(REPAIRED_SECONDS, lambda: bool(bad))
        if bad:
            return
        self._repair()
        self._operate()
        end = REPAIRED_SECONDS + WHOLE_WITHIN_SECONDS
        missing: Missing | None = None
        while world.now < end and not bad:
            world.run_until(world.now + CHECK_SECONDS, lambda: bool(bad))
            missing = self._missing()
            if missing is None:
                break
            served = all(one.last_ok_at > REPAIRED_SECONDS for one in self.clients)
            if missing.invariant == CLIENTS_SERVED and served:
                for client in self.clients:
                    client.running = False
        if bad:
            return
        if missing is not None:
            self.judge.broken(missing.invariant, missing.sentence)
        self.judge.at_the_end()

    def _repair(self) -> None:
        self.faults.repair()
        if self.beside is not None:
            self.beside.repair()

    def _missing(self) -> Missing | None:
        """What keeps the pair from being whole again, the clients at rest included."""
        pair = Pair(self.policy, self.store.record, self.servers, self.balancers)
        missing = pair.not_serving()
        if missing is None and any(client.running for client in self.clients):
            return Missing(CLIENTS_SERVED, "a client has not heard an OK since the repair")
        missing = missing or pair.not_equal()
        return missing or (self.beside.missing() if self.beside is not None else None)

    def _operate(self) -> None:
        """After the repair a person does what only a person may."""
        self.world.after(OPERATOR_SECONDS, self._operate)
        for server in self.servers.values():
            server.restart()  # one that was fenced from outside after the repair
        supervisor, record = self.supervisor, self.store.record
        if supervisor is not None and self.beside is not None:
            self.beside.operate(supervisor)
        if supervisor is None or supervisor.loop.running is not None:
            return
        if record.maintenance:
            supervisor.request("maintenance", {"state": "off"})
            return
        for name, entry in record.nodes:
            if entry.membership is Membership.FENCED:
                self._unfence(supervisor, name, entry)

    def _unfence(self, supervisor: SimSupervisor, name: str, entry: NodeRecord) -> None:
        if entry.cause is Cause.HEALING:
            return
        if entry.cause not in (Cause.ERRANT, Cause.BROKEN):
            supervisor.request("unfence", {"node": name})
        elif (
            entry.heal is not None or entry.cause is Cause.BROKEN
        ):  # what the policy allows was tried
            supervisor.request("heal", {"node": name, "method": "reseed"})
        elif self.parameters.heal == ("resume", "manual"):
            supervisor.request("heal", {"node": name, "method": "rewind"})


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
        flap_limit=FLAP_LIMIT,
        flap_settled_seconds=FLAP_SETTLED_SECONDS,
        stray_replicas=parameters.stray_replicas,
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


def run_history(
    parameters: Parameters, mutation: Mutation | None = None, *, trace: bool = False
) -> Outcome:
    """Run one history to its end, or to the first broken invariant."""
    history = History(parameters, mutation or Mutation(), trace=trace)
    try:
        history.run()
    except RunawayError as error:
        history.judge.broken("runaway", str(error))
    return Outcome(
        parameters=parameters,
        violations=history.judge.violations,
        plans=history.plans,
        acknowledged=len(history.ledger.acknowledged),
        lost=history.judge.lost(),
        seconds=history.world.now,
        events=history.world.events,
        trace=history.world.trace or [],
    )
