"""Divergence is seen and shown on real pairs: errant transactions, and appliers that have stopped.

W is the node that is looked at, P the writer.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from myha.cli.status import explanation
from myha.core.planning import decide
from myha.core.record import Cause, Membership, NodeRecord, Record, Sync
from myha.operations.divergence import errant as errant_looks
from myha.operations.divergence.errant import ErrantLook, InspectedNode, look_for_errant
from myha.operations.divergence.failures import applier_failure
from myha.operations.divergence.replication_error import (
    ReplicationErrorReport,
    explained,
)
from myha.operations.divergence.transaction_listing import Change, decoders_of, errant_items
from myha.stores.local.record import LocalRecordStore
from myha.supervisor.status_builder import build_status
from tests.core.views import record, view
from tests.real.bare import BareServer
from tests.real.diverged import Pair, bare_pair, come_back_with, make_database, replicating
from tests.real.purging import drop_older_logs
from tests.waiting import until

pytestmark = pytest.mark.real

LOOKS = 200
RSS_LIMIT_BYTES = 110 * 1024 * 1024
BIG_ROWS = 16_384
# Runs a command; its peak of resident memory, in KiB, on standard error.
PEAK_RSS = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
sys.stderr.write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with bare_pair(request.param) as pair:
        yield pair


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    with replicating(servers):
        yield servers


def myha(pair: Pair, directory: Path, *words: str) -> list[str]:
    """The command line of `myha` with a configuration of this pair; there is no daemon."""
    config = directory / "myha.toml"
    nodes = "".join(
        f'[nodes.{name}]\nhost = "127.0.0.1"\nport = {server.port}\n'
        for name, server in (("w", pair.w), ("p", pair.p))
    )
    config.write_text(
        f'[cluster]\nstate_dir = "{directory}/state"\n{nodes}[accounts]\nsupervisor_user = "sup"\n'
        f'[balancers.lb1]\nsocket = "{directory}/s"\nwriter_listen = "127.0.0.1:1"\n'
        'reader_listen = "127.0.0.1:2"\n'
    )
    return [sys.executable, "-m", "myha", "--config", str(config), *words]


ENVIRONMENT = {**os.environ, "MYHA_SUPERVISOR_PASSWORD": "pw"}


def show(pair: Pair, directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        myha(pair, directory, "divergence", "show", "w", "--writer", "p", *words),
        capture_output=True,
        text=True,
        timeout=90,
        env=ENVIRONMENT,
        check=False,
    )


def show_json(pair: Pair, directory: Path, *words: str) -> tuple[int, dict[str, Any]]:
    done = show(pair, directory, "--json", *words)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def look_at(pair: Pair) -> ErrantLook:
    node = InspectedNode(pair.sup(), pair.kind, 30)
    writer = InspectedNode(pair.sup(server=pair.p), pair.kind, 30)
    try:
        return look_for_errant(node, writer)
    finally:
        node.close()
        writer.close()


# ---- errant transactions


def test_errant_rows_and_statements_are_shown_exactly(pair: Pair, tmp_path: Path) -> None:
    make_database(
        pair, "app", "t (id INT PRIMARY KEY, v VARCHAR(20), b VARBINARY(9), e ENUM('x','y'))"
    )
    pair.w.run("INSERT INTO app.t VALUES (1,'one',NULL,'x'), (2,'two',X'00ff','y')")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    assert show(pair, tmp_path).returncode == 0
    came = time.time()
    come_back_with(
        pair,
        "BEGIN",
        "INSERT INTO app.t VALUES (3,'drei',X'01',NULL)",
        "UPDATE app.t SET v='zwei', e=NULL WHERE id=2",
        "COMMIT",
        "DELETE FROM app.t WHERE id=1",
        "CREATE TABLE app.u (id INT PRIMARY KEY)",
        "CREATE USER someone@localhost IDENTIFIED BY 'a password'",
    )
    pair.p.run("INSERT INTO app.t VALUES (9,'nine',NULL,'x')")
    status, found = show_json(pair, tmp_path)
    assert status == 1
    assert found["diverged"] is True
    errant = found["errant"]
    assert errant["count"] == 4
    assert not errant["on_its_way"]
    transactions = errant["transactions"]
    assert transactions[0]["changes"] == [
        {
            "table": "app.t",
            "change": "insert",
            "before": None,
            "after": {"id": 3, "v": "drei", "b": "0x01", "e": None},
        },
        {
            "table": "app.t",
            "change": "update",
            "before": {"id": 2, "v": "two", "b": "0x00ff", "e": "'y'"},
            "after": {"id": 2, "v": "zwei", "b": "0x00ff", "e": None},
        },
    ]
    assert transactions[0]["tables"] == {"app.t": {"inserted": 1, "updated": 1, "deleted": 0}}
    assert [one["change"] for one in transactions[1]["changes"]] == ["delete"]
    assert transactions[2]["changes"][0]["statement"].endswith(
        "CREATE TABLE app.u (id INT PRIMARY KEY)"
    )
    assert "CREATE USER" in transactions[3]["changes"][0]["statement"]
    stamp = time.mktime(time.strptime(transactions[0]["at"], "%Y-%m-%d %H:%M:%SZ")) - time.timezone
    assert abs(stamp - came) < 30
    executed = pair.executed(pair.w).minus(pair.executed(pair.p))
    assert errant["set"] == str(executed)
    assert len({one["gtid"] for one in transactions}) == 4
    _, limited = show_json(pair, tmp_path, "--limit", "1")
    assert limited["errant"]["transactions"][0]["changes"] == transactions[0]["changes"][:1]
    assert limited["errant"]["transactions"][0]["tables"] == transactions[0]["tables"]
    assert limited["errant"]["more_changes"] == 4
    assert limited["errant"]["more_transactions"] == 3
    text = show(pair, tmp_path)
    assert text.returncode == 1
    assert "    before: id=2, v='two', b=0x00ff, e='y'" in text.stdout
    assert "    after:  id=2, v='zwei', b=0x00ff, e=NULL" in text.stdout
    assert "  delete app.t: id=1, v='one', b=NULL, e='x'" in text.stdout
    assert "a password" not in text.stdout
    assert "IDENTIFIED" in text.stdout
    pair.w.run("SET GLOBAL read_only=OFF", "DROP USER someone@localhost")


def test_a_table_that_was_altered_since_is_named_and_its_rows_are_counted(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "alt", "t (id INT PRIMARY KEY)")
    come_back_with(pair, "INSERT INTO alt.t VALUES (1), (2)", "ALTER TABLE alt.t ADD COLUMN x INT")
    status, found = show_json(pair, tmp_path)
    first, second = found["errant"]["transactions"]
    assert status == 1
    assert "altered since" in first["changes"][0]["not_shown"]
    assert first["tables"]["alt.t"]["inserted"] == 2
    assert "ALTER TABLE" in second["changes"][0]["statement"]


def test_partial_images_say_so(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "part", "t (id INT PRIMARY KEY, v INT, w INT)")
    pair.w.run("INSERT INTO part.t VALUES (1,2,3)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    come_back_with(pair, "SET binlog_row_image='MINIMAL'", "UPDATE part.t SET v=5")
    done = show(pair, tmp_path)
    assert done.returncode == 1
    assert "updated rows of part.t: " in done.stdout
    assert "binlog_row_image is not FULL" in done.stdout


def test_a_purged_binary_log_is_one_clear_line(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "gone", "t (id INT PRIMARY KEY)")
    come_back_with(pair, "INSERT INTO gone.t VALUES (1)", "FLUSH BINARY LOGS")
    drop_older_logs(pair.w.run)
    done = show(pair, tmp_path)
    assert done.returncode == 1
    assert done.stderr == ""
    (line,) = [line for line in done.stdout.splitlines() if "cannot be shown" in line]
    assert "no longer hold" in line
    status, found = show_json(pair, tmp_path)
    assert status == 1
    assert found["errant"]["count"] == 1
    assert "no longer hold" in found["errant"]["unreadable"]


def test_a_history_larger_than_memory_is_streamed_limited_and_interrupted(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "big", "t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(8000))")
    doubling = "INSERT INTO big.t (v) SELECT REPEAT('x', 6000) FROM big.t"
    # One transaction of 98 MB.
    doublings = [doubling] * (BIG_ROWS.bit_length() - 1)
    come_back_with(pair, "BEGIN", "INSERT INTO big.t (v) VALUES ('x')", *doublings, "COMMIT")
    words = ("divergence", "show", "w", "--writer", "p", "--limit", "10")
    with (tmp_path / "out").open("wb") as out:
        # Not started by this process itself: its own size would count as the child's.
        command = (sys.executable, "-c", PEAK_RSS, *myha(pair, tmp_path, *words))
        done = subprocess.run(
            command, stdout=out, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, check=False
        )
    assert done.returncode == 1
    assert int(done.stderr) * 1024 < RSS_LIMIT_BYTES
    shown = (tmp_path / "out").read_text()
    assert shown.count("  insert big.t: ") == 10
    assert f"in all: big.t ({BIG_ROWS} inserted, 0 updated, 0 deleted)" in shown
    assert f"and {BIG_ROWS - 10} more changes, 0 more transactions" in shown
    _assert_ctrl_c_is_clean(pair, tmp_path)


def _assert_ctrl_c_is_clean(pair: Pair, directory: Path) -> None:
    words = ("divergence", "show", "w", "--writer", "p", "--limit", "0")
    child = subprocess.Popen(
        myha(pair, directory, *words),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        text=True,
    )
    assert child.stdout is not None
    for _ in range(5):
        child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=90)
    assert child.returncode == 130
    assert said.strip() == "myha: interrupted"


# ---- a busy pair


@contextmanager
def clients(
    server: BareServer, table: str, count: int, rest_seconds: float = 0.0
) -> Iterator[list[int]]:
    """Sessions that write, and rest in between; the list counts their commits."""
    stop = threading.Event()
    commits = [0] * count

    def write(number: int) -> None:
        with server.connect(read_timeout=30) as connection, connection.cursor() as cursor:
            while not stop.is_set():
                cursor.execute(f"INSERT INTO {table} (v) VALUES (%s)", (number,))
                commits[number] += 1
                stop.wait(rest_seconds)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield commits
    finally:
        stop.set()
        for thread in threads:
            thread.join(90)


@contextmanager
def semisync(pair: Pair) -> Iterator[None]:
    """P waits for W's acknowledgement with each commit: W has it before P counts it."""
    if pair.is_mysql:
        source, replica = "rpl_semi_sync_source", "rpl_semi_sync_replica"
        with suppress(pymysql.Error):
            pair.p.run(f"INSTALL PLUGIN {source} SONAME 'semisync_source.so'")
        with suppress(pymysql.Error):
            pair.w.run(f"INSTALL PLUGIN {replica} SONAME 'semisync_replica.so'")
    else:
        source, replica = "rpl_semi_sync_master", "rpl_semi_sync_slave"
    wait_point = "AFTER_SYNC"
    pair.w.run(f"SET GLOBAL {replica}_enabled=ON", "STOP REPLICA", "START REPLICA")
    pair.p.run(f"SET GLOBAL {source}_wait_point={wait_point}", f"SET GLOBAL {source}_enabled=ON")
    status = f"SHOW STATUS LIKE '{source.capitalize()}_clients'"
    try:
        until(lambda: int(pair.p.run(status)[0][1]) == 1, "semi-sync is on")
        yield
    finally:
        pair.p.run(f"SET GLOBAL {source}_enabled=OFF")
        pair.w.run(f"SET GLOBAL {replica}_enabled=OFF", "STOP REPLICA", "START REPLICA")


