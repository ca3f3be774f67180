"""The supervisor's memory and judgement, without threads or I/O: observations in, decisions out.

The daemon and the simulator drive the same class. One plan runs at a time; while one runs nothing
new is decided, and after it every node is looked at afresh before anything is.
"""

from __future__ import annotations

from myha.core.model import Policy, Record, View
from myha.core.observations import Observation, PlanEnded, RecordRead, first_view, fold
from myha.core.planning import Decision, decide
from myha.core.plans import Plan, Refusal
from myha.core.protocols.answer import Answer
from myha.core.protocols.healing import heal_node
from myha.core.protocols.switchover import switchover
from myha.core.requests import (
    fence_node,
    forced_failover,
    maintenance,
    unfence_node,
)
from myha.core.situation import Situation


class Brain:
    """Folds observations into the view and asks the core what to do about it."""

    def __init__(self, policy: Policy, at: float, wall: float, record: Record | None) -> None:
        self.view: View = first_view(policy, at, wall, record)
        self.running: Plan | None = None
        self.decision = Decision(())

    def observe(self, seen: Observation) -> None:
        self.view = fold(self.view, seen)

    def decide(self) -> Plan | None:
        """The plan to begin now, or None; `decision` keeps the reasons either way."""
        if self.running is not None:
            return None
        self.decision = decide(self.view)
        return self.decision.plan

    def begin(self, plan: Plan) -> None:
        self.running = plan

    def ended(self, at: float, record: Record | None, reason: str = "") -> None:
        """The running plan reached its end, or failed for a reason; the record is as now stored."""
        plan = self.running
        if plan is None:
            return
        self.running = None
        if record is not None:
            self.view = fold(self.view, RecordRead(at, record))
        self.view = fold(self.view, PlanEnded(at, plan.kind, plan.node, reason))

    def request(self, name: str, arguments: dict[str, str]) -> Answer:
        """An operator's request as a plan or a refusal. `name` is the command's."""
        record = self.view.record
        if record is None:
            return Refusal("there is no record of a pair yet: run `myha setup`")
        if self.running is not None:
            return Refusal(f"busy: {self.running.sentence}; try again when that is done")
        it = Situation(self.view, record)
        if record.maintenance and name in ("switchover", "failover", "heal"):
            return Refusal("maintenance is on", "myha maintenance off")
        return _request(it, name, arguments)


def _request(it: Situation, name: str, arguments: dict[str, str]) -> Answer:
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
