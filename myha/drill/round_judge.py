"""The judgement of one round: its ledgers and its journal against what the nodes have now."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cached_property

from myha.core.journal_line import Line
from myha.core.policy import Durability, Mode
from myha.drill import following, history, timeline
from myha.drill.following import ReplicaResult
from myha.drill.history import Findings, History, Reign
from myha.drill.judge import Evidence, Judgement, judge
from myha.drill.ledger import Attempt, read_attempts, read_reads
from myha.drill.picture import picture_of
from myha.drill.quarantined import read_quarantined
from myha.drill.report import RoundResult
from myha.drill.round import FIRST_DIRECT_CLIENT, Played, Round
from myha.drill.rows import Key
from myha.drill.topology import Topology, topology_of
from myha.drill.worker import payload
from myha.errors import MyhaError

WITH_HANG_UP = frozenset({"crash", "stop", "standby-crash", "supervisor-crash"})


class RoundJudge:
    """Judges once, while the round is still watched."""

    def __init__(self, judged: Round, played: Played) -> None:
        self._round = judged
        self._played = played
        self._fault = played.fault
        self._target = judged.target

    def result(self) -> RoundResult:
        """Also notes on the round what was not as it should be."""
        one, fault, until = self._round, self._fault, self._played.until
        one.tell(f"round {one.number}: comparing the ledger with all nodes")
        attempts, events, whole_at = self._attempts, self._events, self._played.whole_at
        judgement = self._judgement()
        gap, client_ms = timeline.outage(attempts, fault.at, until)
        phases = self._phases_ms()
        change_ms = None
        if "written" in phases:
            change_ms = timeline.around_change(attempts, fault.at, phases["written"])
        before_ms = timeline.before_fault(attempts, fault.at, until - fault.at)
        clients = self._played.clients
        if clients.get("stuck"):
            one.problem(f"{clients['stuck']} clients got no answer and no error for 15 s")
        self._judge_ticks()
        replicas = self._judge_replicas(phases.get("routed"))
        findings = self._findings(judgement.excused)
        problems = (*one.problems, *judgement.problems, *findings.problems)
        last_ms = max((gap.began_ms + gap.length_ms, *phases.values()))
        picture = picture_of(
            *(attempts, self._journal, fault.at, until),
            last_ms=last_ms,
            before=one.before,
            after=self._topology_now(),
        )
        return RoundResult(
            node=fault.node,
            outage_ms=round(gap.length_ms, 1),
            client_outage_ms_max=round(client_ms, 1),
            gap_began_ms=round(gap.began_ms, 1),
            change_ms=None if change_ms is None else round(change_ms, 1),
            before_ms=None if before_ms is None else round(before_ms, 1),
            phases_ms=phases,
            **judgement.counts(),
            conflicts=one.conflicts,
            undone=timeline.undone(events),
            returned=timeline.returned(events),
            whole_ms=None if whole_at is None else round((whole_at - fault.at) * 1000, 1),
            converged=judgement.converged,
            writer_lost=fault.writer_lost,
            problems=problems,
            journal=tuple(timeline.lines(self._journal, fault.at)) if problems else (),
            clients=clients,
            replicas=replicas,
            overlapping=findings.overlapping,
            reads=findings.reads,
            stale_reads=findings.stale,
            explained_ms=round(1000 * one.explained_seconds, 1),
            long_waits=findings.waits,
            picture=picture,
        )

    @cached_property
    def _attempts(self) -> tuple[Attempt, ...]:
        return tuple(read_attempts(self._round.directory))

    @cached_property
    def _journal(self) -> list[Line]:
        """All that was noted since the round began."""
        at = self._fault.at
        wall = time.time() - (time.monotonic() - at)
        events = self._target.events(self._round.after_event)
        now = self._roles_now()[0]
        return timeline.completed(events, self._round.writer, now, at, wall)

    @cached_property
    def _events(self) -> list[Line]:
        """Those of the journal that are not a replica's."""
        return following.of_pair(self._target, self._journal)

    def _phases_ms(self) -> dict[str, float]:
        """When each was reached, from the fault on: by the journal, by what the scenario measured,
        and the first acknowledgement of the new writer's."""
        fault, gone_at = self._fault, self._played.gone_at
        phases = timeline.phases_ms(self._events, fault.plans, fault.at) | self._round.measures
        if gone_at is not None and self._round.scenario.name in WITH_HANG_UP:
            phases["gone"] = round((gone_at - fault.at) * 1000, 1)
        if "routed" in phases:
            written = timeline.first_after(self._attempts, fault.at, phases["routed"])
            if written is not None:
                phases["written"] = round(written, 1)
        return phases

    def _topology_now(self) -> Topology | None:
        with suppress(MyhaError):
            return topology_of(self._target.status())
        return None

    def _findings(self, excused: frozenset[Key]) -> Findings:
        """What the ledgers prove of the clients that come through the balancer."""
        ids, config, fault = self._target.server_ids, self._target.config, self._fault
        nodes = {ids[name]: node.auto_increment_offset for name, node in config.nodes.items()}
        alone = config.cluster.mode is Mode.SINGLE_WRITER
        first = Reign(ids[self._round.writer], float("-inf"))
        later = (Reign(t.server_id, t.recorded_at) for t in timeline.takeovers(self._events, ids))
        return history.examine(
            History(
                attempts=self._attempts,
                reads=read_reads(self._round.directory),
                nodes=nodes,
                names={number: name for name, number in ids.items()},
                reigns=(first, *later) if alone else (),
                fault_at=fault.at,
                since=fault.at,
                until=self._played.until,
                whole_at=self._played.whole_at,
                explained_seconds=self._round.explained_seconds,
                back_off_seconds=self._round.back_off_seconds,
                excused=excused,
                past_balancer=FIRST_DIRECT_CLIENT,
            )
        )

    def _judge_replicas(self, routed_ms: float | None) -> dict[str, ReplicaResult]:
        writer, _ = self._roles_now()
        routed_at = None if routed_ms is None else self._fault.at + routed_ms / 1000
        address = self._target.config.nodes[writer].replication_address
        sources = self._round.following.sources
        found = following.results(sources, address, routed_at, self._journal)
        changed = writer != self._round.writer
        for problem in following.problems(found, writer, changed=changed):
            self._round.problem(problem)
        return found

    def _judge_ticks(self) -> None:
        """A node that was left out on purpose has only what it had."""
        one, ticking, events = self._round, self._round.ticking, self._events
        writer, fenced = self._roles_now()
        one.note_problem(ticking.await_tick(writer))
        ticking.end()
        merged = self._fault.node if timeline.returned(events) == "merge" else ""
        for problem in ticking.problems(writer, events, one.writer, merged):
            one.problem(problem)
        for problem in ticking.differ([it for it in self._target.config.servers if it != fenced]):
            one.problem(problem)

    def _roles_now(self) -> tuple[str, str]:
        """The writer, and the node that is left fenced, if one is."""
        with suppress(MyhaError):
            status = self._target.status()
            fenced = (name for name, node in status.nodes.items() if node.fenced)
            return str(status.writer), next(fenced, "")
        return self._round.writer, ""

    def _may_be_kept(self) -> bool:
        """Whether an OK may have said nothing of the other node: its write has to be somewhere."""
        durability = self._target.config.cluster.durability
        timed_out = self._round.scenario.may_time_out and durability is Durability.BOUNDED
        return timed_out or durability is Durability.ASYNC

    def _judgement(self) -> Judgement:
        target, config, one = self._target, self._target.config, self._round
        target.await_same_rows()
        writer, fenced = self._roles_now()
        return judge(
            Evidence(
                attempts=self._attempts,
                writer=writer,
                fenced=fenced,
                tables={name: target.tables(name) for name in config.servers},
                payload=lambda client, number: payload(one.seed, client, number),
                takeovers=timeline.takeovers(self._events, target.server_ids),
                offsets={
                    target.server_ids[name]: node.auto_increment_offset
                    for name, node in config.nodes.items()
                },
                single_writer=config.cluster.mode is Mode.SINGLE_WRITER,
                may_be_kept=self._may_be_kept(),
                errant=one.errant.all(),
                kept=read_quarantined(target.quarantine, one.kept_before),
                writer_tables=target.table_names(writer),
            )
        )