def test_a_busy_pair_is_never_called_errant(pair: Pair) -> None:
    make_database(pair, "busy", "t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT)")
    node = InspectedNode(pair.sup(), pair.kind, 120)
    writer = InspectedNode(pair.sup(server=pair.p), pair.kind, 120)
    looks = wrong_way_round = 0
    between_seconds = 0.02
    ends = time.monotonic() + 180
    with semisync(pair), clients(pair.p, "busy.t", 4, 0.005) as commits:
        until(lambda: sum(commits) > 50, "they write")
        # Until a look in the wrong order would have given a false verdict.
        while looks < LOOKS or not wrong_way_round or sum(commits) < LOOKS:
            if time.monotonic() > ends:
                pytest.skip("the machine is so busy that the pair is not: this says nothing")
            look = look_for_errant(node, writer)
            assert look.errant.is_empty(), str(look.errant)
            before = writer.executed()
            time.sleep(between_seconds)
            between_seconds = min(1.0, between_seconds * (1.0 if wrong_way_round else 1.2))
            wrong_way_round += not node.executed().minus(before).is_empty()
            looks += 1
    node.close()
    writer.close()


def test_a_pair_with_two_writers_is_never_called_diverged(pair: Pair) -> None:
    make_database(pair, "twin", "t (id BIGINT AUTO_INCREMENT PRIMARY KEY, v INT)")
    for server, offset in ((pair.w, 1), (pair.p, 2)):
        server.run(
            "SET GLOBAL auto_increment_increment=2", f"SET GLOBAL auto_increment_offset={offset}"
        )
    node = InspectedNode(pair.sup(), pair.kind, 120)
    writer = InspectedNode(pair.sup(server=pair.p), pair.kind, 120)
    # Without a rest an applier falls ever further behind, and each look waits for it.
    rest = 0.002
    with clients(pair.p, "twin.t", 1, rest) as one, clients(pair.w, "twin.t", 1, rest) as two:
        until(lambda: min(sum(one), sum(two)) > 20, "both write")
        for _ in range(30):
            look = look_for_errant(node, writer)
            assert not look.diverged, str(look.errant)
    node.close()
    writer.close()


