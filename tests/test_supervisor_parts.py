"""Parts of the supervisor that need no server: calls beside, contacts, the control socket."""

from __future__ import annotations

import os
import socket
import threading
import time
from pathlib import Path
from typing import cast

import pytest

from myha.core.balancer import BalancerLook
from myha.core.node import Contact
from myha.core.observations import NodeMissed, Observation
from myha.errors import MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.ports import Balancer
from myha.supervisor.appearances import LATELY_NS, Appearances, Folder
from myha.supervisor.client import ask
from myha.supervisor.concurrent_calls import MAX_THREADS, ThreadedCalls
from myha.supervisor.control import ControlServer
from myha.supervisor.watchers import BalancerWatcher, NodeWatcher, Watcher, contact_of
from myha.waiting import wait_until
from tests.waiting import until


@pytest.mark.parametrize(
    ("error", "contact"),
    [
        (ServerGoneError("refused"), Contact.REFUSING),
        (ServerSilentError("late"), Contact.SILENT),
        (ServerError("too many connections", 1040), Contact.FULL),
        (ServerError("access denied", 1045), Contact.DENIED),
        (ServerError("not a database server", -1), Contact.FOREIGN),
        (ServerError("something else", 1064), Contact.SILENT),
    ],
)
def test_a_failed_look_says_what_kind_of_contact_there_is(
    error: ServerError, contact: Contact
) -> None:
    assert contact_of(error) is contact


def test_calls_beside_each_other_do_not_wait_for_the_slow_one() -> None:
    go_on = threading.Event()

    def slow() -> None:
        go_on.wait(30)

    def fails() -> None:
        raise MyhaError("no")

    try:
        outcome = ThreadedCalls().all(
            [("slow", slow), ("fails", fails), ("ok", lambda: None)],
            0.2,
        )
    finally:
        go_on.set()
    assert outcome["ok"] is None
    assert str(outcome["fails"]) == "no"
    assert "no answer in 0.2 s" in str(outcome["slow"])


def test_too_many_calls_beside_are_refused_rather_than_queued() -> None:
    calls, go_on = ThreadedCalls(), threading.Event()
    outcomes: list[Exception | None] = []

    def slow() -> None:
        go_on.wait(30)

    try:
        for _ in range(MAX_THREADS):
            calls.start(slow, outcomes.append)
        calls.start(slow, outcomes.append)
        assert [str(one) for one in outcomes] == ["too many calls are under way in the background"]
    finally:
        go_on.set()
    until(lambda: len(outcomes) == MAX_THREADS + 1, "all calls have ended")


def test_the_control_socket_answers_errors_in_one_line(tmp_path: Path) -> None:
    def handle(request: dict[str, object]) -> dict[str, object]:
        if request.get("do") == "fail":
            raise MyhaError("that failed")
        return {"ok": True}

    path = tmp_path / "s"
    server = ControlServer(path, handle)
    server.start()
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        assert ask(path, {"do": "anything"}) == {"ok": True}
        assert ask(path, {"do": "fail"}) == {"ok": False, "text": "that failed"}
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"[1]\n")
            assert b"not a JSON object" in client.recv(4096)
    finally:
        server.stop()
    with pytest.raises(MyhaError, match="no supervisor is running here"):
        ask(path, {"do": "anything"})


def test_what_a_client_asked_for_that_has_gone_is_not_done(tmp_path: Path) -> None:
    """A supervisor that was frozen finds it when it goes on, long after the client gave up."""
    asked: list[object] = []
    busy, go_on, idle = threading.Event(), threading.Event(), threading.Event()

    def handle(request: dict[str, object]) -> dict[str, object]:
        asked.append(request["do"])
        busy.set()
        go_on.wait(30)
        if request["do"] == "last":
            idle.set()
        return {"ok": True}

    server = ControlServer(tmp_path / "s", handle)
    server.start()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            client.sendall(b'{"do": "first"}\n{"do": "second"}\n')
            assert busy.wait(30)
        go_on.set()
        assert ask(tmp_path / "s", {"do": "last"}) == {"ok": True}
        assert idle.wait(30)
    finally:
        server.stop()
    assert "second" not in asked


class CountingWatcher(Watcher):
    """Looks at nothing, and says how often."""

    def __init__(self, interval_seconds: float) -> None:
        super().__init__("nothing", interval_seconds, lambda _: None)
        self.looked = threading.Semaphore(0)

    def look(self) -> None:
        self.looked.release()


class SilentServer:
    """Answers nothing; whether its port accepts is what it was made with."""

    name = "a"

    def __init__(self, accepts: list[bool]) -> None:
        self.accepts = accepts

    def hangup_fds(self) -> tuple[int, ...]:
        return ()

    def look(self) -> None:
        raise ServerSilentError("a: no answer")

    def refuses(self) -> bool | None:
        return False

    def connects(self) -> bool:
        return self.accepts.pop(0)


def test_that_a_silent_servers_port_accepts_is_told_after_its_silence() -> None:
    said: list[Observation] = []
    watcher = NodeWatcher(SilentServer([True, True, False]), 1.0, said.append)  # type: ignore[arg-type]
    told = []
    for _ in range(3):
        watcher.look()
        told.append([one.connects for one in said if isinstance(one, NodeMissed)])
        said.clear()
    assert told == [[False, True], [True], [True, False]]


