"""Whatever setup made and somebody or a restart has changed is named and put right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pymysql
import pytest

from myha.config import load
from myha.core.settings import Setting, When, same_value
from myha.database.flavours import FLAVOURS
from myha.servers.wanted import settings
from tests.real.pair import Pair, running_pair
from tests.real.stopping import shut_down
from tests.waiting import until

pytestmark = pytest.mark.real

# What a stranger sets instead; a setting that has no entry here makes its test fail.
OTHERWISE = {
    "auto_increment_increment": "5",
    "auto_increment_offset": "7",
    "binlog_format": "MIXED",
    "binlog_row_image": "MINIMAL",
    "binlog_row_metadata": "MINIMAL",
    "event_scheduler": "OFF",
    "replica_net_timeout": "60",
    "replica_parallel_workers": "4",
    "replica_preserve_commit_order": "OFF",
    "rpl_semi_sync_replica_enabled": "OFF",
    "rpl_semi_sync_source_wait_point": "AFTER_COMMIT",
    "gtid_domain_id": "0",
    "gtid_strict_mode": "OFF",
    "slave_net_timeout": "60",
    "rpl_semi_sync_slave_kill_conn_timeout": "5",
    "slave_parallel_threads": "0",
    "rpl_semi_sync_slave_enabled": "OFF",
    "rpl_semi_sync_master_wait_point": "AFTER_COMMIT",
    "rpl_semi_sync_master_wait_no_slave": "OFF",
}
# MariaDB lets nobody without SUPER set these: the supervisor says what an administrator has to do.
BY_HAND = {
    "mysql": set(),
    "mariadb": {"auto_increment_increment", "auto_increment_offset", "event_scheduler"},
}


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    app = ("CREATE DATABASE app", "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)")
    with running_pair(*app, flavour=request.param) as shared:
        yield shared


@pytest.fixture(autouse=True)
def whole(pair: Pair) -> None:
    pair.await_healthy()


def flavour(pair: Pair) -> str:
    return pair.cluster.state.flavour


def word(pair: Pair) -> str:
    return "REPLICA" if flavour(pair) == "mysql" else "SLAVE"


def nodes(pair: Pair) -> tuple[str, str]:
    """The writer and the standby."""
    writer = pair.status()["writer"]
    return writer, next(name for name in pair.cluster.nodes if name != writer)


def made(pair: Pair, node: str) -> tuple[Setting, ...]:
    return settings(load(pair.cluster.config_path), node, FLAVOURS[pair.cluster.state.flavour])


def value(pair: Pair, node: str, variable: str) -> str:
    return str(pair.admin(node, f"SELECT @@GLOBAL.{variable}")[0][0])


def persisted(pair: Pair, node: str) -> dict[str, str]:
    rows = "SELECT VARIABLE_NAME, VARIABLE_VALUE FROM performance_schema.persisted_variables"
    return dict(pair.admin(node, rows))


def persists(pair: Pair, node: str, variables: set[str]) -> bool:
    """Whether they are persisted; the fence of a node that returns ends our session too."""
    try:
        return persisted(pair, node).keys() >= variables
    except pymysql.err.OperationalError:
        return False


def told_since(pair: Pair, event: int) -> str:
    kinds = ("verdict", "plan", "refusal", "step-failed")
    return "\n".join(e["text"] for e in pair.events() if e["id"] > event and e["kind"] in kinds)


def put_right(pair: Pair, node: str, event: int) -> None:
    """A plan for it has ended since the event, and the pair is whole and armed again."""
    kinds = ("restore-settings", "restore-replication", "rejoin")

    def done() -> bool:
        new = [e for e in pair.events("plan-done") if e["id"] > event]
        return any(e["plan"] in kinds and e["node"] == node for e in new)

    try:
        until(done, "a plan that puts it right")
    except AssertionError as error:
        raise AssertionError(f"{error}; told since:\n{told_since(pair, event)}") from None
    pair.await_healthy()
    until(lambda: pair.status()["sync"] == "armed", "it is armed")


@contextmanager
def unseen(pair: Pair) -> Iterator[None]:
    """What is done here the supervisor does not act upon before it is all done."""
    assert pair.myha("maintenance", "on").returncode == 0
    try:
        yield
    finally:
        assert pair.myha("maintenance", "off").returncode == 0


def verdicts(pair: Pair) -> set[str]:
    return {one["name"] for one in pair.status()["verdicts"]}


def last_event(pair: Pair) -> int:
    return int(pair.events()[-1]["id"])


@pytest.mark.parametrize("role", [0, 1], ids=["writer", "standby"])
def test_every_setting_that_setup_makes_is_kept(pair: Pair, role: int) -> None:
    node, event = nodes(pair)[role], last_event(pair)
    wanted = [one for one in made(pair, node) if one.when is When.NOW_AND_AT_BOOT]
    kept = [one for one in wanted if not one.supervisors]
    before = {one.variable: value(pair, node, one.variable) for one in kept}
    changes = [f"SET GLOBAL {one.variable} = {OTHERWISE[one.variable]}" for one in kept]
    with unseen(pair):
        pair.admin(node, f"STOP {word(pair)}", *changes)
        until(lambda: "settings-differ" in verdicts(pair), "all of it is seen")
    by_hand = BY_HAND[flavour(pair)]

    def all_right() -> bool:
        right = [one for one in kept if one.variable not in by_hand]
        return all(
            same_value(value(pair, node, one.variable), before[one.variable]) for one in right
        )

    until(all_right, "every setting is as it was")
    if by_hand:
        pair.await_verdict("settings-differ")
        explained = pair.myha("explain").stdout
        for variable in by_hand:
            assert f"SET GLOBAL {variable} = {before[variable]}" in explained
            pair.admin(node, f"SET GLOBAL {variable} = {before[variable]}")
    put_right(pair, node, event)
    told = told_since(pair, event)
    assert [one.variable for one in kept if f"{one.variable} is " not in told] == []


def test_what_a_server_starts_with_is_kept(pair: Pair) -> None:
    if flavour(pair) != "mysql":
        pytest.skip("MariaDB has its option file for that, see below")
    for node in nodes(pair):
        event, before = last_event(pair), persisted(pair, node)
        pair.admin(node, "RESET PERSIST")
        put_right(pair, node, event)
        assert persisted(pair, node).items() >= before.items()
        told = told_since(pair, event)
        assert "read_only is not set at boot, not ON" in told
        assert "auto_increment_offset is not set at boot" in told


def test_super_read_only_that_is_left_lifted_is_set_again(pair: Pair) -> None:
    """As by a supervisor that dies while it alters events; but not while somebody is at work."""
    if flavour(pair) != "mysql":
        pytest.skip("MariaDB has no super_read_only")
    _, standby = nodes(pair)
    sql = FLAVOURS["mysql"].statements("control")
    at_work = pair.connect(pair.cluster.nodes[standby].port, "admin")
    with at_work, at_work.cursor() as cursor:
        for statement in sql.all("let_us_alter_events"):
            cursor.execute(statement)
        event = last_event(pair)
        pair.admin(standby, "SET GLOBAL replica_net_timeout = 61")  # so that all is compared
        put_right(pair, standby, event)
        assert value(pair, standby, "super_read_only") == "0"
    until(lambda: value(pair, standby, "super_read_only") == "1", "it is set again")
    pair.await_healthy()


def test_the_channel_is_kept(pair: Pair) -> None:
    """On the writer's own as well, whose peer goes on acknowledging meanwhile."""
    mysql = flavour(pair) == "mysql"
    change = (
        "CHANGE REPLICATION SOURCE TO SOURCE_AUTO_POSITION = 0, SOURCE_USER = 'nobody',"
        " SOURCE_DELAY = 300, SOURCE_HEARTBEAT_PERIOD = 7, SOURCE_CONNECT_RETRY = 44,"
        " SOURCE_RETRY_COUNT = 3"
        if mysql
        else "CHANGE MASTER TO MASTER_USE_GTID = no, MASTER_USER = 'nobody', MASTER_DELAY = 300,"
        " MASTER_HEARTBEAT_PERIOD = 7, MASTER_CONNECT_RETRY = 44"
    )
    for node in nodes(pair):
        event = last_event(pair)
        pair.admin(node, f"STOP {word(pair)}", change, f"START {word(pair)}")
        put_right(pair, node, event)
        told = told_since(pair, event)
        for named in (
            "the source's user is nobody, not myha_repl",
            "replication by GTID is off, not on",
            "the delay is 300 s, not 0 s",
            "the heartbeat period is 7 s, not 0.5 s",
            "the connect retry is 44 s, not 1 s",
        ):
            assert named in told
        assert "the retry count is 3" in told or not mysql


