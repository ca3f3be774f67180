"""From what was seen to one plan, or the refusals met on the way to none. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from myha.core import healing, protocols, restoring
from myha.core.model import Cause, View
from myha.core.plans import Plan, Refusal
from myha.core.protocols import Answer
from myha.core.situation import Situation
from myha.core.verdicts import Holds, Verdict, assess, situation_of

BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LIMIT_SECONDS = 20.0
URGENT = frozenset({"failover", "install", "release", "unstall", "correct-record", "distrust"})
URGENT_BACKOFF_LIMIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdicts that hold, and what follows: a plan, or the refusals met on the way to none.

    Not `settled` while a look from before the end of the last plan is part of the view.
    """

    verdicts: tuple[Verdict, ...]
    plan: Plan | None = None
    refusals: tuple[tuple[str, Refusal], ...] = ()
    settled: bool = True


def decide(view: View) -> Decision:
    """What to do now. Nothing until every node has been looked at since the last plan ended."""
    it = situation_of(view)
    if it is None:
        return Decision((), settled=False)
    verdicts = assess(it)
    if any(node.checked_at <= view.settled_at for _, node in view.nodes):
        return Decision(verdicts, settled=False)
    if it.record.maintenance:
        reason = Refusal(
            "maintenance is on: myha observes and does not act", "myha maintenance off"
        )
        return Decision(verdicts, None, (("maintenance", reason),))
    return _first_plan(it, verdicts)


def _first_plan(it: Situation, verdicts: tuple[Verdict, ...]) -> Decision:
    refusals: list[tuple[str, Refusal]] = []
    holds = Holds.NOTHING
    for verdict in verdicts:
        if holds is Holds.ALL_BUT_ROUTING and verdict.name != "routing-differs":
            continue
        answer = PLANNERS[verdict.name](it) if verdict.name in PLANNERS else None
        if isinstance(answer, Refusal):
            refusals.append((verdict.name, answer))
        elif answer is not None and not held_back(it.view, answer):
            return Decision(verdicts, answer, tuple(refusals))
        if verdict.holds is Holds.EVERYTHING:
            break
        if verdict.holds is Holds.ALL_BUT_ROUTING:
            holds = verdict.holds
    return Decision(verdicts, None, tuple(refusals))


def held_back(view: View, plan: Plan) -> bool:
    """A plan that has failed is tried again after a growing pause."""
    limit = URGENT_BACKOFF_LIMIT_SECONDS if plan.kind in URGENT else BACKOFF_LIMIT_SECONDS
    for one in view.incidents:
        if (one.plan, one.node) == (plan.kind, plan.node):
            pause = min(limit, BACKOFF_FIRST_SECONDS * 2.0 ** min(one.attempts, 12))
            return view.at < one.at + pause
    return False


def _failback(it: Situation) -> Answer:
    return protocols.switchover(it, it.standby)


PLANNERS: dict[str, Callable[[Situation], Answer]] = {
    "writer-dead": protocols.failover_for_death,
    "writer-closing": protocols.failover_for_closing,
    "writer-hung": protocols.failover_for_silence,
    "writer-restarted": protocols.reinstate,
    "writer-closed": protocols.install,
    "standby-dead": protocols.release(Cause.LOST, "{standby} died"),
    "standby-hung": protocols.release(Cause.LOST, "{standby} hung"),
    "standby-restarted": protocols.release(Cause.RESTARTED, "{standby} restarted"),
    "standby-disconnected": protocols.release(Cause.LOST, "{standby} lost its source"),
    "record-claims-too-much": protocols.correct_record,
    "stray-acknowledger": protocols.distrust,
    "waits-for-absent": protocols.match_acknowledgements,
    "stalled-solo": protocols.stop_waiting("unstall"),
    "replication-filtered": restoring.fence_filtered,
    "waiting-unwanted": protocols.stop_waiting("stop-waiting"),
    "standby-waits": protocols.standby_stops_waiting,
    "standby-open": protocols.close_standby,
    "replication-changed": protocols.fence_changed,
    "writer-listens": protocols.stop_listening,
    "heal-unwanted": healing.stop_unwanted,
    "returned-unquiet": protocols.isolate,
    "returned-errant": protocols.fence_errant,
    "returned-clean": protocols.rejoin,
    "heal-done": healing.finish,
    "heal-refused": healing.next_method,
    "heal-due": healing.start,
    "errant-fenced": healing.begin_for_errant,
    "broken-fenced": healing.begin_for_broken,
    "replication-broken": healing.fence_broken,
    "source-missing": protocols.restore_source,
    "settings-differ": restoring.restore,
    "replication-stopped": protocols.restart_standby_replication,
    "reverse-stopped": protocols.restart_writer_replication,
    "second-closed": protocols.open_second,
    "second-unprotected": protocols.arm_second,
    "schema-missing": protocols.make_schema,
    "unprotected": protocols.arm,
    "routing-differs": protocols.route,
    "writer-events-off": protocols.run_writers_events,
    "standby-events-on": protocols.run_no_events_on_standby,
    "events-unnoted": protocols.run_writers_events,
    "failback-due": _failback,
    "standby-fenced": healing.left_fenced,
}
