"""What an operator asks for over the control socket, as a plan or a refusal of the core. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from myha.core.plans import Refusal
from myha.core.protocols.answer import Answer
from myha.core.protocols.healing import heal_node
from myha.core.protocols.switchover import switchover
from myha.core.requests import fence_node, forced_failover, maintenance, unfence_node
from myha.core.situation import Situation

NOT_IN_MAINTENANCE = frozenset({"switchover", "failover", "heal"})


def answer_request(it: Situation, name: str, arguments: Mapping[str, str]) -> Answer:
    """A plan, a refusal, or None when there is nothing to do. `name` is the command's."""
    if it.record.maintenance and name in NOT_IN_MAINTENANCE:
        return Refusal("maintenance is on", "myha maintenance off")
    if name == "switchover":
        limit = arguments.get("max_outage")
        return switchover(
            it,
            arguments.get("to") or it.standby,
            max_outage_seconds=float(limit) if limit else None,
            now=arguments.get("now") == "yes",
        )
    if name == "failover":
        accept_loss = arguments.get("accept_loss") == "yes"
        return forced_failover(it, arguments.get("to", ""), accept_loss=accept_loss)
    if name == "fence":
        return fence_node(it, arguments["node"], arguments.get("reason") or "by hand")
    if name == "unfence":
        return unfence_node(it, arguments["node"])
    if name == "heal":
        accept_loss = arguments.get("accept_loss") == "yes"
        method = arguments.get("method") or "auto"
        return heal_node(it, arguments["node"], method, accept_loss=accept_loss)
    if name == "maintenance":
        return maintenance(it, on=arguments.get("state") == "on")
    return Refusal(f"there is no request {name}")