def set_filter(pair: Pair, node: str) -> None:
    pair.admin(
        node,
        f"STOP {word(pair)}",
        "CHANGE REPLICATION FILTER REPLICATE_IGNORE_DB = (app)"
        if flavour(pair) == "mysql"
        else "SET GLOBAL replicate_ignore_db = 'app'",
        f"START {word(pair)}",
    )


def filters(pair: Pair, node: str) -> str:
    rows = (
        "SELECT GROUP_CONCAT(FILTER_RULE) FROM performance_schema.replication_applier_filters"
        if flavour(pair) == "mysql"
        else "SELECT @@GLOBAL.replicate_ignore_db"
    )
    return str(pair.admin(node, rows)[0][0] or "").strip(",")


def test_a_standby_with_a_filter_is_fenced_and_comes_back_without(pair: Pair) -> None:
    _, standby = nodes(pair)
    set_filter(pair, standby)
    status: dict[str, Any] = pair.await_verdict("standby-fenced")
    assert (
        "changes may be missing (replicate_ignore_db is app)" in status["nodes"][standby]["reason"]
    )
    assert standby not in pair.routes("reader")
    assert f"to override: myha heal {standby} --method reseed" in pair.myha("explain").stdout
    pair.await_event(
        "verdict", f"A replication filter is in force: {standby}: replicate_ignore_db is app"
    )
    assert pair.myha("unfence", standby).returncode == 0  # nothing was written meanwhile
    pair.await_healthy()
    assert filters(pair, standby) == ""


