"""Read replicas on real servers: setup adds one and lets it go, and it follows either node."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from myha.config import load
from myha.core.node import ThreadState
from myha.core.record import Cause
from myha.hosts.local import LocalHost
from myha.operations.heal.reseed import ReseedOrder, reseed_node
from myha.servers.factory import FollowerServers, make_followers
from myha.stores.factory import read_followers
from tests.real.conftest import create
from tests.real.pair import Pair, without
from tests.reporters import ListReporter
from tests.waiting import until

pytestmark = pytest.mark.real

DEADLINE_SECONDS = 20.0
TABLE = (
    "CREATE DATABASE shop",
    "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT)",
    "INSERT INTO shop.t VALUES (1, 10), (2, 20)",
)


@pytest.fixture(params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A pair that is set up, with the servers of two replicas; no supervisor runs."""
    cluster = create(flavour=request.param, replicas=2)
    try:
        cluster.start_servers()
        cluster.start_haproxy()
        yield Pair(cluster)
    finally:
        cluster.down()


def rows(pair: Pair, name: str) -> list[tuple[Any, ...]]:
    return pair.admin(name, "SELECT id, v FROM shop.t ORDER BY id")


def follow(made: FollowerServers, source: str) -> None:
    made.server.stop_replication(DEADLINE_SECONDS)
    made.server.follow(source, DEADLINE_SECONDS, clears_filters=False)
    made.server.start_replication(DEADLINE_SECONDS)


def test_a_replica_from_setup_to_removal(pair: Pair) -> None:
    config_path = pair.cluster.config_path
    whole = config_path.read_text()
    without(pair, "r2")
    pair.cluster.setup()
    config = load(config_path)
    recorded = read_followers(config)
    assert {name: one.entry.cause for name, one in recorded.items()} == {"r1": Cause.TRUSTED}
    assert pair.admin("r1", "SELECT @@GLOBAL.read_only") == [(1,)]
    pair.admin("a", *TABLE)

    made = make_followers(config)["r1"]
    # It follows one node, then the other, by GTID, and never acknowledges.
    follow(made, "a")
    until(lambda: has_rows(pair, "r1", 2), "the rows on r1")
    look = made.server.look()
    assert look.source == config.nodes["a"].replication_address
    assert (look.open, look.semisync.replica_enabled) == (False, False)
    assert (look.receiver.state, look.applier.state) == (ThreadState.RUNNING,) * 2
    follow(made, "b")
    assert made.server.look().source == config.nodes["b"].replication_address
    pair.admin("a", "INSERT INTO shop.t VALUES (3, 30)")
    until(lambda: has_rows(pair, "r1", 3), "the row that came by b")
    # Without a supervisor the command looks at it by itself.
    alone = json.loads(pair.myha("status", "--json").stdout)["replicas"]
    assert set(alone) == {"r1"}
    assert (alone["r1"]["follows"], alone["r1"]["membership"]) == ("b", "away")
    assert (alone["r1"]["contact"], alone["r1"]["healthy"]) == ("answering", False)
    assert "r1" in pair.myha("status").stdout

    # One that somebody had acknowledge is made to stop.
    word = "replica" if pair.cluster.state.flavour == "mysql" else "slave"
    stop, start = ("REPLICA", "REPLICA") if word == "replica" else ("SLAVE", "SLAVE")
    pair.admin(
        "r1",
        f"SET GLOBAL rpl_semi_sync_{word}_enabled = ON",
        f"STOP {stop} IO_THREAD",
        f"START {start} IO_THREAD",
    )
    made.server.stop_acknowledging(DEADLINE_SECONDS)
    look = made.server.look()
    assert look.receiver.state is ThreadState.RUNNING, look.receiver
    semisync = look.semisync
    assert (semisync.replica_enabled, semisync.replica_acknowledges) == (False, False)

    # The pair holds data now, so another one has to be seeded; with its data there, it follows.
    config_path.write_text(whole)
    if pair.cluster.state.flavour == "mariadb":  # a domain that is the standby's already
        ((standbys,),) = pair.admin("b", "SELECT @@GLOBAL.gtid_domain_id")
        pair.admin("r2", f"SET GLOBAL gtid_domain_id = {standbys}")
    done = pair.myha("setup", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    if pair.cluster.state.flavour == "mariadb":
        domains = [pair.admin(name, "SELECT @@GLOBAL.gtid_domain_id") for name in ("a", "b", "r2")]
        assert len(set(map(str, domains))) == 3, domains
    config = load(config_path)
    assert read_followers(config)["r2"].entry.cause is Cause.NEW
    reseed_node(ReseedOrder(config, "r2", "a"), ListReporter())
    second = make_followers(config)["r2"]
    assert not second.server.look().source
    follow(second, "a")
    pair.admin("a", "INSERT INTO shop.t VALUES (4, 40)")
    until(lambda: has_rows(pair, "r2", 4), "the row on r2")
    assert rows(pair, "r2") == rows(pair, "a")
    plan = pair.myha("heal", "r2", "--plan")
    assert "r2: away on record" in plan.stdout, plan.stdout + plan.stderr
    assert "no errant transactions: a has all that r2 has" in plan.stdout
    again = pair.myha("setup", "--yes").stdout
    assert "nothing to do: the replicas are set up" in again
    assert "further replicas" not in again

    # What the file does not name any more is let go.
    without(pair, "r2")
    done = pair.myha("setup", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(read_followers(config)) == {"r1"}
    assert not second.server.look().source
    assert pair.admin("r2", "SELECT @@GLOBAL.read_only") == [(1,)]
    for one in (made, second):
        one.server.leave_watch()
        one.disconnect()


def has_rows(pair: Pair, name: str, count: int) -> bool:
    there = pair.admin(
        name, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 't'"
    )
    return there == [(1,)] and len(rows(pair, name)) == count


def test_what_setup_refuses(pair: Pair) -> None:
    pair.cluster.servers["r2"].stop(DEADLINE_SECONDS)
    without(pair, "r2")
    pair.cluster.setup()
    pair.admin("a", *TABLE)
    config_path = pair.cluster.config_path
    host: LocalHost = pair.cluster.servers["r2"]
    host.start(DEADLINE_SECONDS)
    port = pair.cluster.replicas["r2"].port
    config_path.write_text(
        f'{config_path.read_text()}\n[replicas.r2]\nhost = "127.0.0.1"\nport = {port}\n'
    )
    pair.admin("r2", "CREATE DATABASE own", "CREATE TABLE own.t (id INT PRIMARY KEY)")
    done = pair.myha("setup", "--yes")
    assert done.returncode == 1
    assert "r2: holds" in done.stderr
    assert "drop its schemas" in done.stderr
    assert set(read_followers(load(config_path))) == {"r1"}
    assert pair.admin("r2", "SHOW TABLES FROM own") == [("t",)]

    # One that does not answer is not in the way of the others, and is not recorded.
    pair.admin("r2", "DROP DATABASE own")
    host.stop(DEADLINE_SECONDS)
    done = pair.myha("setup", "--yes")
    assert done.returncode == 1
    assert "check replicas.r2.host and port" in done.stderr
    host.start(DEADLINE_SECONDS)
    done = pair.myha("setup", "--plan")
    assert done.returncode == 0
    assert "record it as new: it holds no data" in done.stdout
