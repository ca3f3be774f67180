"""Putting right what is not as setup made it: settings and the replication channel. Pure.

One plan at a time, for one node. What needs no rest of replication goes first, since it costs
nothing; what the supervisor may not set is refused with the statement for an administrator.
"""

from __future__ import annotations

from collections.abc import Iterable

from myha.core.plans import (
    Plan,
    Refusal,
    RestoreSettings,
    RestoreSource,
    StartReplication,
    Step,
    StopReplication,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.replication import solo_first
from myha.core.settings import Difference, Kind, listed
from myha.core.situation import Situation

STOP_SECONDS = START_SECONDS = SET_SECONDS = 5.0
ATTEMPTS = 5  # then not before the incident is forgotten: each one may cost a moment of solo


def restore(it: Situation) -> Answer:
    """The first plan for a node; one that failed lately is not in the other node's way."""
    found = [plan for node, differs in it.drifted for plan in _plans(it, node, differs)]
    failed = {(one.plan, one.node): one.attempts for one in it.view.incidents}
    plans = [one for one in found if failed.get((one.kind, one.node), 0) < ATTEMPTS]
    if plans:
        return min(plans, key=lambda plan: (plan.kind, plan.node) in failed)
    if found:
        return Refusal(
            f"{found[0].sentence}: has failed {ATTEMPTS} times and is tried again later; or stop "
            "the supervisor, run `myha setup`, and start it again"
        )
    by_hand = [
        f"{node}: {one}: {one.by_hand}"
        for node, differs in it.drifted
        for one in differs
        if one.by_hand
    ]
    if not by_hand:
        return None
    return Refusal("the supervisor may not or cannot set this; " + "; ".join(by_hand))


def _plans(it: Situation, node: str, differs: tuple[Difference, ...]) -> Iterable[Plan]:
    ours = [one for one in differs if not one.by_hand]
    at_once = [one for one in ours if not one.rests]
    resting = [one for one in ours if one.rests]
    if at_once:
        sentence = f"set on {node} what differs from setup: {listed(at_once)}"
        step = RestoreSettings(node=node, deadline_seconds=SET_SECONDS)
        yield make(it, "restore-settings", node, sentence, step)
    elif resting and (node == it.standby or it.standby_replicates):
        # The writer listens to nobody but a standby in good standing, and need not before.
        yield _with_rest(it, node, resting)


def _with_rest(it: Situation, node: str, differs: list[Difference]) -> Plan:
    """Replication rests meanwhile, and what was received may go with the old channel: solo before.

    The peer's receiver goes on, so that the writer's own channel costs the record nothing.
    """
    solo = solo_first(it, node, f"solo while replication of {node} is put right")
    sentence = f"put replication of {node} right: {listed(differs)}"
    return make(
        it,
        "restore-replication",
        node,
        sentence,
        solo,
        StopReplication(node=node, deadline_seconds=STOP_SECONDS),
        *_restore_steps(node, differs),
        StartReplication(node=node, deadline_seconds=START_SECONDS),
    )


def _restore_steps(node: str, differs: Iterable[Difference]) -> tuple[Step, ...]:
    """While both threads rest."""
    kinds = ours_to_set(differs)
    steps = set_while_resting(node, differs)
    if not kinds & {Kind.CHANNEL, Kind.FILTER}:
        return steps
    clears = Kind.FILTER in kinds
    return (*steps, RestoreSource(node=node, clears_filters=clears, deadline_seconds=SET_SECONDS))


def set_while_resting(
    node: str, differs: Iterable[Difference], *, best_effort: bool = False
) -> tuple[Step, ...]:
    """The settings for which replication has to rest, while it does.

    With `best_effort` one that may not be set is told later.
    """
    if not ours_to_set(differs) & {Kind.SETTING, Kind.AT_BOOT}:
        return ()
    step = RestoreSettings(
        node=node, resting=True, best_effort=best_effort, deadline_seconds=SET_SECONDS
    )
    return (step,)


def ours_to_set(differs: Iterable[Difference]) -> set[Kind]:
    """What differs that the supervisor may put right."""
    return {one.kind for one in differs if not one.by_hand}
