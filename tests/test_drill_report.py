"""What a drill leaves for people: moments from ledgers, the page, and the history of runs."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from myha.cli.drill import drill
from myha.cli.main import cli
from myha.core.journal_line import Line
from myha.drill import runs
from myha.drill.html.page import page
from myha.drill.html.svg import span, ticks
from myha.drill.ledger import Attempt, Kind
from myha.drill.picture import STORY_LIMIT, RoundPicture, picture_of
from myha.drill.report import Report, RoundResult
from myha.drill.scenarios import SCENARIOS
from myha.drill.series import BUCKETS_LIMIT, series
from myha.drill.topology import Member, Topology
from myha.errors import MyhaError

FAULT = 5000.0
WALL = 1_800_000_000.0


def attempt(
    client: int, ended_ms: float, took_ms: float = 4.0, kind: Kind = Kind.ACKNOWLEDGED
) -> Attempt:
    ended = FAULT + ended_ms / 1000
    return Attempt(client, 1, ended - took_ms / 1000, ended, kind, 1)


def attempts() -> list[Attempt]:
    """Two clients with an OK every 5 ms, and none from the fault on for 200 ms."""
    times = [ms for ms in range(-1000, 3000, 5) if not 0 <= ms < 200]
    found = [attempt(client, ms + client) for ms in times for client in (1, 2)]
    return [*found, attempt(2, 50.0, kind=Kind.UNANSWERED), Attempt(1, 9, FAULT)]


def picture(story: int = 3, text: str = "fail over from a to b") -> RoundPicture:
    events = [Line(n, FAULT + n / 100, 0.0, "plan", text) for n in range(story)]
    before = Topology(
        1,
        "armed",
        (
            Member("a", "writer", "", True, follows="b"),
            Member("b", "standby", "", True, follows="a"),
            Member("r1", "replica", "", True, follows="a"),
        ),
        (("lb1", "writer", "a"), ("lb1", "reader", "b"), ("lb1", "reader", "r1")),
    )
    after = replace(
        before, epoch=2, members=(Member("a", "standby", "away", False), before.members[1])
    )
    return picture_of(
        attempts(), events, FAULT, FAULT + 3, last_ms=200.0, before=before, after=after
    )


def result(**more: Any) -> RoundResult:
    fields: dict[str, Any] = {
        "node": "a",
        "outage_ms": 200.0,
        "client_outage_ms_max": 200.0,
        "gap_began_ms": -1.0,
        "phases_ms": {"gone": 80.0, "detected": 90.5, "written": 199.0},
        "acknowledged": 1520,
        "acknowledged_lost": 0,
        "unacknowledged_present": 0,
        "duplicated": 0,
        "returned": "rewind",
        "whole_ms": 2500.0,
        "converged": True,
        "writer_lost": True,
        "problems": (),
        "picture": picture(),
    }
    return RoundResult(**fields | more)


def report(*rounds: RoundResult, **more: Any) -> Report:
    fields: dict[str, Any] = {
        "scenario": "crash",
        "flavour": "mysql",
        "server_version": "9.7.4",
        "mode": "single-writer",
        "durability": "lossless",
        "seed": 7,
        "rounds": rounds or (result(),),
        "sentence": "the writer is killed",
        "clients": 2,
    }
    return Report(**fields | more)


# -- moments --------------------------------------------------------------------------------------


def test_each_ok_is_in_its_moment() -> None:
    it = series(attempts(), FAULT, -500.0, 1000.0)
    assert (it.bucket_ms, it.count, it.until_ms) == (10.0, 150, 1000.0)
    first, second = it.clients
    assert (first.client, second.client) == (1, 2)
    assert first.oks[0] == 2
    assert first.slowest_ms[0] == 4.0
    assert first.oks[50:70] == (0,) * 20
    assert second.failures[55] == 1
    assert it.oks_per_second[0] == 400.0
    assert sum(first.oks) == sum(
        -500 <= ms + 1 < 1000 for ms in range(-1000, 3000, 5) if not 0 <= ms < 200
    )


def test_a_long_round_has_longer_moments_and_not_more() -> None:
    it = series([attempt(1, 3_600_000.0)], FAULT, 0.0, 3_601_000.0)
    assert it.count <= BUCKETS_LIMIT + 200
    assert it.bucket_ms == 5000.0


def test_no_client_makes_no_moments() -> None:
    assert series([], FAULT, 0.0, 100.0).count == 0


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (-480, 990, [-400, -200, 0, 200, 400, 600, 800]), (3, 3, [3])],
)
def test_ticks_are_round(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high, 8) == found


def test_times_in_words() -> None:
    assert [span(ms) for ms in (85.4, 1000, 1530, -200)] == ["85 ms", "1 s", "1.5 s", "-200 ms"]


# -- the page -------------------------------------------------------------------------------------


class Checked(HTMLParser):
    """Every element is closed where it ought to be, and nothing comes from elsewhere."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert tag not in {"script", "link", "img", "iframe", "object"}
        for name, value in attrs:
            assert name not in {"src", "onclick", "onload", "style"}
            if name in {"href", "xlink:href"}:
                assert str(value).startswith("#")
            assert "NaN" not in str(value)
            assert "nan" not in str(value).split()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.words))


