"""Read replicas beside a real pair: they follow the writer wherever it goes, and serve reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.real.conftest import create
from tests.real.pair import Data, Pair, until

pytestmark = pytest.mark.real
TABLE = "CREATE TABLE IF NOT EXISTS app.t (id INT PRIMARY KEY, body VARCHAR(50))"
FOLLOWS_SECONDS = 1.0  # from the new writer's route on


class Following(Pair):
    """A pair with read replicas."""

    def replica(self, name: str = "r1") -> Data:
        found: Data = self.status()["replicas"][name]
        return found

    def await_replica(self, verdict: str, name: str = "r1", seconds: float = 60.0) -> Data:
        seen: Data = {}

        def reached() -> bool:
            nonlocal seen
            seen = self.replica(name)
            return seen["verdict"] == verdict and not seen["running"]

        try:
            until(reached, f"{name}: {verdict}", seconds)
        except AssertionError as error:
            lines = "\n".join(f"{one['kind']}: {one['text']}" for one in self.events()[-30:])
            raise AssertionError(
                f"{error}; it is {seen['verdict']}: {seen['sentence']}; the last events:\n{lines}"
            ) from None
        return seen

    def await_following(self, writer: str, name: str = "r1") -> Data:
        seen = until(
            lambda: one if (one := self.replica(name))["follows"] == writer else None,
            f"{name} follows {writer}",
        )
        assert seen
        healthy = self.await_replica("replica-healthy", name)
        assert healthy["follows"] == writer
        until(lambda: name in self.routes("reader"), f"{name} takes reads")
        return healthy

    def rows(self, server: str, statement: str = "SELECT id, body FROM app.t ORDER BY id") -> Any:
        connection = self.connect(self.cluster.machines[server].port, "admin")
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def routed_to_following_seconds(self, writer: str) -> float:
        """From the new writer's route to the replica's channel being that of the new writer."""
        steps = self.events("step")
        routed = [one for one in steps if one["text"] == f"put {writer} into writer"][-1]
        started = [
            one
            for one in steps
            if one["text"] == "start-replication r1" and one["at"] > routed["at"]
        ]
        return float(started[0]["at"] - routed["at"])


@pytest.fixture
def pair(flavour: str) -> Iterator[Following]:
    cluster = create(flavour=flavour, replicas=1)
    try:
        cluster.up()
        found = Following(cluster)
        found.await_healthy()
        found.write("CREATE DATABASE app", TABLE, "INSERT INTO app.t VALUES (1, 'first')")
        found.await_following(found.status()["writer"])
        known = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'app'"
        until(lambda: found.rows("r1", known), "the table on r1")
        until(lambda: found.rows("r1") == [(1, "first")], "the first row")
        yield found
    finally:
        cluster.down()


def other(writer: str) -> str:
    return "b" if writer == "a" else "a"


def test_a_replica_follows_through_switchover_and_crash(pair: Following) -> None:
    """It replicates from the new writer within a second, has its rows, and acknowledges nothing."""
    writer = pair.status()["writer"]
    assert not pair.replica()["semisync"]["replica_enabled"]

    before = pair.events("step")[-1]["at"]
    done = pair.myha("switchover", "--to", other(writer))
    assert done.returncode == 0, done.stderr
    writer = other(writer)
    pair.await_following(writer)
    assert pair.routed_to_following_seconds(writer) <= FOLLOWS_SECONDS
    # Reads went on: nothing was in doubt, or for a moment only.
    since = [one for one in pair.events() if one["at"] > before]
    texts = [f"{one['kind']}: {one['text']}" for one in since]
    assert texts.count("step: take r1 out of reader") <= 1, "\n".join(texts)
    pair.write("INSERT INTO app.t VALUES (2, 'second')")
    until(lambda: len(pair.rows("r1")) == 2, "the second row")

    pair.await_healthy()
    pair.cluster.servers[writer].kill()
    until(lambda: pair.status()["writer"] == other(writer), "the failover")
    writer = other(writer)
    pair.await_following(writer)
    assert pair.routed_to_following_seconds(writer) <= FOLLOWS_SECONDS
    pair.write("INSERT INTO app.t VALUES (3, 'third')")
    until(lambda: len(pair.rows("r1")) == 3, "the third row")
    assert not pair.replica()["semisync"]["replica_enabled"]
    assert pair.replica()["membership"] == "member"


def test_a_hung_replica_takes_no_reads_and_delays_nothing(pair: Following) -> None:
    writer = pair.status()["writer"]
    pair.cluster.servers["r1"].freeze()
    try:
        pair.await_replica("replica-unreachable")
        until(lambda: "r1" not in pair.routes("reader"), "r1 takes no reads")
        assert pair.status()["healthy"]
        done = pair.myha("switchover", "--to", other(writer))
        assert done.returncode == 0, done.stderr
        pair.await_healthy(other(writer))
    finally:
        pair.cluster.servers["r1"].thaw()
    pair.await_following(other(writer))


def test_a_replica_that_restarts_is_inspected_and_follows(pair: Following) -> None:
    pair.cluster.servers["r1"].kill()
    until(lambda: pair.replica()["contact"] != "answering", "r1 is gone")
    pair.write("INSERT INTO app.t VALUES (2, 'second')")
    pair.cluster.servers["r1"].await_gone(30.0)
    pair.cluster.servers["r1"].start(60.0)
    pair.await_following(pair.status()["writer"])
    until(lambda: len(pair.rows("r1")) == 2, "the second row")


def test_what_only_a_replica_has_is_fenced_and_undone(pair: Following) -> None:
    """Somebody writes on it: out of the pool, into quarantine, undone, and back."""
    connection = pair.connect(pair.cluster.machines["r1"].port, "admin")
    opened = ["SET GLOBAL read_only = OFF", "INSERT INTO app.t VALUES (66, 'errant')"]
    with connection, connection.cursor() as cursor:
        for statement in opened:
            cursor.execute(statement)
    pair.await_event("plan", "errant transactions")
    pair.await_event("job-done", "heal of r1")
    pair.await_following(pair.status()["writer"])
    until(lambda: pair.rows("r1") == [(1, "first")], "the errant row is undone")
    assert pair.status()["healthy"]


def test_a_replica_is_fenced_unfenced_and_reseeded_by_hand(pair: Following) -> None:
    assert "never the writer" in pair.myha("switchover", "--to", "r1").stderr
    assert pair.myha("fence", "r1", "--reason", "a test").returncode == 0
    seen = pair.await_replica("replica-fenced")
    assert (seen["membership"], seen["cause"], seen["reason"]) == ("fenced", "by-hand", "a test")
    assert "r1" not in pair.routes("reader")
    assert "r1" in pair.myha("status").stdout
    assert "replica-fenced" in pair.myha("explain").stdout
    assert pair.myha("unfence", "r1").returncode == 0
    pair.await_following(pair.status()["writer"])
    healed = pair.myha("heal", "r1", "--method", "reseed")
    assert healed.returncode == 0, healed.stderr
    pair.await_following(pair.status()["writer"])
    assert pair.rows("r1") == [(1, "first")]
