"""Write conflicts on real pairs with two writers, both flavours: what is told, and what not."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from myha.config import Config, load
from myha.conflicts import job
from myha.conflicts.keys import Facts
from myha.conflicts.node_state import NodeState
from myha.conflicts.watch import Watch
from myha.sandbox.cluster import Cluster
from tests.real.pair import Pair, running_pair
from tests.real.purging import drop_older_logs
from tests.reporters import ListReporter
from tests.waiting import until

FLAVOURS = [
    pytest.param(flavour, marks=pytest.mark.xdist_group(f"conflicts-{flavour}"))
    for flavour in ("mysql", "mariadb")
]
pytestmark = pytest.mark.real

COUNTERS = 4
Event = tuple[str, str, dict[str, str]]


@dataclass
class Writers:
    """A pair with two writers, without its supervisor, which would set a held applier going."""

    cluster: Cluster
    pair: Pair
    flavour: str
    config: Config
    tables: list[str] = field(default_factory=list)

    def run(self, node: str, *statements: str) -> list[tuple[Any, ...]]:
        return self.pair.admin(node, *statements)

    def table(self, name: str, columns: str, *rows: str) -> str:
        """A new table on both nodes, with these rows."""
        full = f"shop.{name}"
        self.run(
            "a", f"CREATE TABLE {full} ({columns})", *(f"INSERT INTO {full} {r}" for r in rows)
        )
        until(self.same_history, "the table on both nodes")
        return full

    def executed(self, node: str) -> str:
        what = "gtid_executed" if self.flavour == "mysql" else "gtid_binlog_pos"
        return str(self.run(node, f"SELECT @@GLOBAL.{what}")[0][0]).replace("\n", "")

    def same_history(self) -> bool:
        return self.executed("a") == self.executed("b")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Replication stands still in both directions."""
        word = "REPLICA" if self.flavour == "mysql" else "SLAVE"
        for node in "ab":
            self.run(node, f"STOP {word} SQL_THREAD")
        try:
            yield
        finally:
            for node in "ab":
                self.run(node, f"START {word} SQL_THREAD")

    def forget(self, node: str, *statements: str) -> None:
        """Behind replication's back."""
        self.run(node, "SET SESSION sql_log_bin = 0", *statements)

    def threads_run(self, node: str) -> bool:
        word = "REPLICA" if self.flavour == "mysql" else "SLAVE"
        connection = self.pair.connect(self.cluster.nodes[node].port, "admin")
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SHOW {word} STATUS")
            names = [one[0] for one in cursor.description]
            row = dict(zip(names, cursor.fetchone(), strict=True))
        kinds = (
            ("Replica_IO", "Replica_SQL") if self.flavour == "mysql" else ("Slave_IO", "Slave_SQL")
        )
        return all(row[f"{kind}_Running"] == "Yes" for kind in kinds)


class Watching:
    """The reader in a thread."""

    def __init__(self, writers: Writers, **options: Any) -> None:
        self.reporter = ListReporter()
        self.watch = Watch(writers.config, self.reporter, **options)
        self.writers = writers
        self._thread = threading.Thread(target=self.watch.run, args=(120.0,), daemon=True)

    def __enter__(self) -> Watching:
        self._thread.start()
        until(lambda: self.nodes_that_read() == 2, "both readers")
        return self

    def __exit__(self, *_: object) -> None:
        self.reporter.permit.withdraw("by the test")
        self._thread.join(20)
        assert not self._thread.is_alive()

    def nodes_that_read(self) -> int:
        return sum(one["reading"] for one in self.watch.metrics()["nodes"].values())

    def told(self, kind: str, text: str = "") -> list[Event]:
        return [one for one in list(self.reporter.events) if one[0] == kind and text in one[1]]

    def await_told(self, kind: str, text: str = "", count: int = 1) -> list[Event]:
        found: list[Event] = []

        def enough() -> bool:
            found[:] = self.told(kind, text)
            return len(found) >= count

        until(
            enough, f"{count} x {kind} {text!r}; told: {[e[1] for e in self.reporter.events]}", 15
        )
        return found

    def companion_is_at_the_end(self, node: str) -> None:
        """The reader has said where it is, and the server was asked since: each once a second."""
        word = "BINARY LOG" if self.writers.flavour == "mysql" else "MASTER"
        file, position, *_ = self.writers.run(node, f"SHOW {word} STATUS")[0]
        companion = next(one.companion for one in self.watch._nodes if one.name == node)

        def so() -> bool:
            place, end = companion.read_up_to, companion.end
            if place is None or end is None:
                return False
            return (place.file, place.log_pos) == (end.file, end.position) == (file, position)

        until(so, f"the companion of {node} at {file}:{position}")

    def caught_up(self) -> None:
        """Everything that the nodes have is read."""
        ends = {node: self.writers.executed(node) for node in "ab"}

        def read() -> bool:
            return all(
                str(one.reader.position.begun()) == ends[one.name]
                for one in self.watch._nodes
                if one.reader is not None
            )

        until(read, "the readers at the end of both logs", 30)


