"""The ordered table of verdicts about a replica. As that of the pair, and apart from it."""

from __future__ import annotations

from myha.core.followers import healing, protocols
from myha.core.followers.situation import FollowerSituation
from myha.core.followers.view import FollowerView
from myha.core.node import ThreadState
from myha.core.protocols import heals
from myha.core.record import Cause
from myha.core.settings import Kind, listed
from myha.core.severity import Severity
from myha.core.verdicts.row import Row


class FollowerVerdict(Row[FollowerSituation]):
    """A row about a replica. `sentence` has {replica} and {writer} for the names of the servers,
    {source} for what it replicates from, {reason} for what is on record or broken, {balancers}."""

    __slots__ = ()

    def text(self, it: FollowerSituation) -> str:
        return self.sentence.format(
            replica=it.name,
            writer=it.writer,
            source=(it.look.source if it.look is not None else "") or "no server",
            reason=it.broken_reason or it.entry.reason,
            differences=listed(it.look.differs) if it.look is not None else "",
            balancers=it.unrouted,
        )


def _unquiet(it: FollowerSituation) -> bool:
    if not it.fenced or it.look is None:
        return False
    return not it.left_to_heal and not it.quiet


def _errant(it: FollowerSituation) -> bool:
    """Where a log was reset, names tell nothing of what is errant."""
    if it.fenced or it.log_reset_on:
        return False
    return it.errant is not None and not it.errant.is_empty()


def _new(it: FollowerSituation) -> bool:
    return it.away and it.entry.cause is Cause.NEW and it.writer_ready


def _returned(it: FollowerSituation) -> bool:
    return it.away and it.entry.cause is not Cause.NEW and it.look is not None and it.writer_ready


def _filtered(it: FollowerSituation) -> bool:
    returned = it.away and not it.judged and it.entry.cause is not Cause.NEW
    return bool(it.filters) and (it.member_look is not None or returned)


def _broken(it: FollowerSituation) -> bool:
    """One that is back goes on nowhere either with names that tell nothing; and where only its
    receiver says so, it has to have tried: that may be from before it was lost."""
    if it.member_look is not None or it.fenced:
        return it.member_look is not None and bool(it.broken_reason)
    tried = any(one.plan == "follow" for one in it.view.incidents)
    return bool(it.log_reset_on) or (it.outdated and tried)


def _wrong_source(it: FollowerSituation) -> bool:
    return it.member_look is not None and not it.follows_writer and it.writer_ready


def _stopped(it: FollowerSituation) -> bool:
    look = it.member_look
    if look is None or not it.writer_ready or look.applier.errno:
        return False
    return ThreadState.STOPPED in (look.receiver.state, look.applier.state)


def _disconnected(it: FollowerSituation) -> bool:
    slow = it.unsourced_seconds >= it.policy.deadtime_seconds
    return it.member_look is not None and it.writer_ready and slow


def _waiting(it: FollowerSituation) -> bool:
    look = it.member_look
    if look is None or it.writer_ready:
        return False
    return not it.follows_writer or look.receiver.state is not ThreadState.RUNNING


def _settings_differ(it: FollowerSituation) -> bool:
    look = it.member_look
    return look is not None and any(one.kind is not Kind.FILTER for one in look.differs)


