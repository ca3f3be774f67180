"""Seeding: a node without data gets that of the other one before the two become a pair."""

from __future__ import annotations

import time

from myha.binlog.errors import HealRefusedError
from myha.config import Config
from myha.errors import MyhaError
from myha.operations.heal.reseed.order import ReseedOrder
from myha.operations.heal.reseed.run import plan_reseed, reseed_node
from myha.operations.setup.actions import Action, Stage
from myha.operations.setup.facts import Facts
from myha.permit import Permit
from myha.progress import Progress, Reporter, Tell

SPEAK_SECONDS = 2.0


class Seed:
    """The seeding of the one of two nodes that holds no data, as setup plans it and carries it out.

    Raises MyhaError, with the reasons and the remedy, when there is no way to copy the data.
    """

    def __init__(self, config: Config, pair: tuple[Facts, Facts]) -> None:
        full, empty = pair if pair[0].has_data else pair[::-1]
        self._order = ReseedOrder(config, empty.node, full.node, seed=True)
        try:
            plan = plan_reseed(self._order)
        except HealRefusedError as error:
            raise MyhaError(
                f"{empty.node}: is empty while {full.node} holds data, and cannot be seeded from"
                f" here ({error.reason}): first restore a backup of {full.node}, with its GTID"
                " position"
            ) from None
        sentence = f"replace what it holds with the data of {full.node}: {plan}"
        self.action = Action(Stage.SEED, empty.node, sentence)

    def carry_out(self, tell: Tell) -> None:
        """Copy the data. MyhaError when it did not get there; setup may be run again."""
        reporter: Reporter = _Told(tell)
        node = self._order.node
        try:
            report = reseed_node(self._order, reporter)
        except MyhaError as error:
            raise MyhaError(
                f"{node} could not be seeded: {error}; correct this and run `myha setup` again"
            ) from None
        tell(f"{node}: {report}")


class _Told:
    """Progress as lines: each phase once, and a long one again every two seconds."""

    def __init__(self, tell: Tell) -> None:
        self.permit = Permit()  # Ctrl-C ends setup, and with it the connections that copy
        self._tell = tell
        self._phase = ""
        self._shown_at = 0.0

    def progress(self, now: Progress) -> None:
        at = time.monotonic()
        if now.phase == self._phase and at - self._shown_at < SPEAK_SECONDS:
            return
        self._phase, self._shown_at = now.phase, at
        self._tell(f"seed: {now.line()}")

    def event(self, kind: str, text: str, **fields: str) -> None:  # noqa: ARG002 - the protocol's
        self._tell(f"seed: {text}")
