"""Messages: when a channel is told what, in which words, and how that gets through."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from click.testing import CliRunner

from myha.cli.main import cli
from myha.config import load
from myha.core.events import Event, Kind, Selector
from myha.core.severity import Severity
from myha.errors import ConfigError, MyhaError
from myha.notify import channel
from myha.notify.channel import deliver
from myha.notify.orders import ChannelOrder
from myha.notify.pacing import GATHER_SECONDS, LINES_LIMIT, QUIET_SECONDS, Batch, Pacer
from myha.notify.send import hidden
from myha.notify.text import Message, message_of
from tests.configurations import write_config
from tests.receivers import free_port, http_receiver, mail_receiver, silent_receiver

WALL = 1_800_000_000.0
TEXT = Message("[main] test", "all is well", "info")


def verdict(name: str, at: float = 0.0, **fields: str) -> Event:
    return Event(WALL + at, "main", Kind.VERDICT, f"It is {name}.", {"verdict": name, **fields})


def plan(kind: Kind, name: str = "failover", text: str = "fail over from db1 to db2") -> Event:
    return Event(WALL, "main", kind, text, {"plan": name, "node": "db2"})


class Told:
    """A pacer, a clock, and what it has told so far."""

    def __init__(
        self,
        least: Severity = Severity.WARNING,
        per_minute: int = 6,
        on: tuple[Selector, ...] = (),
        not_on: tuple[Selector, ...] = (),
    ) -> None:
        self.channel = ChannelOrder("chat", "", least, per_minute, on=on, not_on=not_on)
        self.pacer = Pacer(self.channel.takes, per_minute)
        self.now = 1000.0
        self.messages: list[tuple[float, Batch]] = []
        self.taken = True

    def take(self, *events: Event, lost: int = 0) -> None:
        self.pacer.take(events, self.now, lost)

    def wait(self, seconds: float) -> None:
        """Let time pass, and have told what is due meanwhile."""
        until = self.now + seconds
        while (due := self.pacer.due(self.now)) is not None and self.now + due <= until:
            self.now += due
            if self.pacer.due(self.now) == 0 and self.pacer.waiting:
                batch = self.pacer.begin()
                if self.taken:
                    self.messages.append((self.now, batch))
                    self.pacer.sent(self.now)
                else:
                    self.pacer.failed(self.now)
        self.now = until

    @property
    def texts(self) -> list[list[str]]:
        return [[line.event.text for line in one.lines] for _, one in self.messages]


def test_a_failover_is_one_message() -> None:
    told = Told()
    told.take(verdict("writer-dead"))
    told.take(plan(Kind.PLAN))
    told.wait(0.5)
    told.take(Event(WALL, "main", Kind.STEP, "close db1"), plan(Kind.PLAN_DONE), verdict("solo"))
    told.wait(5)
    ((at, batch),) = told.messages
    assert at == 1000.0 + GATHER_SECONDS
    assert [one.event.kind for one in batch.lines] == ["verdict", "plan", "plan-done", "verdict"]
    message = message_of("main", batch)
    assert message.title == "[main] critical: done: fail over from db1 to db2 (and 3 more)"
    assert message.type == "failure"
    assert "2027-01-15 08:00:00Z critical: begins: fail over from db1 to db2" in message.body


def test_what_is_not_severe_enough_is_not_told() -> None:
    told = Told(Severity.CRITICAL)
    told.take(verdict("healthy"), verdict("solo"), plan(Kind.PLAN_DONE))
    told.wait(100)
    assert told.messages == []
    assert told.pacer.due(told.now) is None


def test_a_verdict_that_comes_and_goes_is_told_once_and_its_end_once() -> None:
    told = Told()
    for number in range(20):
        told.take(verdict("lagging", number))
        told.wait(3)
        told.take(verdict("healthy", number + 3))
        told.wait(QUIET_SECONDS - 1)
    assert told.texts == [["It is lagging."]]
    told.wait(60)
    assert told.texts[1:] == [["It is healthy. (after 22 s; it had seemed so 19 times before)"]]
    assert told.messages[1][1].lines[0].resolved
    message = message_of("main", told.messages[1][1])
    assert message.title.startswith("[main] resolved: It is healthy.")
    assert message.type == "success"
    told.take(verdict("lagging"))
    told.wait(5)
    assert told.texts[2:] == [["It is lagging."]]


def test_a_trouble_of_a_replica_is_its_own() -> None:
    told = Told()
    told.take(verdict("standby-dead"), verdict("replica-lags", node="r1"))
    told.wait(5)
    told.take(verdict("replica-healthy", node="r1"))
    told.wait(30)
    assert told.texts == [
        ["It is standby-dead.", "It is replica-lags."],
        ["It is replica-healthy. (after 0 s)"],
    ]
    told.take(verdict("healing"))  # not severe, and not well
    told.wait(30)
    assert len(told.messages) == 2
    told.take(verdict("healthy"))
    told.wait(30)
    assert len(told.messages) == 3


def test_a_storm_is_summed_up_and_nothing_is_uncounted() -> None:
    told = Told(per_minute=2)
    for number in range(600):
        told.take(plan(Kind.PLAN_FAILED, "arm", f"failure {number}"))
        told.wait(0.1)
    told.wait(120)
    assert len(told.messages) <= 4
    times = [at for at, _ in told.messages]
    assert all(later - earlier >= 60 for earlier, later in zip(times, times[2:], strict=False))
    counts = [len(one.lines) + one.beyond.total() for _, one in told.messages]
    assert sum(counts) == 600
    assert all(len(one.lines) <= LINES_LIMIT for _, one in told.messages)
    body = message_of("main", told.messages[-1][1]).body
    assert "more in between: " in body
    assert "failure 599" in body
    assert len(body.splitlines()) < LINES_LIMIT + 5


def test_what_could_not_be_sent_is_part_of_the_next_message() -> None:
    told = Told()
    told.taken = False
    told.take(plan(Kind.PLAN), lost=3)
    told.wait(20)
    told.take(plan(Kind.PLAN_DONE))
    told.wait(20)
    assert told.pacer.waiting == 5
    told.taken = True
    told.wait(300)
    ((_, batch),) = told.messages
    assert [one.event.kind for one in batch.lines] == ["plan", "plan-done"]
    body = message_of("main", batch, "mail server is down").body
    assert "3 more events were lost on their way to this channel." in body
    assert "This could not be sent earlier: mail server is down" in body
    assert told.pacer.waiting == 0


def test_retries_come_more_and_more_seldom() -> None:
    told = Told()
    told.taken = False
    told.take(plan(Kind.PLAN))
    tried = []
    for _ in range(12):
        due = told.pacer.due(told.now)
        assert due is not None
        told.now += due
        tried.append(due)
        told.pacer.begin()
        told.pacer.failed(told.now)
    assert tried == [GATHER_SECONDS, 5, 10, 20, 40, 80, 160, 300, 300, 300, 300, 300]


def test_the_last_words_wait_for_no_minute() -> None:
    told = Told(per_minute=1)
    told.take(plan(Kind.PLAN))
    told.wait(5)
    told.take(Event(WALL, "main", Kind.UNSUPERVISED, "it has died"))
    assert told.pacer.due(told.now) == pytest.approx(57.0)
    assert told.pacer.due(told.now, hurry=True) == 0


def test_only_lost_events_make_a_message_too() -> None:
    told = Told()
    told.take(lost=7)
    told.wait(5)
    assert message_of("main", told.messages[0][1]).title == "[main] info: 7 events, see below"


def test_a_long_title_is_cut() -> None:
    told = Told()
    told.take(plan(Kind.PLAN_FAILED, text="x" * 500 + "\nand more"))
    told.wait(5)
    message = message_of("main", told.messages[0][1])
    assert len(message.title) == 140
    assert "\n" not in message.title


# -- the way --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """On a busy machine the process that sends may take long to begin."""
    with mock.patch.object(channel, "SEND_SECONDS", 120.0):
        yield


def test_a_message_reaches_an_http_server_and_a_mail_server() -> None:
    with http_receiver() as http, mail_receiver() as mail:
        deliver(http.url, TEXT)
        deliver(mail.url, TEXT)
        got = http.next()
        assert (got["title"], got["message"], got["type"]) == ("[main] test", "all is well", "info")
        got = mail.next()
        assert (got["title"], got["to"]) == ("[main] test", ["dba@example.com"])
        assert "all is well" in got["message"]


def test_one_that_refuses_or_hangs_is_told_in_a_line_without_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channel, "SEND_SECONDS", 1.0)
    with silent_receiver() as silent, pytest.raises(MyhaError, match="not ended within 1 s$"):
        deliver(silent, TEXT)
    monkeypatch.undo()
    with http_receiver() as http:
        http.status = 403
        with pytest.raises(MyhaError, match="403") as refused:
            deliver(http.url, TEXT)
    with pytest.raises(MyhaError, match=r"\w") as away:
        deliver(f"json://user:geheim1@127.0.0.1:{free_port()}/token-of-mine", TEXT)
    with pytest.raises(MyhaError, match="none that Apprise knows") as unknown:
        deliver("nosuch://geheim1@there/token-of-mine", TEXT)
    for error in (refused, away, unknown):
        text = str(error.value)
        assert "geheim1" not in text
        assert "token" not in text
        assert "\n" not in text


def test_secrets_are_hidden_however_they_are_written() -> None:
    url = "mailtos://me:p%40ssw0rd@mail.example.com/path-one?to=x@example.com&key=abcdef"
    said = f"cannot use {url}: p@ssw0rd p%40ssw0rd path-one abcdef at mail.example.com"
    assert hidden(said, url) == "cannot use ***: *** *** *** *** at mail.example.com"


# -- the command ----------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Path]:
    """A configuration with two channels: one works, and nobody is at the other."""
    with http_receiver() as http:
        for name, url in (("good", http.url), ("bad", f"json://127.0.0.1:{free_port()}/token")):
            (tmp_path / name).write_text(url + "\n")
            (tmp_path / name).chmod(0o600)
        channels = "".join(f'[notify.{name}]\nurl_file = "{name}"\n' for name in ("good", "bad"))
        yield write_config(tmp_path, channels)


def test_each_channel_is_tried_and_says_whether_it_works(pair: Path) -> None:
    done = CliRunner().invoke(cli, ["--config", str(pair), "notify", "test"])
    assert isinstance(done.exception, MyhaError)
    assert str(done.exception) == "not taken by bad"
    assert "good: sent\n" in done.output
    assert "bad: A Connection error" in done.output
    assert "token" not in done.output
    done = CliRunner().invoke(cli, ["--config", str(pair), "notify", "test", "good"])
    assert done.exit_code == 0
    done = CliRunner().invoke(cli, ["--config", str(pair), "notify", "test", "ugly"])
    assert isinstance(done.exception, ConfigError)


def test_a_url_that_others_can_read_is_refused(pair: Path) -> None:
    (pair.parent / "bad").chmod(0o644)
    done = CliRunner().invoke(cli, ["--config", str(pair), "notify", "test", "bad"])
    assert "bad: url_file: others can read" in done.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[notify.x]\n", "notify.x.url_file: missing"),
        ("[notify.X]\nurl_file = 'x'\n", "notify.X: is no valid name"),
        ("[notify.x]\nurl_file = 'x'\nseverity = 'bad'\n", "notify.x.severity: must be 'info', "),
        ("[hooks.x]\ncommand = ['true']\n", "hooks.x.on: missing"),
        ("[hooks.x]\non = ['plan']\ncommand = []\n", "hooks.x.command: "),
        ("[hooks.x]\non = ['plans']\ncommand = ['true']\n", "hooks.x.on: there is no kind of"),
        (
            "[hooks.x]\non = ['hook']\ncommand = ['true']\n",
            "hooks.x.on: 'hook' is what",
        ),
    ],
)
def test_a_channel_or_hook_that_cannot_work_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    path = write_config(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert said in str(refused.value)


# -- which kinds ----------------------------------------------------------------------------------


def chosen(*words: str) -> tuple[Selector, ...]:
    return tuple(map(Selector.of, words))


def test_a_channel_is_told_of_the_kinds_that_it_names_if_they_are_severe_enough() -> None:
    told = Told(on=chosen("plan-done:failover", "notify-failed", "step"))
    told.take(plan(Kind.PLAN_DONE), plan(Kind.PLAN), verdict("writer-dead"))
    told.take(Event(WALL, "main", Kind.STEP, "close db1"), plan(Kind.PLAN_DONE, "arm", "arm"))
    told.wait(60)
    assert told.texts == [["fail over from db1 to db2"]], "a step is not severe enough"


def test_a_channel_is_not_told_of_the_kinds_that_it_leaves_out() -> None:
    told = Told(on=chosen("verdict", "plan"), not_on=chosen("verdict:solo", "plan"))
    told.take(verdict("writer-dead"), verdict("solo"), plan(Kind.PLAN))
    told.wait(60)
    assert told.texts == [["It is writer-dead."]]


def test_the_end_of_a_trouble_that_was_told_is_told_whatever_is_left_out() -> None:
    told = Told(on=chosen("verdict:writer-dead"), not_on=chosen("verdict:healthy"))
    told.take(verdict("writer-dead"), verdict("solo", 1), verdict("healthy", 2))
    told.wait(60)
    assert [text for message in told.texts for text in message] == [
        "It is writer-dead.",
        "It is healthy. (after 2 s)",
    ]


def test_no_trouble_that_was_not_told_has_an_end() -> None:
    told = Told(on=chosen("verdict:writer-dead"))
    told.take(verdict("solo"), verdict("healthy", 2))
    told.wait(60)
    assert told.texts == []
