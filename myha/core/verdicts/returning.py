"""A node that is not a member: inspected, healed, let back in."""

from __future__ import annotations

from myha.core.protocols import fencing, healing, heals, returning
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict


def _returned_unquiet(it: Situation) -> bool:
    if it.left_to_heal:
        return False
    return it.apart and it.s.answering and it.writer_installed and not it.standby_quiet


def _returned_errant(it: Situation) -> bool:
    return it.errant is not None and not it.errant.is_empty()


def _has_nothing_errant(it: Situation) -> bool:
    return it.errant is not None and it.errant.is_empty()


def _returned_elsewhere(it: Situation) -> bool:
    """It has replicated from a stranger, and nobody has answered for its data since."""
    return _has_nothing_errant(it) and not it.standby_source_is_peer and not it.judged


def _returned_blank(it: Situation) -> bool:
    mine, writers = it.s.look, it.w.look
    if mine is None or writers is None or mine.schema or not writers.schema:
        return False
    return _has_nothing_errant(it) and not _returned_elsewhere(it)


def _returned_clean(it: Situation) -> bool:
    other = it.outdated or _returned_elsewhere(it) or _returned_blank(it)
    return _has_nothing_errant(it) and not other


def concerns(it: Situation) -> bool:
    """A member that no process heals is none of these rows'."""
    return it.apart or it.heal_job is not None


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "heal-unwanted",
        "A heal of {standby} is running that is not on record: it is stopped.",
        lambda it: it.heal_unwanted,
        planner=heals.stop_unwanted,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "returned-unquiet",
        "{standby} is back and still active: it is fenced and its replication stopped, so that its "
        "transactions can be compared with those of {writer}.",
        _returned_unquiet,
        planner=fencing.isolate,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "returned-errant",
        "{standby} is back with transactions that {writer} does not have.",
        _returned_errant,
        planner=fencing.fence_errant,
    ),
    Verdict(
        "returned-elsewhere",
        "{standby} is back and replicates from a server outside the pair: somebody changed its "
        "source.",
        _returned_elsewhere,
        planner=fencing.fence_changed,
    ),
    Verdict(
        "returned-blank",
        "{standby} is back without the schema that setup has made there: it is another server, or "
        "its data are gone.",
        _returned_blank,
        planner=returning.blank,
    ),
    Verdict(
        "returned-clean",
        "{standby} is back and {writer} has all of its transactions: it rejoins.",
        _returned_clean,
        planner=returning.rejoin,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "healing",
        "{standby} is being healed; until that has ended and its data is verified it gets no "
        "traffic, and nothing else is done to it.",
        lambda it: it.heal_runs,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "heal-done",
        "{standby} is healed and its data verified: it is inspected like any node that returns.",
        lambda it: it.heal_done,
        planner=heals.finish,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "heal-refused",
        "One method to heal {standby} was refused or has failed too often: the next one is tried, "
        "or the node stays fenced with the reasons.",
        lambda it: it.heal_gives_up,
        planner=heals.next_method,
    ),
    Verdict(
        "heal-due",
        "{standby} is to be healed and no heal of it runs: one is started.",
        lambda it: it.heal_due,
        planner=healing.start,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "errant-fenced",
        "{standby} is fenced with errant transactions, and the policy lets myha heal it: they go "
        "to quarantine first.",
        lambda it: it.errant_to_heal,
        planner=healing.begin_for_errant,
    ),
    Verdict(
        "broken-fenced",
        "{standby} is fenced because its applier failed on its data, and the policy lets myha "
        "replace it.",
        lambda it: it.broken_to_heal,
        planner=healing.begin_for_broken,
    ),
)
