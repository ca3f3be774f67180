"""The way back: an inspected node rejoins; with two writers it takes writes again. Pure."""

from __future__ import annotations

from myha.core.plans import (
    AwaitCaughtUp,
    Open,
    Refusal,
    RequireNoErrant,
    RestoreSource,
    StartReplication,
    Step,
)
from myha.core.protocols.answer import Answer, make
from myha.core.protocols.events import no_events
from myha.core.protocols.settings import ours_to_set, set_while_resting
from myha.core.record import member
from myha.core.settings import Kind
from myha.core.situation import Situation

SECOND_CAUGHT_UP_SECONDS = 1.0


def rejoin(it: Situation) -> Answer:
    look = it.s.look
    if look is None or it.heal_job is not None:
        return None
    # A writer with a filter receives nothing: as soon as it has a standby, that one replaces it.
    receives = not it.writer_filters
    return make(
        it,
        "rejoin",
        it.standby,
        f"resume replication between {it.writer} and {it.standby}",
        RequireNoErrant(node=it.standby, reference=it.writer),
        *_restore_steps(it),
        RestoreSource(node=it.writer) if it.writer_sourceless and receives else None,
        # Those of a former writer, or of a copy of the writer, are enabled still.
        no_events(it.standby),
        StartReplication(node=it.standby, deadline_seconds=5.0),
        StartReplication(node=it.writer, deadline_seconds=5.0) if receives else None,
        it.record_as(f"{it.standby} is a member again", member(look.boot_id)),
    )


def blank(it: Situation) -> Answer:
    """By GTID alone it would rejoin: a server that is new has nothing that the writer lacks."""
    return Refusal(
        f"{it.standby} has no schema myha, which setup has made there: it is another server, "
        "or its data are gone, and what never was in a binary log would be missing there",
        f"myha heal {it.standby} --method reseed",
    )


def _restore_steps(it: Situation) -> tuple[Step, ...]:
    """What of the standby is not as setup made it, before it replicates; its threads rest."""
    look = it.s.look
    if look is None:
        return ()
    steps = set_while_resting(it.standby, look.differs, best_effort=True)
    channel = ours_to_set(look.differs) & {Kind.CHANNEL, Kind.FILTER}
    if not (channel or not look.source or not it.standby_source_is_peer):
        return steps
    restore = RestoreSource(node=it.standby, clears_filters=it.judged, deadline_seconds=5.0)
    return (*steps, restore)


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
        Open(node=it.standby, boot_id=look.boot_id),
    )
