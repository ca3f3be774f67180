"""What the doctor finds, how grave each kind of it is, and in which order it is told. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from myha.operations.setup.remarks import Remark


class Severity(StrEnum):
    """`error`: the pair is not safe or does not work. `warning`: it will not be when something
    happens. `hint`: it could be better."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


_ERRORS = (
    "no-writer",
    "verdict-critical",
    "not-set-up",
    "no-supervisor",
    "supervisor-may-not-act",
    "store-unreadable",
    "record-of-others",
    "supervised-elsewhere",
    "server-silent",
    "server-unreachable",
    "login-refused",
    "secret-unreadable",
    "balancer-away",
    "balancer-lacks-node",
    "balancer-elsewhere",
    "flavours-differ",
    "versions-far-apart",
    "version-too-old",
    "same-server",
    "same-uuid",
    "same-server-id",
    "no-server-id",
    "no-binlog",
    "no-gtid",
    "updates-not-logged",
    "old-semisync-plugins",
    "plugin-missing",
    "setting-wrong",
    "filtered",
    "foreign-source",
    "named-channel",
    "channel-wrong",
    "account-missing",
    "account-lacks",
    "schema-incomplete",
    "persisted-not-loaded",
    "tls-missing",
    "certificate-expired",
    "errant",
    "tables-differ",
    "schemas-differ",
    "objects-differ",
    "held-back",
    "two-writers",
    "wrong-way",
    "replication-broken",
    "other-password",
    "replicas-without-gtid",
    "same-domain",
    "old-domain",
    "fence-command-missing",
    "config-writable",
    "state-unusable",
    "disk-full",
)
_WARNINGS = (
    "verdict",
    "fenced",
    "store-member-away",
    "watchdog-away",
    "not-at-boot",
    "events-disabled",
    "events-asleep",
    "disk-low",
    "retention-short",
    "not-durable",
    "clock-wrong",
    "clocks-apart",
    "config-changed",
    "balancers-differ",
    "journal-failed",
    "name-not-followed",
    "dns-unusable",
    "notify-unusable",
    "hook-command-missing",
    "definer-missing",
    "accounts-differ",
    "no-primary-key",
    "not-transactional",
    "further-replicas",
    "account-has-more",
    "admin-refused",
    "versions-differ",
    "certificate-expires",
    "time-zones-differ",
    "stale-sessions",
    "balancer-stranger",
    "balancer-name-differs",
    "state-exposed",
    "behind",
)
_HINTS = (
    "verdict-notice",
    "version-unmaintained",
    "nothing-fences",
    "not-encrypted",
    "set-at-runtime",
    "no-time-zones",
    "retention-unlimited",
)

# The gravest first; within one severity the order in which things are told.
KINDS: dict[str, Severity] = {
    **dict.fromkeys(_ERRORS, Severity.ERROR),
    **dict.fromkeys(_WARNINGS, Severity.WARNING),
    **dict.fromkeys(_HINTS, Severity.HINT),
}
_RANKS = {kind: rank for rank, kind in enumerate(KINDS)}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Finding(_Value):
    """One thing that is wrong. `about`: which server, balancer, file. `follows` and `mend` are
    empty where there is nothing to add, or nothing to be done."""

    severity: Severity
    kind: str
    about: str
    wrong: str
    follows: str
    mend: str


class Unseen(_Value):
    """A check that could not be made: `what`, of whom, and `why`."""

    what: str
    about: str
    why: str


class Report(_Value):
    """All that was found, the gravest first."""

    pair: str
    errors: int
    warnings: int
    hints: int
    findings: tuple[Finding, ...]
    unseen: tuple[Unseen, ...]

    @property
    def exit_status(self) -> int:
        if self.errors:
            return 2
        return 1 if self.warnings or self.unseen else 0


def finding(remark: Remark) -> Finding:
    """With the severity of its kind; KeyError for a kind that has none."""
    return Finding(
        severity=KINDS[remark.kind],
        kind=remark.kind,
        about=remark.about,
        wrong=remark.wrong,
        follows=remark.follows,
        mend=remark.mend,
    )


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """What is the same of several is told once."""
    known: dict[tuple[str, ...], list[str]] = {}
    for one in findings:
        about = known.setdefault((one.kind, one.wrong, one.follows, one.mend), [])
        if one.about not in about:
            about.append(one.about)
    return [
        Finding(
            severity=KINDS[kind],
            kind=kind,
            about=" and ".join(", ".join(sorted(about)).rsplit(", ", 1)),
            wrong=wrong,
            follows=follows,
            mend=mend,
        )
        for (kind, wrong, follows, mend), about in known.items()
    ]


def report(pair: str, remarks: Iterable[Remark], unseen: Iterable[Unseen]) -> Report:
    """In order, each once."""
    found = sorted(merged(map(finding, remarks)), key=lambda one: (_RANKS[one.kind], one.about))
    counts = {one: sum(it.severity is one for it in found) for one in Severity}
    return Report(
        pair=pair,
        errors=counts[Severity.ERROR],
        warnings=counts[Severity.WARNING],
        hints=counts[Severity.HINT],
        findings=tuple(found),
        unseen=tuple(dict.fromkeys(unseen)),
    )
