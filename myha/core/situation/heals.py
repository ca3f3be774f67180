"""How the heal of one node stands: its job, how its method ended, whether to try again. Pure.

The same for a node of the pair and for a replica beside it.
"""

from __future__ import annotations

from collections.abc import Iterable

from myha.core.jobs import HealOutcome, Job, JobResult
from myha.core.node import NodeName
from myha.core.observations import HEAL
from myha.core.policy import Policy
from myha.core.record import Heal

HEAL_ATTEMPTS = 5  # a method that failed so often is given up
HEAL_BACKOFF_FIRST_SECONDS = 1.0


def methods_of(policy: Policy) -> tuple[str, ...]:
    """What the policy lets myha do about a diverged node by itself, in order."""
    methods = []
    for one in policy.heal:
        if one == "manual":
            break
        if one != "resume":
            methods.append(one)
    return tuple(methods)


def job_on(jobs: Iterable[Job], node: NodeName) -> Job | None:
    """The process that heals the node now."""
    return next((one for one in jobs if one.kind == HEAL and one.node == node), None)


def outcome_of(heals: Iterable[HealOutcome], node: NodeName, heal: Heal) -> HealOutcome | None:
    """How the present method of this heal ended last."""
    wanted = (node, heal.id, heal.method)
    return next((one for one in heals if (one.node, one.id, one.method) == wanted), None)


def gives_up(outcome: HealOutcome | None) -> bool:
    """The method was refused, or has failed too often."""
    if outcome is None:
        return False
    failed = outcome.result is JobResult.FAILED and outcome.attempts >= HEAL_ATTEMPTS
    return failed or outcome.result is JobResult.REFUSED


def pauses(outcome: HealOutcome | None, at: float) -> bool:
    """The last attempt failed a moment ago."""
    if outcome is None:
        return False
    return at < outcome.at + HEAL_BACKOFF_FIRST_SECONDS * 2.0 ** max(0, outcome.attempts - 1)
