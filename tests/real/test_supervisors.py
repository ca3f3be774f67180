"""Two supervisors with their record in etcd: one acts, whatever happens to the other."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from myha.config import load
from myha.database.flavours import FLAVOURS
from myha.errors import MyhaError
from myha.sandbox.cluster import Cluster
from myha.stores.factory import read_record
from myha.supervisor.client import ask
from myha.supervisor.control import socket_path
from tests.real.conftest import create
from tests.real.pair import Data, Pair
from tests.waiting import until

pytestmark = pytest.mark.real
START_SECONDS = 60.0
REST_SECONDS = 0.005  # of the client, which leaves the processor to what is tested


class Two(Pair):
    """A pair and its supervisors. What is asked goes to the one that acts."""

    def answer(self, number: int, **request: Any) -> Data:
        """Of one of them; empty where none answers."""
        if self.cluster.supervisors[number - 1].frozen():
            return {}
        with suppress(MyhaError):
            return ask(socket_path(self.cluster.state_dir_of(number)), request)
        return {}

    def acting(self) -> tuple[int, Data] | None:
        for number in (1, 2):
            found = self.answer(number, do="status")
            if found.get("verdict"):
                return number, found
        return None

    def await_acting(self, *, other_than: int = 0, healthy: bool = False) -> int:
        def found() -> int:
            now = self.acting()
            if now is None or now[0] == other_than or (healthy and not now[1]["healthy"]):
                return 0
            return now[0]

        return int(until(found, f"a supervisor that acts, other than {other_than}"))

    def in_line(self, number: int) -> bool:
        return "in line" in str(self.answer(number, do="status").get("text", ""))


class Ledger:
    """A client that writes through the balancer, and keeps what it was told is saved."""

    def __init__(self, pair: Pair) -> None:
        self.acknowledged: set[int] = set()
        self.longest_seconds = 0.0
        self._pair = pair
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def _write(self) -> None:
        number, at = 0, time.monotonic()
        while not self._over.is_set():
            with suppress(pymysql.MySQLError, OSError):
                connection = self._pair.connect(self._pair.cluster.writer_address[1])
                with connection, connection.cursor() as cursor:
                    while not self._over.is_set():
                        number += 1
                        cursor.execute(f"INSERT INTO app.ledger (id) VALUES ({number})")
                        self.acknowledged.add(number)
                        now = time.monotonic()
                        self.longest_seconds = max(self.longest_seconds, now - at)
                        at = now
                        self._over.wait(REST_SECONDS)
            self._over.wait(0.005)

    def __enter__(self) -> Ledger:
        self._thread.start()
        until(lambda: len(self.acknowledged) > 20, "the client at work")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(START_SECONDS)
        assert not self._thread.is_alive()

    def goes_on(self) -> None:
        before = len(self.acknowledged)
        until(lambda: len(self.acknowledged) > before + 20, "the client to be served")

    def lost(self, node: str) -> set[int]:
        """Of a writer, what it was to have when the question was put."""
        known = set(self.acknowledged)
        rows = self._pair.admin(node, "SELECT id FROM app.ledger")
        return known - {int(number) for (number,) in rows}

    def all_on(self, node: str) -> None:
        """A standby acknowledges what it has received, and applies it then."""
        until(lambda: not self.lost(node), f"all acknowledged writes on {node}", 30)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(one, marks=pytest.mark.xdist_group(f"supervisors-{one}")) for one in FLAVOURS
    ],
)
def two(request: pytest.FixtureRequest) -> Iterator[Two]:
    cluster: Cluster = create(flavour=request.param, etcd=3, supervisors=2)
    cluster.up()
    try:
        pair = Two(cluster)
        pair.await_acting(healthy=True)
        pair.write("CREATE DATABASE app", "CREATE TABLE app.ledger (id INT PRIMARY KEY)")
        yield pair
    finally:
        for one in cluster.supervisors:
            with suppress(MyhaError):
                one.thaw()
        cluster.down()


@pytest.fixture
def whole(two: Two) -> Two:
    """As each test begins."""
    for member in two.cluster.etcd.values():
        if not member.running():
            member.start(START_SECONDS)
    for one in two.cluster.supervisors:
        if not one.running():
            one.start(START_SECONDS)
    for server in two.cluster.servers.values():
        if not server.running():
            server.start(START_SECONDS)
    acting = two.await_acting(healthy=True)
    until(lambda: two.in_line(3 - acting), "the other one in line")
    two.write("DELETE FROM app.ledger")
    return two


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_the_one_in_line_says_who_acts_and_does_nothing(whole: Two) -> None:
    acting = whole.await_acting()
    waiting = 3 - acting
    status = whole.answer(waiting, do="status")
    pid = whole.cluster.supervisors[acting - 1].pid()
    assert f"process {pid} has it" in status["text"]
    reply = whole.answer(waiting, do="switchover")
    assert reply["ok"] is False
    assert f"process {pid} has it" in reply["text"]


def test_one_that_is_stopped_gives_its_lease_to_the_next(whole: Two) -> None:
    first = whole.await_acting()
    with Ledger(whole) as ledger:
        whole.cluster.supervisors[first - 1].stop(START_SECONDS)
        whole.await_acting(other_than=first, healthy=True)
        ledger.goes_on()
    for node in "ab":
        ledger.all_on(node)


def test_one_that_dies_together_with_the_writer(whole: Two) -> None:
    first = whole.await_acting()
    writer = str(whole.acting()[1]["writer"])  # type: ignore[index]
    survivor = "b" if writer == "a" else "a"
    with Ledger(whole) as ledger:
        whole.cluster.supervisors[first - 1].kill()
        whole.cluster.servers[writer].kill()
        whole.await_acting(other_than=first)
        ledger.goes_on()
        assert ledger.lost(survivor) == set()
    whole.cluster.servers[writer].start(START_SECONDS)
    whole.await_acting(healthy=True)
    ledger.all_on(writer)


@pytest.mark.parametrize("nth", range(3))
def test_one_that_freezes_in_a_failover_and_goes_on_does_no_harm(whole: Two, nth: int) -> None:
    """It goes on when the other one has made the pair whole, or in the middle of that."""
    first = whole.await_acting()
    writer = str(whole.acting()[1]["writer"])  # type: ignore[index]
    supervisor = whole.cluster.supervisors[first - 1]
    pid = supervisor.pid()
    assert pid is not None
    chosen = random.Random(nth)
    with Ledger(whole) as ledger:
        whole.cluster.servers[writer].kill()
        time.sleep(chosen.uniform(0.0, 0.1))  # somewhere in its failover
        with frozen(pid):
            whole.await_acting(other_than=first)
            whole.cluster.servers[writer].start(START_SECONDS)
            if nth:
                whole.await_acting(other_than=first, healthy=True)
        ledger.goes_on()
        until(lambda: whole.in_line(first), "the first one in line")
        second = whole.await_acting(healthy=True)
        assert second != first
        ledger.goes_on()
    for node in "ab":
        ledger.all_on(node)
    closed = [n for n in "ab" if whole.admin(n, "SELECT @@GLOBAL.read_only")[0][0]]
    assert len(closed) == 1


def test_without_etcd_clients_are_served_and_nothing_is_done(whole: Two) -> None:
    acting = whole.await_acting()
    with Ledger(whole) as ledger:
        for name in ("e1", "e2"):
            whole.cluster.etcd[name].kill()

        def refuses() -> bool:
            reply = whole.answer(acting, do="maintenance", state="on")
            return reply.get("ok") is False and "lease is not renewed" in reply.get("text", "")

        until(refuses, "requests to be refused")
        status = whole.answer(acting, do="status")
        assert "not renewed" in status["lease_failure"]
        assert status["healthy"] is False
        ledger.goes_on()
        for name in ("e1", "e2"):
            whole.cluster.etcd[name].start(START_SECONDS)
        whole.await_acting(healthy=True)
        ledger.goes_on()
    for node in "ab":
        ledger.all_on(node)


def test_the_record_is_there_for_commands_on_every_host(whole: Two) -> None:
    for number in (1, 2):
        record = read_record(load(whole.cluster.config_path_of(number)))
        assert record is not None
        assert record.writer == whole.acting()[1]["writer"]  # type: ignore[index]


def test_the_record_is_shown_kept_put_back_and_moved(whole: Two, tmp_path: Path) -> None:
    """Out of etcd, into a file, and back, while clients write."""
    cluster = whole.cluster
    shown = whole.myha("store", "show")
    assert "in etcd below /myha/sandbox/" in shown.stdout
    kept = tmp_path / "record.json"
    assert whole.myha("store", "export", str(kept)).returncode == 0
    before = whole.myha("store", "show", "--json").stdout
    assert kept.read_text() == before
    refused = whole.myha("store", "import", str(kept), "--yes")
    assert refused.returncode == 1
    assert "in line" in refused.stderr or "another supervisor" in refused.stderr
    original = cluster.config_path.read_text()
    with Ledger(whole) as ledger:
        for one in cluster.supervisors:
            one.stop(START_SECONDS)
        cluster.config_path.write_text(original.replace('store = "etcd"', 'store = "local"'))
        moved = whole.myha("store", "move", "--from", "etcd")
        assert moved.returncode == 0, moved.stderr
        assert read_record(load(cluster.config_path_of(2))) is None
        ledger.goes_on()
        cluster.supervisors[0].start(START_SECONDS)
        assert whole.await_acting(healthy=True) == 1
        cluster.supervisors[0].stop(START_SECONDS)
        cluster.config_path.write_text(original)
        moved = whole.myha("store", "move", "--from", "local")
        assert moved.returncode == 0, moved.stderr
        assert whole.myha("store", "move", "--from", "local").returncode == 1
        for one in cluster.supervisors:
            one.start(START_SECONDS)
        whole.await_acting(healthy=True)
        ledger.goes_on()
    for node in "ab":
        ledger.all_on(node)
    for one in cluster.supervisors:
        one.stop(START_SECONDS)
    again = whole.myha("store", "import", str(kept), "--yes")
    assert again.returncode == 1
    assert "--replace" in again.stderr
    again = whole.myha("store", "import", str(kept), "--replace", "--yes")
    assert again.returncode == 0, again.stderr
    refused = whole.myha("run")
    assert refused.returncode == 1
    assert "belongs to the supervisor of another store" in refused.stderr
    assert whole.myha("setup", "--yes").returncode == 0
    for one in cluster.supervisors:
        one.start(START_SECONDS)
    whole.await_acting(healthy=True)
