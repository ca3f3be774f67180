"""Who answers: dead, hung, cut off or restarted, the writer first."""

from __future__ import annotations

from myha.core.node import Contact
from myha.core.plans import Refusal
from myha.core.protocols import acknowledgement, failover, upkeep
from myha.core.record import Cause
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Holds, Verdict


def _nothing_while_mixed_up(it: Situation) -> Refusal | None:
    return it.mixed_up


def _writer_blank(it: Situation) -> bool:
    look = it.w.look
    if not it.writer_restarted or look is None or look.schema:
        return False
    return not failover.better_of_two(it)


def _writer_older(it: Situation) -> bool:
    look = it.w.look
    if it.writer_lost is None or look is None or not look.schema:
        return False
    return not failover.better_of_two(it)


def _isolated(it: Situation) -> bool:
    def lost(contact: Contact) -> bool:
        return contact in (Contact.SILENT, Contact.REFUSING)

    both = lost(it.w.contact) and lost(it.s.contact)
    return both and Contact.SILENT in (it.w.contact, it.s.contact)


def _both_lost(it: Situation) -> bool:
    return it.w.contact is Contact.REFUSING and it.s.contact is Contact.REFUSING


def _writer_suspect(it: Situation) -> bool:
    if it.w.answering or it.w.contact in (Contact.FULL, Contact.DENIED, Contact.FOREIGN):
        return False
    return it.w.contact is not Contact.UNKNOWN


def _writer_refused_us(it: Situation) -> bool:
    return it.w.contact in (Contact.FULL, Contact.DENIED, Contact.FOREIGN)


def _standby_dead(it: Situation) -> bool:
    return it.member and it.w.answering and it.gone(it.s)


def _standby_hung(it: Situation) -> bool:
    if not it.standby_silent_alone:
        return False
    return it.writer_stalls or not it.writer_waits or not it.standby_acknowledges


def concerns(it: Situation) -> bool:
    """Where both answer, in the lives on record, and the writer commits, no row here holds."""
    if not (it.w.answering and it.s.answering):
        return True
    return it.writer_restarted or it.restarted or it.writer_stalled


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "nodes-mixed-up",
        "One of {writer} and {standby} leads to the server that the record knows as the other: "
        "their addresses are mixed up, and nothing is changed.",
        lambda it: it.mixed_up is not None,
        planner=_nothing_while_mixed_up,
        holds=Holds.EVERYTHING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "isolated",
        "The supervisor reaches neither node, and nothing proves them dead: it may be cut off "
        "itself, so it changes nothing.",
        _isolated,
        planner=upkeep.route_out_only,
        holds=Holds.EVERYTHING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "both-lost",
        "Neither {writer} nor {standby} accepts connections. The first one back is inspected "
        "before it serves; {writer} was the writer.",
        _both_lost,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "cut-off",
        "The supervisor does not reach the writer {writer}, but {standby} still hears it: the "
        "writer lives, and there is no failover.",
        lambda it: it.cut_off,
        planner=failover.for_cut_off,
        holds=Holds.EVERYTHING,
    ),
    Verdict(
        "writer-dead",
        "The writer {writer} is dead: its connections broke, new ones are refused, and {standby} "
        "has lost it too.",
        lambda it: it.writer_dead,
        planner=failover.for_death,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-closing",
        "The writer {writer} says that it is shutting down, and refuses new connections.",
        lambda it: it.writer_closing,
        planner=failover.for_closing,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-hung",
        "The writer {writer} has answered nothing for the dead time, and {standby} hears nothing "
        "from it either.",
        lambda it: it.writer_hung,
        planner=failover.for_silence,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-stalled",
        "The writer {writer} is there and {standby} hears it, but nothing is committed any more: "
        "its disk is full or has stopped.",
        lambda it: it.writer_stalled,
        planner=failover.for_silence,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-refuses-us",
        "The writer {writer} is alive but does not let the supervisor in (too many connections, a "
        "refused login, or another program on its port): no failover for that.",
        _writer_refused_us,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-suspect",
        "The writer {writer} does not answer. Whether it is dead is not proven yet.",
        _writer_suspect,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-blank",
        "The server at the address of the writer {writer} is another one, or has lost its data: it "
        "is not opened.",
        _writer_blank,
        planner=failover.blank,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-older",
        "The writer {writer} has restarted without transactions that it had before: its data are "
        "older ones, as from a backup or a snapshot. It is not opened.",
        _writer_older,
        planner=failover.older,
        holds=Holds.ALL_BUT_ROUTING,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "writer-restarted",
        "The writer {writer} has restarted by itself. It came up read-only, as configured, and is "
        "inspected before it takes writes.",
        lambda it: it.writer_restarted,
        planner=failover.reinstate,
        severity=Severity.CRITICAL,
    ),
    Verdict(
        "standby-dead",
        "The standby {standby} is dead: its connections broke and new ones are refused.",
        _standby_dead,
        planner=acknowledgement.release(Cause.LOST, "{standby} died"),
    ),
    Verdict(
        "standby-hung",
        "The standby {standby} has answered nothing for the dead time.",
        _standby_hung,
        planner=acknowledgement.release(Cause.LOST, "{standby} hung"),
    ),
    Verdict(
        "standby-restarted",
        "The standby {standby} has restarted and is inspected before it replicates again.",
        lambda it: it.restarted,
        planner=acknowledgement.release(Cause.RESTARTED, "{standby} restarted"),
    ),
)
