"""The application's scheduled events follow the writer, on real pairs of both flavours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.real.pair import LIFTED, Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

TICK = "INSERT INTO app.ticks (node, event, at) VALUES (@@server_id, '{}', NOW(6))"
MADE = (
    "CREATE USER planner@'%' IDENTIFIED BY 'Xx-12345_'",
    "GRANT ALL ON app.* TO planner@'%'",
    "CREATE TABLE app.ticks (id BIGINT AUTO_INCREMENT PRIMARY KEY, node INT, event VARCHAR(9),"
    " at DATETIME(6))",
    "SET sql_mode = 'ANSI_QUOTES', time_zone = '+03:00'",
    "CREATE DEFINER = planner@'%' EVENT app.beat ON SCHEDULE EVERY 1 SECOND COMMENT 'kept'"
    f" DO {TICK.format('beat')}",
    f"CREATE EVENT app.rests ON SCHEDULE EVERY 1 SECOND DISABLE DO {TICK.format('rests')}",
    "CREATE DEFINER = gone@'%' EVENT app.`an ``odd`` {event} %` ON SCHEDULE EVERY 1 HOUR"
    " STARTS NOW() + INTERVAL 1 HOUR DO SET @a = 1",
    "CREATE EVENT app.once ON SCHEDULE AT NOW() + INTERVAL 1 SECOND ON COMPLETION PRESERVE"
    f" DO {TICK.format('once')}",
)
ODD = "an `odd` {event} %"
KEPT = (
    "SELECT EVENT_NAME, DEFINER, TIME_ZONE, SQL_MODE, INTERVAL_VALUE, INTERVAL_FIELD, STARTS,"
    " EXECUTE_AT, ON_COMPLETION, EVENT_COMMENT, EVENT_DEFINITION, CREATED, CHARACTER_SET_CLIENT,"
    " COLLATION_CONNECTION FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'app'"
    " ORDER BY EVENT_NAME"
)


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """One pair for the module, with events of every kind on its writer."""
    with running_pair("CREATE DATABASE app", flavour=request.param) as shared:
        writer = shared.status()["writer"]
        shared.admin(writer, *MADE)
        # A writer that dies before a look has seen them takes with it which of them are disabled.
        until(lambda: noted(shared, writer) == {"rests", "once"}, "the disabled ones are noted")
        yield shared


def other(pair: Pair, node: str) -> str:
    return next(name for name in pair.cluster.nodes if name != node)


def statuses(pair: Pair, node: str) -> dict[str, str]:
    """What each event does on a node, in one word for both flavours."""
    rows = pair.admin(
        node,
        "SELECT EVENT_NAME, STATUS FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'app'",
    )
    return {name: "LEFT" if "SIDE_DISABLED" in status else status for name, status in rows}


def ticks(pair: Pair, node: str, event: str) -> list[Any]:
    """On which servers an event ran, in order, as this node has it."""
    sql = f"SELECT node FROM app.ticks WHERE event = '{event}' ORDER BY at"
    return [found for (found,) in pair.admin(node, sql)]


def server_id(pair: Pair, node: str) -> int:
    return int(pair.admin(node, "SELECT @@server_id")[0][0])


def await_ticks(pair: Pair, writer: str, event: str) -> None:
    """Two more, both on the writer."""
    own = server_id(pair, writer)
    before = len(ticks(pair, writer, event))
    until(lambda: ticks(pair, writer, event)[before:][-2:] == [own, own], f"{event} runs again")


def await_placed(pair: Pair, writer: str) -> None:
    """Enabled on the writer and on it alone; what is disabled, or over, rests everywhere."""

    def placed() -> bool:
        here, there = statuses(pair, writer), statuses(pair, other(pair, writer))
        on = {name for name, status in here.items() if status == "ENABLED"}
        return on == {"beat", ODD} and "ENABLED" not in there.values()

    until(placed, f"the events run on {writer} alone")
    assert statuses(pair, writer)["rests"] == "DISABLED"
    assert ticks(pair, writer, "rests") == []


def noted(pair: Pair, node: str) -> set[str]:
    return {name for (name,) in pair.admin(node, "SELECT event_name FROM myha.disabled_events")}


def test_a_switchover_takes_the_events_along(pair: Pair) -> None:
    writer = pair.status()["writer"]
    standby = other(pair, writer)
    before = pair.admin(writer, KEPT)
    until(lambda: ticks(pair, writer, "once"), "the event of one time has run")
    until(lambda: noted(pair, standby) == {"rests", "once"}, "it is noted which are disabled")
    done = pair.myha("switchover")
    assert done.returncode == 0, done.stderr
    pair.await_healthy(standby)
    await_placed(pair, standby)
    await_ticks(pair, standby, "beat")
    assert pair.admin(standby, KEPT) == before
    assert pair.admin(writer, KEPT) == before
    assert len(ticks(pair, standby, "once")) == 1
    assert not failures(pair)


def disable(pair: Pair, node: str, event: str) -> None:
    """A server that runs the event in the same moment loses it."""

    def disabled() -> bool:
        pair.admin(node, f"ALTER EVENT app.{event} DISABLE")
        return statuses(pair, node)[event] == "DISABLED"

    until(disabled, f"{event} is disabled")


def failures(pair: Pair) -> list[str]:
    failed = (one["text"] for one in pair.events("step-failed"))
    return [text for text in failed if "events" in text]


def test_what_the_application_disables_or_enables_is_noted_for_the_next_writer(pair: Pair) -> None:
    writer = pair.status()["writer"]
    standby = other(pair, writer)
    pair.admin(writer, "ALTER EVENT app.rests ENABLE")
    disable(pair, writer, "beat")
    until(lambda: noted(pair, standby) == {"beat", "once"}, "it is noted which are disabled")
    pair.await_healthy(writer)
    pair.admin(writer, "ALTER DEFINER = planner@'%' EVENT app.beat ENABLE")
    disable(pair, writer, "rests")
    until(lambda: noted(pair, standby) == {"rests", "once"}, "it is noted which are disabled")
    pair.admin(writer, "DELETE FROM app.ticks WHERE event = 'rests'")


def test_what_was_enabled_on_the_standby_by_hand_is_disabled(pair: Pair) -> None:
    writer = pair.status()["writer"]
    standby = other(pair, writer)
    count = len(pair.events("events"))
    mysql = pair.cluster.state.flavour == "mysql"
    pair.admin(
        standby,
        "SET sql_log_bin = 0",
        *([LIFTED] if mysql else []),
        "ALTER DEFINER = planner@'%' EVENT app.beat ENABLE",
        *(["SET GLOBAL super_read_only = ON"] if mysql else []),
    )
    until(lambda: pair.events("events")[count:], "the supervisor puts it right")
    await_placed(pair, writer)
    pair.await_healthy(writer)
    assert set(ticks(pair, standby, "beat")) <= {1, 2}
    if mysql:
        state = "SELECT @@GLOBAL.super_read_only, @@GLOBAL.read_only, @@GLOBAL.event_scheduler"
        assert pair.admin(standby, state) == [(1, 1, "ON")]


def test_a_crash_takes_the_events_along_and_the_old_writer_runs_none(pair: Pair) -> None:
    writer = pair.status()["writer"]
    standby = other(pair, writer)
    host = pair.cluster.servers[writer]
    host.kill()
    until(lambda: pair.status()["writer"] == standby, "the standby takes over")
    await_ticks(pair, standby, "beat")
    until(lambda: not host.running(), "the old writer is gone")
    host.start(90)
    pair.await_healthy(standby)
    await_placed(pair, standby)
    own = server_id(pair, standby)
    await_ticks(pair, standby, "beat")
    assert set(ticks(pair, standby, "beat")[-2:]) == {own}
    assert len(ticks(pair, standby, "once")) == 1
    assert not failures(pair)


def test_an_account_that_may_not_see_events_is_told_and_setup_grants_it(pair: Pair) -> None:
    writer = pair.status()["writer"]
    for node in pair.cluster.nodes:
        mysql = pair.cluster.state.flavour == "mysql" and node != writer
        pair.admin(
            node,
            "SET sql_log_bin = 0",
            *([LIFTED] if mysql else []),
            "REVOKE EVENT ON *.* FROM myha@'%'",
            *(["SET GLOBAL super_read_only = ON"] if mysql else []),
        )
    stop_supervisor(pair)
    pair.cluster.supervisor.start(60)
    pair.await_verdict("events-unseen")
    stop_supervisor(pair)
    done = pair.myha("setup", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "EVENT on *.*" in done.stdout + done.stderr
    pair.cluster.supervisor.start(60)
    pair.await_healthy(writer)


def stop_supervisor(pair: Pair) -> None:
    pair.cluster.supervisor.kill()
    until(lambda: not pair.cluster.supervisor.running(), "the supervisor is gone")


def test_with_two_writers_only_the_one_on_record_runs_events(flavour: str) -> None:
    with running_pair("CREATE DATABASE app", flavour=flavour, mode="dual-writer") as pair:
        writer = pair.status()["writer"]
        second = other(pair, writer)
        pair.admin(second, *MADE)  # the application is connected to whichever it is
        await_placed(pair, writer)
        await_ticks(pair, writer, "beat")
        pair.await_healthy(writer)
        pair.cluster.servers[writer].freeze()
        until(lambda: pair.status()["writer"] == second, "the second is the writer on record")
        await_ticks(pair, second, "beat")
        pair.cluster.servers[writer].thaw()
        pair.await_healthy(second)
        await_placed(pair, second)
