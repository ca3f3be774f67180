"""The ordered table of verdicts: a name, the sentence for the operator, the predicate.

The log, `myha explain`, the docs and whatever else tells an operator what is going on use these
sentences. All rows that hold are reported; the first is the one in force. `holds` says what may
still be begun while a row holds: everything, only routing, or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from myha.core.model import Cause, Contact, Durability, JobResult, NodeLook, ThreadState, View
from myha.core.situation import Situation

LAG_UNKNOWN_SECONDS = 5.0  # a supervisor that has just begun has no heartbeat of its own yet


class Holds(Enum):
    """What a verdict keeps the supervisor from doing for the rows below it."""

    NOTHING = "nothing"
    ALL_BUT_ROUTING = "all but routing"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row. `sentence` has {writer} and {standby} for the names of the nodes, {strays} for who
    else can acknowledge, {filters} and {differences} for what is not as setup made it."""

    name: str
    sentence: str
    predicate: Callable[[Situation], bool]
    holds: Holds = Holds.NOTHING

    def say(self, situation: Situation) -> str:
        return self.sentence.format(
            writer=situation.writer,
            standby=situation.standby,
            strays=situation.stray_names,
            filters=situation.filter_names,
            differences=situation.difference_names,
        )


def _either(contact: Contact) -> Callable[[Situation], bool]:
    return lambda it: it.w.contact is contact or it.s.contact is contact


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
    if not (it.member and it.w.answering and it.silent_for_deadtime(it.s)):
        return False
    return it.writer_stalls or not it.writer_waits or not it.standby_acknowledges


def _standby_unreachable(it: Situation) -> bool:
    return it.member and it.silent_for_deadtime(it.s)


def _standby_disconnected(it: Situation) -> bool:
    slow = it.unsourced_seconds >= it.policy.deadtime_seconds
    return it.member_present and it.writer_installed and it.armed and slow


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


def _waiting_unwanted(it: Situation) -> bool:
    return it.w.answering and it.writer_waits and it.policy.durability is Durability.ASYNC


def _standby_waits(it: Situation) -> bool:
    look = it.s.look
    here = it.member_present and look is not None and not it.dual
    return here and look is not None and look.semisync.source_enabled


def _standby_open(it: Situation) -> bool:
    look = it.s.look
    if not it.member_present or look is None or not look.open:
        return False
    return not it.dual


def _replication_broken(it: Situation) -> bool:
    look = it.s.look
    return it.member_present and look is not None and look.applier.errno != 0


def _replication_stopped(it: Situation) -> bool:
    look = it.s.look
    if not it.member_present or look is None or not it.writer_installed or look.applier.errno:
        return False
    stopped = ThreadState.STOPPED
    return stopped in (look.receiver.state, look.applier.state) and not it.standby_sourceless


def _source_missing(it: Situation) -> bool:
    """Where both threads are stopped: one that still runs has its source in memory."""
    if it.heal is not None or not it.member_present or not it.writer_installed:
        return False
    return it.standby_sourceless or (it.writer_sourceless and it.standby_replicates)


def _reverse_stopped(it: Situation) -> bool:
    look = it.w.look
    if not it.standby_replicates or not it.writer_installed or look is None:
        return False
    stopped = ThreadState.STOPPED
    if it.writer_sourceless or look.applier.errno:
        return False
    return stopped in (look.receiver.state, look.applier.state)


def _replication_changed(it: Situation) -> bool:
    look = it.s.look
    if not it.member_present or look is None:
        return False
    return not it.standby_source_is_peer


def _replication_filtered(it: Situation) -> bool:
    return it.filtered or bool(it.writer_filters)


def _settings_differ(it: Situation) -> bool:
    return it.heal is None and bool(it.drifted)


def _writer_listens(it: Situation) -> bool:
    look = it.w.look
    here = it.apart and it.w.answering and look is not None
    return here and look is not None and look.receiver.state is not ThreadState.STOPPED


def _heal_unwanted(it: Situation) -> bool:
    job = it.heal_job
    return job is not None and (it.heal is None or it.heal.id != job.id)


def _returned_unquiet(it: Situation) -> bool:
    if it.heal is not None and not (it.s.look is not None and it.s.look.open):
        return False  # what replicates there is the heal's affair; whoever opened it is not
    return it.apart and it.s.answering and it.writer_installed and not it.standby_quiet


def _returned_errant(it: Situation) -> bool:
    return it.errant is not None and not it.errant.is_empty()


