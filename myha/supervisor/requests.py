"""What an operator asks for, as a plan or a refusal of the core, and what is replied. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from myha.core.plans import Plan, Refusal, Step
from myha.core.protocols.answer import Answer
from myha.core.protocols.healing import heal_node
from myha.core.protocols.switchover import switchover
from myha.core.requests import fence_node, forced_failover, maintenance, unfence_node
from myha.core.situation import Situation
from myha.core.values import value

REQUESTS = frozenset({"switchover", "failover", "fence", "unfence", "heal", "maintenance"})
NOT_IN_MAINTENANCE = frozenset({"switchover", "failover", "heal"})


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Something that an operator asks for; `name` is the command's. No two are equal.

    `dry_run`: only what would be done is wanted; nothing is.
    """

    name: str
    arguments: Mapping[str, str]
    dry_run: bool = False


@value(frozen=True, slots=True)
class PlanText:
    """A plan for people: what it is for, and its steps in their order."""

    sentence: str
    steps: tuple[str, ...]


def plan_text(plan: Plan) -> PlanText:
    return PlanText(plan.sentence, tuple(_step_text(step) for step in plan.steps))


def _step_text(step: Step) -> str:
    beside = " (beside the steps that follow)" if step.beside else ""
    return f"{step}{beside}"


@value(frozen=True, slots=True)
class Reply:
    """A request is done (`ok`) or refused; `override` is the command that insists on it.

    `ask_again`: nothing was done, and the same request may succeed the next time. `plan`: what a
    dry run has found would be done.
    """

    ok: bool
    text: str
    override: str | None = None
    ask_again: bool = False
    plan: PlanText | None = None


def plan_for_request(it: Situation, request: Request) -> Answer:
    """A plan, a refusal, or None when there is nothing to do."""
    name, arguments = request.name, request.arguments
    if name != "maintenance" and it.mixed_up is not None:
        return it.mixed_up
    if it.record.maintenance and name in NOT_IN_MAINTENANCE:
        return Refusal("maintenance is on", "myha maintenance off")
    if name == "switchover":
        limit = arguments.get("max_outage")
        seconds = _seconds(limit) if limit else None
        if limit and seconds is None:
            return Refusal(f"max_outage has to be a number of seconds above 0, and is {limit!r}")
        return switchover(
            it,
            arguments.get("to") or it.standby,
            max_outage_seconds=seconds,
            now=arguments.get("now") == "yes",
        )
    if name == "failover":
        accept_loss = arguments.get("accept_loss") == "yes"
        return forced_failover(it, arguments.get("to", ""), accept_loss=accept_loss)
    if name == "fence":
        return fence_node(it, arguments.get("node", ""), arguments.get("reason") or "by hand")
    if name == "unfence":
        return unfence_node(it, arguments.get("node", ""))
    if name == "heal":
        accept_loss = arguments.get("accept_loss") == "yes"
        method = arguments.get("method") or "auto"
        return heal_node(it, arguments.get("node", ""), method, accept_loss=accept_loss)
    if name == "maintenance":
        return maintenance(it, on=arguments.get("state") == "on")
    return Refusal(f"there is no request {name}")


def _seconds(text: str) -> float | None:
    """None when it is no such number: here nothing may be raised, the loop would end by it."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None