@pytest.fixture(scope="module", params=FLAVOURS)
def writers(request: pytest.FixtureRequest) -> Iterator[Writers]:
    options = {"flavour": request.param, "mode": "dual-writer", "durability": "async"}
    with running_pair(**options) as pair:
        cluster = pair.cluster
        cluster.supervisor.stop(20.0)
        made = Writers(cluster, pair, request.param, load(cluster.config_path))
        for node in "ab":  # this machine does not lose its power
            made.run(node, "SET GLOBAL sync_binlog = 0, innodb_flush_log_at_trx_commit = 2")
        made.run("a", "CREATE DATABASE shop")
        until(made.same_history, "the schema on both nodes")
        yield made


def sides(event: Event) -> dict[str, tuple[str, dict[str, str], dict[str, str]]]:
    """node -> (change, before, after)"""
    fields = event[2]
    return {
        fields[f"{side}_node"]: (
            fields[f"{side}_change"],
            json.loads(fields[f"{side}_before"]),
            json.loads(fields[f"{side}_after"]),
        )
        for side in ("first", "second")
    }


def test_two_updates_of_one_row_that_cross(writers: Writers) -> None:
    """Both threads run on and the data differ: nothing but the reader tells."""
    table = writers.table("updates", "id INT PRIMARY KEY, n INT", "VALUES (1, 0), (2, 0)")
    with Watching(writers) as watching:
        with writers.held():
            writers.run("a", f"UPDATE {table} SET n = 10 WHERE id = 1")
            writers.run("b", f"UPDATE {table} SET n = 20 WHERE id = 1")
            writers.run("b", f"UPDATE {table} SET n = 30 WHERE id = 2")
            (event,) = watching.await_told("conflict")
            ends = {node: writers.executed(node) for node in "ab"}
        until(writers.same_history, "replication to go on")
        watching.caught_up()
        assert len(watching.told("conflict")) == 1
    fields = event[2]
    assert (fields["table"], fields["key"]) == (table, "PRIMARY")
    assert json.loads(fields["values"]) == {"id": "1"}
    assert sides(event) == {
        "a": ("update", {"id": "1", "n": "0"}, {"id": "1", "n": "10"}),
        "b": ("update", {"id": "1", "n": "0"}, {"id": "1", "n": "20"}),
    }
    for side in ("first", "second"):
        origin, number = (
            fields[f"{side}_gtid"]
            .replace("-", ":", 0)
            .rsplit(":" if writers.flavour == "mysql" else "-", 1)
        )
        assert origin.split("-")[0] in ends[fields[f"{side}_node"]]
        assert int(number) > 0
    assert all(writers.threads_run(node) for node in "ab")
    rows = {node: writers.run(node, f"SELECT n FROM {table} WHERE id = 1") for node in "ab"}
    assert rows == {"a": [(20,)], "b": [(10,)]}, "the nodes differ, as the report says"


