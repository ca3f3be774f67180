"""Two writers: what one of them does for its clients when the other is lost, on both flavours."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from tests.real.pair import Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

BOUNDED_SECONDS = 60  # far longer than a client here waits for its answer


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    app = (
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)",
        "CREATE TABLE app.held (id INT PRIMARY KEY)",
    )
    with running_pair(*app, flavour=request.param, mode="dual-writer") as shared:
        yield shared


def timeouts(pair: Pair) -> set[int]:
    word = "source" if pair.cluster.state.flavour == "mysql" else "master"
    sql = f"SELECT @@GLOBAL.rpl_semi_sync_{word}_enabled, @@GLOBAL.rpl_semi_sync_{word}_timeout"
    return {
        int(timeout) if int(enabled) else 0
        for node in pair.cluster.nodes
        for enabled, timeout in pair.admin(node, sql)
    }


def serves_alone(pair: Pair, node: str) -> bool:
    return pair.routes("writer") == {node}


def is_writer(pair: Pair, node: str) -> bool:
    return bool(pair.status()["writer"] == node)


def has_all(pair: Pair, node: str) -> bool:
    return bool(pair.admin(node, "SELECT 1 FROM app.held"))


def test_a_writer_that_cannot_apply_the_others_writes_is_not_well(pair: Pair) -> None:
    """They would drift apart, each routed and no one told: the second takes no writes meanwhile."""
    writer = pair.await_healthy()["writer"]
    (second,) = pair.cluster.nodes.keys() - {writer}
    unlogged = "SET SESSION sql_log_bin = 0"
    pair.admin(writer, unlogged, "INSERT INTO app.t VALUES (1, 'by no binary log')")
    pair.admin(second, "INSERT INTO app.t VALUES (1, 'of a client'), (2, 'of a client')")
    status = pair.await_verdict("reverse-broken")
    until(lambda: pair.routes("writer") == {writer}, "the second takes no writes")
    until(lambda: not pair.status()["nodes"][second]["open"], "it is closed")
    pair.await_event("replication-error", "conflicting row")
    assert "correct what the change" in pair.myha("status").stdout.replace("\n", " ")
    assert status["writer"] == writer

    pair.admin(writer, unlogged, "DELETE FROM app.t WHERE id = 1", "START REPLICA")
    pair.await_healthy(writer)
    assert pair.routes("writer") == {writer, second}
    rows = [pair.admin(node, "SELECT id, v FROM app.t ORDER BY id") for node in (writer, second)]
    assert rows[0] == rows[1] == [(1, "of a client"), (2, "of a client")]


def test_the_survivor_stops_waiting_for_a_writer_that_is_lost(pair: Pair) -> None:
    """A session that is there goes on: it waits for no time-out, whichever of the two is lost."""
    config = pair.cluster.config_path
    text = config.read_text()
    config.write_text(
        text.replace("[cluster]", f"[cluster]\nbounded_timeout_seconds = {BOUNDED_SECONDS}", 1)
    )
    pair.cluster.supervisor.stop(60)
    pair.cluster.start_supervisor()
    for number, role in enumerate(("writer", "second")):
        pair.await_healthy()
        until(
            lambda: timeouts(pair) == {BOUNDED_SECONDS * 1000},
            "both wait as the new configuration says",
        )
        writer = pair.status()["writer"]
        lost = writer if role == "writer" else next(n for n in pair.cluster.nodes if n != writer)
        survivor = next(name for name in pair.cluster.nodes if name != lost)
        port = pair.cluster.nodes[survivor].port
        lock = pair.connect(port, "admin", read_timeout=60)
        client = pair.connect(port, read_timeout=BOUNDED_SECONDS // 4)
        with lock, lock.cursor() as holds, client, client.cursor() as cursor:
            # What it has received cannot be applied meanwhile: nothing may wait for that either.
            holds.execute("LOCK TABLES app.held READ")
            pair.admin(lost, "REPLACE INTO app.held VALUES (1)")
            cursor.execute("REPLACE INTO app.t VALUES (%s, 'before')", (number,))
            pair.cluster.servers[lost].kill()
            cursor.execute("REPLACE INTO app.t VALUES (%s, 'after')", (number,))
            until(partial(serves_alone, pair, survivor), "the lost one gets no clients")
            until(partial(is_writer, pair, survivor), "it is the writer on record")
        until(partial(has_all, pair, survivor), "it has applied what it had received")
        pair.cluster.servers[lost].start(90)
