"""The drill itself: rounds of load, fault, wait, judgement, against a real cluster."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from myha.config import split_address
from myha.core.policy import Durability, Mode
from myha.core.record import Membership
from myha.drill import following, history, timeline
from myha.drill.errant import ErrantLedger
from myha.drill.fitness import check, is_whole, why_not_whole
from myha.drill.following import FollowWatch, ReplicaResult
from myha.drill.history import Findings, History, Reign
from myha.drill.judge import Evidence, Judgement, judge
from myha.drill.ledger import Attempt, read_attempts, read_reads
from myha.drill.observer import HangUp
from myha.drill.options import Options
from myha.drill.picture import picture_of
from myha.drill.quarantined import incidents, read_quarantined
from myha.drill.report import Report, RoundResult
from myha.drill.rows import Key
from myha.drill.stage import START_DEADLINE_SECONDS, WHOLE_DEADLINE_SECONDS, Fault, Scenario
from myha.drill.target import Target
from myha.drill.ticks import Ticking
from myha.drill.topology import Topology, topology_of
from myha.drill.worker import Order, payload
from myha.drill.workload import Workload
from myha.errors import MyhaError, RefusedError
from myha.supervisor.requests import Reply
from myha.supervisor.status import Status
from myha.waiting import wait_until

Tell = Callable[[str], None]

PLAN_DEADLINE_SECONDS = 40.0
FIRST_OKS_DEADLINE_SECONDS = 30.0
POLL_SECONDS = 0.05
TOLD_SECONDS, SAME_TOLD_SECONDS = 2.0, 15.0  # how often it says what it waits for
OKS_PER_CLIENT_BEFORE_FAULT = 20
OKS_PER_CLIENT_AFTERWARDS = 10
SERVED_DEADLINE_SECONDS = 10.0  # for each client, once the pair is whole
FIRST_DIRECT_CLIENT = 1001  # number of the first that writes past the balancer
WITH_HANG_UP = frozenset({"crash", "stop", "standby-crash", "supervisor-crash"})


def run(target: Target, scenario: Scenario, options: Options, tell: Tell) -> Report:
    """Play all rounds. Raises RefusedError when the cluster is not fit for it, MyhaError else."""
    target.learn()
    check(target, scenario, options)
    results: list[RoundResult] = []
    with tempfile.TemporaryDirectory(prefix="myha-drill-") as folder:
        for number in _numbers(options):
            of = f" of {options.rounds}" if not options.minutes else ""
            tell(f"{scenario.name}: round {number}{of}")
            played = Round(target, scenario, options, number, Path(folder) / str(number), tell)
            results.append(played.play())
            if results[-1].whole_ms is None:
                break  # what it left is looked at before anything else is broken
    with suppress(MyhaError):  # a cluster that is not whole keeps the evidence
        if all(one.good for one in results):
            target.drop_tables()
    return Report(
        scenario=scenario.name,
        flavour=target.flavour.name,
        server_version=target.server_version,
        mode=target.config.cluster.mode.value,
        durability=target.config.cluster.durability.value,
        seed=options.seed,
        rounds=tuple(results),
        sentence=scenario.sentence,
        clients=options.clients,
    )


def _numbers(options: Options) -> Iterator[int]:
    """Of the rounds; with a time instead of a number the last one begins before that is over."""
    if not options.minutes:
        yield from range(1, options.rounds + 1)
        return
    ends = time.monotonic() + 60 * options.minutes
    for number in count(1):
        yield number
        if time.monotonic() >= ends:
            return


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

    # -- the course of a round -------------------------------------------------------------------

    def play(self) -> RoundResult:
        self._await_ready()
        self.target.make_tables()
        if self.scenario.ticks:
            self._note(self.ticking.begin(self.writer, self.after_event))
        try:
            with self.following.watching():
                return self._play()
        finally:
            with suppress(MyhaError):  # on a cluster that takes no writes it is not running
                self.ticking.end()

    def _note(self, what: str) -> None:
        if what:
            self.problem(what)

    def _play(self) -> RoundResult:
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
        return self._judged(fault, whole_at, until, hang_up.at, seen)

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
            database=self.target.database,
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

        if not wait_until(ended, PLAN_DEADLINE_SECONDS, POLL_SECONDS):
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

        if not wait_until(done, PLAN_DEADLINE_SECONDS, POLL_SECONDS):
            words = " ".join((name, *arguments.values()))
            raise MyhaError(f"the supervisor refused `{words}`: {replies[-1].text}")

    def await_conflicts(self, count: int, deadline_seconds: float) -> None:
        """Wait until so many conflicts in the drill's tables stand in the journal."""

        def reported() -> bool:
            self.conflicts = len(timeline.conflicts(self.target.events(self.after_event)))
            return self.conflicts >= count

        wait_until(reported, deadline_seconds, POLL_SECONDS)
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
        self.release_supervisor()

    # -- the judgement ---------------------------------------------------------------------------

    def _judged(
        self,
        fault: Fault,
        whole_at: float | None,
        until: float,
        gone_at: float | None,
        seen: dict[str, Any],
    ) -> RoundResult:
        self.tell(f"round {self.number}: comparing the ledger with all nodes")
        attempts = tuple(read_attempts(self.directory))
        every = self._journal(fault)
        events = following.of_pair(self.target, every)
        judgement = self._judgement(attempts, events)
        gap, client_ms = timeline.outage(attempts, fault.at, until)
        phases = self._phases_ms(attempts, events, fault, gone_at)
        change_ms = None
        if "written" in phases:
            change_ms = timeline.around_change(attempts, fault.at, phases["written"])
        before_ms = timeline.before_fault(attempts, fault.at, until - fault.at)
        if seen.get("stuck"):
            self.problems.append(f"{seen['stuck']} clients got no answer and no error for 15 s")
        self._judge_ticks(events, fault)
        replicas = self._judge_replicas(every, fault, phases.get("routed"))
        findings = self._findings(
            attempts, events, fault, whole_at, until=until, excused=judgement.excused
        )
        problems = (*self.problems, *judgement.problems, *findings.problems)
        last_ms = max((gap.began_ms + gap.length_ms, *phases.values()))
        after = self._topology_now()
        picture = picture_of(
            *(attempts, every, fault.at, until), last_ms=last_ms, before=self.before, after=after
        )
        return RoundResult(
            node=fault.node,
            outage_ms=round(gap.length_ms, 1),
            client_outage_ms_max=round(client_ms, 1),
            gap_began_ms=round(gap.began_ms, 1),
            change_ms=None if change_ms is None else round(change_ms, 1),
            before_ms=None if before_ms is None else round(before_ms, 1),
            phases_ms=phases,
            acknowledged=judgement.acknowledged,
            acknowledged_lost=judgement.acknowledged_lost,
            unacknowledged_present=judgement.unacknowledged_present,
            duplicated=judgement.duplicated,
            errant=judgement.errant,
            quarantined=judgement.quarantined,
            merged=judgement.merged,
            left=judgement.left,
            destroyed=judgement.destroyed,
            conflicts=self.conflicts,
            undone=timeline.undone(events),
            returned=timeline.returned(events),
            whole_ms=None if whole_at is None else round((whole_at - fault.at) * 1000, 1),
            converged=judgement.converged,
            writer_lost=fault.writer_lost,
            problems=problems,
            journal=tuple(timeline.lines(every, fault.at)) if problems else (),
            clients=seen,
            replicas=replicas,
            overlapping=findings.overlapping,
            reads=findings.reads,
            stale_reads=findings.stale,
            explained_ms=round(1000 * self.explained_seconds, 1),
            long_waits=findings.waits,
            picture=picture,
        )

    def _phases_ms(
        self,
        attempts: tuple[Attempt, ...],
        events: list[dict[str, Any]],
        fault: Fault,
        gone_at: float | None,
    ) -> dict[str, float]:
        """When each was reached, from the fault on: by the journal, by what the scenario measured,
        and the first acknowledgement of the new writer's."""
        phases = timeline.phases_ms(events, fault.plans, fault.at) | self.measures
        if gone_at is not None and self.scenario.name in WITH_HANG_UP:
            phases["gone"] = round((gone_at - fault.at) * 1000, 1)
        if "routed" in phases:
            written = timeline.first_after(attempts, fault.at, phases["routed"])
            if written is not None:
                phases["written"] = round(written, 1)
        return phases

    def _topology_now(self) -> Topology | None:
        with suppress(MyhaError):
            return topology_of(self.target.status())
        return None

    def _findings(
        self,
        attempts: tuple[Attempt, ...],
        events: list[dict[str, Any]],
        fault: Fault,
        whole_at: float | None,
        *,
        until: float,
        excused: frozenset[Key],
    ) -> Findings:
        """What the ledgers prove of the clients that come through the balancer."""
        target = self.target
        ids, config = target.server_ids, target.config
        nodes = {ids[name]: node.auto_increment_offset for name, node in config.nodes.items()}
        alone = config.cluster.mode is Mode.SINGLE_WRITER
        first = Reign(ids[self.writer], float("-inf"))
        later = (Reign(t.server_id, t.recorded_at) for t in timeline.takeovers(events, ids))
        return history.examine(
            History(
                attempts=attempts,
                reads=read_reads(self.directory),
                nodes=nodes,
                names={number: name for name, number in ids.items()},
                reigns=(first, *later) if alone else (),
                fault_at=fault.at,
                since=fault.at,
                until=until,
                whole_at=whole_at,
                explained_seconds=self.explained_seconds,
                back_off_seconds=self.back_off_seconds,
                excused=excused,
                past_balancer=FIRST_DIRECT_CLIENT,
            )
        )

    def _journal(self, fault: Fault) -> list[dict[str, Any]]:
        wall = time.time() - (time.monotonic() - fault.at)
        events = self.target.events(self.after_event)
        return [
            dict(one)
            for one in timeline.completed(events, self.writer, self._roles_now()[0], fault.at, wall)
        ]

    def _judge_replicas(
        self, events: list[dict[str, Any]], fault: Fault, routed_ms: float | None
    ) -> dict[str, ReplicaResult]:
        writer, _ = self._roles_now()
        routed_at = None if routed_ms is None else fault.at + routed_ms / 1000
        address = self.target.config.nodes[writer].replication_address
        found = following.results(self.following.sources, address, routed_at, events)
        changed = writer != self.writer
        for problem in following.problems(found, writer, changed=changed):
            self.problem(problem)
        return found

    def _judge_ticks(self, events: list[dict[str, Any]], fault: Fault) -> None:
        """A node that was left out on purpose has only what it had."""
        ticking = self.ticking
        writer, fenced = self._roles_now()
        self._note(ticking.await_tick(writer))
        ticking.end()
        merged = fault.node if timeline.returned(events) == "merge" else ""
        for problem in ticking.problems(writer, events, self.writer, merged):
            self.problem(problem)
        for problem in ticking.differ([one for one in self.target.config.servers if one != fenced]):
            self.problem(problem)

    def _roles_now(self) -> tuple[str, str]:
        """The writer, and the node that is left fenced, if one is."""
        with suppress(MyhaError):
            status = self.target.status()
            fenced = (name for name, node in status.nodes.items() if node.fenced)
            return str(status.writer), next(fenced, "")
        return self.writer, ""

    def _may_be_kept(self) -> bool:
        """Whether an OK may have said nothing of the other node: its write has to be somewhere."""
        durability = self.target.config.cluster.durability
        timed_out = self.scenario.may_time_out and durability is Durability.BOUNDED
        return timed_out or durability is Durability.ASYNC

    def _judgement(self, attempts: tuple[Attempt, ...], events: list[dict[str, Any]]) -> Judgement:
        target, config = self.target, self.target.config
        target.await_same_rows()
        writer, fenced = self._roles_now()
        return judge(
            Evidence(
                attempts=attempts,
                writer=writer,
                fenced=fenced,
                tables={name: target.tables(name) for name in config.servers},
                payload=lambda client, number: payload(self.seed, client, number),
                takeovers=timeline.takeovers(events, target.server_ids),
                offsets={
                    target.server_ids[name]: node.auto_increment_offset
                    for name, node in config.nodes.items()
                },
                single_writer=config.cluster.mode is Mode.SINGLE_WRITER,
                may_be_kept=self._may_be_kept(),
                errant=self.errant.all(),
                kept=read_quarantined(target.quarantine, self.kept_before),
                writer_tables=target.table_names(writer),
            )
        )


def _out(status: Status) -> frozenset[str]:
    """The nodes that may have no traffic."""
    return frozenset(
        name
        for name, node in status.nodes.items()
        if node.membership not in (None, Membership.MEMBER)
    )