def test_unique_keys_that_cross(writers: Writers) -> None:
    """Texts that only the collation takes for equal, NULLs, prefixes, and a key of two parts."""
    exact = "utf8mb4_0900_as_cs" if writers.flavour == "mysql" else "utf8mb4_uca1400_as_cs"
    table = writers.table(
        "uniques",
        "id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(40) COLLATE utf8mb4_general_ci UNIQUE,"
        f" code VARCHAR(40) COLLATE {exact} UNIQUE, x INT, y VARBINARY(9), UNIQUE xy (x, y),"
        " t TEXT COLLATE utf8mb4_general_ci, UNIQUE t5 (t(5))",
    )
    names = f"INSERT INTO {table} (name, code, x, y, t) VALUES"
    with Watching(writers) as watching, writers.held():
        writers.run("a", f"{names} ('Café', 'Aa', 1, NULL, 'ärgerlich')")
        writers.run("b", f"{names} ('cafe ', 'aa', 1, NULL, 'ARGERNIS')")
        assert {e[2]["key"] for e in watching.await_told("conflict", count=2)} == {"name", "t5"}
        writers.run("a", f"{names} ('x1', 'x1', 7, 'y', 'one')")
        writers.run("b", f"{names} ('x2', 'x2', 7, 'y', 'two')")
        (event,) = watching.await_told("conflict", "xy (x=7, y=0x79)")
        assert {change for change, _, _ in sides(event).values()} == {"insert"}
        watching.caught_up()
        assert len(watching.told("conflict")) == 3
        assert watching.watch.metrics()["equal_only_when_folded"] == 1  # Aa is not aa there
        assert not watching.told("wrong-id")
        for node in "ab":
            writers.forget(node, f"DELETE FROM {table}")
    until(writers.same_history, "replication to go on")


def test_unique_keys_on_generated_columns_and_odd_types(writers: Writers) -> None:
    table = writers.table(
        "generated",
        "id INT AUTO_INCREMENT PRIMARY KEY, n INT, v INT AS (n * 2) VIRTUAL, UNIQUE (v),"
        " s INT AS (n + 7) STORED, UNIQUE (s), f DOUBLE, UNIQUE (f), t TIMESTAMP(3) NULL,"
        " UNIQUE (t)",
    )
    names = f"INSERT INTO {table} (n, f, t) VALUES"
    with Watching(writers) as watching, writers.held():
        writers.run("a", f"{names} (5, 0.0, '2024-01-01 00:00:00.5')")
        writers.run("b", f"{names} (5, -0.0e0, '2024-01-01 00:00:00.5')")
        found = watching.await_told("conflict", count=4)
        assert {event[2]["key"] for event in found} == {"v", "s", "f", "t"}
        for node in "ab":
            writers.forget(node, f"DELETE FROM {table}")
    until(writers.same_history, "replication to go on")


def test_delete_against_update(writers: Writers) -> None:
    table = writers.table("deletes", "a INT, b INT, n INT, PRIMARY KEY (a, b)", "VALUES (1, 2, 3)")
    with Watching(writers) as watching, writers.held():
        writers.run("b", f"DELETE FROM {table}")
        writers.run("a", f"UPDATE {table} SET a = 5")
        (event,) = watching.await_told("conflict")
        assert json.loads(event[2]["values"]) == {"a": "1", "b": "2"}
        assert sides(event) == {
            "a": ("update", {"a": "1", "b": "2", "n": "3"}, {"a": "5", "b": "2", "n": "3"}),
            "b": ("delete", {"a": "1", "b": "2", "n": "3"}, {}),
        }
        writers.forget("a", f"UPDATE {table} SET a = 1")
        writers.forget("b", f"INSERT INTO {table} VALUES (1, 2, 3)")
    until(writers.same_history, "replication to go on")


def test_changes_that_follow_one_another_are_no_conflict(writers: Writers) -> None:
    """Counters that both nodes count up in turns, each on the other's arrival."""
    rows = ", ".join(f"({n}, 0)" for n in range(COUNTERS))
    table = writers.table("counters", "id INT PRIMARY KEY, n INT", f"VALUES {rows}")
    counts = [0] * COUNTERS
    failed: list[BaseException] = []

    def play(number: int) -> None:
        try:
            counts[number] = _count_in_turns(writers, table, number, seconds=8.0)
        except BaseException as error:  # noqa: BLE001  # shown by the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=play, args=(number,)) for number in range(COUNTERS)]
    with Watching(writers) as watching:
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert not failed
        until(writers.same_history, "the same history")
        watching.caught_up()
        metrics = watching.watch.metrics()
    assert metrics["conflicts"] == 0
    assert metrics["rows"] == sum(counts)
    assert sum(counts) > 500
    assert not metrics["out_of_reach"]
    assert metrics["held_bytes"] == 0, "nothing is held once replication is done"