def _returned_clean(it: Situation) -> bool:
    return it.errant is not None and it.errant.is_empty()


def _heal_done(it: Situation) -> bool:
    return it.heal_outcome is not None and it.heal_outcome.result is JobResult.DONE


def _heal_due(it: Situation) -> bool:
    if it.heal is None or it.heal_job is not None or not it.writer_installed:
        return False
    if it.heal_gives_up or _heal_done(it):
        return False
    # Only a reseed can do something about a server that does not even start.
    return it.s.answering or it.heal.method == "reseed"


def _fenced_for(it: Situation, cause: Cause) -> bool:
    """Fenced for this cause and no heal tried yet, with both nodes there for one."""
    fresh = it.fenced and it.s_entry.cause is cause and it.s_entry.heal is None
    return fresh and it.s.answering and it.writer_installed


def _errant_fenced(it: Situation) -> bool:
    return _fenced_for(it, Cause.ERRANT) and bool(it.heal_methods)


def _broken_fenced(it: Situation) -> bool:
    return _fenced_for(it, Cause.BROKEN) and "reseed" in it.heal_methods


def _unprotected(it: Situation) -> bool:
    look = it.w.look
    if it.policy.durability is Durability.ASYNC or not it.writer_installed or look is None:
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
    return ready and look is not None and not look.open


def _second_unprotected(it: Situation) -> bool:
    look = it.s.look
    if not it.dual or it.policy.durability is Durability.ASYNC or not it.standby_replicates:
        return False
    if look is None or not look.open or look.semisync.source_clients < 1:
        return False
    return not _waits_as_configured(look)


def _writes_stalled(it: Situation) -> bool:
    look = it.w.look
    if not it.w.answering or look is None:
        return False
    return look.writes_stalled_seconds >= it.policy.deadtime_seconds


def _lagging(it: Situation) -> bool:
    return it.member_present and not it.s.reader_ok


def _schema_missing(it: Situation) -> bool:
    return it.writer_installed and it.w.look is not None and not it.w.look.schema


def _writer_events_off(it: Situation) -> bool:
    return it.writer_installed and it.w.look is not None and it.w.look.events.left > 0


def _standby_events_on(it: Situation) -> bool:
    if not (it.s.answering and it.writer_installed) or it.s.look is None:
        return False
    healed = it.heal is not None or it.heal_job is not None
    return it.s.look.events.enabled > 0 and not healed


def _events_unnoted(it: Situation) -> bool:
    return it.writer_installed and it.w.look is not None and not it.w.look.events.noted


def _events_unseen(it: Situation) -> bool:
    looks = [one.look for one in (it.w, it.s) if one.answering]
    return any(look is not None and not look.events.visible for look in looks)


def _lag_unknown(it: Situation) -> bool:
    since = it.s.lag_unknown_since
    slow = since is not None and it.at - since >= LAG_UNKNOWN_SECONDS
    return it.standby_replicates and it.writer_installed and slow


def _failback_due(it: Situation) -> bool:
    policy = it.policy
    if not policy.auto_failback or policy.preferred != it.standby or it.dual:
        return False
    if not it.standby_replicates or not it.writer_installed or (it.lossless and not it.armed):
        return False
    wait = policy.failback_after_seconds
    healthy_for = min(it.at - it.s.contact_since, it.at - it.w.contact_since)
    return healthy_for >= wait and it.view.wall - it.record.writer_since_wall >= wait


# In force where no other row holds: it is no predicate's to say what all others do not.
HEALTHY = Verdict("healthy", "Both nodes are as they should be.", lambda _: False)