def test_what_a_stopped_writer_has_not_got_yet_is_errant_and_then_no_more(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errant_looks, "CONFIRM_SECONDS", 0.2)
    make_database(pair, "late", "t (id INT PRIMARY KEY)")
    pair.stop(pair.p)
    pair.w.run("INSERT INTO late.t VALUES (1)")
    look = look_at(pair)
    assert look.diverged
    assert look.errant.count() == 1
    node = InspectedNode(pair.sup(), pair.kind, 30)
    changes = [
        one for one in errant_items(node, look, decoders_of(node)) if isinstance(one, Change)
    ]
    node.close()
    assert [(one.table, one.after) for one in changes] == [("late.t", (1,))]
    pair.start(pair.p)
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    assert not look_at(pair).diverged


# ---- appliers that have stopped


def explain(pair: Pair) -> ReplicationErrorReport:
    until(lambda: _applier_error(pair) != 0, "the applier has stopped")
    report = replication_error(pair)
    assert report is not None
    assert "\n" not in "".join(report.lines())
    return report


def replication_error(pair: Pair) -> ReplicationErrorReport | None:
    """Of the applier of W, as the least-privileged account sees it."""
    ours = InspectedNode(pair.sup(), pair.kind, 60.0)
    theirs = InspectedNode(pair.sup(server=pair.p), pair.kind, 60.0)
    try:
        failure = applier_failure(ours)
        if failure is None:
            return None
        return explained(ours, theirs, failure, look_for_errant(ours, theirs), "w")
    finally:
        ours.close()
        theirs.close()


