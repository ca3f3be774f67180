"""Armed and solo: who waits for whose acknowledgement, and what the record says of it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from myha.core.acknowledgement import standby_of
from myha.core.plans import (
    AwaitReceived,
    ChangeRecord,
    DisableWaiting,
    EnableWaiting,
    ProveWrite,
    RecordChange,
    Refusal,
    RequireOnlyWithStandby,
    Step,
    StopReceiver,
    TakeOut,
)
from myha.core.policy import Durability
from myha.core.protocols.answer import Answer, make
from myha.core.record import Cause, Sync, away
from myha.core.situation import Situation


def release(cause: Cause, why: str) -> Callable[[Situation], Answer]:
    def plan(it: Situation) -> Answer:
        """Record `solo` before the writer stops waiting: the record never claims too much."""
        reason = why.format(standby=it.standby)
        change = RecordChange(
            f"solo; {it.standby} is away",
            sync=Sync.SOLO,
            nodes=((it.standby, away(cause, reason)),),
        )
        return make(
            it,
            "release",
            it.writer,
            f"let {it.writer} go on without {it.standby}",
            # The returning node must not leak what only it has into the pair; where it took
            # writes itself, it has such from the first moment.
            StopReceiver(node=it.writer, best_effort=True) if it.dual else None,
            ChangeRecord(change=change),
            # Beside: the writer's clients wait for what follows, and that may fail.
            TakeOut(node=it.standby, balancers=it.policy.balancers, best_effort=True, beside=True),
            DisableWaiting(node=it.writer),
            StopReceiver(node=it.writer, best_effort=True) if not it.dual else None,
        )

    return plan


def correct_record(it: Situation) -> Answer:
    change = RecordChange("solo: the writer does not wait for acknowledgements", sync=Sync.SOLO)
    sentence = "correct the record to solo"
    return make(it, "correct-record", it.writer, sentence, ChangeRecord(change=change))


def stop_waiting(kind: str) -> Callable[[Situation], Answer]:
    def plan(it: Situation) -> Answer:
        sentence = f"stop waiting for acknowledgements on {it.writer}"
        return make(it, kind, it.writer, sentence, DisableWaiting(node=it.writer))

    return plan


def standby_stops_waiting(it: Situation) -> Answer:
    sentence = f"stop waiting for acknowledgements on the standby {it.standby}"
    return make(it, "quiet-standby", it.standby, sentence, DisableWaiting(node=it.standby))


def arm(it: Situation) -> Answer:
    """Recorded after it is seen to wait. A bounded wait may end by itself and is not recorded.

    Our own write says that commits get through; what the standby has received is asked of itself,
    up to that write, so that it also has all that was committed before without waiting. Who gave
    the acknowledgement, a count cannot tell: so the connections are looked at last.
    """
    if not it.lossless and not it.standby_near:
        return None  # its clients would wait for all that the standby has yet to receive
    prove: tuple[Step, ...] = ()
    if it.policy.durability is Durability.LOSSLESS:
        change = RecordChange(f"armed: {it.writer} waits for {it.standby}", sync=Sync.ARMED)
        prove = (
            ProveWrite(node=it.writer),
            AwaitReceived(node=it.standby, source=it.writer),
            RequireOnlyWithStandby(
                node=it.writer,
                standby=it.standby,
                identities=standby_of(it.s.look).identities,
            ),
            ChangeRecord(change=change),
        )
    sentence = f"make {it.writer} wait for {it.standby}"
    return make(it, "arm", it.writer, sentence, _wait(it), *prove)


def _wait(it: Situation) -> EnableWaiting:
    """For the standby; and for each stray, where the standby must be among those waited for."""
    count = 1 + it.stray_count if it.waits_for_all else 1
    return EnableWaiting(node=it.writer, acknowledgements=count)


def distrust(it: Situation) -> Answer:
    """An acknowledgement may be a stray's: the record says so before anything else is done."""
    if it.armed:
        why = f"solo: {it.stray_names} can acknowledge in place of {it.standby}"
        change = RecordChange(why, sync=Sync.SOLO)
        return make(it, "distrust", it.writer, f"record {why}", ChangeRecord(change=change))
    if it.waits_for_all:
        # Lossless: arming counts them in, once the standby is near.
        return None if it.lossless else match_acknowledgements(it)
    return Refusal(
        f"{it.writer} is not armed while {it.stray_names} can acknowledge its commits. There: SET "
        "GLOBAL rpl_semi_sync_replica_enabled = OFF (MariaDB: rpl_semi_sync_slave_enabled), then "
        "stop and start the receiver; and set the same in its option file"
    )


def match_acknowledgements(it: Situation) -> Answer:
    """Where fewer are waited for from now on, one that has gone may have been the first to
    acknowledge what the standby lacks: solo, until the standby is seen to have all."""
    solo = None
    if it.armed:
        change = RecordChange(
            "solo while the writer waits for fewer acknowledgements", sync=Sync.SOLO
        )
        solo = ChangeRecord(change=change)
    sentence = f"make {it.writer} wait for as many acknowledgements as its replicas can give"
    return make(it, "match-acknowledgements", it.writer, sentence, solo, _wait(it))


def arm_second(it: Situation) -> Answer:
    sentence = f"make {it.standby} wait for {it.writer}"
    return make(it, "arm", it.standby, sentence, EnableWaiting(node=it.standby))
