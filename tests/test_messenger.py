"""The process that sends messages and runs hooks, and how a supervisor gets along with it."""

from __future__ import annotations

import io
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from myha.core.events import Event, Kind, Selector
from myha.core.severity import Severity
from myha.notify import hook as hook_module
from myha.notify import messenger as messenger_module
from myha.notify.hook import WAITING_LIMIT, Hook
from myha.notify.messenger import Messenger
from myha.notify.orders import ChannelOrder, HookOrder, PairOrder, event_as_json, event_of_json
from myha.supervisor import messages
from myha.supervisor.messages import Attached, MessengerProcess
from tests.receivers import Received, http_receiver
from tests.waiting import until

SECONDS = 60.0
FAILOVER = Event(
    1_800_000_000.25,
    "main",
    Kind.PLAN_DONE,
    "fail over from db1 to db2",
    {"plan": "failover", "node": "db2", "epoch": "3"},
)


class Notes:
    """What is to be in the journal."""

    def __init__(self) -> None:
        self._all: queue.Queue[tuple[Kind, str, dict[str, str]]] = queue.Queue()

    def __call__(self, kind: Kind, text: str, fields: dict[str, str]) -> None:
        self._all.put((kind, text, fields))

    def next(self) -> tuple[Kind, str, dict[str, str]]:
        return self._all.get(timeout=SECONDS)


def of_hook(*words: str, on: str = "plan-done:failover", seconds: float = 30.0) -> HookOrder:
    return HookOrder("script", (Selector.of(on),), words, seconds)


def of_channel(url: str, name: str = "chat") -> ChannelOrder:
    return ChannelOrder(name, url, Severity.WARNING, 6)


def test_an_order_and_an_event_come_through_json_as_they_were() -> None:
    order = PairOrder((of_channel("json://x"),), (of_hook("echo", "a b"),))
    assert PairOrder.of_json(json.loads(json.dumps(order.as_json()))) == order
    assert event_of_json(json.loads(json.dumps(event_as_json(FAILOVER)))) == FAILOVER


# -- hooks ----------------------------------------------------------------------------------------


@pytest.fixture
def hook() -> Iterator[Callable[[HookOrder], tuple[Hook, Notes]]]:
    made: list[Hook] = []

    def make(order: HookOrder) -> tuple[Hook, Notes]:
        notes = Notes()
        made.append(Hook("main", order, notes, lambda: None))
        made[-1].start()
        return made[-1], notes

    yield make
    for one in made:
        one.close()
        one.join(SECONDS)


Make = Callable[[HookOrder], tuple[Hook, Notes]]


def test_a_hook_is_told_of_its_event_and_not_of_passwords(
    hook: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MYHA_ADMIN_PASSWORD", "geheim")
    one, notes = hook(of_hook("sh", "-c", "env | grep ^MYHA | sort; cat; echo >&2 done"))
    one.take(Event(0.0, "main", Kind.PLAN_DONE, "arm", {"plan": "arm"}))  # not its event
    one.take(FAILOVER)
    kind, text, fields = notes.next()
    assert kind is Kind.HOOK
    assert text.startswith("script at plan-done:failover, ")
    assert text.endswith(": done")
    *variables, event, _ = fields["output"].splitlines()
    assert variables == [
        "MYHA_EPOCH=3",
        "MYHA_EVENT=plan-done",
        "MYHA_HOOK=script",
        "MYHA_NODE=db2",
        "MYHA_PAIR=main",
        "MYHA_SEVERITY=warning",
        "MYHA_SUBJECT=failover",
        "MYHA_TEXT=fail over from db1 to db2",
        "MYHA_TIME=2027-01-15T08:00:00.250Z",
    ]
    assert json.loads(event)["fields"] == dict(FAILOVER.fields)
    until(lambda: one.state.runs, "it is counted")
    assert (one.state.runs, one.state.failed) == (1, 0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("sh", "-c", "echo x; echo error: no such cache >&2; exit 3"), "error: no such cache"),
        (("/nonexistent/command",), "script does not work: "),
        (("false",), "script failed: exit status 1"),
    ],
)
def test_a_hook_that_fails_says_how(hook: Make, words: tuple[str, ...], said: str) -> None:
    one, notes = hook(of_hook(*words))
    one.take(FAILOVER)
    kind, text, _ = notes.next()
    assert kind is Kind.HOOK_FAILED
    assert said in text
    assert text.endswith("(at plan-done:failover)")


