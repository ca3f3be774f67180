"""Read replicas beside the pair: what is seen of them, what that means, and what is done."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from myha.core.followers.healing import heal_by_hand
from myha.core.followers.planning import decide
from myha.core.followers.plans import ChangeFollower
from myha.core.followers.requests import fence_by_hand, unfence
from myha.core.followers.situation import FollowerSituation
from myha.core.followers.verdicts import HEALTHY, TABLE, situation_of
from myha.core.followers.view import FollowerView, PairSeen, fold
from myha.core.node import Contact, NodeView
from myha.core.observations import NodeLooked
from myha.core.plans import POOLS, NodeStep, Plan, Refusal, Step, TakeOut
from myha.core.policy import Durability, Mode
from myha.core.protocols.answer import Answer
from myha.core.protocols.switchover import switchover
from myha.core.record import Cause
from myha.core.requests import forced_failover
from myha.core.situation import Situation
from myha.core.view import View
from tests.core.follower_situations import (
    AHEAD,
    HEALING,
    QUIET,
    SITUATIONS,
    VARIANTS,
    balancer,
    look,
    lost,
    node,
    taken_over,
    view,
)
from tests.core.views import CONNECTING, NOW, RUNNING, UUID, UUID_2, away, fenced, gtids, seen
from tests.core.views import lost as pair_lost
from tests.core.views import record as pair_record
from tests.core.views import view as pair_view

RECORDED = Path(__file__).parent / "recorded" / "replicas.txt"
EVERY = {**SITUATIONS, **VARIANTS}


def it_of(one: FollowerView) -> FollowerSituation:
    it = situation_of(one)
    assert it is not None
    return it


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_verdict_is_in_force(name: str) -> None:
    assert decide(SITUATIONS[name]).verdicts[0].name == name


def test_every_verdict_has_a_situation() -> None:
    assert [one.name for one in (*TABLE, HEALTHY)] == sorted(
        SITUATIONS, key=[one.name for one in (*TABLE, HEALTHY)].index
    )


@pytest.mark.parametrize("name", EVERY)
def test_every_sentence_can_be_said(name: str) -> None:
    for verdict in decide(EVERY[name]).verdicts:
        assert "{" not in verdict.text(it_of(EVERY[name]))


def printed(answer: Answer) -> str:
    if answer is None:
        return "  nothing to do\n"
    if isinstance(answer, Refusal):
        return f"  refused: {answer}\n"
    lines = [f"  plan {answer.kind} {answer.node}: {answer.sentence}"]
    for step in answer.steps:
        lines.append(f"    {step}")
        shown = {one.name: getattr(step, one.name) for one in fields(step)}
        lines.append(f"      {type(step).__name__} {shown}")
    return "\n".join(lines) + "\n"


def test_decisions_are_as_recorded() -> None:
    text = ""
    for name, one in EVERY.items():
        decision = decide(one)
        text += f"{name}: {', '.join(row.name for row in decision.verdicts)}\n"
        text += "".join(f"  {of}: refused: {refusal}\n" for of, refusal in decision.refusals)
        text += printed(decision.plan)
    if os.environ.get("MYHA_RECORD"):
        RECORDED.write_text(text)
    assert RECORDED.read_text() == text, "if that is meant: MYHA_RECORD=1"


def all_plans() -> list[Plan]:
    answers: list[Answer] = [decide(one).plan for one in EVERY.values()]
    for one in EVERY.values():
        it = it_of(one)
        answers += [fence_by_hand(it, "a test"), unfence(it), heal_by_hand(it, "reseed")]
    return [one for one in answers if isinstance(one, Plan)]


def test_no_plan_touches_the_pair() -> None:
    """Neither the pair's record nor a node of it, and never the pool of writers."""
    for plan in all_plans():
        assert plan.node == "r1"
        for step in plan.steps:
            assert isinstance(step, NodeStep)
            assert step.node == "r1"
            assert POOLS[0] not in getattr(step, "pools", ())
            assert getattr(step, "pool", "reader") == "reader"


def test_what_is_fenced_is_on_record_first() -> None:
    for plan in all_plans():
        if plan.kind in ("fence", "heal"):
            assert isinstance(plan.steps[0], ChangeFollower)


