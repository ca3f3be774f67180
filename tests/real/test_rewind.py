"""Rewinding a node on real pairs of both flavours: rows, GTID state, replication afterwards."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from myha.binlog.errors import RewindRefusedError
from myha.core.gtid import MariadbGtidSet
from myha.database import statements
from myha.errors import MyhaError, ServerError
from myha.sandbox import programs
from myha.undo import summed_files
from myha.undo.rewind import (
    RewindReport,
    finish_rewind,
    rewind_node,
)
from tests.real.diverged import (
    Connection,
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

PLAIN_COLUMNS = """
    id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, ti TINYINT, si SMALLINT UNSIGNED, mi MEDIUMINT,
    i INT UNSIGNED, bi BIGINT, d DECIMAL(30,10), d2 DECIMAL(9,0), f FLOAT, db DOUBLE, bt BIT(13),
    bt8 BIT(8), bo BOOL, c CHAR(10), cl CHAR(255) CHARACTER SET utf8mb4, b BINARY(16),
    vc VARCHAR(50), vcl VARCHAR(2000), vb VARBINARY(300), tt TINYTEXT, te TEXT, mt MEDIUMTEXT,
    lt LONGTEXT, tb TINYBLOB, bl BLOB, mb MEDIUMBLOB, lb LONGBLOB, e ENUM('a','b'),
    s SET('x','y','z','1','2','3','4','5','6'), da DATE, y YEAR, t0 TIME, t3 TIME(3), t6 TIME(6),
    dt0 DATETIME, dt5 DATETIME(5), ts0 TIMESTAMP NULL, ts2 TIMESTAMP(2) NULL, j JSON, g GEOMETRY,
    p POINT, nn INT
"""
COLUMNS = (
    f"{PLAIN_COLUMNS}, gv BIGINT GENERATED ALWAYS AS (i+1) VIRTUAL,"
    " gs BIGINT GENERATED ALWAYS AS (i+2) STORED"
)
NAMES = (
    "ti,si,mi,i,bi,d,d2,f,db,bt,bt8,bo,c,cl,b,vc,vcl,vb,tt,te,mt,lt,tb,bl,mb,lb,e,s,da,y,t0,t3,t6,"
    "dt0,dt5,ts0,ts2,j,g,p"
)
VALUES = """
    -5, 60000, -8000000, 4000000000, -9000000000000000000, -12345678901234567890.0123456789,
    999999999, 1.5, -2.25e300, b'1010101010101', 255, 1, 'abc', REPEAT('ü',255), REPEAT(0xff,16),
    'hey', REPEAT('x',2000), 0x00ff80, 'tiny', REPEAT('t',7000), REPEAT('m',70000),
    REPEAT('l',70000), 0xff, 0x80ff00, REPEAT(0xff,70000), 0xfffe, 'b', 'x,z,6', '2024-02-29', 1999,
    '-838:59:59', '12:00:00.123', '-01:02:03.000004', '1000-01-01 00:00:00',
    '9999-12-31 23:59:59.99999', '2020-01-01 00:00:00', '2020-01-01 00:00:00.25',
    '{"a":[1,2,3],"b":"x"}', ST_GeomFromText('POLYGON((0 0,1 0,1 1,0 0))'),
    ST_GeomFromText('POINT(1 2)')