def _count_in_turns(writers: Writers, table: str, number: int, seconds: float) -> int:
    made = {n: writers.pair.connect(writers.cluster.nodes[n].port, "admin") for n in "ab"}
    count, ends = 0, time.monotonic() + seconds
    with made["a"], made["b"]:
        while time.monotonic() < ends:
            with made["ab"[count % 2]].cursor() as cursor:
                while True:
                    cursor.execute(f"SELECT n FROM {table} WHERE id = {number}")
                    if cursor.fetchone() == (count,):
                        break
                    assert time.monotonic() < ends + 30
                cursor.execute(f"UPDATE {table} SET n = n + 1 WHERE id = {number}")
            count += 1
    return count


def test_ids_of_the_wrong_class(writers: Writers) -> None:
    table = writers.table("ids", "id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, n INT")
    with Watching(writers) as watching:
        for node in "ab":
            writers.run(node, f"INSERT INTO {table} (n) VALUES (1), (2)")
        until(writers.same_history, "both nodes' own ids")
        watching.caught_up()
        assert not watching.told("wrong-id")
        writers.run("a", f"INSERT INTO {table} (id, n) VALUES (1000, 1), (1002, 1), (1003, 1)")
        (event,) = watching.await_told("wrong-id")
        assert event[2]["table"] == table
        assert (event[2]["node"], event[2]["row_id"]) == ("a", "1000")
        assert event[2]["gtid"] in str(event)
        watching.caught_up()
        assert watching.watch.metrics()["wrong_ids"] == 2
        assert len(watching.told("wrong-id")) == 1, "one line for a table at a time"
        # A session that began before the setup of the pair, or one that somebody set:
        writers.run("b", "SET auto_increment_offset = 1", f"INSERT INTO {table} (n) VALUES (3)")
        assert watching.await_told("wrong-id", "on b")


def test_what_is_out_of_reach_is_counted(writers: Writers) -> None:
    bare = writers.table("no_key", "n INT, u INT, UNIQUE (u)")
    parent = writers.table("parents", "id INT PRIMARY KEY", "VALUES (1)")
    writers.table(
        "children",
        "id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parents (id) ON DELETE CASCADE",
        "VALUES (1, 1)",
    )
    minimal = writers.table("minimal", "id INT PRIMARY KEY, n INT, m INT", "VALUES (1, 1, 1)")
    with Watching(writers) as watching:
        writers.run("a", f"INSERT INTO {bare} VALUES (1, NULL), (2, NULL)")
        writers.run("a", f"DELETE FROM {parent}")
        writers.run("b", "SET binlog_row_image = MINIMAL", f"UPDATE {minimal} SET n = 2")
        writers.run("b", f"ALTER TABLE {bare} ADD z INT")
        until(writers.same_history, "the same history")
        watching.caught_up()
        found = watching.watch.metrics()["out_of_reach"]
        assert found["no_key"] == {bare: 2}
        assert found["partial_image"] == {minimal: 1}
        assert found["ddl"] == {"": 1} or found["ddl"] == {"shop.*": 1}
        if writers.flavour == "mariadb":
            assert found["cascade"] == {parent: 1}
        else:  # its cascades are rows like others
            expected = watching.watch._nodes[0].logs_cascades
            assert ("cascade" in found) != expected
        assert watching.told("out-of-reach", bare)
        if writers.flavour == "mysql":
            functional = writers.table("functional", "id INT PRIMARY KEY, n INT, UNIQUE ((n + 1))")
            writers.run("a", f"INSERT INTO {functional} VALUES (1, 1)")
            watching.await_told("out-of-reach", functional)


def test_a_table_altered_while_it_is_read(writers: Writers) -> None:
    """A key that is added later counts from then on."""
    table = writers.table("altered", "id INT PRIMARY KEY, n INT", "VALUES (1, 1), (2, 2)")
    with Watching(writers) as watching:
        writers.run("a", f"UPDATE {table} SET n = n + 10")
        writers.run("a", f"ALTER TABLE {table} ADD name VARCHAR(20), ADD UNIQUE (name)")
        until(writers.same_history, "the same history")
        with writers.held():
            writers.run("a", f"UPDATE {table} SET name = 'x' WHERE id = 1")
            writers.run("b", f"UPDATE {table} SET name = 'x' WHERE id = 2")
            (event,) = watching.await_told("conflict")
            assert event[2]["key"] == "name"
            for node in "ab":
                writers.forget(node, f"UPDATE {table} SET name = NULL")
        until(writers.same_history, "replication to go on")


