"""Why an applier has stopped, found out beside the supervisor as soon as it has.

The verdict that such a node is out of everything stands at once and by itself. What the failing
change was, which row is in its way and which heal applies takes a look into a binary log, and is
reported when it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from myha.core.events import Kind
from myha.core.jobs import JobResult
from myha.core.node import NodeView
from myha.core.view import View
from myha.errors import MyhaError
from myha.ports import Clock, JobOrder, Jobs, Journal
from myha.supervisor.status import ApplierFailure

DIAGNOSIS = "diagnosis"
START_DEADLINE_SECONDS = 10.0
PAUSE_SECONDS = 30.0

Failure = tuple[str, int, str]  # which life of the server, the error's number and its text


@dataclass(slots=True)
class _Node:
    """What is known of one node's last failure. Times are of the monotonic clock."""

    failure: Failure | None = None
    running: bool = False
    reported: bool = False
    not_before: float = 0.0
    found: ApplierFailure | None = None


class Diagnoses:
    """One for each failure of an applier; tried again only if it could not be made."""

    def __init__(self, jobs: Jobs, clock: Clock, journal: Journal) -> None:
        self._jobs = jobs
        self._clock = clock
        self._journal = journal
        self._nodes: dict[str, _Node] = {}

    def check(self, view: View) -> None:
        """Begin what is due, and forget what is no longer so."""
        for name, node in view.nodes:
            if node.look is None:
                continue  # what was found out holds until the node says otherwise
            known = self._nodes.setdefault(name, _Node())
            failure = _failure_of(node)
            if failure != known.failure:
                known.failure, known.reported, known.not_before, known.found = (
                    failure,
                    False,
                    0.0,
                    None,
                )
            due = failure is not None and not known.reported and not known.running
            if due and self._clock.monotonic() >= known.not_before:
                self._begin(name, known)

    def found(self) -> dict[str, ApplierFailure]:
        """By node, what `myha divergence show` tells as `replication_error`, with its lines."""
        # From another thread than `check`, which adds a node when it is first seen.
        return {name: one.found for name, one in list(self._nodes.items()) if one.found}

    def ended(self, order: JobOrder, result: JobResult, more: dict[str, Any]) -> None:
        """Called when a diagnosis is over."""
        known = self._nodes.setdefault(order.node, _Node())
        known.running = False
        known.reported = result in (JobResult.DONE, JobResult.REFUSED)
        known.not_before = self._clock.monotonic() + PAUSE_SECONDS
        if known.failure is None or result is not JobResult.DONE or more.get("error") is None:
            return
        error = ApplierFailure.model_validate(more["error"])
        if error.errno != known.failure[1]:  # it failed in another way since
            known.reported, known.not_before = False, 0.0
            return
        known.found = error
        text = f"{order.node}: {'; '.join(line.strip() for line in error.lines)}"
        fields = {"node": order.node, "failure": error.kind, "heal": error.heal}
        self._journal.note(Kind.REPLICATION_ERROR, text, fields)

    def _begin(self, name: str, known: _Node) -> None:
        known.running = True
        try:
            self._jobs.start(JobOrder(DIAGNOSIS, name), START_DEADLINE_SECONDS)
        except MyhaError as error:
            self._journal.note(Kind.JOB, f"{DIAGNOSIS} of {name} cannot be started: {error}", {})
            self.ended(JobOrder(DIAGNOSIS, name), JobResult.FAILED, {})


def _failure_of(node: NodeView) -> Failure | None:
    look = node.look
    if look is None or not look.applier.errno:
        return None
    return look.boot_id, look.applier.errno, look.applier.error