def _applier_error(pair: Pair) -> int:
    with pair.w.connect(cursorclass=pymysql.cursors.DictCursor) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW REPLICA STATUS")
        (row,) = cursor.fetchall()
        return int(row["Last_SQL_Errno"])


def behind(pair: Pair, *statements: str) -> None:
    """Change W without its binary log."""
    pair.w.run("SET sql_log_bin=0", "SET foreign_key_checks=0", *statements)


@contextmanager
def mended(pair: Pair, *statements: str) -> Iterator[None]:
    """Afterwards W is put right, and the pair is whole again."""
    try:
        yield
    finally:
        behind(pair, *statements)
        with suppress(pymysql.Error):
            pair.w.run("STOP REPLICA")
        pair.w.run("START REPLICA")
        until(lambda: pair.has_all(pair.w, pair.p), f"W goes on: {pair.errors()}")


def caught_up(pair: Pair) -> None:
    until(lambda: pair.has_all(pair.w, pair.p) and pair.has_all(pair.p, pair.w), "both are equal")


def test_a_row_that_was_removed_is_named_among_the_rows_of_its_event(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "miss", "t (id INT PRIMARY KEY, v VARCHAR(20))")
    pair.p.run("INSERT INTO miss.t VALUES (1,'a'), (2,'b'), (3,'c')")
    caught_up(pair)
    assert replication_error(pair) is None
    behind(pair, "DELETE FROM miss.t WHERE id=2")
    with mended(pair, "INSERT INTO miss.t VALUES (2,'b')"):
        pair.p.run(
            "BEGIN", "INSERT INTO miss.t VALUES (4,'d')", "UPDATE miss.t SET v='new'", "COMMIT"
        )
        report = explain(pair)
        assert (report.errno, report.kind) == (1032, "missing-row")
        assert report.change is not None
        assert (report.change.before, report.change.after) == ((2, b"b"), (2, b"new"))
        assert report.finding == "the row with this key PRIMARY is not on the node"
        assert report.heal == "reseed"
        last = str(pair.executed(pair.p).minus(pair.executed(pair.w)))
        assert report.gtid in last or last in report.gtid
        status, found = show_json(pair, tmp_path)
        assert status == 1
        assert found["errant"]["count"] == 0
        assert found["replication_error"]["change"]["before"] == {"id": 2, "v": "b"}
        text = show(pair, tmp_path).stdout
        assert "before: id=2, v='b'" in text
        assert "heal: " in text


