"""Read replicas beside a real pair: they follow the writer wherever it goes, and serve reads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from myha.database.flavours import FLAVOURS
from tests.real.conftest import create
from tests.real.pair import Data, Pair, without
from tests.real.purging import drop_older_logs
from tests.real.stopping import shut_down
from tests.waiting import until

pytestmark = pytest.mark.real
TABLE = "CREATE TABLE IF NOT EXISTS app.t (id INT PRIMARY KEY, body VARCHAR(50))"
DELAY_SECONDS = 4
FOLLOWS_SECONDS = 30.0  # from the new writer's route on; how soon, the drill measures


class Following(Pair):
    """A pair with read replicas. `whole` is a configuration that names all of them."""

    whole = ""

    def replica(self, name: str = "r1") -> Data:
        found: Data = self.status()["replicas"][name]
        return found

    def known(self) -> set[str]:
        """The replicas that the supervisor has; none while it is begun anew."""
        return set(self.status().get("replicas", {}))

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


@pytest.fixture(scope="module", params=[*FLAVOURS])
def served(request: pytest.FixtureRequest) -> Iterator[Following]:
    """A pair with the read replica r1; the server of r2 runs, and the file does not name it yet."""
    cluster = create(flavour=request.param, replicas=2)
    try:
        cluster.start_servers()
        cluster.start_haproxy()
        found = Following(cluster)
        found.whole = cluster.config_path.read_text()
        without(found, "r2")
        cluster.setup()
        cluster.start_supervisor()
        found.await_healthy()
        found.write("CREATE DATABASE app", TABLE)
        yield found
    finally:
        cluster.down()


@pytest.fixture
def pair(served: Following) -> Iterator[Following]:
    """Whole, with one row; every process runs again afterwards, whatever the test did."""
    yield fresh(served)
    for host in served.cluster.servers.values():
        if host.frozen():
            host.thaw()
        elif not host.running():
            host.start(60.0)


def fresh(pair: Following) -> Following:
    pair.await_healthy()
    pair.write("DELETE FROM app.t", "INSERT INTO app.t VALUES (1, 'first')")
    pair.await_following(pair.status()["writer"])
    known = "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'app'"
    until(lambda: pair.rows("r1", known), "the table on r1")
    until(lambda: pair.rows("r1") == [(1, "first")], "the first row")
    return pair


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


def test_a_hung_replica_is_not_asked_when_the_writer_dies(pair: Following) -> None:
    """It has a lane of its own: the failover begins and ends while that waits for it."""
    writer = pair.status()["writer"]
    pair.cluster.servers["r1"].freeze()
    pair.cluster.servers[writer].kill()
    until(lambda: pair.status()["writer"] == other(writer), "the failover")
    pair.write("INSERT INTO app.t VALUES (2, 'second')")
    assert pair.replica()["follows"] != other(writer)
    pair.cluster.servers["r1"].thaw()
    pair.await_following(other(writer))
    until(lambda: len(pair.rows("r1")) == 2, "the second row")


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
    pair.await_event("job-done", "heal of r1 by rewind")
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


def test_a_reset_log_is_noticed_and_whoever_depended_on_it_gets_the_writers_data(
    pair: Following,
) -> None:
    """An operator's wrong command: from then on a replica takes what is new for what it has."""
    writer = pair.status()["writer"]
    standby = other(writer)
    mysql = pair.cluster.state.flavour == "mysql"
    reset = "RESET BINARY LOGS AND GTIDS" if mysql else "RESET MASTER"
    rows = [(1, "first")]
    for node in (writer, standby):
        pair.admin(node, reset)
        pair.await_event(
            "plan-done", f"fence {standby}: somebody has reset the binary log of {node}"
        )
        number = len(rows) + 1
        pair.write(f"INSERT INTO app.t VALUES ({number}, 'after {node}')")  # nobody waits for it
        rows.append((number, f"after {node}"))
        for one in (standby, "r1") if node == writer else (standby,):
            # What it has of the writer's past by name alone is in no log of its own any more.
            done = pair.myha("heal", one, "--method", "reseed", "--accept-loss")
            assert done.returncode == 0, done.stdout + done.stderr
        pair.await_healthy(writer)
        pair.await_following(writer)
        until(lambda: all(pair.rows(one) == rows for one in ("a", "b", "r1")), "all rows on all")


def test_a_standby_that_was_away_for_too_long_is_told_to_be_outdated(pair: Following) -> None:
    """The writer keeps its binary logs for some days, and the standby was away for more."""
    writer = pair.status()["writer"]
    standby = other(writer)
    shut_down(pair.cluster, standby)
    until(lambda: pair.status()["sync"] == "solo", "the writer goes on alone")
    pair.write("INSERT INTO app.t VALUES (2, 'second')")
    pair.await_following(writer)  # its own log is another's affair
    until(lambda: len(pair.rows("r1")) == 2, "the second row on r1")
    drop_older_logs(partial(pair.admin, writer))
    pair.cluster.servers[standby].start(60.0)
    refusal = pair.await_event("refusal", f"{standby} cannot catch up")
    assert f"myha heal {standby} --method reseed" in refusal["text"]
    assert pair.status()["verdict"] == "standby-outdated"
    done = pair.myha("heal", standby, "--method", "reseed")
    assert done.returncode == 0, done.stdout + done.stderr
    pair.await_healthy(writer)
    assert pair.rows(standby) == pair.rows(writer)


def test_a_delayed_replica_is_added_while_the_pair_serves(pair: Following) -> None:
    """Into the file, setup, reload: it is seeded, stays behind, follows, and is let go again."""
    path = pair.cluster.config_path
    before = path.read_text()
    writer = pair.status()["writer"]
    delayed = f"[replicas.r2]\ndelay_seconds = {DELAY_SECONDS}\n"
    limits = "[lag]\nout_seconds = 2.0\nin_seconds = 1.0\n"
    path.write_text(pair.whole.replace("[replicas.r2]\n", delayed) + f"\n{limits}")
    done = pair.myha("setup", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    done = pair.myha("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: pair.known() == {"r1", "r2"}, "a supervisor that knows of r2")
    pair.await_healthy(writer)
    seen = pair.await_replica("replica-healthy", "r2")
    assert (seen["follows"], seen["delay_seconds"]) == (writer, DELAY_SECONDS)
    assert pair.rows("r2") == [(1, "first")]  # it had nothing, and was given the writer's
    pair.write("INSERT INTO app.t VALUES (2, 'second')")
    until(lambda: len(pair.rows("r1")) == 2, "the second row on r1")
    assert pair.rows("r2") == [(1, "first")]
    until(lambda: len(pair.rows("r2")) == 2, "the second row on r2")
    assert "r2" not in pair.routes("reader")
    assert "r1" in pair.routes("reader")

    done = pair.myha("switchover", "--to", other(writer))
    assert done.returncode == 0, done.stderr
    seen = until(
        lambda: one if (one := pair.replica("r2"))["follows"] == other(writer) else None,
        "r2 follows the new writer",
    )
    assert seen["delay_seconds"] == DELAY_SECONDS
    pair.await_replica("replica-healthy", "r2")

    path.write_text(before)
    done = pair.myha("setup", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    done = pair.myha("reload")
    assert done.returncode == 0, done.stdout + done.stderr
    until(lambda: pair.known() == {"r1"}, "a supervisor without r2")
    pair.await_healthy(other(writer))
