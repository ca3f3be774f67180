"""Opening the writer on record: the steps that end every change of writer. Pure."""

from __future__ import annotations

from dataclasses import replace

from myha.core.node import Contact
from myha.core.plans import (
    AwaitApplied,
    Fence,
    Open,
    ProveWrite,
    PutIn,
    Step,
    StopReceiver,
    TakeOut,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.events import run_events
from myha.core.situation import Situation

BESIDE_DEADLINE_SECONDS = 1.0
LOGINS_SECONDS = 0.03  # all clients log in at once; our own work beside it cost them 3 to 6 ms


def install_steps(it: Situation, node: str, *, is_open: bool = False) -> tuple[Step, ...]:
    """What was received is applied before clients write. With two writers they do already, and
    nothing waits for it; but the applier has to run, so that it will be."""
    deadline = it.policy.applied_deadline_seconds
    applied = AwaitApplied(node=node, deadline_seconds=deadline)
    routed = PutIn(node=node, pool="writer", balancers=it.policy.balancers, best_effort=True)
    proved = prove_routed(node)
    # The last of all, and beside: no client waits for an event.
    events = run_events(node)
    if is_open:
        late = replace(applied, deadline_seconds=min(1.0, deadline), best_effort=True)
        return routed, proved, late, events
    return applied, Open(node=node), routed, proved, events


def prove_routed(node: str) -> ProveWrite:
    return ProveWrite(node=node, best_effort=True, after_seconds=LOGINS_SECONDS)


def install(it: Situation) -> Answer:
    """The writer on record is closed: finish what a change of writer had begun, or undo it."""
    peer, names = it.standby, it.policy.balancers
    reachable = it.s.contact is not Contact.REFUSING
    fence = Fence(
        node=peer, beside=True, best_effort=True, deadline_seconds=BESIDE_DEADLINE_SECONDS
    )
    return make(
        it,
        "install",
        it.writer,
        f"open the writer on record, {it.writer}",
        fence if reachable and not it.member and not it.dual else None,
        StopReceiver(node=it.writer) if it.away else None,
        TakeOut(node=peer, pools=("writer",), balancers=names, best_effort=True)
        if not it.dual
        else None,
        *install_steps(it, it.writer),
    )
