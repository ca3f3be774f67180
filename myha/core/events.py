"""The event stream: every kind of line in the journal and the log, as one closed table.

A kind's name and meaning are stable: hooks, notifications and other people's programs rely on them,
and `docs/events.md` has them all. Several kinds are about something that has a name of its own: the
plan (`plan:failover`) or the verdict (`verdict:writer-dead`). That is the event's subject, and
decides how severe it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field
from difflib import get_close_matches
from enum import StrEnum

from myha.core.followers import verdicts as of_replicas
from myha.core.severity import Severity
from myha.core.values import value
from myha.core.verdicts import TABLE


class Kind(StrEnum):
    """The names, grouped as in the docs."""

    VERDICT = "verdict"
    REFUSAL = "refusal"

    PLAN = "plan"
    STEP = "step"
    STEP_FAILED = "step-failed"
    PLAN_DONE = "plan-done"
    PLAN_FAILED = "plan-failed"
    BALANCER_FAILED = "balancer-failed"
    EVENTS = "events"
    SESSIONS_ENDED = "sessions-ended"

    REQUEST = "request"
    REQUEST_REFUSED = "request-refused"
    SETUP = "setup"
    CONFIG = "config"
    RELOAD = "reload"
    API = "api"
    AUDIT = "audit"
    DRILL = "drill"
    DRILL_DONE = "drill-done"
    DRILL_FAILED = "drill-failed"

    SUPERVISOR = "supervisor"
    UNSUPERVISED = "unsupervised"
    DEFECT = "defect"
    WORKER = "worker"
    LEASE = "lease"
    LEASE_LOST = "lease-lost"
    CLAIM = "claim"
    STORE = "store"
    JOURNAL = "journal"

    JOB = "job"
    JOB_DONE = "job-done"
    JOB_REFUSED = "job-refused"
    JOB_FAILED = "job-failed"
    JOB_STOPPED = "job-stopped"
    HEAL = "heal"
    MERGED = "merged"
    RESEED = "reseed"
    QUARANTINE = "quarantine"
    LOSS = "loss"

    REPLICATION_ERROR = "replication-error"
    DIFFERS = "differs"
    DIFFERENCE = "difference"
    VERIFY = "verify"
    CONFLICT = "conflict"
    WRONG_ID = "wrong-id"
    OUT_OF_REACH = "out-of-reach"
    CONFLICTS_READER = "conflicts-reader"
    CONFLICTS_GAP = "conflicts-gap"
    CONFLICTS_BEHIND = "conflicts-behind"

    DNS = "dns"
    DNS_FAILED = "dns-failed"
    HOOK = "hook"
    HOOK_FAILED = "hook-failed"
    NOTIFY = "notify"
    NOTIFY_FAILED = "notify-failed"


@value(frozen=True, slots=True)
class Meaning:
    """How severe a kind is where its subject does not say so, and what it tells."""

    severity: Severity
    sentence: str
    subject: str = ""  # the field that names what it is about


_INFO, _NOTICE, _WARNING, _CRITICAL = Severity

KINDS: Mapping[Kind, Meaning] = {
    Kind.VERDICT: Meaning(_WARNING, "Another verdict is in force.", "verdict"),
    Kind.REFUSAL: Meaning(_WARNING, "What is not done for now, why, and what overrides that."),
    Kind.PLAN: Meaning(_INFO, "A plan begins.", "plan"),
    Kind.STEP: Meaning(_INFO, "A step of a plan is done; `took_ms` says how long it took."),
    Kind.STEP_FAILED: Meaning(_NOTICE, "A step of a plan has failed."),
    Kind.PLAN_DONE: Meaning(_INFO, "A plan has reached its end.", "plan"),
    Kind.PLAN_FAILED: Meaning(_WARNING, "A plan has ended by a step that failed.", "plan"),
    Kind.BALANCER_FAILED: Meaning(_WARNING, "A balancer did not do what a step asked of it."),
    Kind.EVENTS: Meaning(_NOTICE, "The application's scheduled events were enabled or disabled."),
    Kind.SESSIONS_ENDED: Meaning(
        _WARNING, "Sessions were ended that held up a new writer, or may not be."
    ),
    Kind.REQUEST: Meaning(_NOTICE, "Somebody has asked for something by a command."),
    Kind.REQUEST_REFUSED: Meaning(_NOTICE, "What somebody asked for was not done, and why."),
    Kind.SETUP: Meaning(
        _NOTICE, "Setup has changed the pair or its replicas, or the pair was released."
    ),
    Kind.CONFIG: Meaning(_NOTICE, "The configuration file is another one than that in force."),
    Kind.RELOAD: Meaning(_NOTICE, "A new configuration is in force, or was refused. Log only."),
    Kind.API: Meaning(_NOTICE, "HTTP is answered, or is not. Log only."),
    Kind.AUDIT: Meaning(
        _NOTICE, "Who has asked for what over HTTP (`who`, `from`, `what`), and its `outcome`."
    ),
    Kind.DRILL: Meaning(_NOTICE, "Somebody breaks the pair on purpose from now on.", "scenario"),
    Kind.DRILL_DONE: Meaning(_NOTICE, "A drill has passed, with what it has measured.", "scenario"),
    Kind.DRILL_FAILED: Meaning(
        _WARNING, "A drill was cut short, has lost something, or left no whole pair.", "scenario"
    ),
    Kind.SUPERVISOR: Meaning(_NOTICE, "The supervisor of the pair begins, waits or ends."),
    Kind.UNSUPERVISED: Meaning(_CRITICAL, "The supervisor of the pair does not run, or had not."),
    Kind.DEFECT: Meaning(_CRITICAL, "A part of the supervisor has ended by a defect of myha."),
    Kind.WORKER: Meaning(_WARNING, "A worker process has ended or hangs. Log only."),
    Kind.LEASE: Meaning(_WARNING, "The right to act on the pair is not renewed, or is again."),
    Kind.LEASE_LOST: Meaning(_CRITICAL, "The right to act on the pair is lost."),
    Kind.CLAIM: Meaning(_WARNING, "A server could not be claimed for this supervisor yet."),
    Kind.STORE: Meaning(_CRITICAL, "The record cannot be read."),
    Kind.JOURNAL: Meaning(_WARNING, "The journal cannot be written, or can be again. Log only."),
    Kind.JOB: Meaning(_INFO, "A job begins, or cannot be started or stopped."),
    Kind.JOB_DONE: Meaning(_NOTICE, "A job has done what it was started for.", "job"),
    Kind.JOB_REFUSED: Meaning(_WARNING, "A job has refused its work, and changed nothing.", "job"),
    Kind.JOB_FAILED: Meaning(_WARNING, "A job has failed.", "job"),
    Kind.JOB_STOPPED: Meaning(_NOTICE, "A job was told to end, and has.", "job"),
    Kind.HEAL: Meaning(_NOTICE, "What a heal has done to a node."),
    Kind.MERGED: Meaning(_NOTICE, "A heal has brought errant transactions to the writer."),
    Kind.RESEED: Meaning(_NOTICE, "How far the replacement of a node's data is."),
    Kind.QUARANTINE: Meaning(_WARNING, "Transactions were taken out of a node, and are kept."),
    Kind.LOSS: Meaning(_CRITICAL, "A heal has gone on although something may be lost, as allowed."),
    Kind.REPLICATION_ERROR: Meaning(_CRITICAL, "Why an applier has stopped, found out."),
    Kind.DIFFERS: Meaning(_CRITICAL, "The nodes' data differ."),
    Kind.DIFFERENCE: Meaning(_WARNING, "A row or table that differs between the nodes."),
    Kind.VERIFY: Meaning(_NOTICE, "What a comparison of the nodes' data has found."),
    Kind.CONFLICT: Meaning(
        _WARNING, "Both nodes have changed a row, neither knowing of the other."
    ),
    Kind.WRONG_ID: Meaning(_WARNING, "An id was generated out of the other node's class."),
    Kind.OUT_OF_REACH: Meaning(_NOTICE, "Changes that the reader of conflicts cannot compare."),
    Kind.CONFLICTS_READER: Meaning(_WARNING, "The reader of conflicts cannot read a node."),
    Kind.CONFLICTS_GAP: Meaning(_WARNING, "Changes that the reader of conflicts has missed."),
    Kind.CONFLICTS_BEHIND: Meaning(_NOTICE, "The reader of conflicts is behind the writes."),
    Kind.DNS: Meaning(_NOTICE, "The name that follows the writer points to it."),
    Kind.DNS_FAILED: Meaning(_WARNING, "The name that follows the writer could not be changed."),
    Kind.HOOK: Meaning(_INFO, "A hook has ended well; with what it printed."),
    Kind.HOOK_FAILED: Meaning(_WARNING, "A hook has failed, was ended, or could not be run."),
    Kind.NOTIFY: Meaning(_NOTICE, "A channel takes messages again."),
    Kind.NOTIFY_FAILED: Meaning(_WARNING, "A channel does not take messages."),
}

# What a change of writer is to those who use the pair.
_OF_PLANS: Mapping[tuple[Kind, str], Severity] = {
    (Kind.PLAN, "failover"): _CRITICAL,
    (Kind.PLAN_DONE, "failover"): _WARNING,
    (Kind.PLAN_FAILED, "failover"): _CRITICAL,
    (Kind.PLAN, "reinstate"): _CRITICAL,
    (Kind.PLAN_DONE, "reinstate"): _WARNING,
    (Kind.PLAN_FAILED, "reinstate"): _CRITICAL,
    (Kind.PLAN, "switchover"): _NOTICE,
    (Kind.PLAN_DONE, "switchover"): _NOTICE,
    (Kind.PLAN, "fence"): _WARNING,
    (Kind.PLAN, "maintenance"): _NOTICE,
    (Kind.PLAN_DONE, "maintenance"): _NOTICE,
}
_OF_VERDICTS: Mapping[str, Severity] = {
    **{row.name: row.severity for row in TABLE},
    **{row.name: row.severity for row in (*of_replicas.TABLE, of_replicas.HEALTHY)},
}
VERDICTS = frozenset(_OF_VERDICTS)
# Told of by the hooks and channels themselves: a hook on these would start itself.
OF_HOOKS = frozenset({Kind.HOOK, Kind.HOOK_FAILED})


@value(frozen=True, slots=True)
class Event:
    """One line of the stream. `wall` is in seconds since the epoch."""

    wall: float
    pair: str
    kind: Kind
    text: str
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """What it is about, where its kind has something; else empty."""
        return subject_of(self.kind, self.fields)

    @property
    def severity(self) -> Severity:
        return severity_of(self.kind, self.fields)


def subject_of(kind: Kind, fields: Mapping[str, str]) -> str:
    return fields.get(KINDS[kind].subject, "")


def severity_of(kind: Kind, fields: Mapping[str, str]) -> Severity:
    subject = subject_of(kind, fields)
    if kind is Kind.VERDICT:
        return _OF_VERDICTS.get(subject, KINDS[kind].severity)
    return _OF_PLANS.get((kind, subject), KINDS[kind].severity)


def kind_of(name: str) -> Kind:
    """The kind of that name, as another process has said it; one that is unknown is a job's."""
    return Kind(name) if name in set(Kind) else Kind.JOB


