"""The event stream: its names, its severities, how it is logged, kept and read."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from myha.cli.events import moment
from myha.cli.main import cli
from myha.core.events import _OF_VERDICTS as OF_VERDICTS
from myha.core.events import KINDS, Event, Kind, Selector, Wanted, severity_of
from myha.core.severity import Severity
from myha.errors import MyhaError
from myha.stores.local.journal import LocalJournal, read_journal
from myha.supervisor.journal import LoggedJournal
from myha.supervisor.log import Log, as_json, as_text

NOWHERE = (click.Context(click.Command("x")), click.Option(["--x"]))
DOCS = (Path(__file__).parent.parent / "docs" / "events.md").read_text()
FAILOVER = Event(
    1_800_000_000.25, "main", Kind.PLAN, "fail over", {"plan": "failover", "node": "db2"}
)


def test_the_docs_have_every_kind_and_no_other() -> None:
    rows = [
        f"| `{kind}` | {m.subject} | {m.severity} | {m.sentence} |" for kind, m in KINDS.items()
    ]
    assert list(KINDS) == list(Kind)
    table = DOCS.split("## Kinds\n")[1].split("\n## ")[0]
    assert [line for line in table.splitlines() if line.startswith("| `")] == rows


def test_the_docs_have_the_severity_of_every_verdict() -> None:
    table = DOCS.split("## Severity of verdicts\n")[1].split("\n## ")[0]
    for name, severity in OF_VERDICTS.items():
        (line,) = (one for one in table.splitlines() if f"`{name}`" in one)
        assert line.startswith(f"| {severity} |"), name


def test_severity_is_the_subjects_where_it_has_one() -> None:
    assert FAILOVER.severity is Severity.CRITICAL
    assert replace(FAILOVER, fields={"plan": "arm"}).severity is Severity.INFO
    assert severity_of(Kind.VERDICT, {"verdict": "writer-dead"}) is Severity.CRITICAL
    assert severity_of(Kind.VERDICT, {"verdict": "healthy"}) is Severity.NOTICE
    assert [one for one in Severity if one.reaches(Severity.WARNING)] == ["warning", "critical"]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("plans", "no kind"),
        ("", "no kind"),
        ("step:x", "no subject"),
        ("plan:", "missing"),
        ("verdict:writer-gone", "no verdict"),
        ("plan-don:failover", r"'plan-don' \(did you mean plan-done\?\): docs/events.md"),
        ("verdict:writer-ded", r"'writer-ded' \(did you mean writer-dead\?\): docs/runbooks.md"),
    ],
)
def test_what_selects_no_event_is_refused(text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        Selector.of(text)


def test_a_selector_takes_a_kind_or_one_subject_of_it() -> None:
    assert str(Selector.of("plan:failover")) == "plan:failover"
    assert Selector.of("plan").takes(Kind.PLAN, "arm")
    assert Selector.of("plan:failover").takes(Kind.PLAN, FAILOVER.subject)
    assert not Selector.of("plan:failover").takes(Kind.PLAN, "arm")
    assert not Selector.of("plan").takes(Kind.PLAN_DONE, "failover")


def test_a_line_for_people_and_one_for_programs() -> None:
    assert as_text(FAILOVER) == "2027-01-15T08:00:00.250Z main plan           fail over"
    assert json.loads(as_json(replace(FAILOVER, text="Zeile\nzwei"))) == {
        "time": "2027-01-15T08:00:00.250Z",
        "severity": "critical",
        "pair": "main",
        "event": "plan",
        "text": "Zeile\nzwei",
        "fields": {"plan": "failover", "node": "db2"},
    }
    assert "\n" not in as_json(replace(FAILOVER, text="Zeile\nzwei"))


class Full(LocalJournal):
    """On a full disk, as long as `full`."""

    full = False

    def note(self, kind: Kind, text: str, fields: dict[str, str]) -> None:
        if self.full:
            raise MyhaError("no space")
        super().note(kind, text, fields)


def test_listeners_are_shown_what_cannot_be_written_too(tmp_path: Path) -> None:
    out, kept = io.StringIO(), Full(tmp_path, "main")
    journal, seen = LoggedJournal(kept, "main", Log("json", out)), list[Event]()
    journal.listeners.append(seen.append)
    kept.full = True
    journal.note(Kind.STORE, "cannot be read", {})
    assert journal.failure == "no space"
    kept.full = False
    journal.note(Kind.PLAN, "arm", {"plan": "arm"})
    assert [(one.kind, one.severity) for one in seen] == [("store", "critical"), ("plan", "info")]
    logged = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event"] for one in logged] == ["store", "journal", "plan", "journal"]
    kept.close()


def test_the_journal_is_read_by_kind_severity_and_time(tmp_path: Path) -> None:
    journal = LocalJournal(tmp_path, "main")
    journal.note(Kind.PLAN, "arm", {"plan": "arm"})
    journal.note(Kind.PLAN, "fail over", {"plan": "failover"})
    journal.note(Kind.STEP, "close", {})
    journal.note(Kind.VERDICT, "solo", {"verdict": "solo"})
    between = time.time()
    while time.time() == between:
        pass
    journal.note(Kind.VERDICT, "well", {"verdict": "healthy"})

    def texts(*kinds: str, least: str = "info", since: float = 0.0) -> list[str]:
        wanted = Wanted(tuple(map(Selector.of, kinds)), Severity(least), since)
        found = [one.text for one in journal.events(50, 0, wanted)]
        assert found == [one.text for one in read_journal(tmp_path, 50, 0, wanted)]
        return found

    assert texts("plan") == ["arm", "fail over"]
    assert texts("plan:failover", "step") == ["fail over", "close"]
    assert texts(least="warning") == ["fail over", "solo"]
    assert texts("verdict", least="notice", since=between) == ["well"]
    last = journal.events(1, 0, Wanted((Selector.of("plan"),)))[0]
    assert (last.text, last.severity, last.fields["pair"]) == ("fail over", "critical", "main")
    journal.close()


def test_times_are_given_as_an_age_or_as_a_time() -> None:
    assert time.time() - moment(*NOWHERE, "2h") == pytest.approx(7200, abs=60)
    assert moment(*NOWHERE, "2026-07-01T12:00+00:00") == 1782907200.0


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--kind", "plans"], "no kind of event"), (["--since", "yesterday"], "is no time")],
)
def test_a_wrong_choice_is_refused(options: list[str], said: str) -> None:
    done = CliRunner().invoke(cli, ["events", *options])
    assert done.exit_code == 2
    assert said in done.output
