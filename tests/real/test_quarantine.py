"""The quarantine on real pairs: whatever its size, complete or absent, replayed once only."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from myha.binlog.errant import read_errant
from myha.binlog.errors import HealRefusedError
from myha.binlog.node import Node
from myha.cli.main import cli
from myha.core.record import Membership, NodeRecord, Record, Sync
from myha.errors import MyhaError
from myha.operations.heal.merge import merge_node
from myha.operations.quarantine.incidents import Incident, export, find, incidents
from myha.operations.quarantine.replay import ReplayReport, replay, replayed
from myha.stores.local.record import LocalRecordStore
from myha.undo import quarantine
from tests.real.diverged import (
    DEADLINE_SECONDS,
    Pair,
    bare_pair,
    come_back_with,
    flavours,
    make_database,
    replicating,
)
from tests.real.purging import drop_older_logs
from tests.reporters import ListReporter
from tests.waiting import until

pytestmark = pytest.mark.real

MEGABYTE = 1 << 20
LARGE_ROWS = 32  # of a megabyte each, in one transaction


@pytest.fixture(scope="module", params=flavours("quarantine"))
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with bare_pair(request.param) as pair:
        yield pair


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    with replicating(servers) as pair:
        yield pair


def rewound(pair: Pair, directory: Path) -> Incident:
    path = pair.rewind(directory, deadline_seconds=120).quarantine_path
    assert path is not None
    return find(directory, path.name)


def back(pair: Pair, incident: Incident, **options: Any) -> ReplayReport:
    flavour = pair.kind
    connect = options.pop("connect", pair.sup(server=pair.p))
    return replay(connect, flavour, incident, ListReporter(), **options)


# -- writing it ------------------------------------------------------------------------------------


def test_a_transaction_of_any_size_is_undone_in_little_memory(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "large", "t (id INT PRIMARY KEY, b LONGBLOB)", "s (id INT, v CHAR(40))")
    digits = "".join(f" UNION ALL SELECT {n}" for n in range(1, 10))
    numbers = ", ".join(f"(SELECT 0 n{digits}) t{n}" for n in range(3))
    come_back_with(
        pair,
        "BEGIN",
        *(f"INSERT INTO large.t VALUES ({n}, REPEAT(0xfe, {MEGABYTE}))" for n in range(LARGE_ROWS)),
        f"INSERT INTO large.s SELECT t0.n, 'x' FROM {numbers}",
        "COMMIT",
    )
    tracemalloc.start()
    try:
        incident = rewound(pair, tmp_path)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert incident.rows == LARGE_ROWS + 1000
    assert incident.events_path.stat().st_size > LARGE_ROWS * MEGABYTE
    assert peak_bytes < LARGE_ROWS * MEGABYTE / 2
    assert pair.w.run("SELECT * FROM large.t") == pair.w.run("SELECT * FROM large.s") == ()


FULL_DISK = """
import resource, sys
from pathlib import Path
import pymysql
from myha.database.flavours import FLAVOURS
from myha.undo.rewind import rewind_node
from myha.progress import JsonReporter
from myha.core.gtid import MariadbGtidSet, MysqlGtidSet
from myha.errors import MyhaError
flavour, port, executed, keep, directory, limit = sys.argv[1:]
Sets = MysqlGtidSet if flavour == "mysql" else MariadbGtidSet
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
try:
    rewind_node(
        lambda: pymysql.connect(
            host="127.0.0.1", port=int(port), user="sup", password="pw", autocommit=True),
        FLAVOURS[flavour], Sets.parse(executed), Sets.parse(keep),
        quarantine_dir=Path(directory), incident={}, reporter=JsonReporter(sys.stderr))
except MyhaError as error:
    print(type(error).__name__, error)
