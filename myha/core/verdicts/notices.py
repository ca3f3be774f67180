"""What an operator has to know; nothing is done about it, or what is done stands above."""

from __future__ import annotations

from collections.abc import Callable

from myha.core.node import Contact
from myha.core.protocols import healing
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict

WATCHDOG_BEGINS_SECONDS = 5.0
LAG_UNKNOWN_SECONDS = 5.0  # a supervisor that has just begun has no heartbeat of its own yet


def _either(contact: Contact) -> Callable[[Situation], bool]:
    return lambda it: it.w.contact is contact or it.s.contact is contact


def _standby_unreachable(it: Situation) -> bool:
    return it.member and it.silent_for_deadtime(it.s)


def _writes_stalled(it: Situation) -> bool:
    look = it.w.look
    if not it.w.answering or look is None:
        return False
    return look.writes_stalled_seconds >= it.policy.deadtime_seconds


def _lagging(it: Situation) -> bool:
    return it.member_present and not it.s.reader_ok


def _events_unseen(it: Situation) -> bool:
    looks = [one.look for one in (it.w, it.s) if one.answering]
    return any(look is not None and not look.events.visible for look in looks)


def _lag_unknown(it: Situation) -> bool:
    since = it.s.lag_unknown_since
    slow = since is not None and it.at - since >= LAG_UNKNOWN_SECONDS
    return it.standby_replicates and it.writer_installed and slow


def _unwatched(it: Situation) -> bool:
    if it.policy.watchdog is None or it.watched or not it.writer_installed:
        return False
    since = max(it.w.lease.since, it.w.contact_since)
    return it.at - since >= WATCHDOG_BEGINS_SECONDS


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "writes-stalled",
        "Writes on {writer} do not finish although it answers: a full disk, a global lock, or a "
        "missing acknowledgement.",
        _writes_stalled,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "balancer-cut-off",
        "The balancer {balancers} cannot connect to the writer {writer}, which takes writes and "
        "answers the supervisor: who connects through it is turned away.",
        lambda it: bool(it.balancers_without_writer),
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "standby-unreachable",
        "The supervisor does not reach {standby}: it takes no reads until it is seen again.",
        _standby_unreachable,
    ),
    Verdict(
        "standby-refuses-us",
        "A node is alive but does not let the supervisor in: too many connections, a refused "
        "login, or another program on its port.",
        lambda it: any(
            _either(contact)(it) for contact in (Contact.FULL, Contact.DENIED, Contact.FOREIGN)
        ),
    ),
    Verdict(
        "lag-unknown",
        "The lag of {standby} is not known: no heartbeat has come through from {writer}.",
        _lag_unknown,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "events-unseen",
        "The supervisor's account may not see scheduled events on {writer} or {standby}, so they "
        "do not follow the writer.",
        _events_unseen,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "unwatched",
        "The watchdog on {writer} does not wait for this supervisor: without it there is no "
        "failover from a writer that is silent.",
        _unwatched,
    ),
    Verdict(
        "flapping",
        "The writer role has moved more often than the limit for unattended failovers allows: find "
        "out why the writers die.",
        lambda it: it.flaps_all_the_same,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "lagging",
        "{standby} lags behind the limit and takes no reads until it has caught up.",
        _lagging,
    ),
    Verdict(
        "standby-fenced",
        "{standby} is fenced and stays so until it is healed or unfenced.",
        lambda it: it.fenced,
        planner=healing.left_fenced,
    ),
    Verdict(
        "standby-away",
        "{standby} is away; {writer} runs alone.",
        lambda it: it.away,
    ),
    Verdict(
        "solo",
        "{writer} runs without waiting for {standby}: the loss of {writer} now could lose "
        "acknowledged writes.",
        lambda it: it.lossless and not it.armed,
    ),
)