def test_the_page_says_what_was_found_and_needs_nothing_from_elsewhere() -> None:
    text = page([report()], WALL)
    checked = Checked(text)
    assert "url(" not in text
    assert "@import" not in text
    assert "http" not in checked.text
    for words in (
        "crash",
        "passed",
        "Writes stopped for 200 ms",
        "2027-01-15 08:00 UTC",
        "every acknowledged transaction is there 1,520 of 1,520",
        "a was hit; writes stopped for 200 ms; it came back by rewind",
        "mysql 9.7.4",
        "fail over from a to b",
        "myha drill crash --flavour mysql --mode single-writer --durability lossless --rounds 1 "
        "--seed 7 --clients 2",
    ):
        assert words in checked.text, words
    assert checked.tags.count("svg") == 7  # rate, latency, waits, phases, before, after, whole
    assert "FAILED" not in checked.text


def test_a_round_that_failed_says_why_and_is_open() -> None:
    bad = result(
        outage_ms=50.0,
        acknowledged_lost=3,
        problems=("3 <b>lost</b> & gone",),
        converged=False,
        whole_ms=None,
    )
    many = [result(outage_ms=float(100 + number)) for number in range(9)]
    text = page([report(*many, bad)], WALL)
    checked = Checked(text)
    assert "3 &lt;b&gt;lost&lt;/b&gt; &amp; gone" in text
    assert "1,517 of 1,520" in checked.text
    assert text.count('<details class="round" open>') == 1 + 1  # it and the longest
    assert "never" in checked.text
    assert "FAILED in 1 of 10 rounds" in checked.text


def test_several_reports_are_on_one_page_with_a_table_of_them() -> None:
    checked = Checked(page([report(), report(scenario="hang"), report(rounds=())], WALL))
    assert "nav" in checked.tags
    assert "no round was played" in checked.text.lower()


def test_a_page_of_rounds_without_a_picture_or_a_single_ok() -> None:
    empty = picture_of([], [], FAULT, FAULT, last_ms=0.0, before=None, after=None)
    for one in (result(picture=None), result(picture=empty, phases_ms={}, outage_ms=0.0)):
        assert Checked(page([report(one)], WALL)).tags


def test_a_page_stays_small_however_much_has_happened() -> None:
    long = picture(story=10_000)
    assert len(long.story) == STORY_LIMIT
    clients = [attempt(client, float(ms)) for client in range(1, 257) for ms in range(0, 1000, 20)]
    crowd = picture_of(clients, [], FAULT, FAULT + 1, last_ms=0.0, before=None, after=None)
    assert len(page([report(result(picture=crowd))], WALL)) < 2_000_000
    assert len(page([report(result(picture=long))], WALL)) < 400_000


# -- the history ----------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "myha" / runs.FILE


