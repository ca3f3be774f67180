"""What the doctor says of the pair: what its supervisor says, or what is seen without one."""

from __future__ import annotations

from collections.abc import Iterator

from myha.cli.check import takes_writes
from myha.cli.own_look import own_look
from myha.config import Config
from myha.core.events import Kind, severity_of
from myha.core.node import Contact
from myha.core.record import Record
from myha.core.severity import Severity
from myha.errors import SupervisorAwayError, SupervisorInLineError
from myha.operations.setup.remarks import Remark
from myha.supervisor.client import Client
from myha.supervisor.status import RefusalStatus, SeenNodeStatus, Status, VerdictStatus


def of_pair(config: Config, record: Record) -> Iterator[Remark]:
    """Raises MyhaError where neither can be had."""
    try:
        seen = Client(config).status()
    except SupervisorInLineError as error:
        if differs := error.other_balancers:
            wrong = (
                f"the supervisor that acts has other balancers in its file than this one: {differs}"
            )
            why = "if this one takes over, nobody steers those that it does not name"
            mend = "give all supervisors the same file, and run `myha reload`"
            yield Remark("balancers-differ", config.cluster.name, wrong, mend, why)
        seen = own_look(config, record, str(error))  # it stands by, as it should
    except SupervisorAwayError as error:
        wrong, _, mend = str(error).partition("; ")
        why = "nothing reacts to a failure"
        yield Remark("no-supervisor", config.cluster.name, wrong, mend or "start it", why)
        seen = own_look(config, record, str(error))
    answers = any(node.contact is Contact.ANSWERING for node in seen.nodes.values())
    if answers or not seen.supervisor:  # else it is told of each server why it does not answer
        yield from of_status(config, seen)


def of_status(config: Config, seen: Status) -> Iterator[Remark]:
    yield from _verdicts(config, seen)
    pair = seen.name
    if seen.lease_failure:
        why = "nothing reacts to a failure"
        mend = "see docs/supervisors.md, and the store's health"
        yield Remark("supervisor-may-not-act", pair, seen.lease_failure, mend, why)
    if seen.journal_failure:
        yield Remark(
            "journal-failed",
            pair,
            seen.journal_failure,
            f"make room or mend {config.cluster.state_dir}",
            "what happens now is not kept",
        )
    if seen.dns_failure:
        why = "clients that look the name up go on to the old writer"
        yield Remark("name-not-followed", pair, seen.dns_failure, "see [dns] in the file", why)
    if seen.config_changed:
        wrong = "the configuration has changed since the supervisor read it"
        yield Remark("config-changed", pair, wrong, "run `myha reload`", "it uses the old one")
    yield from _watchdogs(config, seen)


def _verdicts(config: Config, seen: Status) -> Iterator[Remark]:
    if not takes_writes(seen):
        wrong = f"nobody is seen to take writes ({seen.verdict})"
        yield Remark("no-writer", seen.name, wrong, f"run `myha explain{config.option}`")
    for one in seen.verdicts:
        if one.name != "healthy":
            refused = next((it for it in seen.refusals if it.verdict == one.name), None)
            yield _verdict(seen.name, one, refused, config.option)
    for name, replica in seen.replicas.items():
        for one in replica.verdicts:
            if one.name != "replica-healthy":
                refused = next((it for it in replica.refusals if it.verdict == one.name), None)
                yield _verdict(name, one, refused, config.option)


def _verdict(about: str, one: VerdictStatus, refused: RefusalStatus | None, option: str) -> Remark:
    severity = severity_of(Kind.VERDICT, {"verdict": one.name})
    kind = {Severity.CRITICAL: "verdict-critical", Severity.WARNING: "verdict"}.get(
        severity, "verdict-notice"
    )
    mend = f"`myha explain{option}` says what follows"
    if refused is not None and refused.override:
        mend = f"to override: {refused.override}"
    why = "" if refused is None else f"refused: {refused.reason}"
    return Remark(kind, about, f"{one.name}: {one.sentence.rstrip('.')}", mend, why)


def _watchdogs(config: Config, seen: Status) -> Iterator[Remark]:
    if not config.failover.watchdog_seconds or seen.supervisor:
        return
    node = seen.nodes.get(seen.writer or "")
    there = isinstance(node, SeenNodeStatus) and node.contact is Contact.ANSWERING
    if node is not None and there and not node.watched:
        yield Remark(
            "watchdog-away",
            str(seen.writer),
            "no watchdog waits there for the supervisor's lease",
            f"`myha events{config.option}` says what became of it",
            "should it fall silent it does not close itself, and is not replaced",
        )
