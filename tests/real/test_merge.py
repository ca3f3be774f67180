"""Merging errant transactions into the writer on real pairs: exact, or refused and untouched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from myha.binlog.errors import HealRefusedError, LookAgainError
from myha.operations.heal import merge as merging
from myha.operations.heal.merge import MergeReport, merge_node
from myha.permit import CancelledError
from myha.undo import outcome, summed_files
from tests.real.diverged import (
    DEADLINE_SECONDS,
    Pair,
    bare_pair,
    come_back_with,
    flavours,
    make_database,
    replicating,
)
from tests.reporters import ListReporter
from tests.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=flavours("merge"))
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with bare_pair(request.param) as pair:
        yield pair


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    with replicating(servers) as pair:
        yield pair


def merge(pair: Pair, directory: Path, **options: Any) -> MergeReport:
    return merge_node(
        options.pop("node_connect", pair.sup()),
        options.pop("writer_connect", pair.sup(server=pair.p)),
        pair.kind,
        options.pop("executed", pair.executed(pair.w)),
        options.pop("keep", pair.executed(pair.p)),
        directory,
        {"node": "w", "why": "a test"},
        options.pop("reporter", ListReporter()),
        deadline_seconds=DEADLINE_SECONDS,
        **options,
    )


def state(pair: Pair) -> Any:
    """All that a refused merge must leave alone, on both servers."""
    found = []
    for server in (pair.w, pair.p):
        schemas = ", ".join(f"'{name}'" for name in pair.databases)
        tables = server.run(
            "SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables"
            f" WHERE table_schema IN ({schemas}) ORDER BY 1"
        )
        sums = server.run(f"CHECKSUM TABLE {', '.join(name for (name,) in tables)}")
        found.append((sums, pair.executed(server)))
    return found


def assert_refused(pair: Pair, directory: Path, why: str, **options: Any) -> None:
    before = state(pair)
    with pytest.raises(HealRefusedError, match=why) as caught:
        merge(pair, directory, **options)
    assert "\n" not in str(caught.value)
    assert state(pair) == before
    assert not [path for path in directory.glob("*") if path.is_dir()]


def whole_again(pair: Pair, database: str) -> None:
    """Nothing is errant, replication runs both ways, and the tables are equal by checksum."""
    assert pair.executed(pair.w).minus(pair.executed(pair.p)).is_empty()
    pair.proves_both_ways(database)
    for (table,) in pair.p.run(
        f"SELECT table_name FROM information_schema.tables WHERE table_schema='{database}'"
    ):
        sums = {
            server.run(f"CHECKSUM TABLE {database}.{table}")[0][1] for server in (pair.w, pair.p)
        }
        assert len(sums) == 1, table


def test_errant_transactions_flow_to_the_writer_and_replication_goes_on(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(
        pair,
        "flow",
        "t (id INT PRIMARY KEY, v VARCHAR(20), d DECIMAL(9,3), f FLOAT, ts TIMESTAMP(3) NULL,"
        " UNIQUE (v), g INT GENERATED ALWAYS AS (id + 1) STORED)",
        "nokey (a INT, b VARCHAR(20))",
        "parts (id INT PRIMARY KEY, n INT) PARTITION BY HASH(id) PARTITIONS 3",
        "parent (id INT PRIMARY KEY)",
        "child (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES flow.parent(id))",
        "log (what VARCHAR(20))",
        "big (id INT PRIMARY KEY, v INT)",
    )
    pair.w.run(
        "INSERT INTO flow.t (id,v,d,f,ts) VALUES (1,'a',1.5,0.1,'2024-01-01 00:00:00.125'),"
        " (2,'B',NULL,NULL,NULL), (3,'c',3,3,NULL)",
        "INSERT INTO flow.nokey VALUES (1,'x'), (1,'x'), (2,NULL)",
        "INSERT INTO flow.parts VALUES (1,1), (2,2), (3,3)",
        "INSERT INTO flow.parent VALUES (1)",
        "CREATE TRIGGER flow.tr AFTER INSERT ON flow.t FOR EACH ROW INSERT flow.log VALUES('i')",
    )
    until(lambda: pair.has_all(pair.p, pair.w), "P has it all")
    come_back_with(
        pair,
        "INSERT INTO flow.t (id,v,d,f) VALUES (4,'d',4.25,1e10), (5,'e',NULL,NULL)",
        "BEGIN",
        "UPDATE flow.t SET v='A', ts='2025-05-05 05:05:05.500' WHERE id=1",
        "UPDATE flow.t SET id=id+10 ORDER BY id DESC",
        "DELETE FROM flow.t WHERE id=13",
        "COMMIT",
        "INSERT INTO flow.t (id,v) VALUES (20,'x'), (20,'y'), (20,'z')"
        " ON DUPLICATE KEY UPDATE v=VALUES(v)",
        "DELETE FROM flow.nokey WHERE a=1 LIMIT 1",
        "UPDATE flow.nokey SET b='y' WHERE a=2",
        "UPDATE flow.parts SET id=id+10",
        "INSERT INTO flow.parent VALUES (2)",
        "INSERT INTO flow.child VALUES (1,2)",
        "INSERT INTO flow.big SELECT seq.n, 1 FROM (SELECT a.n + 10*b.n + 100*c.n AS n FROM"
        + ",".join(
            f" (SELECT 0 n{''.join(f' UNION SELECT {i}' for i in range(1, 10))}) {t}" for t in "abc"
        )
        + ") seq",
        "UPDATE flow.big SET v=v+id",
    )
    pair.p.run(
        "INSERT INTO flow.t (id,v) VALUES (100,'p')", "INSERT INTO flow.nokey VALUES (9,'p')"
    )
    errant = pair.executed(pair.w).minus(pair.executed(pair.p)).count()
    reporter = ListReporter()
    report = merge(pair, tmp_path, reporter=reporter)
    assert report.merged_transactions == errant
    assert reporter.phases == ["read", "check", "merge"]
    path = report.quarantine_path
    assert path is not None
    summed_files.verify(path)
    assert len(outcome.read(path)) == errant
    assert merge(pair, tmp_path) == MergeReport()
    whole_again(pair, "flow")


@pytest.fixture
def mysql_pair() -> Iterator[Pair]:
    """A pair of its own, for what stays in its history."""
    with bare_pair("mysql") as servers, replicating(servers) as pair:
        yield pair


@pytest.mark.xdist_group("merge-mysql")
def test_gtids_with_tags_need_a_privilege_more(mysql_pair: Pair, tmp_path: Path) -> None:
    """The account does not have it by itself, since older servers do not know it."""
    pair = mysql_pair
    make_database(pair, "tags", "t (id INT PRIMARY KEY)")
    come_back_with(
        pair,
        "INSERT INTO tags.t VALUES (1)",
        "SET gtid_next='AUTOMATIC:load'",
        "INSERT INTO tags.t VALUES (2)",
    )
    assert_refused(pair, tmp_path, "TRANSACTION_GTID_TAG")
    assert merge(pair, tmp_path, writer_connect=pair.p.connect).merged_transactions == 2
    whole_again(pair, "tags")
    come_back_with(pair, "INSERT INTO tags.t VALUES (3)")
    with pytest.raises(HealRefusedError, match="TRANSACTION_GTID_TAG"):
        pair.rewind(tmp_path)
    assert list(pair.w.run("SELECT COUNT(*) FROM tags.t")) == [(3,)]


# What the writer does, what the node did, and why that does not merge. `{n}` is the case's own row.
CONFLICTS = (
    (
        "UPDATE no.t SET v=77 WHERE id={n}",
        "UPDATE no.t SET u=-{n} WHERE id={n}",
        "has changed since",
    ),
    (
        "DELETE FROM no.t WHERE id={n}",
        "UPDATE no.t SET v=5 WHERE id={n}",
        "does not exist any more",
    ),
    ("DELETE FROM no.t WHERE id={n}", "DELETE FROM no.t WHERE id={n}", "not exist any more"),
    (
        "UPDATE no.t SET v=77 WHERE id={n}",
        "DELETE FROM no.t WHERE id={n}",
        r"conflicting row is \(id={n}",
    ),
    (
        "INSERT INTO no.t VALUES (1{n},9,1{n})",
        "INSERT INTO no.t VALUES (1{n},8,2{n})",
        "key PRIMARY",
    ),
    ("INSERT INTO no.t VALUES (1{n},1,3{n})", "INSERT INTO no.t VALUES (2{n},1,3{n})", "key u"),
    ("INSERT INTO no.t VALUES (1{n},1,3{n})", "UPDATE no.t SET u=3{n} WHERE id={n}", "key u"),
    ("DELETE FROM no.k WHERE a={n}", "UPDATE no.k SET a=-1 WHERE a={n}", "not exist any more"),
    ("DELETE FROM no.p WHERE id={n}", "INSERT INTO no.c VALUES ({n},{n})", "foreign key"),
    ("INSERT INTO no.c VALUES ({n},{n})", "DELETE FROM no.p WHERE id={n}", "foreign key"),
)


def make_tables_of_conflicts(pair: Pair) -> None:
    pair.w.run("DROP DATABASE IF EXISTS no")
    make_database(
        pair,
        "no",
        "t (id INT PRIMARY KEY, v INT, u INT, UNIQUE KEY u (u))",
        "k (a INT)",
        "p (id INT PRIMARY KEY)",
        "c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES no.p(id))",
        "m (id INT PRIMARY KEY) ENGINE=MyISAM",
        "top (id INT PRIMARY KEY)",
        "below (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES no.top(id)"
        " ON DELETE CASCADE)",
        "gone (id INT PRIMARY KEY)",
    )
    pair.w.run(
        "INSERT INTO no.top VALUES (1)",
        *(
            f"INSERT INTO no.{table} VALUES ({row})"
            for n in range(10, 10 + len(CONFLICTS))
            for table, row in (("t", f"{n},{n},{n}"), ("k", f"{n}"), ("p", f"{n}"))
        ),
    )
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")


def test_rows_that_are_not_as_they_were_are_refused_with_nothing_changed(
    pair: Pair, tmp_path: Path
) -> None:
    make_tables_of_conflicts(pair)
    pair.stop()
    for n, (on_the_writer, errant, why) in enumerate(CONFLICTS, 10):
        pair.open()
        pair.w.run(f"INSERT INTO no.t VALUES (10{n},3,10{n})", errant.format(n=n))
        pair.fence()
        pair.p.run(on_the_writer.format(n=n))
        assert_refused(pair, tmp_path / "merge", why.format(n=n))
        assert pair.rewind(tmp_path / "rewind").undone_transactions == 2


@pytest.mark.parametrize(
    ("on_the_writer", "errant", "why"),
    [
        ("INSERT INTO no.k VALUES (1)", "CREATE TABLE no.ddl (id INT)", "cannot be merged"),
        ("ALTER TABLE no.gone ADD COLUMN c INT", "INSERT INTO no.gone VALUES (1)", "altered"),
    ],
)
def test_changed_definitions_are_refused_with_nothing_changed(
    pair: Pair, tmp_path: Path, on_the_writer: str, errant: str, why: str
) -> None:
    make_tables_of_conflicts(pair)
    others = (
        ("INSERT INTO no.m VALUES (1)", "InnoDB"),
        ("DELETE FROM no.top WHERE id=1", "would cascade the change|cascades of no.below"),
    )
    for extra, reason in others if "ddl" in errant else ():
        come_back_with(pair, extra)
        assert_refused(pair, tmp_path, reason)
        pair.open()
        pair.whole()
    come_back_with(pair, "INSERT INTO no.t VALUES (3,3,3)", errant)
    pair.p.run(on_the_writer)
    assert_refused(pair, tmp_path, why)


def test_a_transaction_that_stays_and_built_on_an_errant_row_is_refused(
    pair: Pair, tmp_path: Path
) -> None:
    """The writer's row is as it was, but the node's went another way in between."""
    make_database(pair, "aba", "t (id INT PRIMARY KEY, v INT)")
    pair.w.run("INSERT INTO aba.t VALUES (1,1)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    pair.stop(pair.p)
    pair.w.run("UPDATE aba.t SET v=2 WHERE id=1")
    pair.p.run("UPDATE aba.t SET v=3 WHERE id=1", "UPDATE aba.t SET v=1 WHERE id=1")
    until(lambda: pair.has_all(pair.w, pair.p), "W has P's")
    pair.stop(pair.w)
    pair.fence()
    assert_refused(pair, tmp_path, "which stays, changed a row of aba.t")


def test_a_writer_that_changes_between_the_two_checks_keeps_what_was_merged(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "mid", "t (id INT PRIMARY KEY, v INT)")
    pair.w.run("INSERT INTO mid.t VALUES (1,1),(2,2),(3,3)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    come_back_with(pair, *(f"UPDATE mid.t SET v=v+100 WHERE id={n}" for n in (1, 2, 3)))
    interfered: list[bool] = []

    def interfere(progress: Any) -> bool:
        if progress.phase == "merge" and not interfered:
            interfered.append(True)
            pair.p.run("UPDATE mid.t SET v=-3 WHERE id=3")
        return False

    with pytest.raises(HealRefusedError, match=r"2 of 3 are merged.*has changed since"):
        merge(pair, tmp_path, reporter=ListReporter(interfere))
    assert pair.p.run("SELECT * FROM mid.t ORDER BY id") == ((1, 101), (2, 102), (3, -3))
    assert pair.executed(pair.w).minus(pair.executed(pair.p)).count() == 1
    report = pair.rewind(tmp_path)
    assert report.undone_transactions == 1
    whole_again(pair, "mid")


def test_a_merge_that_is_stopped_changes_nothing_in_its_check(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_database(pair, "stop", "t (id INT PRIMARY KEY)")
    come_back_with(pair, *(f"INSERT INTO stop.t VALUES ({n})" for n in range(5)))
    before = state(pair)
    with pytest.raises(CancelledError):
        merge(pair, tmp_path, reporter=ListReporter(lambda progress: progress.phase == "check"))
    assert state(pair) == before
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as few:
        few.setattr(merging, "MAX_ROWS", 3)
        assert_refused(pair, tmp_path, "too many to lock")
    assert merge(pair, tmp_path).merged_transactions == 5


def test_only_a_fenced_node_is_merged_into_a_writer_that_takes_writes(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "fence", "t (id INT PRIMARY KEY)")
    pair.stop()
    pair.w.run("INSERT INTO fence.t VALUES (1)")
    assert_refused(pair, tmp_path, "open for writes")
    pair.fence()
    seen = pair.executed(pair.w)
    pair.open()
    pair.w.run("INSERT INTO fence.t VALUES (2)")
    pair.fence()
    assert_refused(pair, tmp_path, "inspect it again", executed=seen)
    # It may be tried again as soon as the other is done: no reason for a costlier way to heal.
    with pair.p.connect() as other, other.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK('myha.apply', 0)")
        with pytest.raises(LookAgainError, match="another merge or replay"):
            merge(pair, tmp_path)
    pair.p.run("SET GLOBAL read_only=ON")
    try:
        assert_refused(pair, tmp_path, "the writer is read-only")
    finally:
        pair.p.run("SET GLOBAL read_only=OFF")
    assert merge(pair, tmp_path).rows == 2
    whole_again(pair, "fence")


SCRIPT = """
import sys, time
from pathlib import Path
import pymysql
from myha.core.gtid import MariadbGtidSet, MysqlGtidSet
from myha.database.flavours import FLAVOURS
from myha.operations.heal.merge import merge_node
from tests.reporters import ListReporter
flavour, w, p, executed, keep, directory, stop_after = sys.argv[1:]
Sets = MysqlGtidSet if flavour == "mysql" else MariadbGtidSet
def to(port):
    return lambda: pymysql.connect(
        host="127.0.0.1", port=int(port), user="sup", password="pw", autocommit=True)