def test_a_duplicate_shows_the_row_in_the_way(pair: Pair) -> None:
    make_database(
        pair,
        "dup",
        "t (id INT PRIMARY KEY, n VARCHAR(9) CHARACTER SET utf8mb4, w BIT(3), UNIQUE (n))",
    )
    caught_up(pair)
    behind(pair, "INSERT INTO dup.t VALUES (5,'W',5)")
    with mended(pair, "DELETE FROM dup.t"):
        pair.p.run("INSERT INTO dup.t VALUES (5,'p',5)")
        report = explain(pair)
        assert (report.errno, report.kind, report.heal) == (1062, "duplicate-key", "reseed")
        assert report.change is not None
        assert report.change.after == (5, b"p", 5)
        (row,) = report.in_the_way
        assert (row.table, row.key) == ("dup.t", "PRIMARY")
        assert row.values == {"id": "5", "n": "'W'", "w": "b'101'"}
        assert row.differs == ("n",)
    behind(pair, "INSERT INTO dup.t VALUES (7,'UNIQ',NULL)")
    with mended(pair, "DELETE FROM dup.t WHERE id=7"):
        pair.p.run("INSERT INTO dup.t VALUES (6,'other',1), (8,'uniq',2)")
        report = explain(pair)
        assert report.change is not None
        assert report.change.after == (8, b"uniq", 2)
        (row,) = report.in_the_way
        assert (row.key, row.values["n"]) == ("n", "'UNIQ'")


def test_an_errant_row_in_the_way_is_for_a_rewind(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "err", "t (id INT PRIMARY KEY, v INT)")
    pair.stop(pair.p)
    pair.w.run("INSERT INTO err.t VALUES (1,10)")
    pair.p.run("INSERT INTO err.t VALUES (1,20)")
    report = explain(pair)
    assert report.errno == 1062
    assert report.in_the_way[0].values == {"id": "1", "v": "10"}
    assert report.heal == "rewind"
    assert "errant transactions (1)" in report.sentence
    done = show(pair, tmp_path)
    assert done.returncode == 1
    assert "insert err.t: id=1, v=10" in done.stdout
    assert "conflicting row, by key PRIMARY: err.t: id=1, v=10" in done.stdout
    pair.w.run("STOP REPLICA")


def test_foreign_keys_name_the_other_row(pair: Pair) -> None:
    make_database(
        pair,
        "fk",
        "parent (id INT PRIMARY KEY)",
        "child (id INT PRIMARY KEY, pid INT,"
        " CONSTRAINT c1 FOREIGN KEY (pid) REFERENCES parent (id))",
    )
    pair.p.run("INSERT INTO fk.parent VALUES (1), (2)")
    caught_up(pair)
    behind(pair, "DELETE FROM fk.parent WHERE id=2")
    with mended(pair, "INSERT INTO fk.parent VALUES (2)"):
        pair.p.run("INSERT INTO fk.child VALUES (1,1), (2,2)")
        report = explain(pair)
        assert (report.errno, report.kind) == (1452, "foreign-key")
        assert report.change is not None
        assert report.change.after == (2, 2)
        assert "fk.parent that it refers to by c1 is not on the node" in report.finding
    caught_up(pair)
    pair.p.run("DELETE FROM fk.child")
    caught_up(pair)
    behind(pair, "INSERT INTO fk.child VALUES (9,2)")
    with mended(pair, "DELETE FROM fk.child"):
        pair.p.run("DELETE FROM fk.parent")
        report = explain(pair)
        assert (report.errno, report.kind) == (1451, "foreign-key")
        assert report.change is not None
        assert report.change.before == (2,)
        assert report.in_the_way[0].text == "fk.child: id=9, pid=2"