"""
OWN_COLUMNS = {
    "mysql": "v VECTOR(3), inv INT INVISIBLE, fx INT, KEY ((fx+1)),"
    " KEY mvi ((CAST(j->'$.a' AS UNSIGNED ARRAY)))",
    "mariadb": "vcc VARCHAR(100) COMPRESSED, blc BLOB COMPRESSED, i6 INET6, u UUID, i4 INET4",
}
OWN_NAMES = {"mysql": "v,inv,fx", "mariadb": "vcc,blc,i6,u,i4"}
OWN_VALUES = {
    "mysql": "STRING_TO_VECTOR('[1,2,3]'), 5, 6",
    "mariadb": "REPEAT('c',100), REPEAT('d',3000), '2001:db8::1',"
    " '123e4567-e89b-12d3-a456-426655440000', '1.2.3.4'",
}


@pytest.fixture(scope="module", params=flavours("rewind"))
def servers(request: pytest.FixtureRequest) -> Iterator[Pair]:
    with bare_pair(request.param) as pair:
        yield pair


@pytest.fixture
def pair(servers: Pair) -> Iterator[Pair]:
    with replicating(servers) as pair:
        yield pair


def leaves_out_generated(pair: Pair) -> bool:
    """MariaDB 11.8 logs them for an insert only, whatever binlog_row_image says; 10.11 always."""
    version = str(pair.p.value("SELECT VERSION()"))
    return pair.flavour == "mariadb" and int(version.split(".", maxsplit=1)[0]) >= 11


def test_every_kind_of_row_is_restored_and_replication_goes_on(pair: Pair, tmp_path: Path) -> None:
    names, values = (
        f"{NAMES},{OWN_NAMES[pair.flavour]}",
        f"{VALUES},{OWN_VALUES[pair.flavour]}",
    )
    columns = PLAIN_COLUMNS if leaves_out_generated(pair) else COLUMNS
    make_database(
        pair,
        "kinds",
        f"t ({columns}, {OWN_COLUMNS[pair.flavour]})",
        "nokey (a INT, b VARCHAR(20))",
        "parts (id INT PRIMARY KEY, n INT) PARTITION BY HASH(id) PARTITIONS 4",
        "uniq (id INT PRIMARY KEY, n INT, UNIQUE (n))",
    )
    pair.w.run(
        f"INSERT INTO kinds.t ({names}) VALUES ({values}), ({values})",
        "INSERT INTO kinds.t (ti) VALUES (1)",
        "INSERT INTO kinds.nokey VALUES (1,'x'), (1,'x'), (2,NULL)",
        "INSERT INTO kinds.parts VALUES (1,1), (2,2), (3,3), (4,4)",
        "INSERT INTO kinds.uniq VALUES (1,10), (2,20), (3,30)",
    )
    until(lambda: pair.has_all(pair.p, pair.w), "P has it all")
    before = pair.snapshot(pair.w, "kinds")
    keep = pair.executed(pair.w)
    own = ("SET gtid_next='AUTOMATIC:load'",) if pair.is_mysql else ()
    come_back_with(
        pair,
        "BEGIN",
        "UPDATE kinds.t SET ti=ti+1, j='{}', bl=0xfe, g=NULL, nn=7",
        "DELETE FROM kinds.t WHERE id=2",
        "SAVEPOINT s",
        f"INSERT INTO kinds.t ({names}) VALUES ({values})",
        "UPDATE kinds.parts SET id=id+10, n=0 WHERE id<3",
        "COMMIT",
        "UPDATE kinds.t SET id=id+1 ORDER BY id DESC",
        "UPDATE kinds.uniq SET n=n+1 ORDER BY n DESC",
        "REPLACE INTO kinds.uniq VALUES (3,11)",
        "DELETE FROM kinds.nokey WHERE a=1 LIMIT 1",
        "UPDATE kinds.nokey SET b='y'",
        *own,
        "UPDATE kinds.parts, kinds.uniq SET parts.n=5, uniq.n=uniq.n+100",
    )
    pair.p.run("INSERT INTO kinds.uniq VALUES (9,90)")
    errant = 7
    report = pair.rewind(tmp_path)
    assert report.undone_transactions == errant
    assert pair.snapshot(pair.w, "kinds") == before
    assert pair.executed(pair.w) == keep
    assert pair.w.value("SELECT @@read_only") == 1
    if pair.is_mysql:
        assert pair.w.value("SELECT @@super_read_only") == 1
    assert not unfinished(pair)
    _check_quarantine(report, errant, tmp_path)
    pair.proves_both_ways("kinds")
    marker = "SELECT 1 FROM information_schema.tables WHERE table_name='rewind'"
    assert pair.w.run(marker)
    assert not pair.p.run(marker)


def _check_quarantine(report: RewindReport, errant: int, root: Path) -> None:
    path = report.quarantine_path
    assert path is not None
    assert path.parent == root
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()} == {0o600}
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=path, check=True)
    summary = json.loads((path / "summary.json").read_text())
    assert len(summary["transactions"]) == errant
    assert summary["incident"]["why"] == "a test"
    assert summary["rows"] == report.rows == len((path / "rows.jsonl").read_text().splitlines())
    assert summary["tables"]["kinds.nokey"]["columns"] == ["a", "b"]
    (path / "redo.sql").write_bytes(b"")
    with pytest.raises(MyhaError, match="checksum"):
        summed_files.verify(path)


def test_quarantine_is_read_by_the_servers_own_tool_and_replays(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "redo", "t (id INT PRIMARY KEY, v VARCHAR(20))")
    come_back_with(
        pair,
        "INSERT INTO redo.t VALUES (1,'one'), (2,'two')",
        "UPDATE redo.t SET v='zwei' WHERE id=2",
    )
    path = pair.rewind(tmp_path).quarantine_path
    assert path is not None
    assert pair.w.run("SELECT * FROM redo.t") == ()
    tool = "mysqlbinlog" if pair.is_mysql else "mariadb-binlog"
    argv = programs.fetch(pair.flavour).companion(tool)
    assert argv is not None
    shown = subprocess.run(
        [*argv, "--no-defaults", "-vv", "--base64-output=decode-rows", str(path / "events.binlog")],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "@2='zwei'" in shown
    pair.whole()
    text = (path / "redo.sql").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("--")]
    pair.p.run(*(line.rstrip(";") for line in lines))
    until(lambda: pair.has_all(pair.w, pair.p), "W has the replayed rows")
    for server in (pair.w, pair.p):
        assert server.run("SELECT * FROM redo.t ORDER BY id") == ((1, "one"), (2, "zwei"))


def _assert_refused(pair: Pair, directory: Path, why: str) -> None:
    """Refused with the reason, and no row, GTID or setting of W has changed."""

    def state() -> Any:
        rows = {name: pair.snapshot(pair.w, name) for name in pair.databases}
        return rows, pair.executed(pair.w), pair.w.run("SHOW GLOBAL VARIABLES LIKE '%read_only'")

    before = state()
    with pytest.raises(RewindRefusedError, match=why) as caught:
        pair.rewind(directory)
    assert "\n" not in str(caught.value)
    assert state() == before


@pytest.mark.parametrize(
    ("errant", "why"),
    [
        ("CREATE TABLE no.u (id INT)", "cannot be undone"),
        ("ALTER TABLE no.t ADD COLUMN x INT", "cannot be undone"),
        ("TRUNCATE TABLE no.t", "cannot be undone"),
        ("INSERT INTO no.m VALUES (1)", "only plain InnoDB"),
        ("CREATE TABLE no.s AS SELECT * FROM no.t", "cannot be undone"),
    ],
)
def test_what_has_no_exact_inverse_is_refused(
    pair: Pair, tmp_path: Path, errant: str, why: str
) -> None:
    make_database(pair, "no", "t (id INT PRIMARY KEY)", "m (id INT PRIMARY KEY) ENGINE=MyISAM")
    come_back_with(pair, "INSERT INTO no.t VALUES (1)", errant)
    _assert_refused(pair, tmp_path, why)


def test_partial_images_are_refused(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "part", "t (id INT PRIMARY KEY, v INT, w INT)")
    pair.w.run("INSERT INTO part.t VALUES (1,2,3)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    come_back_with(pair, "SET binlog_row_image='MINIMAL'", "UPDATE part.t SET v=5")
    _assert_refused(pair, tmp_path, "partial row images")


def test_compressed_events_are_refused(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "packed", "t (id INT PRIMARY KEY, v TEXT)")
    compress = "binlog_transaction_compression" if pair.is_mysql else "GLOBAL log_bin_compress"
    come_back_with(
        pair,
        f"SET {compress}=ON",
        "INSERT INTO packed.t VALUES (1, REPEAT('x', 2000))",
        f"SET {compress}=OFF",
    )
    _assert_refused(pair, tmp_path, "compressed")


def test_partial_json_updates_are_refused(pair: Pair, tmp_path: Path) -> None:
    """MySQL's alone; MariaDB has JSON as text, which an update writes whole."""
    make_database(pair, "pj", "t (id INT PRIMARY KEY, j JSON)")
    pair.w.run("""INSERT INTO pj.t VALUES (1, '{"a": 1, "b": 2}')""")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    before = pair.snapshot(pair.w, "pj")
    partial = ("SET binlog_row_value_options=PARTIAL_JSON",) if pair.is_mysql else ()
    come_back_with(pair, *partial, "UPDATE pj.t SET j=JSON_SET(j, '$.a', 7)")
    if pair.is_mysql:
        _assert_refused(pair, tmp_path, "partial JSON")
        return
    pair.rewind(tmp_path)
    assert pair.snapshot(pair.w, "pj") == before


