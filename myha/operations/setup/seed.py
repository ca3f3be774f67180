"""Seeding: a node without data gets that of the other one before the two become a pair."""

from __future__ import annotations

import time

from myha.binlog.errors import HealRefusedError
from myha.config import Config
from myha.errors import MyhaError
from myha.operations.heal.reseed import ReseedOrder, ReseedPlan, plan_reseed, reseed_node
from myha.operations.progress import Progress, Reporter
from myha.operations.setup.actions import Action, Stage
from myha.operations.setup.apply import Tell
from myha.operations.setup.facts import Facts

SPEAK_SECONDS = 2.0


def order_of(config: Config, pair: tuple[Facts, Facts]) -> ReseedOrder:
    """From the one that holds data to the one that holds none."""
    full, empty = pair if pair[0].has_data else pair[::-1]
    return ReseedOrder(config, empty.node, full.node, seed=True)


def planned(order: ReseedOrder) -> ReseedPlan:
    """Raises MyhaError, with the reasons and the remedy, when there is no way."""
    try:
        return plan_reseed(order)
    except HealRefusedError as error:
        raise MyhaError(
            f"{order.node}: is empty while {order.donor} holds data, and cannot be seeded from here"
            f" ({error.reason}): first restore a backup of {order.donor}, with its GTID position"
        ) from None


def action_of(order: ReseedOrder, plan: ReseedPlan) -> Action:
    sentence = f"replace what it holds with the data of {order.donor}: {plan}"
    return Action(Stage.SEED, order.node, sentence)


def seed(order: ReseedOrder, tell: Tell) -> None:
    """Copy the data. MyhaError when it did not get there; setup may be run again."""
    reporter: Reporter = _Told(tell)
    try:
        report = reseed_node(order, reporter)
    except MyhaError as error:
        raise MyhaError(
            f"{order.node} could not be seeded: {error}; correct this and run `myha setup` again"
        ) from None
    tell(f"{order.node}: {report}")


class _Told:
    """Progress as lines: each phase once, and a long one again every two seconds."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._phase = ""
        self._told_at = 0.0

    def progress(
        self,
        phase: str,
        *,
        done: float,
        total: float | None = None,
        unit: str = "",
        rate: float | None = None,
        left_seconds: float | None = None,
        text: str = "",
    ) -> None:
        now = time.monotonic()
        if phase == self._phase and now - self._told_at < SPEAK_SECONDS:
            return
        self._phase, self._told_at = phase, now
        self._tell(f"seed: {Progress(phase, done, total, unit, rate, left_seconds, text).say()}")

    def event(self, kind: str, text: str, **fields: str) -> None:  # noqa: ARG002 - the protocol's
        self._tell(f"seed: {text}")

    def cancelled(self) -> bool:
        return False  # Ctrl-C ends setup, and with it the connections that copy