# The order decides: what is further up is dealt with first.
TABLE: tuple[FollowerVerdict, ...] = (
    FollowerVerdict(
        "replica-unreachable",
        "The supervisor does not reach the replica {replica}: it takes no reads until it is seen "
        "again.",
        lambda it: it.unreachable,
        planner=lambda it: protocols.route(it) if it.routing else None,
    ),
    FollowerVerdict(
        "replica-heal-unwanted",
        "A heal of {replica} is running that is not on record: it is stopped.",
        lambda it: it.heal_unwanted,
        planner=heals.stop_unwanted,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-unquiet",
        "The replica {replica} is fenced and still active: it is closed and its replication "
        "stopped.",
        _unquiet,
        planner=protocols.isolate,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-errant",
        "The replica {replica} has transactions that {writer} does not have: it is fenced and "
        "takes no reads.",
        _errant,
        planner=protocols.fence_errant,
    ),
    FollowerVerdict(
        "replica-healing",
        "The replica {replica} is being healed; until that has ended and its data is verified it "
        "takes no reads, and nothing else is done to it.",
        lambda it: it.heal_runs,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-heal-done",
        "The replica {replica} is healed and its data verified: it follows {writer} again.",
        lambda it: it.heal_done,
        planner=heals.finish,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-heal-refused",
        "One method to heal {replica} was refused or has failed too often: the next one is tried, "
        "or it stays fenced with the reasons.",
        lambda it: it.heal_gives_up,
        planner=heals.next_method,
    ),
    FollowerVerdict(
        "replica-heal-due",
        "The replica {replica} is to be healed and no heal of it runs: one is started.",
        lambda it: it.heal_due,
        planner=healing.start,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-errant-fenced",
        "The replica {replica} is fenced with errant transactions, and the policy lets myha heal "
        "it: they go to quarantine first.",
        lambda it: it.errant_to_heal,
        planner=healing.begin_for_errant,
    ),
    FollowerVerdict(
        "replica-broken-fenced",
        "The replica {replica} is fenced since it cannot go on with its data, and the policy lets "
        "myha replace it.",
        lambda it: it.broken_to_heal,
        planner=healing.begin_for_broken,
    ),
    FollowerVerdict(
        "replica-new",
        "The replica {replica} is new: it gets the data of {writer}.",
        _new,
        planner=healing.seed,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-open",
        "The replica {replica} takes writes although it should not: it is closed.",
        lambda it: it.look is not None and it.look.open and not it.fenced,
        planner=protocols.close,
        severity=Severity.CRITICAL,
    ),
    FollowerVerdict(
        "replica-filtered",
        "A replication filter is in force on the replica {replica}: {differences}. Changes are "
        "left out there, so that its data is not known to be right: it is fenced.",
        _filtered,
        planner=protocols.fence_filtered,
    ),
    FollowerVerdict(
        "replica-broken",
        "The replica {replica} cannot go on: {reason}. It takes no reads.",
        _broken,
        planner=protocols.fence_broken,
    ),
    FollowerVerdict(
        "replica-restarted",
        "The replica {replica} has restarted and is inspected before it follows {writer} again.",
        lambda it: it.restarted and it.writer_ready,
        planner=protocols.follow,
    ),
    FollowerVerdict(
        "replica-returned",
        "The replica {replica} is back: it is inspected and follows {writer}.",
        _returned,
        planner=protocols.follow,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-wrong-source",
        "The replica {replica} replicates from {source} and not from the writer {writer}: it is "
        "pointed there.",
        _wrong_source,
        planner=protocols.follow,
    ),
    FollowerVerdict(
        "replica-acknowledges",
        "The replica {replica} acknowledges commits of {writer}, which only the standby may: that "
        "is switched off.",
        lambda it: it.member_look is not None and it.member_look.semisync.replica_enabled,
        planner=protocols.stop_acknowledging,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-stopped",
        "Replication of {replica} from {writer} is stopped without an error: it is started again.",
        _stopped,
        planner=protocols.follow,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-settings-differ",
        "Somebody or a restart has changed what setup made of {replica}: {differences}. What the "
        "supervisor may set is put right.",
        _settings_differ,
        planner=protocols.restore_settings,
    ),
    FollowerVerdict(
        "replica-events-on",
        "Scheduled events are enabled on the replica {replica}: they are disabled there.",
        lambda it: it.member_look is not None and it.member_look.events.enabled > 0,
        planner=protocols.run_no_events,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-routing-differs",
        "A balancer does not route reads to {replica} as it should.",
        lambda it: bool(it.routing),
        planner=protocols.route,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-unrouted",
        "The balancers {balancers} do not know the replica {replica}: give each the configuration "
        "that `myha balancer render` prints.",
        lambda it: bool(it.unrouted),
    ),
    FollowerVerdict(
        "replica-disconnected",
        "The receiver of {replica} gets no connection to {writer}: it takes no reads.",
        _disconnected,
    ),
    FollowerVerdict(
        "replica-lags",
        "The replica {replica} lags behind the limit and takes no reads until it has caught up.",
        lambda it: it.member_look is not None and not it.node.reader_ok and not it.delayed,
    ),
    FollowerVerdict(
        "replica-fenced",
        "The replica {replica} is fenced and stays so until it is healed or unfenced: {reason}",
        lambda it: it.fenced,
    ),
    FollowerVerdict(
        "replica-away",
        "The replica {replica} is away: {reason}",
        lambda it: it.away or it.restarted,
    ),
    FollowerVerdict(
        "replica-suspect",
        "The replica {replica} does not answer yet, or has not for a moment.",
        lambda it: it.look is None and not it.unreachable,
        severity=Severity.NOTICE,
    ),
    FollowerVerdict(
        "replica-waiting",
        "The replica {replica} waits until {writer} is in place as the writer, and serves reads "
        "with what it has.",
        _waiting,
        severity=Severity.NOTICE,
    ),
)
# In force where no other row holds.
HEALTHY = FollowerVerdict(
    "replica-healthy",
    "The replica {replica} follows {writer}.",
    lambda _: False,
    severity=Severity.NOTICE,
)
NOT_SET_UP = "There is no record of this replica yet: run `myha setup`."


def assess(it: FollowerSituation) -> tuple[FollowerVerdict, ...]:
    """All verdicts that hold, in the table's order; the first is the one in force."""
    return tuple(row for row in TABLE if row.predicate(it)) or (HEALTHY,)


def situation_of(view: FollowerView) -> FollowerSituation | None:
    """None while there is no record of the replica, or of the pair."""
    if view.record is None or view.pair.record is None:
        return None
    return FollowerSituation(view, view.record, view.pair.record)
