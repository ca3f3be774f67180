"""What a protocol answers: a plan, a refusal, or nothing to do now. Pure."""

from __future__ import annotations

from typing import TypeAlias

from myha.core.plans import Plan, Refusal, Step
from myha.core.situation import Situation

Answer: TypeAlias = Plan | Refusal | None


def make(it: Situation, kind: str, node: str, sentence: str, *steps: Step | None) -> Plan:
    kept = tuple(step for step in steps if step is not None)
    return Plan(kind, node, sentence, it.record.epoch, it.record.version, kept)


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