def test_cascades_are_undone_where_they_are_logged_and_else_refused(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(
        pair,
        "casc",
        "p (id INT PRIMARY KEY)",
        "c (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES casc.p(id)"
        " ON DELETE CASCADE ON UPDATE CASCADE)",
    )
    pair.w.run("INSERT INTO casc.p VALUES (1),(2)", "INSERT INTO casc.c VALUES (1,1),(2,2)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    before = pair.snapshot(pair.w, "casc")
    come_back_with(pair, "DELETE FROM casc.p WHERE id=1", "UPDATE casc.p SET id=5 WHERE id=2")
    if not pair.is_mysql:
        _assert_refused(pair, tmp_path, "cascades of casc.c.* not in the binary log")
        return
    pair.rewind(tmp_path)
    assert pair.snapshot(pair.w, "casc") == before
    pair.proves_both_ways("casc")


def test_triggers_do_not_fire_for_an_undo(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "trig", "t (id INT PRIMARY KEY)", "log (what VARCHAR(20))")
    pair.w.run(
        "CREATE TRIGGER trig.i AFTER INSERT ON trig.t FOR EACH ROW INSERT trig.log VALUES('i')",
        "CREATE TRIGGER trig.d AFTER DELETE ON trig.t FOR EACH ROW INSERT trig.log VALUES('d')",
        "INSERT INTO trig.t VALUES (1)",
    )
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    before = pair.snapshot(pair.w, "trig")
    come_back_with(pair, "INSERT INTO trig.t VALUES (2)", "DELETE FROM trig.t WHERE id=1")
    assert len(pair.w.run("SELECT * FROM trig.log")) == 3
    pair.rewind(tmp_path)
    assert pair.snapshot(pair.w, "trig") == before


def test_a_row_that_was_changed_behind_the_binlog_is_not_overwritten(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "gone", "t (id INT PRIMARY KEY)")
    come_back_with(
        pair,
        "INSERT INTO gone.t VALUES (1),(2)",
        "SET sql_log_bin=0",
        "DELETE FROM gone.t WHERE id=1",
    )
    _assert_refused(pair, tmp_path, "rejects the undo, which is rolled back")


def test_transactions_that_stay_survive_between_those_undone(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "mix", "t (id INT PRIMARY KEY, v INT)")
    pair.w.run("INSERT INTO mix.t VALUES (1,1),(2,2)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    pair.stop(pair.p)
    pair.w.run("UPDATE mix.t SET v=-1 WHERE id=1")
    pair.p.run("UPDATE mix.t SET v=20 WHERE id=2")
    until(lambda: pair.has_all(pair.w, pair.p), "W has P's")
    pair.w.run("INSERT INTO mix.t VALUES (3,3)")
    pair.stop(pair.w)
    pair.fence()
    assert pair.rewind(tmp_path).undone_transactions == 2
    assert pair.w.run("SELECT * FROM mix.t ORDER BY id") == ((1, 1), (2, 20))
    pair.proves_both_ways("mix")


def test_a_later_transaction_that_built_on_an_errant_row_is_refused(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "built", "t (id INT PRIMARY KEY, v INT, w INT)")
    pair.w.run("INSERT INTO built.t VALUES (1,1,1)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    pair.stop(pair.p)
    pair.w.run("UPDATE built.t SET v=-1 WHERE id=1")
    pair.p.run("UPDATE built.t SET w=5 WHERE id=1")
    until(lambda: pair.has_all(pair.w, pair.p), "W has P's")
    pair.stop(pair.w)
    pair.fence()
    _assert_refused(pair, tmp_path, "which stays, changed a row of built.t")


def test_only_a_fenced_node_is_rewound(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "fence", "t (id INT PRIMARY KEY)")
    pair.stop()
    pair.w.run("INSERT INTO fence.t VALUES (1)")
    _assert_refused(pair, tmp_path, "open for writes")
    pair.fence()
    pair.start(pair.w)
    _assert_refused(pair, tmp_path, "replication is running")
    pair.stop(pair.w)
    seen = pair.executed(pair.w)
    pair.open()
    pair.w.run("INSERT INTO fence.t VALUES (2)")
    pair.fence()
    with pytest.raises(RewindRefusedError, match="inspect it again"):
        rewind_node(
            pair.sup(),
            pair.kind,
            seen,
            pair.executed(pair.p),
            quarantine_dir=tmp_path,
            incident={},
            reporter=ListReporter(),
        )
    assert pair.rewind(tmp_path).undone_transactions == 2
    assert pair.rewind(tmp_path) == RewindReport()


def test_a_history_that_was_seeded_and_never_logged_here_is_kept(
    pair: Pair, tmp_path: Path
) -> None:
    """What W got by a copy of P's data stands in its GTID state alone."""
    make_database(pair, "seeded", "t (id INT PRIMARY KEY)")
    pair.p.run("INSERT INTO seeded.t VALUES (1)")
    pair._until(lambda: pair.has_all(pair.w, pair.p), "W has P's row")
    pair.stop()
    seed = str(pair.executed(pair.p))
    if pair.is_mysql:
        pair.w.run("RESET BINARY LOGS AND GTIDS", f"SET GLOBAL gtid_purged='{seed}'")
    else:
        pair.w.run("RESET MASTER", f"SET GLOBAL gtid_slave_pos='{seed}'")
        if number := [n for d, (*_, (_, n)), _ in MariadbGtidSet.parse(seed).domains() if d == 1]:
            pair.w.run(f"SET gtid_seq_no={number[0] + 1}", "INSERT INTO seeded.t VALUES (7)")
    pair.w.run("INSERT INTO seeded.t VALUES (2)")
    pair.fence()
    pair.rewind(tmp_path)
    assert pair.executed(pair.w) == pair.executed(pair.p)
    pair.proves_both_ways("seeded")


def test_purged_binary_logs_are_refused(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "purged", "t (id INT PRIMARY KEY)")
    come_back_with(pair, "INSERT INTO purged.t VALUES (1)", "FLUSH LOGS")
    drop_older_logs(pair.w.run)
    _assert_refused(pair, tmp_path, "binary log")


def test_a_quarantine_that_cannot_be_written_stops_it(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "full", "t (id INT PRIMARY KEY)")
    come_back_with(pair, "INSERT INTO full.t VALUES (1)")
    (tmp_path / "file").write_text("")
    with pytest.raises(MyhaError, match="nothing was undone"):
        pair.rewind(tmp_path / "file" / "below")
    assert pair.w.run("SELECT * FROM full.t") == ((1,),)
    assert pair.rewind(tmp_path).rows == 1


def dying_at(word: str) -> type[Connection]:
    """A connection that breaks just before it would send a statement that begins with `word`."""

    class Dying(pymysql.Connection):
        def query(self, sql: Any, unbuffered: bool = False) -> int:
            text = sql if isinstance(sql, str) else bytes(sql).decode("utf-8", "replace")
            if text.startswith(word):
                self._force_close()  # type: ignore[attr-defined]
            return super().query(sql, unbuffered)

    return Dying


POINTS = {
    "mysql": ("INSERT INTO myha", "COMMIT", "FLUSH", "RESET", "SET GLOBAL gtid", "UPDATE myha"),
    "mariadb": (
        "INSERT INTO myha",
        "COMMIT",
        "FLUSH",
        "RESET",
        "SET GLOBAL gtid_binlog_state",
        "SET GLOBAL gtid_slave_pos",
        "UPDATE myha",
    ),
}


def test_a_rewind_that_died_is_right_when_run_again(pair: Pair, tmp_path: Path) -> None:
    make_database(pair, "died", "t (id INT PRIMARY KEY, v INT)")
    pair.w.run("INSERT INTO died.t VALUES (1,1),(2,2)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    for number, word in enumerate(POINTS[pair.flavour]):
        before = pair.snapshot(pair.w, "died")
        keep = pair.executed(pair.w)
        come_back_with(pair, "UPDATE died.t SET v=v+100", "DELETE FROM died.t WHERE id=1")
        with pytest.raises(ServerError):
            pair.rewind(tmp_path, pair.sup(dying_at(word)))
        until(lambda: pair.w.value("SELECT IS_FREE_LOCK('myha.rewind')") == 1, "its lock is free")
        committed = word not in ("INSERT INTO myha", "COMMIT")
        assert unfinished(pair) == committed, word
        report = pair.rewind(tmp_path)
        assert report.resumed == committed
        assert (report.undone_transactions, report.rows) == (2, 3 + number), word
        assert pair.snapshot(pair.w, "died") == before, word
        assert pair.executed(pair.w) == keep, word
        assert pair.w.value("SELECT @@read_only") == 1
        pair.whole()
        pair.open()
        pair.w.run(f"INSERT INTO died.t VALUES ({10 + number}, 0)")
        until(lambda: pair.has_all(pair.p, pair.w), "P has W's")
    assert pair.snapshot(pair.w, "died") == pair.snapshot(pair.p, "died")


def unfinished(pair: Pair) -> bool:
    """Whether an undo is committed on W whose GTID state is not set."""
    return bool(pair.w.value("SELECT COUNT(*) FROM myha.rewind WHERE finished_at IS NULL"))


def test_a_rewind_that_died_is_finished_before_replication_starts(
    pair: Pair, tmp_path: Path
) -> None:
    make_database(pair, "half", "t (id INT PRIMARY KEY, v INT)")
    pair.w.run("INSERT INTO half.t VALUES (1,1),(2,2)")
    until(lambda: pair.has_all(pair.p, pair.w), "P has it")
    before, keep = pair.snapshot(pair.w, "half"), pair.executed(pair.w)
    finish_rewind(pair.sup(), pair.kind, 30)
    assert pair.executed(pair.w) == keep, "nothing was unfinished"
    come_back_with(pair, "UPDATE half.t SET v=v+100")
    with pytest.raises(ServerError):
        pair.rewind(tmp_path, pair.sup(dying_at("SET GLOBAL gtid")))
    until(lambda: pair.w.value("SELECT IS_FREE_LOCK('myha.rewind')") == 1, "its lock is free")
    assert unfinished(pair)
    kept = sorted(tmp_path.iterdir())
    pair.open()
    with pytest.raises(RewindRefusedError, match="fence it first"):
        finish_rewind(pair.sup(), pair.kind, 30)
    pair.fence()
    finish_rewind(pair.sup(), pair.kind, 30)
    assert not unfinished(pair)
    assert pair.executed(pair.w) == keep
    assert pair.snapshot(pair.w, "half") == before
    assert sorted(tmp_path.iterdir()) == kept
    pair.whole()


def test_the_sql_is_complete_in_both_flavours() -> None:
    mysql, mariadb = (statements.load(f, "rewind").names() for f in ("mysql", "mariadb"))
    assert mysql == mariadb