# -- what it has that the writer lacks -----------------------------------------------------------


def test_what_came_after_the_look_at_the_writer_is_not_errant() -> None:
    """Both go on: the replica's last look is the younger one and shows more."""
    moving = view(node(executed=AHEAD, at=NOW + 0.1))
    assert it_of(moving).errant is None
    # Looked at once more, the writer has it.
    behind = replace(moving, before=look(at=NOW - 0.3))
    later = pair_view(seen("db1", at=NOW + 0.2, executed=AHEAD), **POLICY_OF_R1)
    errant = it_of(replace(behind, pair=later)).errant
    assert errant is not None
    assert errant.is_empty()


POLICY_OF_R1: dict[str, Any] = {"followers": ("r1",), "delays": (0,)}


def test_under_load_only_what_the_look_before_had_can_be_errant() -> None:
    one = view(node(executed=AHEAD))
    assert one.before is not None
    one = replace(one, before=replace(one.before, executed=gtids(f"{UUID}:1-11")))
    errant = it_of(one).errant
    assert errant is not None
    assert errant == gtids(f"{UUID}:11")


def test_a_writer_that_is_not_open_proves_nothing() -> None:
    assert it_of(SITUATIONS["replica-waiting"]).errant is None
    assert it_of(VARIANTS["two writers, not all applied"]).errant is None


def test_what_the_writer_has_received_is_not_errant() -> None:
    """A heartbeat that came through on the old writer after it was closed, on MariaDB."""
    ahead = node(executed=AHEAD)
    assert it_of(view(ahead, pair=taken_over(received=AHEAD))).errant is None
    errant = it_of(view(ahead, pair=taken_over())).errant
    assert errant is not None
    assert not errant.is_empty()


def test_a_former_life_proves_nothing() -> None:
    one = view(node(executed=AHEAD, boot_id="r1-2"))
    assert it_of(replace(one, before=look(executed=AHEAD))).errant is None


# -- reads ---------------------------------------------------------------------------------------


def wanted(one: FollowerView) -> bool | None:
    return it_of(one).wanted


def test_reads() -> None:
    assert wanted(view()) is True
    assert wanted(VARIANTS["delayed beyond the limit"]) is False
    assert wanted(view(node(applier=QUIET["applier"]))) is False
    assert wanted(view(node(open=True))) is False
    assert wanted(VARIANTS["from a stranger"]) is False
    assert wanted(view(node(), away(Cause.HEALED))) is False
    assert wanted(view(node(), fenced())) is False
    assert wanted(SITUATIONS["replica-errant"]) is False


def test_reads_go_on_while_nothing_is_known() -> None:
    assert wanted(VARIANTS["hung for a moment"]) is None
    assert wanted(view(lost(Contact.SILENT))) is False
    assert wanted(view(lost(Contact.FULL))) is None
    assert wanted(view(lost(Contact.REFUSING))) is False
    assert wanted(view(NodeView(contact_since=NOW))) is None


def test_the_writer_is_lost_and_reads_go_on() -> None:
    """No replica leaves the pool for a failover, until it is known what the new writer has."""
    crashed = replace(node(receiver=QUIET["receiver"]), unsourced_since=NOW - 9.0)
    assert wanted(view(crashed, pair=taken_over(open=False))) is None
    assert wanted(SITUATIONS["replica-waiting"]) is None
    assert wanted(VARIANTS["switched over"]) is None


def test_a_replica_takes_no_reads_while_it_is_doubtful() -> None:
    def taken_out(name: str) -> bool:
        plan = decide(EVERY[name]).plan
        assert plan is not None
        assert plan.kind == "follow"
        return any(isinstance(step, TakeOut) for step in plan.steps)

    assert taken_out("taken over, nobody can tell yet")
    assert taken_out("replica-restarted")
    assert not taken_out("replica-wrong-source")  # it is known to be clean
    assert not taken_out("switched over")


