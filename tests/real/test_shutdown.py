"""A writer that is shut down: whoever heard OK until the last moment is on the new writer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import pymysql
import pytest

from tests.real.pair import Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

CLIENTS = 12  # of each kind
ROUNDS = 2


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    app = ("CREATE DATABASE app", "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)")
    with running_pair(*app, flavour=request.param) as shared:
        yield shared


class Writers:
    """Clients that write one row after the other until their connection is lost."""

    def __init__(self, pair: Pair, ports: list[int], numbers: count[int]) -> None:
        self.acknowledged: set[int] = set()
        self._numbers = numbers
        # All of them before the first is cut off: who comes later reaches the new writer.
        connections = [pair.connect(port, read_timeout=30) for port in ports]
        self._threads = [
            threading.Thread(target=self._write, args=(one,), daemon=True) for one in connections
        ]
        for one in self._threads:
            one.start()

    def _write(self, connection: Any) -> None:
        try:
            with connection, connection.cursor() as cursor:
                while True:
                    number = next(self._numbers)
                    cursor.execute("INSERT INTO app.t VALUES (%s, 'x')", (number,))
                    self.acknowledged.add(number)
        except pymysql.MySQLError:
            return

    def ended(self) -> bool:
        return not any(one.is_alive() for one in self._threads)


def writes_on(pair: Pair, lost: str) -> bool:
    status = pair.status()
    return status["writer"] != lost and pair.routes("writer") == {status["writer"]}


def enough(writers: Writers) -> bool:
    return len(writers.acknowledged) > 200


def test_what_was_acknowledged_during_a_shutdown_is_on_the_new_writer(pair: Pair) -> None:
    """Past the balancer as well. MySQL says OK to commits in flight when its replica leaves."""
    numbers = count(1)
    for _ in range(ROUNDS):
        pair.await_healthy()
        until(lambda: pair.status()["sync"] == "armed", "it is armed")
        writer = pair.status()["writer"]
        ports = [pair.cluster.nodes[writer].port, pair.cluster.writer_address[1]]
        writers = Writers(pair, ports * CLIENTS, numbers)
        until(partial(enough, writers), "all of them write")
        stop = threading.Thread(target=pair.cluster.servers[writer].stop, args=(60.0,))
        stop.start()
        until(partial(writes_on, pair, writer), "the other one is the writer")
        until(writers.ended, "no client is connected any more")
        new = pair.status()["writer"]
        there = {int(number) for (number,) in pair.admin(new, "SELECT id FROM app.t")}
        assert writers.acknowledged - there == set()
        stop.join()
        pair.cluster.servers[writer].start(90)


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_without_lossless_the_end_of_the_process_is_not_waited_for(flavour: str) -> None:
    """MySQL keeps its replica connected for 8 s of its shutdown, in which nobody can write."""
    app = ("CREATE DATABASE app", "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)")
    with running_pair(*app, flavour=flavour, durability="async") as pair:
        ports = [pair.cluster.nodes["a"].port, pair.cluster.writer_address[1]]
        writers = Writers(pair, ports * 4, count(1))
        until(partial(enough, writers), "all of them write")
        stop = threading.Thread(target=pair.cluster.servers["a"].stop, args=(60.0,))
        stop.start()
        until(partial(writes_on, pair, "a"), "the other one is the writer")
        until(writers.ended, "no client is connected any more")
        there = {int(number) for (number,) in pair.admin("b", "SELECT id FROM app.t")}
        assert writers.acknowledged - there == set()
        stop.join()
        if flavour == "mysql":  # MariaDB is gone before it can be seen to close
            failover = [one for one in pair.events() if one.get("plan") == "failover"]
            assert "await-drained" in {one.get("step") for one in failover}