"""


def test_on_a_full_disk_nothing_is_undone(pair: Pair, tmp_path: Path) -> None:
    """Full while the events are taken, and while the other files are written."""
    make_database(pair, "full", "t (id INT PRIMARY KEY, b LONGBLOB)")
    come_back_with(pair, f"INSERT INTO full.t VALUES (1, REPEAT(0xfe, {MEGABYTE}))")
    for limit in (MEGABYTE // 2, MEGABYTE + MEGABYTE // 2):
        arguments = [
            pair.flavour,
            str(pair.w.port),
            str(pair.executed(pair.w)),
            str(pair.executed(pair.p)),
            str(tmp_path / "quarantine"),
            str(limit),
        ]
        done = subprocess.run(
            [sys.executable, "-c", FULL_DISK, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "MyhaError cannot write the quarantine" in done.stdout, done
        assert "nothing was undone" in done.stdout
        assert done.stdout.count("\n") == 1
        assert list((tmp_path / "quarantine").iterdir()) == []
        assert pair.w.value("SELECT COUNT(*) FROM full.t") == 1
    assert rewound(pair, tmp_path / "quarantine").rows == 1


def test_what_a_killed_process_left_half_written_is_removed(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "half", "t (id INT PRIMARY KEY)")
    come_back_with(pair, "INSERT INTO half.t VALUES (1)")
    (tmp_path / ".partial-dead").mkdir()
    (tmp_path / ".partial-dead" / "events.binlog").write_bytes(b"x")
    incident = rewound(pair, tmp_path)
    assert list(tmp_path.iterdir()) == [incident.path]


def test_what_cannot_be_undone_is_kept_raw(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "raw", "t (id INT PRIMARY KEY, v VARCHAR(9))", "m (id INT) ENGINE=MyISAM")
    come_back_with(
        pair,
        "INSERT INTO raw.t VALUES (1,'it''s')",
        "CREATE TABLE raw.u (id INT)",
        "INSERT INTO raw.m VALUES (7)",
        "ALTER TABLE raw.t ADD COLUMN w INT",
        "UPDATE raw.t SET w=5",
    )
    node = Node(pair.sup(), pair.kind, DEADLINE_SECONDS)

    def keep() -> Path:
        executed, kept = pair.executed(pair.w), pair.executed(pair.p)
        return quarantine.write_raw(
            tmp_path,
            flavour=pair.kind,
            transactions=read_errant(node, executed.minus(kept), kept),
            incident={"why": "a test"},
            query=node.query,
        )

    try:
        incident = find(tmp_path, keep().name)
        assert incident.problem() == ""
        assert (len(incident.transactions), incident.rows) == (5, 3)
        readable = (incident.path / "readable.sql").read_text()
        assert "USE `raw`" in readable or "CREATE TABLE raw.u (id INT)" in readable
        assert "CREATE TABLE raw.u (id INT)" in readable
        assert "rows of raw.t: " in readable  # the first one has fewer columns than now
        assert "UPDATE `raw`.`t` SET `w` = 5 WHERE `id` = 1;" in readable
        lines = list(incident.row_lines())
        assert "altered" in lines[0]["not_decoded"]
        assert lines[2]["new"] == {"id": 1, "v": "it's", "w": 5}
        report = back(pair, incident, skip_conflicts=True)
        assert len(report.conflicts) == 4
        drop_older_logs(pair.w.run)
        with pytest.raises(MyhaError, match="binary log"):
            keep()
        assert [one.id for one in incidents(tmp_path)] == [incident.id]
    finally:
        node.close()


# -- replaying it ----------------------------------------------------------------------------------


def test_a_replay_is_tried_first_applied_once_and_replicated(pair: Pair, tmp_path: Path) -> None:
    make_database(
        pair, "again", "t (id INT PRIMARY KEY, v VARCHAR(9), n INT, UNIQUE (n))", "k (a INT)"
    )
    pair.w.run(
        "INSERT INTO again.t VALUES (1,'one',1), (2,'two',2)", "INSERT INTO again.k VALUES (1)"
    )
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    come_back_with(
        pair,
        "INSERT INTO again.t VALUES (3,'three',3)",
        "UPDATE again.t SET v='drei' WHERE id=3",
        "DELETE FROM again.t WHERE id=2",
        "INSERT INTO again.k VALUES (1), (2)",
    )
    incident = rewound(pair, tmp_path)
    pair.whole()
    before = pair.snapshot(pair.p, "again")
    tried = back(pair, incident)
    assert (len(tried.applied), tried.rows, tried.complete) == (4, 5, True)
    assert pair.snapshot(pair.p, "again") == before
    executed = pair.executed(pair.p)
    assert back(pair, incident).applied == tried.applied
    assert pair.executed(pair.p) == executed
    only = str(incident.transactions[3]["gtid"])
    assert back(pair, incident, apply=True, only=[only]).applied == [only]
    report = back(pair, incident, apply=True)
    assert report.applied == tried.applied[:3]
    assert report.already_there == [only]
    again = back(pair, incident, apply=True)
    assert (again.applied, len(again.already_there)) == ([], 4)
    assert replayed(pair.sup(server=pair.p), pair.kind) == {incident.id: 4}
    assert pair.p.run("SELECT v FROM again.t ORDER BY id") == (("one",), ("drei",))
    until(lambda: pair.has_all(pair.w, pair.p), "W has the replayed rows")
    assert pair.snapshot(pair.w, "again") == pair.snapshot(pair.p, "again")
    assert pair.w.value("SELECT COUNT(*) FROM myha.replayed") == 4
    pair.p.run("DROP TABLE myha.replayed")
    until(lambda: pair.has_all(pair.w, pair.p), "W has dropped it")


def test_conflicts_are_told_with_the_row_in_the_way(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "conf", "t (id INT PRIMARY KEY, v INT, n INT, UNIQUE KEY un (n))")
    pair.w.run("INSERT INTO conf.t VALUES (1,1,1), (2,2,2)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    come_back_with(
        pair,
        "UPDATE conf.t SET v=11 WHERE id=1",
        "INSERT INTO conf.t VALUES (5,5,5)",
        "UPDATE conf.t SET v=12 WHERE id=1",
        "DELETE FROM conf.t WHERE id=2",
    )
    incident = rewound(pair, tmp_path)
    pair.p.run("INSERT INTO conf.t VALUES (9,9,5)", "UPDATE conf.t SET v=-2 WHERE id=2")
    pair.whole()
    first, second, third, fourth = (str(one["gtid"]) for one in incident.transactions)
    for options in ({}, {"apply": True}):
        stopped = back(pair, incident, **options)
        assert (stopped.applied, stopped.not_tried) == ([first], [third, fourth])
        (conflict,) = stopped.conflicts
        assert conflict.gtid == second
        assert "key un" in conflict.reason
        assert "the conflicting row is (id=9, v=9, n=5)" in conflict.reason
    rest = back(pair, incident, apply=True, skip_conflicts=True)
    assert (rest.applied, rest.already_there) == ([third], [first])
    assert [one.gtid for one in rest.conflicts] == [second, fourth]
    assert "the row has changed since" in rest.conflicts[1].reason
    assert "the conflicting row is (id=2, v=-2, n=2)" in rest.conflicts[1].reason
    assert pair.p.run("SELECT * FROM conf.t ORDER BY id") == ((1, 12, 1), (2, -2, 2), (9, 9, 5))


def test_what_a_merge_brought_is_not_replayed(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "merged", "k (a INT)")
    come_back_with(pair, "INSERT INTO merged.k VALUES (1)", "INSERT INTO merged.k VALUES (2)")
    merge_node(
        pair.sup(),
        pair.sup(server=pair.p),
        pair.kind,
        pair.executed(pair.w),
        pair.executed(pair.p),
        tmp_path,
        {},
        ListReporter(),
    )
    (incident,) = incidents(tmp_path)
    for _ in range(2):
        report = back(pair, incident, apply=True)
        assert (report.applied, len(report.already_there)) == ([], 2)
        (incident.path / "merged.json").unlink(missing_ok=True)
    assert pair.p.value("SELECT COUNT(*) FROM merged.k") == 2


KILLED = """
import sys, time
from pathlib import Path
import pymysql
from myha.database.flavours import FLAVOURS
from tests.reporters import ListReporter
from myha.operations.quarantine import replay
from myha.operations.quarantine.incidents import find
flavour, port, root, name, point = sys.argv[1:]
count = 0
def dying(self, word, values=None, real=replay.Writer.do):
    global count
    if word == point.split(":")[0]:
        count += 1
        if count == int(point.split(":")[1]):
            print("there", flush=True)
            time.sleep(60)
    real(self, word, values)
