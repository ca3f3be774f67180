"""What is decided in each situation, and the plan with its steps in order, as recorded text.

A change of a protocol shows as a diff of `recorded/`. To write the files anew: MYHA_RECORD=1.
"""

from __future__ import annotations

import os
from dataclasses import fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from myha.core.planning import decide
from myha.core.plans import AwaitApplied, ChangeRecord, Plan, Refusal
from myha.core.protocols.answer import Answer
from myha.core.protocols.healing import heal_node
from myha.core.protocols.switchover import switchover
from myha.core.requests import fence_node, forced_failover, maintenance, unfence_node
from myha.core.situation import Situation
from myha.core.view import View
from tests.core.situations import SITUATIONS, VARIANTS

RECORDED = Path(__file__).parent / "recorded"


def check(name: str, text: str) -> None:
    path = RECORDED / f"{name}.txt"
    if os.environ.get("MYHA_RECORD"):
        path.write_text(text)
    assert path.read_text() == text, f"{path} differs; if that is meant: MYHA_RECORD=1"


def printed(answer: Answer) -> str:
    if answer is None:
        return "  nothing to do\n"
    if isinstance(answer, Refusal):
        return f"  refused: {answer}\n"
    lines = [f"  plan {answer.kind} {answer.node}: {answer.sentence}"]
    for step in answer.steps:
        lines.append(f"    {step}")
        lines.append(f"      {type(step).__name__} {whole(step, without=('change',))}")
        if isinstance(step, ChangeRecord):
            change = step.change
            lines.append(f"      {whole(change, without=('sentence', 'nodes'))}")
            lines += [f"      {node}: {whole(entry)}" for node, entry in change.nodes]
    return "\n".join(lines) + "\n"


def whole(value: Any, without: tuple[str, ...] = ()) -> str:
    """Every field, so that nothing of a step changes unseen."""
    named = ((one.name, getattr(value, one.name)) for one in fields(value))
    return ", ".join(f"{name}={_text(what)}" for name, what in named if name not in without)


def _text(value: Any) -> str:
    if is_dataclass(value):
        return f"{type(value).__name__}({whole(value)})"
    return str(value) if isinstance(value, StrEnum) else repr(value)


def decided(name: str, view: View) -> str:
    decision = decide(view)
    text = f"{name}\n  verdicts: {', '.join(row.name for row in decision.verdicts)}\n"
    for verdict, refusal in decision.refusals:
        text += f"  {verdict} refused: {refusal}\n"
    return text + printed(decision.plan)


def test_decisions() -> None:
    situations = {**SITUATIONS, **VARIANTS}
    check("decisions", "\n".join(decided(name, view) for name, view in situations.items()))


def test_what_was_received_is_waited_for_as_long_as_the_configuration_says() -> None:
    view = replace_policy(SITUATIONS["writer-dead"], applied_deadline_seconds=77.0)
    plan = decide(view).plan
    assert plan is not None
    assert [s.deadline_seconds for s in plan.steps if isinstance(s, AwaitApplied)] == [77.0]


def test_a_closing_writer_is_waited_for_where_a_balancer_leaves_sessions_open() -> None:
    closing = SITUATIONS["writer-closing"]
    kinds = [
        plan.kind if (plan := decide(view).plan) is not None else ""
        for view in (closing, replace_policy(closing, leave_sessions=("lb1",)))
    ]
    assert kinds == ["failover", "route"], "out of traffic it is meanwhile"


def replace_policy(view: View, **changes: object) -> View:
    return replace(view, policy=replace(view.policy, **changes))  # type: ignore[arg-type]


def test_requests() -> None:
    parts = []
    names = ("healthy", "writer-dead", "standby-away", "standby-fenced", "second-closed")
    for name in (*names, "healing", "replication-broken"):
        view = SITUATIONS[name]
        assert view.record is not None
        it = Situation(view, view.record)
        parts += [
            f"{name}: switchover\n{printed(switchover(it, it.standby))}",
            f"{name}: switchover to the writer\n{printed(switchover(it, it.writer))}",
            f"{name}: failover\n{printed(forced_failover(it, '', accept_loss=False))}",
            f"{name}: failover --accept-loss\n{printed(forced_failover(it, '', accept_loss=True))}",
            f"{name}: fence db2\n{printed(fence_node(it, 'db2', 'by hand'))}",
            f"{name}: fence db1\n{printed(fence_node(it, 'db1', 'by hand'))}",
            f"{name}: unfence db2\n{printed(unfence_node(it, 'db2'))}",
            f"{name}: maintenance on\n{printed(maintenance(it, on=True))}",
            f"{name}: heal db2\n{printed(heal_node(it, 'db2', 'auto'))}",
            f"{name}: heal db2 --method rewind\n{printed(heal_node(it, 'db2', 'rewind'))}",
            f"{name}: heal db2 --method reseed\n{printed(heal_node(it, 'db2', 'reseed'))}",
            f"{name}: heal db1\n{printed(heal_node(it, 'db1', 'auto'))}",
        ]
    check("requests", "\n".join(parts))


@pytest.mark.parametrize("name", [*SITUATIONS, *VARIANTS])
def test_plan_is_made_for_the_record_that_it_saw(name: str) -> None:
    view = {**SITUATIONS, **VARIANTS}[name]
    plan = decide(view).plan
    if plan is not None:
        assert view.record is not None
        assert (plan.epoch, plan.version) == (view.record.epoch, view.record.version)
        assert all(step.deadline_seconds > 0 for step in plan.steps)


def _index(plan: Plan, name: str) -> int:
    return [step.name for step in plan.steps].index(name)


def test_a_failover_records_before_it_acts_and_opens_last() -> None:
    plan = decide(SITUATIONS["writer-dead"]).plan
    assert plan is not None
    assert isinstance(plan.steps[0], ChangeRecord)
    assert _index(plan, "stop-receiver") < _index(plan, "await-applied") < _index(plan, "open")


def test_nothing_is_decided_on_looks_from_before_the_last_plan() -> None:
    decision = decide(replace(SITUATIONS["writer-dead"], acted_at=1000.0))
    assert decision.plan is None


def test_a_writer_that_may_live_is_not_replaced_by_hand_without_a_word_about_loss() -> None:
    """Outside of lossless it would go on to acknowledge to whom the balancers do not cut off."""

    def forced(name: str, **options: bool) -> str:
        view = {**SITUATIONS, **VARIANTS}[name]
        assert view.record is not None
        return printed(forced_failover(Situation(view, view.record), "", **options))

    assert "still hears the writer db1" in forced("cut-off", accept_loss=False)
    assert "is not proven dead" in forced("writer-hung, async", accept_loss=False)
    for name in ("cut-off", "writer-hung, async"):
        assert "fail over from db1 to db2" in forced(name, accept_loss=True)
    for name in ("writer-hung", "writer-hung, dual-writer"):
        assert "fail over from db1 to db2" in forced(name, accept_loss=False)
    fenced = forced("writer-hung, async with a fence command", accept_loss=False)
    assert "fence-outside" in fenced
    assert "FenceOutside" in fenced.splitlines()[2]
    assert "best_effort=False" in fenced.splitlines()[2]
