"""Opening the writer on record: the steps that end every change of writer. Pure."""

from __future__ import annotations

from dataclasses import replace

from myha.core.node import Contact
from myha.core.plans import (
    AwaitApplied,
    AwaitCaughtUp,
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
from myha.core.protocols.fencing import closing_steps
from myha.core.situation import Situation

BESIDE_DEADLINE_SECONDS = 1.0
LOGINS_SECONDS = 0.03  # all clients log in at once; our own work beside it cost them 3 to 6 ms


def install_steps(it: Situation, node: str, *, is_open: bool = False) -> tuple[Step, ...]:
    """What was received is applied before clients write. With two writers they do already, and
    nothing waits for it; but the applier has to run, so that it will be.

    A backup's or a reader's lock on a standby holds up its applier, and then all who want to write.
    """
    deadline = it.policy.applied_deadline_seconds
    applied = AwaitApplied(node=node, deadline_seconds=deadline, frees=True)
    routed = PutIn(node=node, pool="writer", balancers=it.policy.balancers, best_effort=True)
    # The last of all, and beside: no client waits for an event.
    events = run_events(node)
    if is_open:
        late = AwaitApplied(node=node, deadline_seconds=min(1.0, deadline), best_effort=True)
        return routed, prove_routed(node), late, events
    look = it.view.node(node).look
    opened = Open(node=node, boot_id=look.boot_id if look is not None else "")
    return applied, opened, routed, replace(prove_routed(node), frees=True), events


def prove_routed(node: str) -> ProveWrite:
    return ProveWrite(node=node, best_effort=True, after_seconds=LOGINS_SECONDS)


def install(it: Situation) -> Answer:
    """The writer on record is closed: finish what a change of writer had begun, or undo it."""
    peer = it.standby
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
        *_peer_writes_no_more(it),
        *install_steps(it, it.writer),
    )


def _peer_writes_no_more(it: Situation) -> tuple[Step, ...]:
    """One that somebody opened goes on sending, and the writer is to have applied what it sent."""
    peer, look = it.standby, it.member_look
    if it.dual:
        return ()
    if look is None or not look.open:
        balancers = it.policy.balancers
        return (TakeOut(node=peer, pools=("writer",), balancers=balancers, best_effort=True),)
    steps = closing_steps(it, best_effort=True)
    if not it.writer_receives:
        return steps
    deadline = BESIDE_DEADLINE_SECONDS
    arrived = AwaitCaughtUp(
        node=it.writer, source=peer, deadline_seconds=deadline, best_effort=True
    )
    return (*steps, arrived)