@value(frozen=True, slots=True)
class Selector:
    """`KIND` or `KIND:SUBJECT`: which events somebody wants."""

    kind: Kind
    subject: str = ""

    @staticmethod
    def of(text: str) -> Selector:
        """Raises ValueError with what is wrong."""
        name, colon, subject = text.partition(":")
        if name not in set(Kind):
            near = _nearest(name, Kind)
            raise ValueError(
                f"there is no kind of event {name!r}{near}: docs/events.md has them all"
            )
        kind = Kind(name)
        if colon and not KINDS[kind].subject:
            raise ValueError(f"events of the kind {name} have no subject: write {name!r} alone")
        if colon and not subject:
            raise ValueError(f"a {KINDS[kind].subject} is missing behind {text!r}")
        if subject and kind is Kind.VERDICT and subject not in VERDICTS:
            near = _nearest(subject, VERDICTS)
            raise ValueError(
                f"there is no verdict {subject!r}{near}: docs/runbooks.md has them all"
            )
        return Selector(kind, subject)

    def __str__(self) -> str:
        return f"{self.kind}:{self.subject}" if self.subject else str(self.kind)

    def takes(self, kind: Kind, subject: str) -> bool:
        return kind is self.kind and self.subject in ("", subject)


def _nearest(name: str, known: Iterable[str]) -> str:
    """What may have been meant, as the end of a clause."""
    close = get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {close[0]}?)" if close else ""


@value(frozen=True, slots=True)
class Wanted:
    """Which events somebody wants to read: those of any of the kinds (of none: all), at least so
    severe, and noted since then, in seconds since the epoch."""

    kinds: tuple[Selector, ...] = ()
    least: Severity = Severity.INFO
    since_wall: float = 0.0


ALL = Wanted()
