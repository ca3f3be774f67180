"""What a protocol answers: a plan, a refusal, or nothing to do now. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias

from myha.core.plans import Plan, Refusal, Step
from myha.core.situation import Situation
from myha.core.situation.subject import Subject

Answer: TypeAlias = Plan | Refusal | None


def make(it: Subject[Any], kind: str, node: str, sentence: str, *steps: Step | None) -> Plan:
    """Under the pair's epoch, and the version of the record that is its own."""
    present = tuple(step for step in steps if step is not None)
    return Plan(kind, node, sentence, it.epoch, it.version, present)


def unknown(it: Situation, node: str) -> Refusal | None:
    """The refusal of a node that is none of the pair's; None for one of its own."""
    if node in it.policy.nodes:
        return None
    if it.policy.is_follower(node):
        return Refusal(
            f"{node} is a read replica and never the writer; the nodes of the pair are "
            f"{' and '.join(it.policy.nodes)}"
        )
    return Refusal(f"there is no node {node!r}; the nodes are {' and '.join(it.policy.nodes)}")