def test_a_table_is_known_before_its_rows_come(
    writers: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A busy server takes long to answer, and the reader would stand still for it."""
    table = writers.table("expected", "id INT PRIMARY KEY, n INT", "VALUES (1, 1)")
    name, asked = ("shop", "expected"), []
    ask = Watch._ask_facts

    def noting(watch: Watch, node: NodeState, schema: str, table: str) -> Facts | None:
        asked.append((schema, table))
        return ask(watch, node, schema, table)

    monkeypatch.setattr(Watch, "_ask_facts", noting)
    with Watching(writers) as watching:
        nodes = watching.watch._nodes
        for change, rows in ((f"UPDATE {table} SET n = 2", 1), (f"UPDATE {table} SET n = 3", 2)):
            until(lambda: all(one.tables.known(name) for one in nodes), "both nodes' tables")
            writers.run("a", change)
            until(lambda rows=rows: watching.watch.rows == rows, "the row")  # type: ignore[misc]
            assert name not in asked
            watching.caught_up()
            writers.run("a", f"ALTER TABLE {table} COMMENT 'row {rows}'")
            until(writers.same_history, "the statement on both nodes")
            watching.caught_up()


def test_a_reader_whose_connection_is_cut_goes_on_where_it_was(writers: Writers) -> None:
    table = writers.table("cut", "id INT PRIMARY KEY, n INT", "VALUES (1, 0)")
    with Watching(writers) as watching, writers.held():
        writers.run("a", f"UPDATE {table} SET n = 1")
        watching.caught_up()
        for node in "ab":
            for (number,) in writers.run(
                node,
                "SELECT id FROM information_schema.processlist"
                " WHERE command LIKE 'Binlog Dump%' AND user = 'myha'",
            ):
                writers.run(node, f"KILL {number}")
        writers.run("b", f"UPDATE {table} SET n = 2")
        (event,) = watching.await_told("conflict", table)
        assert set(sides(event)) == {"a", "b"}
        watching.caught_up()
        metrics = watching.watch.metrics()
        assert metrics["conflicts"] == 1
        assert not any(node["unseen"] for node in metrics["nodes"].values())
    until(writers.same_history, "replication to go on")


def test_what_was_purged_before_it_was_read_is_told(writers: Writers) -> None:
    table = writers.table("purged", "id INT PRIMARY KEY, n INT", "VALUES (1, 0)")
    since = writers.executed("a")
    for n in range(5):
        writers.run("a", f"UPDATE {table} SET n = {n}")
    until(writers.same_history, "the same history")
    drop_older_logs(partial(writers.run, "a"))
    with Watching(writers, since=since) as watching:
        (event,) = watching.await_told("conflicts-gap", "a has purged binary logs")
        assert int(event[2]["unseen"]) == 4
        with writers.held():
            writers.run("a", f"UPDATE {table} SET n = 10")
            writers.run("b", f"UPDATE {table} SET n = 20")
            watching.await_told("conflict", table)
        assert watching.watch.metrics()["nodes"]["a"]["unseen"] == 4
    until(writers.same_history, "replication to go on")


def test_an_event_of_more_than_one_packet(writers: Writers) -> None:
    table = writers.table("large", "id INT PRIMARY KEY, b LONGBLOB", "VALUES (1, '')")
    before = {n: writers.run(n, "SELECT @@GLOBAL.max_allowed_packet")[0][0] for n in "ab"}
    for node in "ab":
        writers.run(node, "SET GLOBAL max_allowed_packet = 64 << 20")
    with Watching(writers) as watching:
        with writers.held():
            writers.run("a", f"UPDATE {table} SET b = REPEAT('x', 17 << 20)")
            writers.run("b", f"UPDATE {table} SET b = 'y'")
            (event,) = watching.await_told("conflict", table)
            assert len(event[2]["first_after"]) < 2000, "long values are cut in a report"
        until(writers.same_history, "replication to go on")
        watching.caught_up()
    for node in "ab":
        writers.run(node, f"SET GLOBAL max_allowed_packet = {before[node]}")


def test_the_job_and_the_command(writers: Writers) -> None:
    """What the daemon starts, and what an operator does; neither is in the other's way."""
    table = writers.table("commands", "id INT PRIMARY KEY, n INT", "VALUES (1, 0)")
    reporter = ListReporter()
    outcome: list[dict[str, Any]] = []
    order = {"kind": "conflicts", "config": str(writers.cluster.config_path), "seconds": 30}
    thread = threading.Thread(target=lambda: outcome.append(job.run(order, reporter)), daemon=True)
    thread.start()
    printed: list[str] = []

    def command() -> None:
        done = writers.pair.myha("conflicts", "watch", "--seconds", "4", "--json")
        assert done.returncode == 1, done.stderr
        printed.extend(done.stdout.splitlines())

    shell = threading.Thread(target=command, daemon=True)
    shell.start()
    until(lambda: _dumps(writers) == 4, "four readers")
    with writers.held():
        writers.run("a", f"UPDATE {table} SET n = 1")
        writers.run("b", f"UPDATE {table} SET n = 2")
        until(lambda: reporter.events, "the job's event")
    shell.join(30)
    reporter.permit.withdraw("by the test")
    thread.join(20)
    told = [json.loads(line) for line in printed]
    assert [one["table"] for one in told if one.get("event") == "conflict"] == [table]
    assert told[-1]["summary"]["conflicts"] == 1
    assert outcome[0]["conflicts"] == 1
    assert "1 conflicts" in outcome[0]["text"]
    until(writers.same_history, "replication to go on")


def _dumps(writers: Writers) -> int:
    query = (
        "SELECT COUNT(*) FROM information_schema.processlist"
        " WHERE command LIKE 'Binlog Dump%' AND user = 'myha'"
    )
    return sum(int(writers.run(node, query)[0][0]) for node in "ab")


def test_a_reader_acknowledges_nothing(writers: Writers) -> None:
    """It must not count as a semi-sync replica: an OK would promise what no node has."""
    word = "source" if writers.flavour == "mysql" else "master"

    def clients() -> int:
        return int(
            writers.run("a", f"SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{word}_clients'")[0][1]
        )

    before = clients()
    with Watching(writers):
        assert clients() == before


@pytest.mark.parametrize("seen", ["after", "between"])
def test_a_log_that_is_reset_under_the_reader(writers: Writers, seen: str) -> None:
    """As a rewind does it: the server goes on sending heartbeats from the log that is gone.

    A rewind needs two statements; a reader that comes between them sees a server that has nothing.
    """
    table = writers.table(f"reset_{seen}", "id INT PRIMARY KEY, n INT", "VALUES (1, 0)")
    word = "REPLICA" if writers.flavour == "mysql" else "SLAVE"
    with Watching(writers) as watching:
        for node in "ab":
            writers.run(node, f"STOP {word}")
        writers.run("a", f"UPDATE {table} SET n = 5")  # errant, and undone right away
        watching.caught_up()
        watching.companion_is_at_the_end("a")
        kept = writers.executed("b")
        if writers.flavour == "mysql":
            reset = "RESET BINARY LOGS AND GTIDS"
            had = [f"SET GLOBAL gtid_purged = '{kept}'"]
        else:
            reset = "RESET MASTER"
            had = [f"SET GLOBAL gtid_{n} = '{kept}'" for n in ("binlog_state", "slave_pos")]
        writers.run("a", reset)
        if seen == "between":
            watching.await_told("conflicts-gap", "no longer has")
        writers.run("a", *had)
        writers.forget("a", f"UPDATE {table} SET n = 0")
        watching.await_told("conflicts-gap", "no longer has")
        for node in "ab":
            writers.run(node, f"START {word}")
        writers.run("b", f"UPDATE {table} SET n = 7")
        until(writers.same_history, "replication to go on")
        with writers.held():
            writers.run("a", f"UPDATE {table} SET n = 18")
            writers.run("b", f"UPDATE {table} SET n = 19")
            (event,) = watching.await_told("conflict", table)
        assert {after["n"] for _, _, after in sides(event).values()} == {"18", "19"}
