"""The supervisor's loop of a pair: see `base_loop`. The daemon and the simulator drive it."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from operator import attrgetter
from typing import Any

from myha.core.balancer import BalancerLook
from myha.core.events import Kind
from myha.core.node import Contact, NodeLook, NodeView
from myha.core.observations import (
    BalancerLooked,
    NodeLooked,
    NodeMissed,
    Observation,
    RecordRead,
    first_view,
    fold,
)
from myha.core.planning import URGENT, PairDecision, decide_in
from myha.core.plans import Plan, Refusal
from myha.core.policy import Mode, Policy
from myha.core.record import Record
from myha.core.situation import Situation
from myha.core.verdicts import HEALTHY, NOT_SET_UP, situation_of
from myha.core.view import View
from myha.supervisor.base_loop import (
    IDLE_SECONDS,
    QUIET_SECONDS,
    BaseLoop,
    Effect,
    LookNow,
    Note,
    Turn,
)
from myha.supervisor.requests import Request, plan_for_request

PRESS_SECONDS = 0.01
STOP_DEADLINE_SECONDS = 40.0
# A supervisor that is to stop first ends what must not be left half done.
UNFINISHED = frozenset({"writer-closed", "stalled-solo"})
# Plans that a replica's must not take time from: a replica is pointed anew when they are done.
CHANGES_WRITER = URGENT | {"switchover"}


class Loop(BaseLoop[View, Situation]):
    """The pair's loop."""

    def __init__(self, policy: Policy, at: float, wall: float, record: Record | None) -> None:
        super().__init__(first_view(policy, at, wall, record))
        self._situation = situation_of(self.view)
        self._noted_verdict = ""
        self._noted_refusal = ""
        self._seen_closed: Counter[str] = Counter()

    # -- events ----------------------------------------------------------------------------------

    def _observed(self, seen: Observation) -> tuple[Effect, ...]:
        """A contact that changes makes everybody look at once: proofs need both sides."""
        before = self.view
        self.view = fold(before, seen)
        if isinstance(seen, NodeLooked) and not seen.look.open:
            self._seen_closed[seen.node] += 1
        if isinstance(seen, NodeMissed) and before.node(seen.node).contact is not seen.contact:
            return (LookNow(self.view.policy.nodes),)
        return ()

    def _read(self, record: Any) -> View:
        return self.view if record is None else fold(self.view, RecordRead(self.view.at, record))

    def _everything(self) -> LookNow:
        return LookNow(self.view.policy.nodes, self.view.policy.balancers)

    def _asked(self, request: Request) -> Plan | Refusal | None:
        it = self._it
        if it is None:
            return Refusal("there is no record of a pair yet: run `myha setup`")
        return plan_for_request(it, request)

    # -- decisions -------------------------------------------------------------------------------

    @property
    def _it(self) -> Situation | None:
        """What the view means: found out once for each, though a turn asks several times."""
        if self._situation is None or self._situation.view is not self.view:
            self._situation = situation_of(self.view)
        return self._situation

    def _decide(self) -> PairDecision:
        return decide_in(self._it)

    def decide(self) -> Turn:
        """What to do now that everything has been taken in; `decision` keeps the reasons."""
        effects = self._decided()
        pressed = self._pressed_for_proof()
        if pressed:
            effects.append(LookNow(pressed))
        wait_seconds = QUIET_SECONDS if self._quiet else IDLE_SECONDS
        if pressed:
            wait_seconds = PRESS_SECONDS
        return Turn(tuple(effects), wait_seconds, self._may_leave())

    @property
    def _quiet(self) -> bool:
        """All is well and answers, and nothing is under way: time alone changes nothing soon."""
        decision, view = self.decision, self.view
        return (
            len(decision.verdicts) == 1
            and decision.verdicts[0] is HEALTHY
            and decision.fresh
            and not decision.refusals
            and all(node.answering for _, node in view.nodes)
            and all(one.answering for _, one in view.balancers)
            and not view.incidents
            and self.running is None
            and self._stopping_since is None
        )

    def is_news(self, event: Any) -> bool:
        """Another look that finds what the last one has found is none, where all is well.

        What moves by itself is none either, as long as nothing follows from it.
        """
        if not self._quiet:
            return True
        if isinstance(event, NodeLooked):
            known, look = self.view.node(event.node), event.look
            old = known.look
            if not known.answering or old is None or differ(old, look):
                return True
            return look.history.has_forgotten(old.history) or self._too_far_behind(known, look)
        if isinstance(event, BalancerLooked):
            seen = self.view.balancer(event.balancer)
            before = seen.look
            if not seen.answering or before is None or routing(before) != routing(event.look):
                return True
            return _errors(before) != _errors(event.look)
        return True

    def _too_far_behind(self, known: NodeView, look: NodeLook) -> bool:
        """It takes reads, and must not any more."""
        lag = look.lag_seconds
        return known.reader_ok and lag is not None and lag > self.view.policy.lag_out_seconds

    def _pressed_for_proof(self) -> tuple[str, ...]:
        """Who is asked again and again: while the writer refuses, its peer.

        The peer notices the loss of its source some time after or before us, and a failover waits
        for its word; the pressing ends with the dead time. And the writer once its standby has been
        silent for the dead time: whether that answers still, commits wait for.
        """
        it = self._it if self.running is None else None
        if it is None:
            return ()
        if it.standby_silent and not it.standby_silent_alone:
            return (it.writer,)
        if it.w.contact is not Contact.REFUSING:
            return ()
        refused_for = self.view.at - it.w.contact_since
        if it.writer_dead or refused_for > it.policy.deadtime_seconds:
            return ()
        return (it.standby,)

    def _notes(self) -> list[Note]:
        if not self.decision.fresh:
            return []
        notes: list[Note] = []
        verdicts = self.decision.verdicts
        name = verdicts[0].name if verdicts else "not-set-up"
        if name != self._noted_verdict:
            self._noted_verdict = name
            it = self._it
            sentence = verdicts[0].text(it) if it is not None and verdicts else NOT_SET_UP
            notes.append(Note(Kind.VERDICT, sentence, {"verdict": name}))
        refusal = "; ".join(str(one) for _, one in self.decision.refusals)
        if refusal != self._noted_refusal:
            self._noted_refusal = refusal
            if refusal:
                notes.append(Note(Kind.REFUSAL, refusal, {"verdict": name}))
        return notes

    # -- the end ---------------------------------------------------------------------------------

    def _may_begin(self) -> bool:
        if self._stopping_since is None:
            return True
        return bool(UNFINISHED & {row.name for row in self.decision.verdicts[:1]})

    def _may_leave(self) -> bool:
        if self._stopping_since is None or self.running is not None:
            return False
        if self.view.at - self._stopping_since > STOP_DEADLINE_SECONDS:
            return True
        fresh = all(node.checked_at > self.view.acted_at for _, node in self.view.nodes)
        return fresh and (self.decision.plan is None or not self._may_begin())

    # -- the lease ---------------------------------------------------------------------------------

    def lease_of(self, node: str) -> str:
        """Which lease the node is to stay open by, empty for none: that of the writer on record.

        Another one whenever it was closed since: its watchdog may have ended with that.
        """
        view = self.view
        if view.policy.watchdog is None or view.record is None or view.record.writer != node:
            return ""
        look = view.node(node).look
        if look is None or not look.open:
            return ""
        return f"{look.boot_id}, closed {self._seen_closed[node]} times"

    @property
    def replaces_writer(self) -> bool:
        """A failover is under way, for which no lease may be renewed."""
        return self.running is not None and self.running.kind == "failover"

    # -- the heartbeat ---------------------------------------------------------------------------

    def writes_heartbeat(self, node: str) -> bool:
        """Whether its heartbeat row is written there: where it is open and may take writes."""
        look, record = self.view.node(node).look, self.view.record
        writes = self.view.policy.mode is Mode.DUAL_WRITER
        writes = writes or (record is not None and record.writer == node)
        return writes and look is not None and look.open


# What grows or moves by itself while all is well; of all else a change is news.
_MOVES = frozenset(
    {"at", "executed", "logged", "received", "progress", "sessions", "lag_seconds", "lag_bytes"}
)
_stays = attrgetter(*(one.name for one in fields(NodeLook) if one.name not in _MOVES))


def routing(look: BalancerLook) -> tuple[object, ...]:
    """All but how many sessions there are."""
    return (look.boot_id, *((one.pool, one.node, one.takes_traffic) for one in look.routes))


def _errors(look: BalancerLook) -> tuple[int, ...]:
    """Connections that failed, of each route."""
    return tuple([one.errors for one in look.routes])


def differ(old: NodeLook, new: NodeLook) -> bool:
    """Whether a look finds anything else than the one before it."""
    return bool(_stays(old) != _stays(new))