def test_a_table_that_is_missing_is_a_difference_of_schemas(pair: Pair) -> None:
    make_database(pair, "schema1", "t (id INT PRIMARY KEY)")
    behind(pair, "DROP TABLE schema1.t")
    with mended(pair, "CREATE TABLE schema1.t (id INT PRIMARY KEY)"):
        pair.p.run("INSERT INTO schema1.t VALUES (1)")
        report = explain(pair)
        assert (report.errno, report.kind, report.heal) == (1146, "schema", "reseed")
        assert report.gtid
        assert "schema1.t" in "".join(report.lines())
    if not pair.is_mysql:
        return  # MariaDB's applier replaces a table that is there already (slave_ddl_exec_mode)
    behind(pair, "CREATE TABLE schema1.u (id INT)")
    with mended(pair, "DROP TABLE schema1.u"):
        pair.p.run("CREATE TABLE schema1.u (id INT PRIMARY KEY)")
        report = explain(pair)
        assert (report.errno, report.kind) == (1050, "schema")
        assert report.statement.endswith("CREATE TABLE schema1.u (id INT PRIMARY KEY)")


def test_the_writers_purged_binary_log_is_a_note_and_not_an_end(pair: Pair) -> None:
    make_database(pair, "wp", "t (id INT PRIMARY KEY)")
    behind(pair, "INSERT INTO wp.t VALUES (1)")
    pair.p.run("INSERT INTO wp.t VALUES (1)")
    explain(pair)
    pair.stop()  # their connections hold the last log
    drop_older_logs(pair.p.run)
    report = explain(pair)
    assert report.errno == 1062
    assert report.heal == "reseed"
    assert report.change is None
    assert any("purged" in note.lower() for note in report.notes), report.notes
    pair.w.run("INSERT INTO wp.t VALUES (2)")  # only W has it: the fixture begins both anew


def test_the_writer_is_the_one_on_record(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "rec", "t (id INT PRIMARY KEY)")
    nodes = tuple((name, NodeRecord(Membership.MEMBER)) for name in ("w", "p"))
    record = Record(version=1, epoch=1, writer="p", sync=Sync.SOLO, nodes=nodes)
    store = LocalRecordStore(tmp_path / "state")
    store.compare_and_set(0, record)
    store.close()
    pair.stop()
    pair.w.run("INSERT INTO rec.t VALUES (1)")
    for node, status, text in (
        ("w", 1, "w has 1 errant transaction, not on p"),
        ("p", 0, "p is the writer: it cannot have errant transactions"),
    ):
        done = subprocess.run(
            myha(pair, tmp_path, "divergence", "show", node),
            capture_output=True,
            text=True,
            timeout=60,
            env=ENVIRONMENT,
            check=False,
        )
        assert (done.returncode, done.stderr) == (status, "")
        assert text in done.stdout
        assert f"the applier of {node} has no error" in done.stdout


def test_explain_leads_to_it() -> None:
    reason = "it has 2 errant transactions: x:1-2"
    now = view(on_record=record(db2=NodeRecord(Membership.FENCED, Cause.ERRANT, reason)))
    lines = explanation(build_status("p", now, decide(now), None))
    told = [line for line in lines if "myha divergence show" in line]
    assert told == ["  db2: for the rows, run `myha divergence show db2`"]


def test_wrong_calls_are_one_line(pair: Pair, tmp_path: Path) -> None:
    for words, text, status in (
        (("x", "--writer", "p"), "no node 'x'", 2),
        (("w",), "--writer", 1),
    ):
        done = subprocess.run(
            myha(pair, tmp_path, "divergence", "show", *words),
            capture_output=True,
            text=True,
            timeout=60,
            env=ENVIRONMENT,
            check=False,
        )
        assert done.returncode == status
        (line,) = done.stderr.splitlines()
        assert text in line