def test_a_filter_on_the_only_writer_is_cleared(pair: Pair) -> None:
    """Its peer writes nothing, so that nothing was left out."""
    writer, _ = nodes(pair)
    event = last_event(pair)
    set_filter(pair, writer)
    put_right(pair, writer, event)
    assert filters(pair, writer) == ""
    assert "replicate_ignore_db is app" in told_since(pair, event)


def test_a_restart_without_what_setup_made(pair: Pair) -> None:
    """It starts open, replicating, with other settings: looked at, then put right."""
    _, standby = nodes(pair)
    mysql, host = flavour(pair) == "mysql", pair.cluster.servers[standby]
    fragment = pair.cluster.nodes[standby].fragment
    kept = fragment.read_text() if not mysql else ""
    if mysql:
        # The rest it starts with anyway: its option file's, or the default.
        kept_at_boot = {
            one.variable
            for one in made(pair, standby)
            if one.when is When.AT_BOOT or one.variable.startswith("auto_increment")
        }
        with unseen(pair):
            pair.admin(standby, "RESET PERSIST")
            shut_down(pair.cluster, standby)
            host.start(90)
        until(lambda: persists(pair, standby, kept_at_boot), "persisted again")
        pair.await_healthy()
        return
    fragment.unlink()
    host.stop(60)
    host.start(90)
    pair.await_verdict("settings-differ")
    until(lambda: pair.status()["sync"] == "armed", "what is not as setup made it is no hindrance")
    assert value(pair, standby, "slave_parallel_threads") == "8"
    explained = pair.myha("explain").stdout
    assert (
        f"put slave_parallel_threads = 8 into its option file (setup's part of it is {fragment})"
        in explained
    )
    assert "SET GLOBAL auto_increment_increment = 2" in explained
    fragment.write_text(kept)
    host.stop(60)
    host.start(90)
    pair.await_healthy()
