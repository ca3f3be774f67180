"""Tells the pair's supervisor of a drill: its journal, messages and API say that the pair is broken
on purpose, by whom, and what came of it."""

from __future__ import annotations

import json
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from myha.core.events import Kind
from myha.core.journal_line import Note
from myha.drill.options import Options
from myha.drill.report import Report
from myha.drill.runs import played_of
from myha.drill.stage import Scenario
from myha.drill.target import Target
from myha.errors import MyhaError
from myha.hosts.user import user_name
from myha.progress import Tell

REASON_LIMIT = 1000  # characters


class Noted:
    """One scenario of a drill. What cannot be noted is told, and it is played all the same."""

    def __init__(self, target: Target, scenario: Scenario, options: Options, tell: Tell) -> None:
        self._client = target.client
        self._tell = tell
        self._began = time.monotonic()
        self._fields = {
            "drill": uuid.uuid4().hex[:8],
            "scenario": scenario.name,
            "who": f"{user_name()}@{platform.node()}",
            "seed": str(options.seed),
            "clients": str(options.clients),
        }

    def begins(self, options: Options) -> None:
        name, who = self._fields["scenario"], self._fields["who"]
        long = f"{options.minutes:g} minutes" if options.minutes else f"{options.rounds} rounds"
        self._note(Kind.DRILL, f"{who} plays the drill {name}: {long}", {})

    def ended(self, report: Report) -> None:
        """As the judge says."""
        played = asdict(played_of(report.data()))
        found = {
            key: json.dumps(value) if key == "phases_ms" else str(value)
            for key, value in played.items()
            if key != "good"
        }
        name, lost = report.scenario, played["lost"]
        writes = (
            f"writes stopped for {played['outage_ms_median']:.0f} ms (median of"
            f" {played['rounds']}), {lost} of {played['acknowledged']} acknowledged writes lost"
        )
        if report.good:
            self._note(Kind.DRILL_DONE, f"the drill {name} has passed: {writes}", found)
            return
        problems = [problem for one in report.rounds for problem in one.problems]
        why = problems[0][:REASON_LIMIT] if problems else "the pair did not become whole"
        text = f"the drill {name} has FAILED: {why}; {writes}"
        self._note(Kind.DRILL_FAILED, text, found | {"reason": why})

    def cut_short(self, why: str) -> None:
        name, why = self._fields["scenario"], why[:REASON_LIMIT]
        self._note(Kind.DRILL_FAILED, f"the drill {name} was cut short: {why}", {"reason": why})

    def _note(self, kind: Kind, text: str, more: dict[str, str]) -> None:
        took = {} if kind is Kind.DRILL else {"took_s": f"{time.monotonic() - self._began:.1f}"}
        try:
            self._client.note_drill(Note(kind, text, self._fields | took | more))
        except MyhaError as error:
            self._tell(f"not noted in the pair's journal: {error}")


@contextmanager
def noted(target: Target, scenario: Scenario, options: Options, tell: Tell) -> Iterator[Noted]:
    """From the beginning; whoever plays it tells the end. What is raised cuts it short."""
    made = Noted(target, scenario, options, tell)
    made.begins(options)
    try:
        yield made
    except MyhaError as error:
        made.cut_short(str(error))
        raise
    except BaseException as error:
        interrupted = isinstance(error, KeyboardInterrupt)
        made.cut_short("interrupted" if interrupted else f"{type(error).__name__}: {error}")
        raise