TABLE: tuple[Verdict, ...] = (
    Verdict(
        "isolated",
        "The supervisor reaches neither node, and nothing proves them dead: it may be cut off "
        "itself, so it changes nothing.",
        _isolated,
        Holds.EVERYTHING,
    ),
    Verdict(
        "both-lost",
        "Neither {writer} nor {standby} accepts connections. The first one back is inspected "
        "before it serves; {writer} was the writer.",
        _both_lost,
        Holds.ALL_BUT_ROUTING,
    ),
    Verdict(
        "cut-off",
        "The supervisor does not reach the writer {writer}, but {standby} still hears it: the "
        "writer lives, and there is no failover.",
        lambda it: it.cut_off,
        Holds.EVERYTHING,
    ),
    Verdict(
        "writer-dead",
        "The writer {writer} is dead: its connections broke, new ones are refused, and {standby} "
        "has lost it too.",
        lambda it: it.writer_dead,
        Holds.ALL_BUT_ROUTING,
    ),
    Verdict(
        "writer-closing",
        "The writer {writer} says that it is shutting down, and refuses new connections.",
        lambda it: it.writer_closing,
        Holds.ALL_BUT_ROUTING,
    ),
    Verdict(
        "writer-hung",
        "The writer {writer} has answered nothing for the dead time, and {standby} hears nothing "
        "from it either.",
        lambda it: it.writer_hung,
        Holds.ALL_BUT_ROUTING,
    ),
    Verdict(
        "writer-refuses-us",
        "The writer {writer} is alive but does not let the supervisor in (too many connections, a "
        "refused login, or another program on its port): no failover for that.",
        _writer_refused_us,
        Holds.ALL_BUT_ROUTING,
    ),
    Verdict(
        "writer-suspect",
        "The writer {writer} does not answer. Whether it is dead is not proven yet.",
        _writer_suspect,
        Holds.ALL_BUT_ROUTING,
    ),
    Verdict(
        "writer-restarted",
        "The writer {writer} has restarted by itself. It came up read-only, as configured, and is "
        "inspected before it takes writes.",
        lambda it: it.writer_restarted,
    ),
    Verdict(
        "standby-dead",
        "The standby {standby} is dead: its connections broke and new ones are refused.",
        _standby_dead,
    ),
    Verdict(
        "standby-hung",
        "The standby {standby} has answered nothing for the dead time.",
        _standby_hung,
    ),
    Verdict(
        "standby-restarted",
        "The standby {standby} has restarted and is inspected before it replicates again.",
        lambda it: it.standby_restarted,
    ),
    Verdict(
        "record-claims-too-much",
        "The record says that {writer} waits for acknowledgements, but it does not.",
        _claims_too_much,
    ),
    Verdict(
        "stray-acknowledger",
        "Commits on {writer} can be acknowledged by {strays}, a replica outside the pair, while "
        "{standby} does not have them: switch semi-sync off there.",
        _stray_acknowledger,
    ),
    Verdict(
        "waits-for-absent",
        "Commits on {writer} wait for more acknowledgements than its replicas can give.",
        _waits_for_absent,
    ),
    Verdict(
        "standby-disconnected",
        "The standby {standby} is up but has had no connection to {writer} for the dead time.",
        _standby_disconnected,
    ),
    Verdict(
        "stalled-solo",
        "Commits on {writer} wait for an acknowledgement, and no standby is there to give it.",
        _stalled_solo,
    ),
    Verdict(
        "writer-closed",
        "The writer on record, {writer}, is read-only: a change of writer was interrupted, or "
        "somebody closed it.",
        lambda it: it.w.answering and not it.writer_installed and not it.writer_restarted,
    ),
    Verdict(
        "standby-open",
        "{standby} takes writes although it should not: somebody opened it behind the "
        "supervisor's back.",
        _standby_open,
    ),
    Verdict(
        "replication-changed",
        "{standby} replicates from a server outside the pair: somebody changed its source.",
        _replication_changed,
    ),
    Verdict(
        "replication-filtered",
        "A replication filter is in force: {filters}. Changes are left out there, so that its data "
        "is not known to be right: it is fenced.",
        _replication_filtered,
    ),
    Verdict(
        "waiting-unwanted",
        "{writer} waits for acknowledgements although the durability is async.",
        _waiting_unwanted,
    ),
    Verdict(
        "standby-waits",
        "{standby}, the standby, waits for acknowledgements itself, which can hang its applier.",
        _standby_waits,
    ),
    Verdict(
        "writer-listens",
        "{writer} replicates from {standby}, which has not been inspected since it was lost: the "
        "receiver of {writer} is stopped.",
        _writer_listens,
    ),
    Verdict(
        "heal-unwanted",
        "A heal of {standby} is running that is not on record: it is stopped.",
        _heal_unwanted,
    ),
    Verdict(
        "returned-unquiet",
        "{standby} is back and still active: it is fenced and its replication stopped, so that its "
        "transactions can be compared with those of {writer}.",
        _returned_unquiet,
    ),
    Verdict(
        "returned-errant",
        "{standby} is back with transactions that {writer} does not have.",
        _returned_errant,
    ),
    Verdict(
        "returned-clean",
        "{standby} is back and {writer} has all of its transactions: it rejoins.",
        _returned_clean,
    ),
    Verdict(
        "healing",
        "{standby} is being healed; until that has ended and its data is verified it gets no "
        "traffic, and nothing else is done to it.",
        lambda it: it.heal is not None and it.heal_job is not None,
    ),
    Verdict(
        "heal-done",
        "{standby} is healed and its data verified: it is inspected like any node that returns.",
        _heal_done,
    ),
    Verdict(
        "heal-refused",
        "One method to heal {standby} was refused or has failed too often: the next one is tried, "
        "or the node stays fenced with the reasons.",
        lambda it: it.heal_gives_up,
    ),
    Verdict(
        "heal-due",
        "{standby} is to be healed and no heal of it runs: one is started.",
        _heal_due,
    ),
    Verdict(
        "errant-fenced",
        "{standby} is fenced with errant transactions, and the policy lets myha heal it: they go "
        "to quarantine first.",
        _errant_fenced,
    ),
    Verdict(
        "broken-fenced",
        "{standby} is fenced because its applier failed on its data, and the policy lets myha "
        "replace it.",
        _broken_fenced,
    ),
    Verdict(
        "replication-broken",
        "The applier of {standby} has stopped with an error; it takes no reads and cannot take "
        "over.",
        _replication_broken,
    ),
    Verdict(
        "source-missing",
        "No replication source is configured on {standby}, or on {writer}: it is set up again.",
        _source_missing,
    ),
    Verdict(
        "settings-differ",
        "Somebody or a restart has changed what setup made: {differences}. What the supervisor may "
        "set is put right.",
        _settings_differ,
    ),
    Verdict(
        "replication-stopped",
        "Replication of {standby} from {writer} is stopped without an error: it is started again.",
        _replication_stopped,
    ),
    Verdict(
        "reverse-stopped",
        "Replication of {writer} from {standby} is stopped without an error: it is started again.",
        _reverse_stopped,
    ),
    Verdict(
        "second-closed",
        "{standby} replicates and has nearly caught up with {writer}: it can take writes again.",
        _second_closed,
    ),
    Verdict(
        "second-unprotected",
        "{standby} takes writes and does not wait for acknowledgements as configured yet.",
        _second_unprotected,
    ),
    Verdict(
        "schema-missing",
        "The schema myha is missing on {writer}: without it lag is not known and the writer cannot "
        "be armed. It is made again.",
        _schema_missing,
    ),
    Verdict(
        "unprotected",
        "{writer} does not wait for {standby} as configured, although it is there to acknowledge: "
        "{writer} is made to wait.",
        _unprotected,
    ),
    Verdict(
        "routing-differs",
        "A balancer does not route as it should.",
        lambda it: bool(it.routing),
    ),
    # This one first, so that none runs on both.
    Verdict(
        "standby-events-on",
        "Scheduled events are enabled on {standby}, which is not the writer: they are disabled "
        "there.",
        _standby_events_on,
    ),
    Verdict(
        "writer-events-off",
        "Scheduled events do not run on {writer}, the writer, although nobody has disabled them: "
        "they are enabled.",
        _writer_events_off,
    ),
    Verdict(
        "events-unnoted",
        "Scheduled events were disabled or enabled again on {writer}: that is noted for the next "
        "writer.",
        _events_unnoted,
    ),
    Verdict(
        "failback-due",
        "{standby} is the preferred writer and both nodes have been healthy for the set time.",
        _failback_due,
    ),
    Verdict(
        "writes-stalled",
        "Writes on {writer} do not finish although it answers: a full disk, a global lock, or a "
        "missing acknowledgement.",
        _writes_stalled,
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
    ),
    Verdict(
        "events-unseen",
        "The supervisor's account may not see scheduled events on {writer} or {standby}, so they "
        "do not follow the writer.",
        _events_unseen,
    ),
    Verdict(
        "flapping",
        "The writer role has moved more often than the limit for unattended failovers allows: find "
        "out why the writers die.",
        lambda it: it.flaps_all_the_same,
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
    HEALTHY,
)

NOT_SET_UP = "There is no record of a pair yet: run `myha setup`."


def assess(situation: Situation) -> tuple[Verdict, ...]:
    """All verdicts that hold, in the table's order; the first is the one in force."""
    return tuple(row for row in TABLE if row.predicate(situation)) or (HEALTHY,)


def by_name(name: str) -> Verdict:
    for row in TABLE:
        if row.name == name:
            return row
    raise KeyError(name)


def situation_of(view: View) -> Situation | None:
    """None while there is no record."""
    return None if view.record is None else Situation(view, view.record)