replay.Writer.do = dying
replay.replay(
    lambda: pymysql.connect(
        host="127.0.0.1", port=int(port), user="sup", password="pw", autocommit=True),
    FLAVOURS[flavour], find(Path(root), name), ListReporter(), apply=True)
"""


def _gives(pair: Pair, sql: str, wanted: int) -> Callable[[], bool]:
    return lambda: bool(pair.p.value(sql) == wanted)


def test_a_replay_that_was_killed_goes_on_where_it_was(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "dead", "k (a INT)")
    come_back_with(pair, *(f"INSERT INTO dead.k VALUES ({n})" for n in range(5)))
    incident = rewound(pair, tmp_path)
    pair.whole()
    arguments = [pair.flavour, str(pair.p.port), str(tmp_path), incident.id]
    for point, there in (("commit:3", 2), ("begin:2", 3), ("note_replayed:1", 3)):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, *arguments, point], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "there\n"
            os.kill(process.pid, signal.SIGKILL)
        until(lambda: pair.p.value("SELECT IS_FREE_LOCK('myha.apply')") == 1, "its lock is free")
        until(_gives(pair, "SELECT COUNT(*) FROM dead.k", there), "it is rolled back")
    assert len(back(pair, incident, apply=True).applied) == 2
    assert pair.p.run("SELECT a FROM dead.k ORDER BY a") == tuple((n,) for n in range(5))


def test_wrong_files_are_neither_replayed_nor_exported(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "torn", "t (id INT PRIMARY KEY)")
    come_back_with(pair, "INSERT INTO torn.t VALUES (1)")
    incident = rewound(pair, tmp_path)
    export(incident, tmp_path / "out.tar.gz")
    with tarfile.open(tmp_path / "out.tar.gz") as archive:
        archive.extractall(tmp_path / "elsewhere", filter="data")
    assert find(tmp_path / "elsewhere", incident.id).problem() == ""
    events = incident.events_path.read_bytes()
    incident.events_path.write_bytes(events[:-1] + bytes([events[-1] ^ 1]))
    for call in (
        lambda: back(pair, incident, apply=True),
        lambda: export(incident, tmp_path / "x"),
    ):
        with pytest.raises(MyhaError, match="checksum differs"):
            call()
    assert not (tmp_path / "x").exists()
    with pytest.raises(HealRefusedError, match="read-only"):
        back(pair, find(tmp_path / "elsewhere", incident.id), connect=pair.sup())


# -- the commands ----------------------------------------------------------------------------------


def test_the_commands_list_show_export_and_replay(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "cmd", "t (id INT PRIMARY KEY, v VARCHAR(20))")
    come_back_with(
        pair, "INSERT INTO cmd.t VALUES (1,'grüße')", "UPDATE cmd.t SET v='neu' WHERE id=1"
    )
    state = tmp_path / "state"
    state.mkdir()
    LocalRecordStore(state).compare_and_set(
        0,
        Record(
            version=1,
            epoch=1,
            writer="p",
            sync=Sync.SOLO,
            nodes=tuple(
                (name, NodeRecord(Membership.MEMBER, boot_id="", reason="")) for name in ("w", "p")
            ),
        ),
    )
    config = tmp_path / "myha.toml"
    config.write_text(
        f"[cluster]\nstate_dir = '{state}'\n[accounts]\nsupervisor_user = 'sup'\n"
        + "".join(
            f"[nodes.{name}]\nhost = '127.0.0.1'\nport = {server.port}\n"
            for name, server in (("w", pair.w), ("p", pair.p))
        )
        + "[balancers.lb1]\nsocket = '/nowhere/admin.sock'\n"
        "writer_listen = '127.0.0.1:3307'\nreader_listen = '127.0.0.1:3308'\n"
    )

    def myha(*words: str, status: int = 0) -> str:
        done = CliRunner().invoke(
            cli,
            ["--config", str(config), "quarantine", *words],
            env={"MYHA_SUPERVISOR_PASSWORD": "pw", "COLUMNS": "200"},
        )
        if isinstance(done.exception, MyhaError):
            assert done.exception.exit_status == status
            return str(done.exception)
        assert done.exit_code == status, done.output
        return done.output

    assert "nothing is in quarantine" in myha("list")
    incident = rewound(pair, state / "quarantine")
    pair.whole()
    (line,) = json.loads(myha("list", "--json"))
    assert (line["transactions"], line["rows"], line["applied"], line["problem"]) == (2, 2, 0, "")
    shown = myha("show", incident.id[-12:])
    assert 'cmd.t insert id=1, v="grüße"' in shown
    assert 'cmd.t update id=1, v="grüße" to v="neu"' in shown
    myha("export", incident.id, "--to", str(tmp_path / "out.tar.gz"))
    assert "exists" in myha("export", incident.id, "--to", str(tmp_path / "out.tar.gz"), status=2)
    assert "no incident" in myha("show", "nothing", status=2)
    assert "dry run" in myha("replay", incident.id)
    assert pair.p.run("SELECT * FROM cmd.t") == ()
    assert "2 transactions with 2 rows applied on p" in myha("replay", incident.id, "--apply")
    assert "2 there already" in myha("replay", incident.id, "--apply")
    assert json.loads(myha("list", "--json"))[0]["applied"] == 2
    assert incident.id in myha("list")
    pair.p.run("DELETE FROM cmd.t", "DELETE FROM myha.replayed", "INSERT INTO cmd.t VALUES (1,'x')")
    told = myha("replay", incident.id, "--apply", status=1)
    assert "the conflicting row is (id=1, v='x')" in told
    pair.p.run("DROP TABLE myha.replayed")
