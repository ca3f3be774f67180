"""A replica outside the pair acknowledges: the record must not say armed by its word."""

from __future__ import annotations

import pytest

from tests.real.conftest import MakeCluster
from tests.real.pair import Pair, running_pair
from tests.real.stray import USER, leave, stray_replica
from tests.waiting import until

pytestmark = pytest.mark.real

TABLE = ("CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)")


def on_record(pair: Pair, writer: str, sync: str) -> None:
    def so() -> bool:
        status = pair.status()
        return (status["writer"], status["sync"]) == (writer, sync) and not status["running"]

    until(so, f"{writer} the writer, {sync}")


def test_what_only_a_stray_has_acknowledged_is_not_lost(flavour: str) -> None:
    """The standby freezes, the stray acknowledges, the writer dies, the standby goes on."""
    with running_pair(*TABLE, flavour=flavour) as pair:
        status = pair.await_healthy()
        writer = status["writer"]
        standby = next(name for name in status["nodes"] if name != writer)
        with stray_replica(pair, writer) as stray:
            status = pair.await_verdict("stray-acknowledger")
            assert USER in status["sentence"]
            on_record(pair, writer, "solo")
            until(
                lambda: [
                    one
                    for one in pair.status()["refusals"]
                    if "rpl_semi_sync_replica_enabled" in one["reason"]
                ],
                "the command to run is named",
            )
            pair.cluster.servers[standby].freeze()
            pair.write("INSERT INTO app.t VALUES (1), (2), (3)")
            pair.cluster.servers[writer].kill()
            pair.cluster.servers[standby].thaw()
            refused = until(
                lambda: [r for r in pair.status()["refusals"] if "solo" in r["reason"]],
                "a refusal to fail over",
            )
            assert standby in refused[0]["override"]
            assert pair.status()["writer"] == writer
            pair.cluster.servers[writer].start(60.0)
            until(lambda: pair.routes("writer") == {writer}, f"{writer} takes writes again")
            assert pair.admin(writer, "SELECT COUNT(*) FROM app.t") == [(3,)]
            leave(stray)
            pair.await_healthy(writer)
            on_record(pair, writer, "armed")


def test_a_stray_can_be_waited_for_as_well(cluster: MakeCluster) -> None:
    """Only MySQL can wait for several. Nothing is acknowledged without the standby then."""
    one = cluster(flavour="mysql")
    text = one.config_path.read_text()
    one.config_path.write_text(
        text.replace("[cluster]\n", '[cluster]\nstray_replicas = "wait-for-all"\n')
    )
    one.up()
    pair = Pair(one)
    writer = pair.await_healthy()["writer"]
    count = "SELECT @@GLOBAL.rpl_semi_sync_source_wait_for_replica_count"
    with stray_replica(pair, writer) as stray:
        until(lambda: pair.admin(writer, count) == [(2,)], "two acknowledgements are waited for")
        pair.await_healthy(writer)
        on_record(pair, writer, "armed")
        leave(stray)
        until(lambda: pair.admin(writer, count) == [(1,)], "one acknowledgement is waited for")
        pair.await_healthy(writer)
        on_record(pair, writer, "armed")
