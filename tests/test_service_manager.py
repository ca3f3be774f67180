"""What systemd is told, over a real socket: ready once, alive while the loop turns, and no more."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from myha.hosts import service_manager
from myha.hosts.service_manager import ServiceManager
from myha.supervisor.base_loop import Turn
from myha.supervisor.clock import SystemClock
from myha.supervisor.driver import Driver


class Systemd:
    """Listens as it does."""

    def __init__(self, address: str) -> None:
        self.now = 100.0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(0.0)

    def heard(self) -> list[str]:
        lines: list[str] = []
        while True:
            try:
                lines += self._socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return lines

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["a file", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Systemd]:
    name = str(tmp_path / "notify") if request.param == "a file" else f"@myha-test-{os.getpid()}"
    made = Systemd(name)
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    monkeypatch.setenv("WATCHDOG_USEC", "20000000")
    clock = SimpleNamespace(
        monotonic=lambda: made.now,
        clock_gettime_ns=time.clock_gettime_ns,
        CLOCK_MONOTONIC=time.CLOCK_MONOTONIC,
    )
    monkeypatch.setattr(service_manager, "time", clock)
    yield made
    made.close()


def test_it_is_ready_once_and_alive_every_quarter_of_the_limit(systemd: Systemd) -> None:
    told = ServiceManager()
    assert systemd.heard() == []
    told.alive("both fine")
    assert systemd.heard() == ["READY=1", "STATUS=both fine", "WATCHDOG=1"]
    told.alive("both fine")
    systemd.now += 4.9
    told.alive("both fine")
    assert systemd.heard() == []
    systemd.now += 0.1
    told.alive("both\nfine")
    assert systemd.heard() == ["STATUS=both fine", "WATCHDOG=1"]
    systemd.now += 100
    assert systemd.heard() == [], "nothing but a sign of life is one"


def test_a_reload_is_told_and_its_end(systemd: Systemd) -> None:
    told = ServiceManager()
    told.reloading()
    told.reloaded()
    assert systemd.heard() == [], "it was not ready yet"
    told.alive("fine")
    systemd.heard()
    told.reloading()
    first, second = systemd.heard()
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    systemd.now += 5
    told.alive("fine")
    assert systemd.heard() == ["WATCHDOG=1"], "alive meanwhile"
    told.reloaded()
    assert systemd.heard() == ["READY=1"]


def test_nothing_is_ready_again_once_it_ends(systemd: Systemd) -> None:
    told = ServiceManager()
    told.ending("SIGTERM")
    told.alive("fine")
    assert "READY=1" not in systemd.heard()[2:]


@pytest.mark.usefixtures("systemd")
def test_no_child_can_speak_for_the_process() -> None:
    ServiceManager()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC"} & os.environ.keys()


def test_the_watchdog_of_another_process_is_not_fed(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid() + 1))
    ServiceManager().alive("fine")
    assert systemd.heard() == ["READY=1", "STATUS=fine"]


def test_without_systemd_and_with_one_that_has_gone_nothing_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for environment in ({}, {"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "x"}):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        told = ServiceManager()
        told.alive("fine")
        told.reloading()
        told.reloaded()
        told.ending("SIGTERM")


def test_a_reader_that_takes_nothing_costs_no_time(systemd: Systemd) -> None:
    told = ServiceManager()
    for number in range(5000):  # more than a socket holds
        told.alive(f"status {number}")


class HangingLoop:
    """Turns until it is told to hang."""

    def __init__(self) -> None:
        self.hangs = threading.Event()
        self.hanging = threading.Event()
        self.goes_on = threading.Event()

    def take(self, _event: object) -> tuple[()]:
        return ()

    def is_news(self, _event: object) -> bool:
        return False

    def decide(self) -> Turn:
        if self.hangs.is_set():
            self.hanging.set()
            assert self.goes_on.wait(60)
        return Turn((), 0.001, leave=self.goes_on.is_set())


def test_a_loop_that_hangs_feeds_no_watchdog() -> None:
    loop, turns = HangingLoop(), threading.Semaphore(0)
    tools = SimpleNamespace(balancers={}, may_act=True, clock=SystemClock())
    driver = Driver(loop, tools, {}, 1.0, executor=SimpleNamespace())  # type: ignore[arg-type]
    driver.before_turn = turns.release
    thread = threading.Thread(target=driver.run)
    thread.start()
    try:
        for _ in range(3):
            assert turns.acquire(timeout=60)
        loop.hangs.set()
        assert loop.hanging.wait(60)
        while turns.acquire(blocking=False):
            pass
        assert not turns.acquire(timeout=0.2)
    finally:
        loop.goes_on.set()
        thread.join(60)
