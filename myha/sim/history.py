"""One history: a healthy pair, faults, the repair of everything, and the wait until it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from myha.core.record import Cause, Membership, NodeRecord
from myha.sim.address import SharedAddress
from myha.sim.clients import Door, ServersThemselves, SimClient
from myha.sim.cluster import Cluster, Mutation
from myha.sim.faults import Faults
from myha.sim.judge import Violation
from myha.sim.parameters import Parameters
from myha.sim.replica import ReplicaBeside
from myha.sim.supervisor import SimSupervisor
from myha.sim.whole import CLIENTS_SERVED, Missing, Pair
from myha.sim.world import RunawayError

THINK_SECONDS = 0.15
CLIENTS = 2
DIRECT_THINK_SECONDS = 0.5  # all together must not outrun the slowest channel
REPAIRED_SECONDS = 1.7
WHOLE_WITHIN_SECONDS = 30.0  # a heal may fail a few times before it succeeds
OPERATOR_SECONDS = 0.3
CHECK_SECONDS = 0.1


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
    """What happens to one cluster, healthy at the beginning."""

    def __init__(self, parameters: Parameters, mutation: Mutation, *, trace: bool) -> None:
        self.cluster = cluster = Cluster(parameters, mutation, trace=trace)
        self.faults = Faults(cluster)
        self.beside = ReplicaBeside(cluster) if parameters.replica else None
        self.address = SharedAddress(cluster) if parameters.address else None
        cluster.new_supervisor()
        doors: list[Door] = (
            [*cluster.balancers.values()] if self.address is None else [self.address]
        )
        themselves = [ServersThemselves(cluster.servers)]
        self.clients = [
            *(self._client(doors, THINK_SECONDS) for _ in range(CLIENTS)),
            *(
                self._client(themselves, DIRECT_THINK_SECONDS)
                for _ in range(parameters.direct_clients)
            ),
        ]

    def _client(self, doors: Sequence[Door], think_seconds: float) -> SimClient:
        cluster = self.cluster
        return SimClient(cluster.world, doors, cluster.servers, cluster.ledger, think_seconds)

    # -- the run ---------------------------------------------------------------------------------

    def run(self) -> None:
        world = self.cluster.world
        for client in self.clients:
            client.start()
        self.faults.plan()
        judge = self.cluster.judge

        def over() -> bool:
            return bool(judge.violations) or judge.unforeseen

        world.run_until(REPAIRED_SECONDS, over)
        if over():
            return
        self._repair()
        self._operate()
        end = REPAIRED_SECONDS + WHOLE_WITHIN_SECONDS
        missing: Missing | None = None
        while world.now < end and not over():
            world.run_until(world.now + CHECK_SECONDS, over)
            missing = self._missing()
            if missing is None:
                break
            served = all(one.last_ok_at > REPAIRED_SECONDS for one in self.clients)
            if missing.invariant == CLIENTS_SERVED and served:
                for client in self.clients:
                    client.running = False
        if over():
            return
        if missing is not None:
            self.cluster.judge.broken(missing.invariant, missing.sentence)
        self.cluster.judge.at_the_end()

    def _repair(self) -> None:
        self.faults.repair()
        if self.address is not None:
            self.address.repair()
        if self.beside is not None:
            self.beside.repair()

    def _missing(self) -> Missing | None:
        """What keeps the pair from being whole again, the clients at rest included."""
        pair = Pair(
            self.cluster.policy,
            self.cluster.store.record,
            self.cluster.servers,
            self.cluster.balancers,
        )
        missing = pair.not_serving()
        if missing is None and self.address is not None:
            missing = self.address.missing()
        if missing is None and any(client.running for client in self.clients):
            return Missing(CLIENTS_SERVED, "a client has not heard an OK since the repair")
        missing = missing or pair.not_equal()
        return missing or (self.beside.missing() if self.beside is not None else None)

    def _operate(self) -> None:
        """After the repair a person does what only a person may."""
        self.cluster.world.after(OPERATOR_SECONDS, self._operate)
        for server in self.cluster.servers.values():
            server.restart()  # one that was fenced from outside after the repair
        supervisor, record = self.cluster.supervisor, self.cluster.store.record
        if supervisor is not None and self.beside is not None:
            self.beside.operate(supervisor)
        if supervisor is None or supervisor.loop.running is not None:
            return
        if record.maintenance:
            supervisor.request("maintenance", {"state": "off"})
            return
        if self._older_data(supervisor):
            return
        for name, entry in record.nodes:
            if entry.membership is Membership.FENCED:
                self._unfence(supervisor, name, entry)
            elif self._cannot_catch_up(name):
                supervisor.request("heal", {"node": name, "method": "reseed"})

    def _older_data(self, supervisor: SimSupervisor) -> bool:
        """A writer that has less than it had and is not opened: a person finds the rest, or decides
        to go on without it."""
        older, record = self.cluster.judge.older, self.cluster.store.record
        for name in list(older.newer):
            server = self.cluster.servers[name]
            if record.writer != name or record.node(name).boot_id == server.boot_id:
                older.settled(name)
                del older.newer[name]
            elif self.cluster.parameters.seed % 2:
                server.crash()
                older.put_right(server)
                server.restart()
                self.cluster.judge.recount()
                return True
            elif supervisor.request("failover", {"to": name, "accept_loss": "yes"}):
                self.cluster.judge.accept_loss()
                return True
        return False

    def _cannot_catch_up(self, name: str) -> bool:
        """By replication, and the policy leaves its data to people."""
        refused = self.cluster.servers[name].channel.refused
        standby = name != self.cluster.store.record.writer
        return refused and standby and "reseed" not in self.cluster.parameters.heal

    def _unfence(self, supervisor: SimSupervisor, name: str, entry: NodeRecord) -> None:
        if entry.cause is Cause.HEALING:
            return
        if entry.cause not in (Cause.ERRANT, Cause.BROKEN):
            supervisor.request("unfence", {"node": name})
        elif (
            entry.heal is not None or entry.cause is Cause.BROKEN
        ):  # what the policy allows was tried
            supervisor.request("heal", {"node": name, "method": "reseed"})
        elif self.cluster.parameters.heal == ("resume", "manual"):
            supervisor.request("heal", {"node": name, "method": "rewind"})


def run_history(
    parameters: Parameters, mutation: Mutation | None = None, *, trace: bool = False
) -> Outcome:
    """Run one history to its end, or to the first broken invariant."""
    history = History(parameters, mutation or Mutation(), trace=trace)
    try:
        history.run()
    except RunawayError as error:
        history.cluster.judge.broken("runaway", str(error))
    return Outcome(
        parameters=parameters,
        violations=history.cluster.judge.violations,
        plans=history.cluster.plans,
        acknowledged=len(history.cluster.ledger.acknowledged),
        lost=history.cluster.judge.lost(),
        seconds=history.cluster.world.now,
        events=history.cluster.world.events,
        trace=history.cluster.world.trace or [],
    )
