"""One round of a drill: load, fault, and the wait until the pair is whole again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from myha.config import split_address
from myha.core.record import Membership
from myha.drill import timeline
from myha.drill.errant import ErrantLedger
from myha.drill.fitness import is_whole, why_not_whole
from myha.drill.following import FollowWatch
from myha.drill.observer import HangUp
from myha.drill.options import Options
from myha.drill.quarantined import incidents
from myha.drill.stage import START_DEADLINE_SECONDS, WHOLE_DEADLINE_SECONDS, Fault, Scenario
from myha.drill.target import DATABASE, Target
from myha.drill.ticks import Ticking
from myha.drill.topology import Topology, topology_of
from myha.drill.worker import Order
from myha.drill.workload import Workload
from myha.errors import MyhaError, RefusedError
from myha.progress import Tell
from myha.supervisor.requests import Reply
from myha.supervisor.status import Status
from myha.waiting import POLL_SECONDS, wait_until

PLAN_DEADLINE_SECONDS = 40.0
FIRST_OKS_DEADLINE_SECONDS = 30.0
TOLD_SECONDS, SAME_TOLD_SECONDS = 2.0, 15.0  # how often it says what it waits for
OKS_PER_CLIENT_BEFORE_FAULT = 20
OKS_PER_CLIENT_AFTERWARDS = 10
SERVED_DEADLINE_SECONDS = 10.0  # for each client, once the pair is whole
FIRST_DIRECT_CLIENT = 1001  # number of the first that writes past the balancer


@dataclass(frozen=True)
class Played:
    """What happened in a round, for its judgement; times as of `time.monotonic`."""

    fault: Fault
    whole_at: float | None
    until: float
    gone_at: float | None
    """When the victim hung up."""
    clients: dict[str, Any]
    """What they count of themselves."""


@dataclass
class Round:
    """One round; also what its scenario may use (`myha.drill.scenarios.Stage`)."""

    target: Target
    scenario: Scenario
    options: Options
    number: int
    directory: Path
    tell: Tell
    problems: list[str] = field(default_factory=list)
    writer: str = ""
    standby: str = ""
    after_event: int = 0
    slow_down: Callable[[], None] = field(default=lambda: None)

    def __post_init__(self) -> None:
        self.seed = self.options.seed
        self.random = random.Random(f"{self.seed}/{self.number}")
        self.errant = ErrantLedger(self.directory / "errant.jsonl")
        self.kept_before = incidents(self.target.quarantine)
        self.crossings: list[Any] = []
        self.conflicts = 0
        self.held = False
        self.to_undo: list[Callable[[], None]] = []
        self.explained_seconds = self.scenario.explains(self.target.config)
        self.back_off_seconds = 0.0
        self.direct: Workload | None = None
        self.measures: dict[str, float] = {}
        self.ticking = Ticking(self.target, self.tell)
        self.following = FollowWatch(self.target)
        self.before: Topology | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Around the round and its judgement: a whole pair, with what counts along with them."""
        self._await_ready()
        self.target.make_tables()
        if self.scenario.ticks:
            self.note_problem(self.ticking.begin(self.writer, self.after_event))
        try:
            with self.following.watching():
                yield
        finally:
            with suppress(MyhaError):  # on a cluster that takes no writes it is not running
                self.ticking.end()

    def note_problem(self, what: str) -> None:
        """A problem, unless it is empty."""
        if what:
            self.problem(what)

    def play(self) -> Played:
        """Load, fault, wait until the pair is whole, and then some."""
        whole_at: float | None = None
        with Workload(self._order()) as workload:
            self.slow_down = lambda: self._slow_down(workload)
            clients = self.options.clients
            self.tell(f"round {self.number}: {clients} clients write, {self.writer} is the writer")
            workload.await_acknowledged(
                clients * OKS_PER_CLIENT_BEFORE_FAULT, FIRST_OKS_DEADLINE_SECONDS
            )
            time.sleep(self.random.uniform(0.5, 1.0))
            try:
                self.tell(f"round {self.number}: now {self.scenario.sentence}")
                victim = self.standby if self.scenario.hits_standby else self.writer
                with HangUp(self.target, victim) as hang_up:
                    fault = self.scenario.strike(self)
                    self.scenario.mend(self, fault)
                whole_at = self._await_whole()
                if whole_at is not None:
                    workload.await_served(whole_at, SERVED_DEADLINE_SECONDS)
                with suppress(MyhaError):  # judged by its acknowledgements, whatever they are
                    workload.await_acknowledged(clients * OKS_PER_CLIENT_AFTERWARDS, 10.0)
            finally:
                self._put_right()
                self._stop_direct()
            until = time.monotonic()
            seen = workload.stop()
        return Played(fault, whole_at, until, hang_up.at, seen)

    def _slow_down(self, workload: Workload) -> None:
        workload.slow_down()
        if self.direct is not None:
            self.direct.slow_down()

    def write_past_balancer(self, node: str, clients: int) -> None:
        """So many more clients, connected to this node's own port; returns when they write."""
        address = self.target.config.nodes[node]
        self._write_beside(address.host, address.port, clients)

    def write_through(self, balancer: str, host: str, clients: int) -> None:
        """So many more clients, on this host and through this balancer; returns when they write."""
        address = split_address(self.target.config.balancers[balancer].writer_listen)
        self._write_beside(*address, clients, self.target.network.words(host))

    def _write_beside(
        self, host: str, port: int, clients: int, launcher: tuple[str, ...] = ()
    ) -> None:
        order = replace(
            self._order(),
            host=host,
            port=port,
            clients=clients,
            first_client=FIRST_DIRECT_CLIENT,
            reads_every=0,  # on a node that was replaced they would rightly read old rows
        )
        self.direct = Workload(order, launcher)
        self.direct.start()
        self.direct.await_acknowledged(
            (clients + self.options.clients) * OKS_PER_CLIENT_BEFORE_FAULT,
            FIRST_OKS_DEADLINE_SECONDS,
        )

    def _stop_direct(self) -> None:
        if self.direct is not None:
            with self.direct:
                self.direct.stop()
            self.direct = None

    def _order(self) -> Order:
        host, port = self.target.writer_address
        return Order(
            host=host,
            port=port,
            user=self.target.account.user,
            password=self.target.account.password.get_secret_value(),
            database=DATABASE,
            flavour=self.target.flavour.name,
            directory=str(self.directory),
            clients=self.options.clients,
            seed=self.seed,
            pause_ms=self.options.pause_ms,
            tls=self.target.config.accounts.tls == "require",
            reads_every=self.options.reads_every,
        )

    def _await_ready(self) -> None:
        status = self._await_status(WHOLE_DEADLINE_SECONDS)
        if status is None or not (is_whole(self.target, status) or self.options.force):
            raise RefusedError(
                f"round {self.number} cannot begin, the cluster is not whole:"
                f" {why_not_whole(self.target)}",
                "--force",
            )
        self.writer = str(status.writer)
        self.before = topology_of(status)
        self.standby = next(name for name in self.target.config.nodes if name != self.writer)
        self.after_event = self.target.last_event_id()

    def await_plan(self, plans: Sequence[str]) -> None:
        """Wait until one of the plans has ended; notes a problem when none does in time."""

        def ended() -> bool:
            with suppress(MyhaError):
                return bool(timeline.plan_ended(self.target.events(self.after_event), plans))
            return False

        if not wait_until(ended, PLAN_DEADLINE_SECONDS):
            self.problems.append(
                f"the supervisor did not react to the fault within {PLAN_DEADLINE_SECONDS:.0f} s:"
                f" {why_not_whole(self.target)}"
            )

    def _await_whole(self) -> float | None:
        deadline_seconds = self.scenario.whole_seconds
        status = self._await_status(deadline_seconds, watch_sessions=True)
        if status is not None and is_whole(self.target, status):
            return time.monotonic()
        self.problems.append(
            f"the pair is not whole {deadline_seconds:.0f} s after the fault was repaired:"
            f" {why_not_whole(self.target)}"
        )
        return None

    def _await_status(
        self, deadline_seconds: float, *, watch_sessions: bool = False
    ) -> Status | None:
        """The first status that is whole, or the last one at the deadline; None for no answer."""
        began = time.monotonic()
        said, sentence = began, ""
        status: Status | None = None
        while time.monotonic() < began + deadline_seconds:
            with suppress(MyhaError):
                status = self.target.status()
                if is_whole(self.target, status):
                    return status
                if watch_sessions:
                    self._watch_sessions(status)
            now, why = time.monotonic(), status.sentence if status else "no supervisor"
            if now - said > (SAME_TOLD_SECONDS if why == sentence else TOLD_SECONDS):
                said, sentence = now, why
                self.tell(
                    f"round {self.number}: waiting for the pair to be whole,"
                    f" {now - began:.0f} s: {why}"
                )
            time.sleep(POLL_SECONDS)
        return status

    def _watch_sessions(self, before: Status) -> None:
        """A node that is not a member has no traffic and no sessions through the balancer.

        Looked at between two answers of the supervisor that agree, so that a node just taken out
        or put in is not held against it, nor what it has not looked at since its last plan.
        """
        out = _out(before)
        if not out or not before.settled:
            return
        routes = [route for balancer in self.target.balancers for route in balancer.look().routes]
        after = self.target.status()
        if not after.settled or _out(after) != out or after.epoch != before.epoch:
            return
        if not all(
            one.answering for one in (*before.balancers.values(), *after.balancers.values())
        ):
            return  # one that has only just been reached again is still to be told
        for route in routes:
            if route.node in out and (route.sessions or route.takes_traffic):
                said = (
                    f"{route.node} is {before.nodes[route.node].membership} and has"
                    f" {route.sessions} sessions in the {route.pool} pool"
                )
                if said not in self.problems:
                    self.problems.append(said)

    def hold_supervisor(self) -> None:
        """Maintenance on: from here the supervisor only looks."""
        self.held = True
        self._maintain("on")

    def release_supervisor(self) -> None:
        """Maintenance off, if this round had put it on."""
        if self.held:
            self._maintain("off")
            self.held = False

    def _maintain(self, state: str) -> None:
        self.request("maintenance", state=state)

    def request(self, name: str, **arguments: str) -> None:
        """Ask the supervisor, again while it is busy; MyhaError when it goes on refusing."""
        replies: list[Reply] = []

        def done() -> bool:
            replies.append(self.target.client.request(name, **arguments))
            return replies[-1].ok or "already" in replies[-1].text

        if not wait_until(done, PLAN_DEADLINE_SECONDS):
            words = " ".join((name, *arguments.values()))
            raise MyhaError(f"the supervisor refused `{words}`: {replies[-1].text}")

    def await_conflicts(self, count: int, deadline_seconds: float) -> None:
        """Wait until so many conflicts in the drill's tables stand in the journal."""

        def reported() -> bool:
            self.conflicts = len(timeline.conflicts(self.target.events(self.after_event)))
            return self.conflicts >= count

        wait_until(reported, deadline_seconds)
        if self.conflicts != count:
            self.problem(f"{count} rows were in conflict, and {self.conflicts} were reported")

    def undo(self, what: Callable[[], None]) -> None:
        """Done by `undone`, and at the end of the round at the latest, whatever happens."""
        self.to_undo.append(what)

    def undone(self) -> None:
        """Do what was left to be undone, the last first. Raises MyhaError."""
        while self.to_undo:
            self.to_undo.pop()()

    def explain(self, seconds: float) -> None:
        """The fault turned out to explain a client's wait of so long."""
        self.explained_seconds = seconds

    def backs_off(self, seconds: float) -> None:
        """TCP tries again up to so long after a cut."""
        self.back_off_seconds = max(self.back_off_seconds, seconds)

    def measured(self, phase: str, seconds: float) -> None:
        """When something was, from the fault on, beside what the journal tells."""
        self.measures[phase] = round(1000 * seconds, 1)

    def problem(self, text: str) -> None:
        """Note what is not as it should be; the round goes on and has failed."""
        self.problems.append(text)

    def _put_right(self) -> None:
        """Whatever happened: no link stays cut, nothing frozen, full or dead because of a drill."""
        self.undone()
        if self.scenario.needs_network:
            self.target.network.faults.heal()
        for host in self.target.hosts.values() if self.scenario.needs_host else ():
            try:
                if host.frozen():
                    host.thaw()
                elif not host.running():
                    host.start(START_DEADLINE_SECONDS)
            except MyhaError as error:  # it may have no data to start with any more
                self.problem(f"not put right: {error}")
        if self.target.cluster is not None:
            self.target.cluster.start_balancers(START_DEADLINE_SECONDS)
        supervisor = self.target.supervisor
        if supervisor is not None and not supervisor.running():
            supervisor.start(START_DEADLINE_SECONDS)
        if self.target.quorum is not None:
            self.target.quorum.start_etcd()
            self.target.quorum.start_supervisors()
        self.release_supervisor()


def _out(status: Status) -> frozenset[str]:
    """The nodes that may have no traffic."""
    return frozenset(
        name
        for name, node in status.nodes.items()
        if node.membership not in (None, Membership.MEMBER)
    )
