"""A replica's loop, as the pair's: see `base_loop`.

It is told what the pair's loop knows, and tells that one nothing.
"""

from __future__ import annotations

from typing import Any

from myha.core.events import Kind
from myha.core.followers.planning import FollowerDecision, decide
from myha.core.followers.record import FollowerRecord
from myha.core.followers.situation import FollowerSituation
from myha.core.followers.verdicts import NOT_SET_UP, situation_of
from myha.core.followers.view import (
    FollowerObservation,
    FollowerRecordRead,
    FollowerView,
    PairSeen,
    first_view,
    fold,
)
from myha.core.plans import Plan, Refusal
from myha.core.view import View
from myha.supervisor.base_loop import IDLE_SECONDS, BaseLoop, Effect, LookNow, Note, Turn
from myha.supervisor.followers.requests import plan_for_request
from myha.supervisor.requests import Request


class FollowerLoop(BaseLoop[FollowerView, FollowerSituation]):
    """The loop of the replica `name`."""

    def __init__(self, name: str, pair: View, record: FollowerRecord | None) -> None:
        super().__init__(first_view(name, pair, record))
        self.name = name
        self._noted = ""

    def _observed(self, seen: FollowerObservation) -> tuple[Effect, ...]:
        before = self.view.pair.record
        self.view = fold(self.view, seen)
        after = self.view.pair.record
        if isinstance(seen, PairSeen) and before is not None and after is not None:
            # What it has by now is compared with what the new writer has when it opens.
            return (LookNow((self.name,)),) if before.writer != after.writer else ()
        return ()

    def _read(self, record: Any) -> FollowerView:
        return fold(self.view, FollowerRecordRead(self.view.at, record))

    def _everything(self) -> LookNow:
        return LookNow((self.name,), self.view.policy.balancers)

    def _asked(self, request: Request) -> Plan | Refusal | None:
        it = situation_of(self.view)
        return Refusal(NOT_SET_UP) if it is None else plan_for_request(it, request)

    def _decide(self) -> FollowerDecision:
        return decide(self.view)

    def decide(self) -> Turn:
        """What to do now that everything has been taken in; `decision` keeps the reasons."""
        effects = tuple(self._decided())
        leaves = self._stopping_since is not None and self.running is None
        return Turn(effects, IDLE_SECONDS, leaves)

    def _notes(self) -> list[Note]:
        it, verdicts = situation_of(self.view), self.decision.verdicts
        if not self.decision.fresh or it is None or not verdicts:
            return []
        refusals = "; ".join(str(one) for _, one in self.decision.refusals)
        noted = f"{verdicts[0].name} {refusals}"
        if noted == self._noted:
            return []
        self._noted = noted
        fields = {"verdict": verdicts[0].name, "node": self.name}
        notes = [Note(Kind.VERDICT, verdicts[0].text(it), fields)]
        return [*notes, Note(Kind.REFUSAL, refusals, fields)] if refusals else notes
