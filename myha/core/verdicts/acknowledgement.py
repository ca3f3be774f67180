"""Acknowledgements that are not as the record says, or that nobody can give."""

from __future__ import annotations

from myha.core.policy import Durability
from myha.core.protocols import acknowledgement
from myha.core.record import Cause
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict


def _standby_disconnected(it: Situation) -> bool:
    if not (it.member_present and it.writer_installed and it.armed):
        return False
    lost = it.unsourced_seconds >= it.policy.deadtime_seconds
    # A link that is cut resets nothing: the receiver goes on waiting until its own time-out, and so
    # would every commit.
    return lost or (it.writer_stalls and it.standby_unheard_for_deadtime)


def _claims_too_much(it: Situation) -> bool:
    look = it.w.look
    if not (it.armed and it.w.answering and look is not None):
        return False
    return not it.lossless or not look.semisync.source_waits


def _stray_acknowledger(it: Situation) -> bool:
    return it.policy.durability is not Durability.ASYNC and it.stray_suffices


def _waits_for_absent(it: Situation) -> bool:
    """More acknowledgements are waited for than the standby and the strays can give."""
    look = it.w.look
    if not (it.w.answering and it.standby_acknowledges and look is not None):
        return False
    semisync = look.semisync
    return semisync.source_enabled and semisync.source_wait_count > 1 + it.stray_count


def _stalled_solo(it: Situation) -> bool:
    """Commits wait although the record says that nobody will acknowledge them."""
    if it.armed or not it.w.answering or not it.writer_waits:
        return False
    return not it.standby_replicates


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "record-claims-too-much",
        "The record says that {writer} waits for acknowledgements, but it does not.",
        _claims_too_much,
        planner=acknowledgement.correct_record,
    ),
    Verdict(
        "stray-acknowledger",
        "Commits on {writer} can be acknowledged by {strays}, a replica outside the pair, while "
        "{standby} does not have them: switch semi-sync off there.",
        _stray_acknowledger,
        planner=acknowledgement.distrust,
    ),
    Verdict(
        "waits-for-absent",
        "Commits on {writer} wait for more acknowledgements than its replicas can give.",
        _waits_for_absent,
        planner=acknowledgement.match_acknowledgements,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "standby-disconnected",
        "The standby {standby} is up but has had no connection to {writer} for the dead time.",
        _standby_disconnected,
        planner=acknowledgement.release(Cause.LOST, "{standby} lost its source"),
    ),
    Verdict(
        "standby-stalled",
        "Commits on {writer} wait for {standby}, which answers and receives nothing any more: its "
        "disk is full or has stopped.",
        lambda it: it.standby_stalled,
        planner=acknowledgement.release(Cause.LOST, "{standby} received nothing any more"),
    ),
    Verdict(
        "stalled-solo",
        "Commits on {writer} wait for an acknowledgement, and no standby is there to give it.",
        _stalled_solo,
        planner=acknowledgement.stop_waiting("unstall"),
        severity=Severity.CRITICAL,
    ),
)
