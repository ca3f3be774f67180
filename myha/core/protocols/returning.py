"""The way back: an inspected node rejoins; with two writers it takes writes again. Pure."""

from __future__ import annotations

from myha.core.plans import (
    AwaitCaughtUp,
    ChangeRecord,
    Open,
    RecordChange,
    RequireNoErrant,
    RestoreSettings,
    RestoreSource,
    StartReplication,
    Step,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.events import no_events
from myha.core.record import member
from myha.core.settings import Kind
from myha.core.situation import Situation

SECOND_CAUGHT_UP_SECONDS = 1.0


def rejoin(it: Situation) -> Answer:
    look = it.s.look
    if look is None or _rejoin_blocked(it) or it.heal_job is not None:
        return None
    change = RecordChange(
        f"{it.standby} is a member again", nodes=((it.standby, member(look.boot_id)),)
    )
    return make(
        it,
        "rejoin",
        it.standby,
        f"resume replication between {it.writer} and {it.standby}",
        RequireNoErrant(node=it.standby, reference=it.writer),
        *_restore_steps(it),
        RestoreSource(node=it.writer) if it.writer_sourceless else None,
        # Those of a former writer, or of a copy of the writer, are enabled still.
        no_events(it.standby),
        StartReplication(node=it.standby, deadline_seconds=5.0),
        StartReplication(node=it.writer, deadline_seconds=5.0),
        ChangeRecord(change=change),
    )


def _rejoin_blocked(it: Situation) -> bool:
    """It replicates from a stranger, and nobody has answered for its data since."""
    return not (it.standby_source_is_peer or it.standby_judged)


def _restore_steps(it: Situation) -> tuple[Step, ...]:
    """What of the standby is not as setup made it, before it replicates; its threads rest."""
    look = it.s.look
    if look is None:
        return ()
    kinds = {one.kind for one in look.differs if not one.by_hand}
    steps: tuple[Step, ...] = ()
    if kinds & {Kind.SETTING, Kind.AT_BOOT}:
        # One that may not be set is told when the node is a member again.
        set_ = RestoreSettings(
            node=it.standby, resting=True, best_effort=True, deadline_seconds=5.0
        )
        steps = (set_,)
    if kinds & {Kind.CHANNEL, Kind.FILTER} or not look.source or not it.standby_source_is_peer:
        clears = it.standby_judged
        restore = RestoreSource(node=it.standby, clears_filters=clears, deadline_seconds=5.0)
        steps = (*steps, restore)
    return steps


def open_second(it: Situation) -> Answer:
    look = it.s.look
    if look is None or (look.lag_seconds or 0.0) > SECOND_CAUGHT_UP_SECONDS:
        return None  # it would not have caught up in time, and be tried again and again
    return make(
        it,
        "open-second",
        it.standby,
        f"open {it.standby} for writes, as well as {it.writer}",
        # Not for long: if the source is lost meanwhile, there is more urgent work to do.
        AwaitCaughtUp(node=it.standby, source=it.writer, deadline_seconds=SECOND_CAUGHT_UP_SECONDS),
        Open(node=it.standby),
    )
