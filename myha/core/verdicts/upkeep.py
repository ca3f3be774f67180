"""What is not as it should be while both nodes do what their roles are."""

from __future__ import annotations

from myha.core.node import NodeLook, ThreadState
from myha.core.policy import Durability
from myha.core.protocols import (
    acknowledgement,
    events,
    healing,
    replication,
    returning,
    settings,
    switchover,
    upkeep,
)
from myha.core.severity import Severity
from myha.core.situation import Situation
from myha.core.verdicts.row import Verdict


def _replication_broken(it: Situation) -> bool:
    return it.member_look is not None and it.member_look.applier.errno != 0


def _replication_stopped(it: Situation) -> bool:
    look = it.member_look
    if look is None or not it.writer_installed or look.applier.errno or it.outdated:
        return False
    stopped = ThreadState.STOPPED
    return stopped in (look.receiver.state, look.applier.state) and not it.standby_sourceless


def _source_missing(it: Situation) -> bool:
    """Where both threads are stopped: one that still runs has its source in memory."""
    if it.heal is not None or not it.member_present or not it.writer_installed:
        return False
    return it.standby_sourceless or (it.writer_sourceless and it.standby_replicates)


def _reverse_broken(it: Situation) -> bool:
    """Of a standby that itself is well: else its own trouble comes first."""
    look = it.installed_look
    return it.standby_replicates and look is not None and look.applier.errno != 0


def _reverse_stopped(it: Situation) -> bool:
    look, stopped = it.installed_look, ThreadState.STOPPED
    if not it.standby_replicates or look is None or it.writer_sourceless or look.applier.errno:
        return False
    return stopped in (look.receiver.state, look.applier.state)


def _settings_differ(it: Situation) -> bool:
    return it.heal is None and bool(it.drifted)


def _unprotected(it: Situation) -> bool:
    look = it.installed_look
    if it.policy.durability is Durability.ASYNC or look is None:
        return False
    if not it.standby_replicates or not it.standby_acknowledges:
        return False
    if it.strays and not it.waits_for_all:
        return False
    if it.lossless:
        return not it.armed and it.standby_near
    return not _waits_as_configured(look)


def _waits_as_configured(look: NodeLook) -> bool:
    """For bounded waiting, which the server switches off and on by itself meanwhile."""
    return look.semisync.source_enabled and look.semisync.source_timeout_fits


def _second_closed(it: Situation) -> bool:
    look = it.s.look
    ready = it.dual and it.standby_replicates and it.writer_installed and it.standby_near
    return ready and look is not None and not look.open and not _reverse_broken(it)


def _second_unprotected(it: Situation) -> bool:
    look = it.s.look
    if not it.dual or it.policy.durability is Durability.ASYNC or not it.standby_replicates:
        return False
    if look is None or not look.open or look.semisync.source_clients < 1:
        return False
    return not _waits_as_configured(look)


def _schema_missing(it: Situation) -> bool:
    return it.installed_look is not None and not it.installed_look.schema


def _writer_events_off(it: Situation) -> bool:
    return it.installed_look is not None and it.installed_look.events.left > 0


def _standby_events_on(it: Situation) -> bool:
    if not (it.s.answering and it.writer_installed) or it.s.look is None:
        return False
    healed = it.heal is not None or it.heal_job is not None
    return it.s.look.events.enabled > 0 and not healed


def _events_unnoted(it: Situation) -> bool:
    return it.installed_look is not None and not it.installed_look.events.noted


def _failback_due(it: Situation) -> bool:
    policy = it.policy
    if not policy.auto_failback or policy.preferred != it.standby or it.dual:
        return False
    if not it.standby_replicates or not it.writer_installed or (it.lossless and not it.armed):
        return False
    wait = policy.failback_after_seconds
    healthy_for = min(it.at - it.s.contact_since, it.at - it.w.contact_since)
    return healthy_for >= wait and it.view.wall - it.record.writer_since_wall >= wait


ROWS: tuple[Verdict, ...] = (
    Verdict(
        "replication-broken",
        "The applier of {standby} has stopped with an error; it takes no reads and cannot take "
        "over.",
        _replication_broken,
        planner=healing.fence_broken,
    ),
    Verdict(
        "reverse-broken",
        "The applier of {writer} has stopped with an error: what was written on {standby} does not "
        "reach it. {standby} takes no writes until that is mended.",
        _reverse_broken,
        planner=replication.mend_reverse,
    ),
    Verdict(
        "source-missing",
        "No replication source is configured on {standby}, or on {writer}: it is set up again.",
        _source_missing,
        planner=replication.restore_source,
    ),
    Verdict(
        "settings-differ",
        "Somebody or a restart has changed what setup made: {differences}. What the supervisor may "
        "set is put right.",
        _settings_differ,
        planner=settings.restore,
    ),
    Verdict(
        "replication-stopped",
        "Replication of {standby} from {writer} is stopped without an error: it is started again.",
        _replication_stopped,
        planner=replication.restart_standby_replication,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "reverse-stopped",
        "Replication of {writer} from {standby} is stopped without an error: it is started again.",
        _reverse_stopped,
        planner=replication.restart_writer_replication,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "second-closed",
        "{standby} replicates from {writer}: it takes writes again once it has caught up.",
        _second_closed,
        planner=returning.open_second,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "second-unprotected",
        "{standby} takes writes and does not wait for acknowledgements as configured yet.",
        _second_unprotected,
        planner=acknowledgement.arm_second,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "schema-missing",
        "The schema myha is missing on {writer}: without it lag is not known and the writer cannot "
        "be armed. It is made again.",
        _schema_missing,
        planner=upkeep.make_schema,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "unprotected",
        "{writer} does not wait for {standby} as configured, although it is there to acknowledge: "
        "{writer} is made to wait.",
        _unprotected,
        planner=acknowledgement.arm,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "routing-differs",
        "A balancer does not route as it should.",
        lambda it: bool(it.routing),
        planner=upkeep.route,
        severity=Severity.NOTICE,
    ),
    # This one first, so that none runs on both.
    Verdict(
        "standby-events-on",
        "Scheduled events are enabled on {standby}, which is not the writer: they are disabled "
        "there.",
        _standby_events_on,
        planner=events.run_no_events_on_standby,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "writer-events-off",
        "Scheduled events do not run on {writer}, the writer, although nobody has disabled them: "
        "they are enabled.",
        _writer_events_off,
        planner=events.run_writers_events,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "events-unnoted",
        "Scheduled events were disabled or enabled again on {writer}: that is noted for the next "
        "writer.",
        _events_unnoted,
        planner=events.run_writers_events,
        severity=Severity.NOTICE,
    ),
    Verdict(
        "failback-due",
        "{standby} is the preferred writer and both nodes have been healthy for the set time.",
        _failback_due,
        planner=switchover.failback,
        severity=Severity.NOTICE,
    ),
)
