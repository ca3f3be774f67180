"""The watchdog inside real servers of both flavours, with a client that goes on writing."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from myha.core.watchdog import Watchdog
from tests.real.conftest import create
from tests.real.pair import Pair
from tests.real.relay import Relay
from tests.waiting import until

pytestmark = pytest.mark.real

TOTAL_SECONDS = 6.0
ARMED = f"SELECT IS_USED_LOCK('myha.armed.{Watchdog(TOTAL_SECONDS).grace_seconds}')"
RUNNING = "SELECT IS_USED_LOCK('myha.watchdog')"
READ_ONLY = "SELECT @@GLOBAL.read_only"


class Watched:
    """A pair with watchdogs, whose node a the supervisor and node b reach through a relay."""

    def __init__(self, pair: Pair, relay: Relay) -> None:
        self.pair = pair
        self.relay = relay

    def value(self, node: str, sql: str) -> Any:
        return self.pair.admin(node, sql)[0][0]

    def closed(self, node: str) -> bool:
        """Whether it is read-only. One that closes may end this session too."""
        try:
            return bool(self.value(node, READ_ONLY))
        except pymysql.Error:
            return False

    def await_armed(self, node: str) -> None:
        """As the supervisor knows, by a lease of its own."""
        until(lambda: self.value(node, ARMED), f"the watchdog of {node} is armed")
        until(lambda: self.pair.status()["nodes"][node]["watched"], f"{node} is watched")


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def watched(request: pytest.FixtureRequest) -> Iterator[Watched]:
    cluster = create(flavour=request.param, durability="async")
    relay = None
    try:
        relay = Relay(cluster.nodes["a"].port)
        _configure(cluster.config_path, cluster.nodes["a"].port, relay.port)
        cluster.up()
        pair = Pair(cluster)
        pair.await_healthy("a")
        pair.write("CREATE DATABASE app", "CREATE TABLE app.t (id BIGINT AUTO_INCREMENT KEY)")
        yield Watched(pair, relay)
    finally:
        if relay is not None:
            relay.mend()
            relay.close()
        cluster.down()


def _configure(path: Any, port: int, relay_port: int) -> None:
    """Without a fence command; a is reached through the relay."""
    text = re.sub(r"(?m)^fence_command = .*\n", "", path.read_text())
    text = text.replace(f"port = {port}\n", f"port = {relay_port}\n")
    path.write_text(f"{text}\n[failover]\nwatchdog_seconds = {TOTAL_SECONDS}\n")


class Writer:
    """A client that writes straight to one node, and connects anew as fast as it can."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self.last_ok_at = 0.0
        self._connect = connect
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        until(lambda: self.last_ok_at, "a first write")

    def _write(self) -> None:
        connection: Any = None
        while not self._ending.is_set():
            try:
                connection = connection or self._connect()
                with connection.cursor() as cursor:
                    cursor.execute("INSERT INTO app.t VALUES ()")
                self.last_ok_at = time.monotonic()
            except (pymysql.Error, OSError):
                connection = None
                self._ending.wait(0.01)

    def stop(self) -> None:
        self._ending.set()
        self._thread.join()


@contextmanager
def writing(watched: Watched, node: str) -> Iterator[Writer]:
    pair = watched.pair
    port = pair.cluster.machines[node].port
    writer = Writer(lambda: pair.connect(port))
    try:
        yield writer
    finally:
        writer.stop()


def test_a_writer_whose_supervisor_stands_still_closes_itself(watched: Watched) -> None:
    """Also when somebody switches the event scheduler off. It is opened again afterwards."""
    watched.await_armed("a")
    with writing(watched, "a") as client:
        watched.pair.cluster.supervisor.freeze()
        stopped_at = time.monotonic()
        try:
            watched.pair.admin("a", "SET GLOBAL event_scheduler = OFF")
            until(lambda: watched.closed("a"), "a is read-only")
            closed_at = time.monotonic()
            until(lambda: time.monotonic() > closed_at + 1.0, "a second of attempts to write")
            # A renewal may be on its way when the supervisor stops, but none is sent later.
            assert client.last_ok_at - stopped_at < TOTAL_SECONDS
            # On MariaDB an administrator's: a watchdog cannot be begun without.
            watched.pair.admin("a", "SET GLOBAL event_scheduler = ON")
        finally:
            watched.pair.cluster.supervisor.thaw()
    until(lambda: not watched.closed("a"), "a is opened again")
    watched.await_armed("a")
    watched.pair.await_healthy("a")


def test_a_writer_that_only_clients_reach_is_replaced_after_it_has_closed_itself(
    watched: Watched,
) -> None:
    pair = watched.pair
    pair.await_healthy("a")
    watched.await_armed("a")
    opened_at = 0.0
    with writing(watched, "a") as client:
        watched.relay.cut()

        def opened() -> bool:
            nonlocal opened_at
            before = time.monotonic()
            if watched.value("b", READ_ONLY):
                opened_at = before
                return False
            return True

        pair.await_event("refusal", "its watchdog closes it within 6 s")
        until(opened, "b takes over")
        pair.await_event("plan-done", "fail over from a to b")
        # `opened_at` is when b was last seen closed.
        assert client.last_ok_at < opened_at
        assert watched.value("a", READ_ONLY)
    watched.relay.mend()
    pair.await_healthy("b")
    watched.await_armed("b")


def test_a_supervisor_that_is_stopped_takes_the_watchdog_with_it(watched: Watched) -> None:
    pair = watched.pair
    writer = pair.await_healthy()["writer"]
    watched.await_armed(writer)
    pair.cluster.supervisor.stop(60.0)
    assert watched.value(writer, RUNNING) is None
    assert not watched.value(writer, READ_ONLY)
    pair.cluster.start_supervisor()
    pair.await_healthy(writer)
    watched.await_armed(writer)


def test_a_watchdog_that_somebody_ends_is_begun_anew(watched: Watched) -> None:
    writer = watched.pair.await_healthy()["writer"]
    watched.await_armed(writer)
    before = watched.value(writer, RUNNING)
    watched.pair.admin(writer, f"KILL {before}")
    until(lambda: watched.value(writer, ARMED) not in (None, before), "another one is armed")


def test_a_writer_whose_supervisor_dies_closes_itself_and_is_opened_by_the_next(
    watched: Watched,
) -> None:
    pair = watched.pair
    writer = pair.await_healthy()["writer"]
    watched.await_armed(writer)
    pair.cluster.supervisor.kill()
    assert pair.cluster.supervisor.await_gone(60.0)
    until(lambda: watched.closed(writer), f"{writer} is read-only")
    pair.cluster.start_supervisor()
    pair.await_healthy(writer)
    watched.await_armed(writer)