def test_lag_counts_from_the_delay() -> None:
    one = view(policy={"delays": (5,)})

    def reader_ok(lag: float) -> bool:
        return fold(one, NodeLooked("r1", look(at=NOW, lag_seconds=lag))).node.reader_ok

    assert reader_ok(14.0)
    assert not reader_ok(16.0)
    after = fold(one, NodeLooked("r1", look(at=NOW, lag_seconds=14.0)))
    assert after.node.look is not None
    assert after.node.look.lag_seconds == 14.0


# -- two writers ---------------------------------------------------------------------------------

DUAL: dict[str, Any] = {
    **POLICY_OF_R1,
    "mode": Mode.DUAL_WRITER,
    "durability": Durability.BOUNDED,
}


def test_writes_of_the_other_writer_come_through_the_one_on_record() -> None:
    """What its source has is nothing of its own, whichever of the two wrote it."""
    both = gtids(f"{UUID}:1-10,{UUID_2}:1-7")
    pair = pair_view(
        seen("db1", executed=both), seen("db2", executed=both, open=True), lb1=balancer(), **DUAL
    )
    one = view(node(executed=both), pair=pair)
    decision = decide(one)
    assert [row.name for row in decision.verdicts] == ["replica-healthy"]
    assert decision.plan is None


def test_the_death_of_the_other_writer_moves_no_replica() -> None:
    pair = pair_view(seen("db1"), pair_lost("db2", Contact.REFUSING), lb1=balancer(), **DUAL)
    decision = decide(view(pair=pair))
    assert [row.name for row in decision.verdicts] == ["replica-healthy"]
    assert decision.plan is None


def test_the_survivor_of_two_writers_is_followed_when_it_has_applied_all_it_received() -> None:
    """It is open before that: what it has received and not applied is the dead one's, and the
    replica may have it."""

    def plan_of(survivor: View) -> Plan | None:
        dual = replace(survivor, policy=replace(survivor.policy, mode=Mode.DUAL_WRITER))
        return decide(view(node(receiver=CONNECTING), pair=dual)).plan

    assert plan_of(taken_over(applier=RUNNING, received=AHEAD)) is None
    plan = plan_of(taken_over())
    assert plan is not None
    assert plan.kind == "follow"


# -- beside the pair -----------------------------------------------------------------------------


def test_nothing_begins_while_the_writer_may_change() -> None:
    one = VARIANTS["taken over, the plan still runs"]
    assert decide(one).plan is None
    done = fold(one, PairSeen(NOW, one.pair, changing=False))
    plan = decide(done).plan
    assert plan is not None
    assert (plan.kind, plan.epoch, plan.version) == ("follow", 3, 3)


def test_a_replica_is_never_the_writer() -> None:
    it = Situation(pair_view(**POLICY_OF_R1), pair_record())
    for refusal in (switchover(it, "r1"), forced_failover(it, "r1", accept_loss=True)):
        assert isinstance(refusal, Refusal)
        assert "never the writer" in refusal.reason


def test_a_heal_is_on_record_under_an_id_of_its_own() -> None:
    plan = decide(SITUATIONS["replica-new"]).plan
    assert plan is not None
    (record,) = [one for one in plan.steps if isinstance(one, ChangeFollower)]
    assert record.entry.heal is not None
    assert (record.entry.heal.id, record.entry.heal.methods) == (4, ("reseed",))


def test_requests() -> None:
    assert isinstance(unfence(it_of(view())), Refusal)
    assert isinstance(fence_by_hand(it_of(view(entry=fenced())), "why"), Refusal)
    stopped = fence_by_hand(it_of(view(node(**QUIET), HEALING)), "why")
    assert isinstance(stopped, Plan)
    assert [one.name for one in stopped.steps] == ["replica-record", "stop-job"]
    for method, text in (
        ("merge", "not healed by merge"),
        ("rewind", "no errant"),
        ("auto", "good"),
    ):
        refusal = heal_by_hand(it_of(view()), method)
        assert isinstance(refusal, Refusal)
        assert text in refusal.reason
    trusted = unfence(it_of(view(entry=fenced(Cause.BROKEN))))
    assert isinstance(trusted, Plan)
    step: Step = trusted.steps[0]
    assert isinstance(step, ChangeFollower)
    assert step.entry.cause is Cause.TRUSTED
