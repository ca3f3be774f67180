"""A node that does not do what its role is: open, closed, replicating, waiting."""

from __future__ import annotations

from myha.core.node import ThreadState
from myha.core.policy import Durability
from myha.core.protocols import acknowledgement, fencing, filters, opening
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict


def _waiting_unwanted(it: Situation) -> bool:
    return it.w.answering and it.writer_waits and it.policy.durability is Durability.ASYNC


def _standby_waits(it: Situation) -> bool:
    look = it.member_look
    return look is not None and look.semisync.source_enabled and not it.dual


def _standby_open(it: Situation) -> bool:
    look = it.member_look
    return look is not None and look.open and not it.dual


def _replication_changed(it: Situation) -> bool:
    return it.member_present and not it.standby_source_is_peer


def _replication_filtered(it: Situation) -> bool:
    return it.filtered or bool(it.writer_filters)


def _writer_listens(it: Situation) -> bool:
    look = it.w.look
    if not (it.apart and it.w.answering) or look is None:
        return False
    return look.receiver.state is not ThreadState.STOPPED


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "writer-closed",
        "The writer on record, {writer}, is read-only: a change of writer was interrupted, or "
        "somebody closed it.",
        lambda it: it.w.answering and not it.writer_installed and not it.writer_restarted,
        planner=opening.install,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "standby-open",
        "{standby} takes writes although it should not: somebody opened it behind the "
        "supervisor's back.",
        _standby_open,
        planner=fencing.close_standby,
        severity=Severity.CRITICAL,
    ),
    # Before the next one, since it tells more: only other data help, and not an unfence.
    Verdict(
        "replication-filtered",
        "A replication filter is in force: {filters}. Changes are left out there, so that its data "
        "is not known to be right: it is fenced.",
        _replication_filtered,
        planner=filters.fence_filtered,
    ),
    Verdict(
        "replication-changed",
        "{standby} replicates from a server outside the pair: somebody changed its source.",
        _replication_changed,
        planner=fencing.fence_changed,
    ),
    Verdict(
        "waiting-unwanted",
        "{writer} waits for acknowledgements although the durability is async.",
        _waiting_unwanted,
        planner=acknowledgement.stop_waiting("stop-waiting"),
        severity=Severity.NOTICE,
    ),
    Verdict(
        "standby-waits",
        "{standby}, the standby, waits for acknowledgements itself, which can hang its applier.",
        _standby_waits,
        planner=acknowledgement.standby_stops_waiting,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "writer-listens",
        "{writer} replicates from {standby}, which has not been inspected since it was lost: the "
        "receiver of {writer} is stopped.",
        _writer_listens,
        planner=fencing.stop_listening,
    ),
)