def test_a_hook_that_hangs_is_killed_with_what_it_has_started(hook: Make, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"sh -c 'trap \"\" TERM; echo $$ > {pid}.new; mv {pid}.new {pid}; sleep 600' & wait"
    one, notes = hook(of_hook("sh", "-c", script, seconds=3.0))
    one.take(FAILOVER)
    kind, text, _ = notes.next()
    assert (kind, text.split(" (")[0]) == (Kind.HOOK_FAILED, "script has not ended within 3 s")
    if pid.exists():  # on a busy machine it may not have come so far
        until(lambda: _gone(int(pid.read_text())), "its child is gone")


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_output_without_end_is_bounded(hook: Make) -> None:
    one, notes = hook(of_hook("sh", "-c", "yes x | head -c 3000000; echo last"))
    one.take(FAILOVER)
    _, text, fields = notes.next()
    assert text.endswith(": last")
    assert len(fields["output"]) <= hook_module.OUTPUT_CHARS


def test_events_that_are_too_many_for_a_hook_are_noted(hook: Make, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    one, notes = hook(of_hook("cat", str(gate)))
    for _ in range(WAITING_LIMIT + 3):
        one.take(FAILOVER)
    kind, text, _ = notes.next()
    assert kind is Kind.HOOK_FAILED
    assert text == "script was not run at plan-done:failover: 16 others wait"
    assert one.state.dropped in (2, 3)  # the first may have begun already
    until(lambda: _opens(gate), "the first runs")
    assert notes.next()[1].startswith("script ")


def _opens(gate: Path) -> bool:
    """Whether somebody reads there: that ends it."""
    try:
        os.close(os.open(gate, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True


# -- the process ----------------------------------------------------------------------------------


@pytest.fixture
def chat() -> Iterator[Received]:
    with http_receiver() as received:
        yield received


@pytest.fixture
def messenger() -> Iterator[MessengerProcess]:
    made = MessengerProcess()
    yield made
    for one in list(made._pairs):
        one.leave()
    assert made._thread is None


def test_one_process_tells_of_several_pairs(messenger: MessengerProcess, chat: Received) -> None:
    notes = Notes()
    order = PairOrder((of_channel(chat.url),), (of_hook("echo", "hello"),))
    pairs = [messenger.have(name, order, notes) for name in ("one", "two")]
    for one in pairs:
        one.offer(Event(FAILOVER.wall, one.pair, FAILOVER.kind, FAILOVER.text, FAILOVER.fields))
    titles = {chat.next()["title"].split(":")[0] for _ in pairs}
    assert titles == {"[one] warning", "[two] warning"}
    assert {notes.next()[1].split(",")[0] for _ in pairs} == {"script at plan-done:failover"}
    until(lambda: all(one.channels()["chat"].sent for one in pairs), "it is counted")
    assert pairs[0].hooks()["script"].runs == 1
    pid = messenger.pid
    pairs[0].leave()
    assert messenger.pid == pid
    pairs[1].leave()
    assert messenger.pid is None
    assert pid is not None
    until(lambda: _gone(pid), "the process ends")
    assert chat.empty  # who ends in peace causes no alarm


def test_what_waits_is_told_before_the_end(messenger: MessengerProcess, chat: Received) -> None:
    one = messenger.have("main", PairOrder((of_channel(chat.url),)), Notes())
    one.offer(FAILOVER)
    one.leave()
    assert chat.next()["title"] == "[main] warning: done: fail over from db1 to db2"


def test_a_process_that_dies_is_replaced(messenger: MessengerProcess, chat: Received) -> None:
    one = messenger.have("main", PairOrder((of_channel(chat.url),)), Notes())
    one.offer(FAILOVER)
    chat.next()
    assert messenger.pid is not None
    os.kill(messenger.pid, signal.SIGKILL)
    while chat.empty:  # some are lost, and counted, until there is another one
        one.offer(FAILOVER)
        time.sleep(0.1)
    assert "fail over" in chat.next()["message"]
    assert messenger.failure == ""


def test_one_that_hangs_holds_nobody_up_and_what_is_lost_is_told(
    messenger: MessengerProcess, chat: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "WRITE_SECONDS", SECONDS)
    one = messenger.have("main", PairOrder((of_channel(chat.url),)), Notes())
    one.offer(FAILOVER)
    chat.next()
    assert messenger.pid is not None
    os.kill(messenger.pid, signal.SIGSTOP)
    long = Event(0.0, "main", Kind.PLAN_FAILED, "x" * 2000, {"plan": "arm"})
    while not one.lost:
        one.offer(long)
    os.kill(messenger.pid, signal.SIGCONT)
    until(messenger._queue.empty, "the queue is emptied")
    one.offer(FAILOVER)
    found = chat.until("were lost on their way to this channel")
    assert any("more in between" in message["message"] for message in found)


def test_one_that_hangs_for_long_is_replaced(
    messenger: MessengerProcess, chat: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "WRITE_SECONDS", 0.5)
    monkeypatch.setattr(messages, "AGAIN_SECONDS", 0.0)
    one = messenger.have("main", PairOrder((of_channel(chat.url),)), Notes())
    one.offer(FAILOVER)
    chat.next()
    pid = messenger.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    long = Event(0.0, "main", Kind.PLAN_FAILED, "x" * 2000, {"plan": "arm"})
    for _ in range(100):
        one.offer(long)
    until(lambda: _gone(pid), "the one that hangs is killed")
    assert chat.next()["title"].startswith("[main] warning: failed: xxx")


def test_a_channel_that_fails_is_noted_once_and_told_to_the_others(
    messenger: MessengerProcess, chat: Received
) -> None:
    chat.status = 500
    notes = Notes()
    with http_receiver() as pager:
        channels = (of_channel(chat.url), of_channel(pager.url, "pager"))
        one = messenger.have("main", PairOrder(channels), notes)
        journal = threading.Thread(target=_journal, args=(one, notes), daemon=True)
        journal.start()
        one.offer(FAILOVER)
        assert pager.until("chat: ")
        assert one.channels()["chat"].failure
        chat.status = 200
        (message,) = chat.until("This could not be sent earlier: ")
        assert "500" in message["message"]
        assert "hidden-token" not in message["message"]
        until(lambda: not one.channels()["chat"].failure, "it is well again")
        one.leave()


def _journal(one: Attached, notes: Notes) -> None:
    """Notes are events too."""
    while True:
        kind, text, fields = notes.next()
        one.offer(Event(time.time(), one.pair, kind, text, fields))
        if kind is Kind.NOTIFY:
            return


def test_a_channel_without_a_url_says_so(messenger: MessengerProcess) -> None:
    notes = Notes()
    order = ChannelOrder("chat", "", Severity.INFO, 6, "url_file: others can read it")
    one = messenger.have("main", PairOrder((order,)), notes)
    assert notes.next()[:2] == (Kind.NOTIFY_FAILED, "chat: url_file: others can read it")
    one.offer(FAILOVER)
    until(one.channels, "it has a state")
    assert one.channels()["chat"].failure == "url_file: others can read it"


def test_a_supervisor_that_dies_is_told(chat: Received) -> None:
    """Its end of the pipe is gone, without a word."""
    process = subprocess.Popen(
        (sys.executable, "-m", messages.MODULE), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    order = PairOrder((of_channel(chat.url),)).as_json()
    process.communicate(json.dumps({"pair": "main", "have": order}).encode() + b"\n", SECONDS)
    message = chat.next()
    assert message["title"].startswith("[main] critical: the supervisor has ended without a word")
    assert process.returncode == 0


def test_last_words_are_cut_short_where_somebody_waits_for_their_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A unit that ends all of its processes waits for this one, and then starts the next."""
    monkeypatch.setattr(messenger_module, "LAST_WORDS_SECONDS", math.inf)
    monkeypatch.setattr(messenger_module, "HURRIED_SECONDS", 0.0)
    never = threading.Event()
    hook = threading.Thread(target=never.wait, daemon=True)
    hook.start()
    one = Messenger(io.StringIO())
    one._leaving.append(hook)
    reads = threading.Thread(target=one.read, args=((),), daemon=True)
    reads.start()
    reads.join(3 * messenger_module.LOOK_SECONDS)
    assert reads.is_alive()
    one.hurry()
    reads.join(SECONDS)
    assert not reads.is_alive()
    never.set()
