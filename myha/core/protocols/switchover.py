"""Planned change of writer. Pure."""

from __future__ import annotations

from dataclasses import replace

from myha.core.plans import (
    AwaitCaughtUp,
    AwaitNear,
    ChangeRecord,
    CloseGently,
    DisableWaiting,
    Drain,
    EnableWaiting,
    Open,
    Plan,
    PutIn,
    RecordChange,
    Refusal,
    TakeOut,
)
from myha.core.protocols.answer import Answer, make, unknown
from myha.core.protocols.events import no_events, run_events
from myha.core.protocols.opening import prove_routed
from myha.core.record import Sync
from myha.core.situation import Situation

NEAR_SLICE_SECONDS = 2.0  # no longer at a time: nothing else is decided meanwhile
NEAR_SHARE = 8  # of the outage agreed to, for the backlog that is left when the writer closes
CLOSING_SHARE, CATCHING_UP_SHARE = 0.4, 0.5  # of the outage agreed to
CLOSING_NOW_SECONDS = 3.0
GRACE_SECONDS = 0.5  # for a transaction that holds up the closing
MAX_LAG_SECONDS_FOR_SWITCHOVER = 5.0


def switchover(
    it: Situation, to: str, *, max_outage_seconds: float | None = None, now: bool = False
) -> Answer:
    """Planned change of writer, or why not. Nothing is closed before all of this is so.

    `max_outage_seconds` is what may be taken from the clients, None: as configured; `now`: however
    long it takes.
    """
    if it.dual:
        return Refusal("both nodes take writes: there is no writer role to move; use `myha fence`")
    if (refusal := unknown(it, to)) is not None:
        return refusal
    if to == it.writer:
        return Refusal(f"{to} is the writer already")
    if not it.writer_installed:
        return Refusal(f"the writer {it.writer} does not take writes", f"myha failover --to {to}")
    look = it.s.look
    if not it.standby_replicates or look is None:
        return Refusal(f"{to} does not replicate from {it.writer}; see `myha explain`")
    if it.filters:
        return Refusal(f"{to} replicates with a filter and may lack changes; see `myha explain`")
    behind = look.lag_seconds or 0.0
    if behind > MAX_LAG_SECONDS_FOR_SWITCHOVER and not now:
        override = f"myha switchover --to {to} --now"
        return Refusal(f"{to} is {behind:.1f} s behind; wait until it has caught up", override)
    if now:
        return _switchover(it, None)
    limit = it.policy.max_outage_seconds if max_outage_seconds is None else max_outage_seconds
    return _switchover(it, limit)


def _switchover(it: Situation, max_outage_seconds: float | None) -> Plan:
    """The old writer is closed and its last write is on the new one before anything is recorded.

    Cut short before the record changes, it is undone: the writer on record is closed, so it is
    opened. Cut short after, it is finished. Waiting is switched off on the old writer only when
    the new one has caught up, since the other order delays the catching up.

    From where the old writer begins to close its clients wait. So that is begun only when the new
    one is near, and given up after the share of `max_outage_seconds` that each step has: a closing
    that is given up is taken back at once, and one that has succeeded is undone by `install`.
    """
    old, new, names = it.writer, it.standby, it.policy.balancers
    limit = max_outage_seconds
    near = None
    close = CloseGently(node=old, grace_seconds=GRACE_SECONDS, deadline_seconds=CLOSING_NOW_SECONDS)
    caught_up = AwaitCaughtUp(
        node=new, source=old, deadline_seconds=it.policy.applied_deadline_seconds
    )
    if limit is not None:
        # A backlog on the new writer is waited for while the old one still takes writes: what is
        # left of it when the old one closes is time that clients wait.
        within = max(0.01, limit / NEAR_SHARE)
        near = AwaitNear(
            node=new, source=old, within_seconds=within, deadline_seconds=NEAR_SLICE_SECONDS
        )
        closing = limit * CLOSING_SHARE
        close = replace(close, grace_seconds=closing / 2, deadline_seconds=closing)
        caught_up = replace(caught_up, deadline_seconds=limit * CATCHING_UP_SHARE)
    change = RecordChange(
        f"{new} is the writer, solo until it waits for acknowledgements",
        writer=new,
        new_epoch=True,
        sync=Sync.SOLO,
    )
    arm = EnableWaiting(node=new, best_effort=True) if it.lossless else None
    return make(
        it,
        "switchover",
        new,
        f"switch over from {old} to {new}",
        near,
        # While it is open: later read-only would have to be lifted for it. Undone by `install`.
        no_events(old),
        Drain(node=old, pool="writer", balancers=names, best_effort=True),
        close,
        caught_up,
        ChangeRecord(change=change),
        # Beside: it takes half a second to return, and nobody writes on the old writer any more.
        DisableWaiting(node=old, best_effort=True, beside=True, deadline_seconds=3.0),
        arm,
        Open(node=new, boot_id=it.s.look.boot_id if it.s.look is not None else ""),
        PutIn(node=new, pool="writer", balancers=names, best_effort=True),
        # It is drained and closed: what is left there are sessions that can only read.
        TakeOut(node=old, pools=("writer",), balancers=names, best_effort=True),
        prove_routed(new),
        run_events(new),
    )


def failback(it: Situation) -> Answer:
    return switchover(it, it.standby)