class Slow(ListReporter):
    def progress(self, now):
        pass
from myha.operations.heal import merge
real = merge._Merge._merge_one
count = [0]
def merge_one(self, *args):
    if count[0] == int(stop_after):
        print("there", flush=True)
        time.sleep(60)
    count[0] += 1
    real(self, *args)
merge._Merge._merge_one = merge_one
merge_node(to(w), to(p), FLAVOURS[flavour], Sets.parse(executed), Sets.parse(keep), Path(directory),
    {"node": "w"}, Slow())
"""


def test_a_merge_that_was_killed_between_transactions_is_right_when_run_again(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "killed", "t (id INT PRIMARY KEY, v INT)")
    come_back_with(pair, *(f"INSERT INTO killed.t VALUES ({n}, 0)" for n in range(6)))
    directory = tmp_path / "quarantine"
    for stop_after, left in ((2, 4), (3, 1)):
        arguments = [
            pair.flavour,
            str(pair.w.port),
            str(pair.p.port),
            str(pair.executed(pair.w)),
            str(pair.executed(pair.p)),
            str(directory),
            str(stop_after),
        ]
        with subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "there\n"
            os.kill(process.pid, signal.SIGKILL)
        errant = pair.executed(pair.w).minus(pair.executed(pair.p))
        assert errant.count() == left
        ends = time.monotonic() + DEADLINE_SECONDS
        while pair.p.value("SELECT IS_FREE_LOCK('myha.apply')") != 1:
            assert time.monotonic() < ends
        until(lambda: pair.w.value("SELECT IS_FREE_LOCK('myha.rewind')") == 1, "its lock is free")
    assert merge(pair, directory).merged_transactions == 1
    assert pair.p.value("SELECT COUNT(*) FROM killed.t") == 6
    whole_again(pair, "killed")