class VanishedServer(SilentServer):
    """Its connection breaks, and then its address is nobody's."""

    def __init__(self) -> None:
        super().__init__([False])
        self.looks = 0

    def look(self) -> None:
        self.looks += 1
        raise ServerGoneError("a: connection lost")

    def refuses(self) -> None:
        return None


def test_that_nobody_answers_at_a_vanished_address_is_waited_for_once() -> None:
    said: list[Observation] = []
    server = VanishedServer()
    NodeWatcher(server, 1.0, said.append).look()  # type: ignore[arg-type]
    (missed,) = said
    assert isinstance(missed, NodeMissed)
    assert missed.contact is Contact.SILENT
    assert server.looks == 1


def test_a_watcher_that_was_poked_often_keeps_its_interval_afterwards() -> None:
    """While a writer refuses, its peer is looked at every few milliseconds; then as before."""
    watcher = CountingWatcher(interval_seconds=0.5)
    watcher.start()
    try:
        for _ in range(100):
            watcher.poke()
            assert watcher.looked.acquire(timeout=5)
        for _ in range(3):  # a schedule that counted the pokes would be 50 s ahead
            assert watcher.looked.acquire(timeout=10)
    finally:
        watcher.stop()
        watcher.join(5)


class Coming:
    """A balancer that comes up anew when it is told so."""

    def __init__(self, appearance: object) -> None:
        self.name = "lb1"
        self.is_there = appearance
        self.looks = 0

    def appearance(self) -> object:
        return self.is_there

    def appears_in(self) -> str:
        return ""

    def look(self) -> BalancerLook:
        self.looks += 1
        return BalancerLook(time.monotonic(), "1", ())


@pytest.mark.parametrize(
    ("first", "then", "again"), [((), "file", 1), ("file", "new file", 1), ("file", (), 0)]
)
def test_a_balancer_that_comes_up_is_looked_at_at_once(
    first: object, then: object, again: int
) -> None:
    balancers = [Coming(first), Coming("file"), Coming(None)]
    watchers = [BalancerWatcher(cast("Balancer", one), 600.0, lambda _: None) for one in balancers]
    for watcher in watchers:
        watcher.start()
    wait_until(lambda: all(one.looks == 1 for one in balancers), 10.0, 0.005)
    balancers[0].is_there = then
    balancers[1].is_there = "another"
    wait_until(lambda: balancers[1].looks == 2, 10.0, 0.005)  # glanced at after the first
    wait_until(lambda: balancers[0].looks == 1 + again, 10.0, 0.005)
    assert [one.looks for one in balancers] == [1 + again, 2, 1]
    for watcher in watchers:
        watcher.stop()
    for watcher in watchers:
        watcher.join(10.0)
        assert not watcher.is_alive()


def test_a_folder_in_which_nothing_is_made_is_glanced_at_as_a_whole(tmp_path: Path) -> None:
    quiet, busy = tmp_path / "quiet", tmp_path / "busy"
    for folder in (quiet, busy):
        folder.mkdir()
        os.utime(folder, (1e9, 1e9))
    seen: list[str] = []
    glances = Appearances(0.001)
    with (
        glances.watching(lambda: seen.append("quiet"), str(quiet)),
        glances.watching(lambda: seen.append("busy"), str(busy)),
        glances.watching(lambda: seen.append("unknown")),
    ):
        assert wait_until(lambda: len(seen) > 20, 10.0, 0.001)
        assert seen.count("busy") <= 1  # when it was seen for the first time
        (busy / "socket").touch()
        assert wait_until(lambda: seen.count("busy") > 2, 10.0, 0.001)
        assert seen.count("quiet") <= 1


def test_a_folder_that_has_changed_lately_may_have_changed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sockets"
    folder, changed_ns = Folder(str(path)), 1_000_000_000_000
    now_ns = changed_ns
    assert not folder.may_have_changed()  # nor is it there
    path.mkdir()
    os.utime(path, ns=(changed_ns, changed_ns))
    monkeypatch.setattr("myha.supervisor.appearances.time.time_ns", lambda: now_ns)
    now_ns = changed_ns + LATELY_NS - 1
    assert [folder.may_have_changed() for _ in range(2)] == [True, True]
    now_ns = changed_ns + LATELY_NS
    assert not folder.may_have_changed()
    os.utime(path, ns=(changed_ns, changed_ns + 1))
    now_ns = changed_ns + 2 * LATELY_NS
    assert [folder.may_have_changed() for _ in range(2)] == [True, False]
    assert Folder("").may_have_changed()


def test_what_is_glanced_at_ends_with_its_last_watcher() -> None:
    seen: list[int] = []
    glances = Appearances(0.001)
    for _ in range(2):  # it begins again, too
        with glances.watching(lambda: seen.append(1)):
            wait_until(lambda: bool(seen), 10.0, 0.001)
        assert wait_until(lambda: not glances._running, 10.0, 0.001)
        seen.clear()