def test_runs_are_kept_and_the_oldest_forgotten(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert runs.runs() == []
    monkeypatch.setattr(runs, "RUNS_KEPT", 3)
    for number in range(5):
        runs.keep([report(result(outage_ms=100.0 + number))], "sandbox", WALL + number)
    assert [one.id for one in runs.runs()] == [3, 4, 5]
    assert runs.find("last").played[0].outage_ms_median == 104.0
    with pytest.raises(MyhaError, match="there is no run 2: 3 to 5 are kept"):
        runs.find("2")
    assert len(state.read_text()) < 3000


def test_a_spoilt_history_is_said_in_a_line(state: Path) -> None:
    state.parent.mkdir(parents=True)
    for text in ("{", '[{"id": 1}]'):
        state.write_text(text)
        with pytest.raises(MyhaError, match="remove it to begin a new history"):
            runs.runs()


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (100.0, 119.0, ""),  # by less than 20 ms
        (100.0, 126.0, "slower"),
        (1000.0, 1200.0, ""),  # by less than a quarter
        (1000.0, 700.0, "faster"),
        (None, 700.0, ""),
        (0.0, 30.0, "slower"),
    ],
)
def test_what_counts_as_a_change(before: float | None, after: float | None, said: str) -> None:
    assert runs.changed(before, after) == said


def test_two_runs_are_compared_by_kind(state: Path, tmp_path: Path) -> None:
    runs.keep([report(), report(scenario="hang")], "sandbox", WALL)
    slow = result(outage_ms=400.0, phases_ms={"gone": 80.0, "written": 390.0})
    runs.keep([report(slow, slow), report(result(problems=("x",)), flavour="mariadb")], "x", WALL)
    done = CliRunner().invoke(cli, ["drill", "history", "compare", "1", "last"])
    assert done.exit_code == 0, done.output
    assert "crash (mysql, single-writer, lossless): slower" in done.output
    assert re.search(r"written\s+199\s+390\s+slower", done.output)
    assert re.search(r"detected\s+90\s+-", done.output)
    assert "hang (mysql, single-writer, lossless): played in run 1 alone" in done.output
    assert "crash (mariadb, single-writer, lossless): played in run 2 alone" in done.output
    file = tmp_path / "old.json"
    file.write_text(json.dumps(report(result(problems=("x",))).data()))
    done = CliRunner().invoke(cli, ["drill", "history", "compare", str(file), "1", "--json"])
    (crash, hang) = json.loads(done.output)["compared"]
    assert (crash["change"], crash["times"][0]["change"]) == ("mended", "")
    assert (hang["before"], hang["change"]) == (None, "")


def test_runs_are_listed(state: Path) -> None:
    done = CliRunner().invoke(cli, ["drill", "history", "list"])
    assert done.output == "no drill has been played yet\n"
    runs.keep([report()], "sandbox", WALL)
    runs.keep([report(result(converged=False), scenario="hang")], "sandbox", WALL)
    done = CliRunner().invoke(cli, ["drill", "history", "list"])
    assert re.search(r"1\s+2027-01-15 08:00\s+crash\s+mysql .* passed", done.output)
    assert re.search(r"2 .* hang .* FAILED", done.output)
    done = CliRunner().invoke(cli, ["drill", "history", "list", "--scenario", "hang", "--json"])
    (line,) = done.output.splitlines()
    assert json.loads(line)["played"][0]["scenario"] == "hang"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["oom"], "hits a limit of memory, which only containers have: add --containers"),
        (["crash", "--containers", "--network"], "--containers goes with --flavour, --heal"),
        (["crash", "--containers", "--durability", "async"], "--containers goes with --flavour"),
        (["power", "--containers"], "power needs a sandbox of processes; it is not played"),
        (["flap", "--containers"], "flap cuts links: use --network"),
        (["leader-partition", "--containers"], "leader-partition cuts links: use --network"),
        (["conflict", "--containers"], "conflict needs two writers"),
    ],
)
def test_what_containers_have_and_lack_is_said_before_anything_starts(
    words: list[str], said: str
) -> None:
    done = CliRunner().invoke(drill, words, obj={})
    assert said in str(done.exception)


def test_the_drills_own_words_come_before_or_after_the_scenario() -> None:
    for words in (["--minutes", "1", "crash"], ["crash", "--minutes", "1"]):
        done = CliRunner().invoke(drill, words, obj={})
        assert "--minutes goes with chaos" in str(done.exception)
    done = CliRunner().invoke(drill, ["nosuch"], obj={})
    assert done.exit_code == 2
    assert "'nosuch' is not one of 'crash'" in done.output
    done = CliRunner().invoke(drill, ["--help"], obj={})
    assert all(f"  {name}" in done.output for name in SCENARIOS)
    assert "history" in done.output
