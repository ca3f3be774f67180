"""Reseed on real pairs of both flavours, by each method: data, history, settings, deaths."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest

from myha import config as configuration
from myha.binlog.errors import HealRefusedError
from myha.database.flavours import MARIADB, MYSQL
from myha.errors import MyhaError
from myha.operations.heal.reseed import (
    Method,
    ReseedOrder,
    plan_reseed,
    reseed_node,
)
from myha.operations.heal.reseed.backup import NEW_SUFFIX, OLD_SUFFIX
from myha.operations.heal.reseed.dump import copy
from myha.operations.heal.reseed.node_host import NodeHost
from myha.permit import CancelledError
from myha.progress import Progress
from myha.sandbox.cluster import Cluster
from myha.undo import summed_files
from tests.real.purging import drop_older_logs
from tests.real.stopping import shut_down
from tests.real.test_rewind import COLUMNS, NAMES, OWN_COLUMNS, OWN_NAMES, OWN_VALUES, VALUES
from tests.reporters import ListReporter
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("reseed")]

WAYS: list[tuple[str, Method]] = [
    ("mysql", Method.CLONE),
    ("mysql", Method.DUMP),
    ("mariadb", Method.BACKUP),
    ("mariadb", Method.DUMP),
]
RUN_IT = """
import json, sys
from pathlib import Path
from myha.config import load
from myha.operations.heal.reseed import Method, ReseedOrder, reseed_node
from myha.progress import JsonReporter
order = ReseedOrder(load(Path(sys.argv[1])), "a", "b", {}, (Method(sys.argv[2]),))
reporter = JsonReporter(sys.stdout)
reporter.done(str(reseed_node(order, reporter)))
"""


class Pair:
    """A pair set up once for a flavour; b is the writer, a the node that is reseeded."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        cluster.start_servers()
        cluster.start_haproxy()
        cluster.setup(lambda _line: None)
        self.config = configuration.load(cluster.config_path)
        self.mysql = cluster.state.flavour == "mysql"
        self.fence_a()
        wide = f"{COLUMNS}, {OWN_COLUMNS[cluster.state.flavour]}"
        if self.mysql:  # CHECKSUM TABLE differs from call to call with columns that are hidden
            wide = wide.replace(", KEY ((fx+1)), KEY mvi ((CAST(j->'$.a' AS UNSIGNED ARRAY)))", "")
        own = cluster.state.flavour
        self.b(
            "SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'",
            "CREATE DATABASE IF NOT EXISTS app",
            "CREATE TABLE app.t"
            " (id BIGINT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(400), KEY (v(20)))",
            f"CREATE TABLE app.`wide ``one` ({wide})",
            f"INSERT INTO app.`wide ``one` ({NAMES},{OWN_NAMES[own]}) VALUES ({VALUES},"
            f"{OWN_VALUES[own]})",
            "INSERT INTO app.`wide ``one` (vb, f, db, vcl, da) VALUES"
            " (0x1b4e0a0d091b1b5c, 1.2345678, 0.1, '\\\\N\\n\\t\\r', 0)",
            "CREATE TABLE app.parent (id INT PRIMARY KEY)",
            "CREATE TABLE app.child (p INT, FOREIGN KEY (p) REFERENCES app.parent (id))",
            "CREATE TABLE app.keyless (v LONGBLOB)",
            "INSERT INTO app.parent VALUES (0), (1)",
            "INSERT INTO app.child VALUES (1), (NULL)",
            "CREATE VIEW app.z_view AS SELECT id FROM app.t",
            "CREATE VIEW app.a_view AS SELECT * FROM app.z_view",
            "CREATE FUNCTION app.twice (n INT) RETURNS INT DETERMINISTIC RETURN n * 2",
            "CREATE TRIGGER app.no_child BEFORE INSERT ON app.parent FOR EACH ROW SET @x = NEW.id",
            "CREATE EVENT app.daily ON SCHEDULE EVERY 1 DAY DO DELETE FROM app.t",
            "CREATE USER 'only_b'@'%' IDENTIFIED BY 'Secret-1'",
            "GRANT SELECT ON app.* TO 'only_b'@'%'",
            "CREATE DEFINER = 'only_b'@'%' EVENT app.`100 % ``odd``` ON SCHEDULE EVERY 1 DAY"
            " DISABLE DO DELETE FROM app.t",
            # Its definer may write under read-only.
            "CREATE EVENT app.often ON SCHEDULE EVERY 1 SECOND DO SET @x = 1",
        )
        self.add_rows(20_000)
        self.b("INSERT INTO app.keyless VALUES (REPEAT(0xfe, 100)), (REPEAT(0x01, 4000000))")

    def add_rows(self, count: int) -> None:
        with closing(self.connect("b")) as connection, connection.cursor() as cursor:
            for _ in range(count // 2000):
                cursor.executemany(
                    "INSERT INTO app.t (v) VALUES (%s)", [("x" * 300,) for _ in range(2000)]
                )

    def connect(self, node: str, user: str = "admin", password: str = "") -> Any:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.cluster.nodes[node].port,
            user=user,
            password=password or self.cluster.secret(user),
            autocommit=True,
            read_timeout=60,
        )

    def ask(self, node: str, *statements: str) -> list[Any]:
        with closing(self.connect(node)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def b(self, *statements: str) -> list[Any]:
        return self.ask("b", *statements)

    def fence_a(self) -> None:
        """a is out, closed and alone; b is the writer."""
        self.ask("a", "STOP REPLICA", "SET GLOBAL read_only = ON")
        if self.mysql:
            self.ask("a", "SET GLOBAL super_read_only = ON")
            self.b("STOP REPLICA", "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF")
        else:
            self.b("STOP REPLICA", "SET GLOBAL read_only = OFF")

    def diverge(self) -> None:
        """Errant on a: a row, and a table, which nothing can undo."""
        if self.mysql:
            self.ask("a", "SET GLOBAL super_read_only = OFF")
        self.ask(
            "a",
            "CREATE DATABASE IF NOT EXISTS errant",
            "CREATE TABLE IF NOT EXISTS errant.t (v INT)",
            "INSERT INTO errant.t VALUES (42)",
        )
        if self.mysql:
            self.ask("a", "SET GLOBAL super_read_only = ON")

    def executed(self, node: str) -> str:
        if self.mysql:
            return str(self.ask(node, "SELECT @@gtid_executed")[0][0])
        own, applied = self.ask(node, "SELECT @@gtid_binlog_pos, @@gtid_slave_pos")[0]
        return f"{own} {applied}"

    def reseed(self, method: Method, **options: Any) -> tuple[Any, ListReporter]:
        reporter = options.pop("reporter", ListReporter())
        order = ReseedOrder(self.config, "a", "b", {"why": "a test"}, (method,), **options)
        return reseed_node(order, reporter), reporter

    def process(self, method: Method) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", RUN_IT, str(self.config.path), str(method)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def checksums(self, node: str) -> dict[str, Any]:
        names = self.ask(
            node,
            "SELECT CONCAT(TABLE_SCHEMA, '.`', REPLACE(TABLE_NAME, '`', '``'), '`') FROM"
            " information_schema.TABLES WHERE TABLE_TYPE = 'BASE TABLE' AND TABLE_SCHEMA NOT IN"
            " ('mysql', 'sys', 'information_schema', 'performance_schema', 'myha') ORDER BY 1",
        )
        return {name: self.ask(node, f"CHECKSUM TABLE {name}")[0][1] for (name,) in names}

    def objects(self, node: str) -> list[Any]:
        return self.ask(
            node,
            "SELECT TABLE_NAME FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'app'"
            " UNION ALL SELECT ROUTINE_NAME FROM information_schema.ROUTINES"
            " WHERE ROUTINE_SCHEMA = 'app' UNION ALL SELECT TRIGGER_NAME"
            " FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'app'"
            " UNION ALL SELECT CONCAT(EVENT_NAME, DEFINER) FROM information_schema.EVENTS"
            " WHERE EVENT_SCHEMA = 'app' ORDER BY 1",
        )

    def catch_up(self) -> None:
        """One way, as the tail of a heal does it; then the data is equal."""
        self.ask("a", "START REPLICA")
        last = self.b("SELECT MAX(id), COUNT(*) FROM app.t")
        until(
            lambda: self.ask("a", "SELECT MAX(id), COUNT(*) FROM app.t") == last, "a has caught up"
        )
        assert self.checksums("a") == self.checksums("b")

    def check_itself(self) -> None:
        """a is a: its ids, its settings, closed, and what is the writer's own is not here."""
        rows = self.ask(
            "a", "SELECT @@server_id, @@auto_increment_offset, @@auto_increment_increment"
        )
        assert rows == [(1, 1, 2)]
        assert self.ask("a", "SELECT @@global.read_only") == [(1,)]
        assert self.objects("a") == self.objects("b") != []
        events = self.ask("a", "SELECT STATUS FROM information_schema.EVENTS")
        assert "ENABLED" not in {status for (status,) in events}
        assert self.ask("a", "SELECT @@GLOBAL.event_scheduler") == [("ON",)]
        with closing(self.connect("a", "only_b", "Secret-1")) as connection:
            connection.query("SELECT COUNT(*) FROM app.t")
        if self.mysql:
            (uuid,) = self.ask("a", "SELECT @@server_uuid")[0]
            assert uuid != self.b("SELECT @@server_uuid")[0][0]
            persisted = dict(self.ask("a", "SELECT * FROM performance_schema.persisted_variables"))
            assert persisted["super_read_only"] == persisted["skip_replica_start"] == "ON"
            assert persisted["auto_increment_offset"] == "1"
            users = {user for (user,) in self.b("SELECT User FROM mysql.user")}
            assert "myha_clone" not in users
            assert "myha_clone" not in {u for (u,) in self.ask("a", "SELECT User FROM mysql.user")}
        assert not list(self.cluster.nodes["a"].directory.glob("data.reseed*"))

    def check_closed_at_boot(self) -> None:
        shut_down(self.cluster, "a")
        self.cluster.servers["a"].start(60)
        assert self.ask("a", "SELECT @@global.read_only") == [(1,)]
        with closing(self.connect("a")) as connection:
            cursor = connection.cursor(pymysql.cursors.DictCursor)
            cursor.execute("SHOW REPLICA STATUS")
            (row,) = cursor.fetchall()
        assert {row[key] for key in row if key.endswith(("IO_Running", "SQL_Running"))} == {"No"}

    def check_other_way(self) -> None:
        """b replicates from a again: the circle is whole."""
        if self.mysql:
            self.ask("a", "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF")
        else:
            position = self.ask("a", "SELECT @@gtid_binlog_pos, @@gtid_slave_pos")[0]
            merged: dict[str, str] = {}
            for item in ",".join(filter(None, position)).split(","):
                domain, _, number = item.split("-")
                if int(number) >= int(merged.get(domain, "0-0-0").split("-")[2]):
                    merged[domain] = item
            self.b(
                "SET GLOBAL gtid_strict_mode = OFF",
                f"SET GLOBAL gtid_slave_pos = '{','.join(merged.values())}'",
                "SET GLOBAL gtid_strict_mode = ON",
            )
        self.b("START REPLICA")
        with closing(self.connect("a")) as connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO app.t (v) VALUES ('from a')")
            number = cursor.lastrowid
        assert number % 2 == 1
        until(lambda: self.b(f"SELECT v FROM app.t WHERE id = {number}"), "b has what a wrote")
        self.fence_a()


@pytest.fixture(scope="module")
def pairs() -> Iterator[Callable[[str], Pair]]:
    made: dict[str, Pair] = {}

    def get(flavour: str) -> Pair:
        if flavour not in made:
            cluster = Cluster.create(flavour=flavour)
            try:
                made[flavour] = Pair(cluster)
            except BaseException:
                cluster.down()
                raise
        pair = made[flavour]
        pair.cluster.start_servers()
        pair.fence_a()
        return pair

    yield get
    for pair in made.values():
        pair.cluster.down()


class Writer:
    """Writes on b all the time; every OK is counted."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._ends = threading.Event()
        self.acknowledged: list[int] = []
        self.slowest_seconds = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with closing(self._pair.connect("b")) as connection, connection.cursor() as cursor:
            while not self._ends.is_set():
                began = time.monotonic()
                cursor.execute("INSERT INTO app.t (v) VALUES ('while it is copied')")
                self.acknowledged.append(int(cursor.lastrowid))
                self.slowest_seconds = max(self.slowest_seconds, time.monotonic() - began)
                time.sleep(0.002)

    def __enter__(self) -> Writer:
        self._thread.start()
        until(lambda: self.acknowledged, "the first write")
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(90)


class Statements:
    """All that anybody who may see others' sessions on a sees of them meanwhile."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._ends = threading.Event()
        self.statements: set[str] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._ends.is_set():
            # It ends and starts in between; and a method may leave nothing to log in to.
            with suppress(pymysql.Error), closing(self._pair.connect("a")) as connection:
                while not self._ends.wait(0.005):
                    with connection.cursor() as cursor:
                        cursor.execute("SHOW FULL PROCESSLIST")
                        self.statements.update(str(row[7]) for row in cursor.fetchall())
            self._ends.wait(0.02)

    def __enter__(self) -> Statements:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join(90)


@pytest.mark.parametrize(("flavour", "method"), WAYS)
def test_an_errant_node_becomes_its_peer_again(
    pairs: Callable[[str], Pair], flavour: str, method: Method
) -> None:
    pair = pairs(flavour)
    pair.diverge()
    with Writer(pair) as writer, Statements(pair) as seen:
        report, reporter = pair.reseed(method)
    if method is Method.CLONE:
        told = [one for one in seen.statements if "CLONE INSTANCE" in one]
        assert told
        assert all("IDENTIFIED BY <secret>" in one for one in told), "no password is to be seen"
    assert report.method is method
    assert len(writer.acknowledged) > 20
    assert writer.slowest_seconds < 2, "the writer goes on serving"

    assert report.quarantine_path is not None
    summed_files.verify(report.quarantine_path)
    assert b"errant" in (report.quarantine_path / "events.binlog").read_bytes()
    summary = json.loads((report.quarantine_path / "summary.json").read_text())
    assert summary["incident"]["why"] == "a test"

    copied = [one for one in reporter.seen if one.phase in {"copy", "back up"}]
    assert copied[-1].percent == 100
    assert copied[-1].unit == "bytes"

    assert not pair.ask("a", "SHOW DATABASES LIKE 'errant'")
    pair.check_itself()
    pair.catch_up()
    (found,) = pair.ask("a", "SELECT COUNT(*) FROM app.t WHERE v = 'while it is copied'")[0]
    assert found >= len(writer.acknowledged)
    if method is not Method.DUMP:
        pair.check_closed_at_boot()
        pair.catch_up()
    pair.check_other_way()


@pytest.mark.parametrize(("flavour", "method"), WAYS)
def test_prepared_xa_transactions_are_in_nobodys_way_and_come_along(
    pairs: Callable[[str], Pair],
    flavour: str,
    method: Method,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They hold locks that no end of a session or server lets go of."""
    pair = pairs(flavour)
    pair.diverge()
    if pair.mysql:
        pair.ask("a", "SET GLOBAL super_read_only = OFF")
    write = "INSERT INTO errant.t VALUES (43)"
    name = "'gone','a''b',7"
    pair.ask("a", f"XA START {name}", write, f"XA END {name}", f"XA PREPARE {name}")
    assert len(pair.ask("a", "XA RECOVER")) == 1
    pair.b(
        "XA START 'comes'",
        "INSERT INTO app.t (v) VALUES ('prepared')",
        "XA END 'comes'",
        "XA PREPARE 'comes'",
    )
    if method is Method.DUMP:
        monkeypatch.setattr(copy, "LOCK_ATTEMPTS", 2)
        with pytest.raises(MyhaError, match="does not take prepared XA transactions along"):
            pair.reseed(method)
        assert pair.ask("a", "SELECT COUNT(*) FROM errant.t WHERE v = 42") != [(0,)]
        pair.b("XA COMMIT 'comes'")
        pair.reseed(method)
        assert pair.ask("a", "XA RECOVER") == []
    else:
        pair.reseed(method)
        assert len(pair.ask("a", "XA RECOVER")) == 1
        pair.b("XA COMMIT 'comes'")
    pair.catch_up()
    assert pair.ask("a", "SELECT COUNT(*) FROM app.t WHERE v = 'prepared'") != [(0,)]
    assert pair.ask("a", "XA RECOVER") == []
    pair.check_other_way()


@pytest.mark.parametrize(("flavour", "method"), WAYS)
def test_killed_at_any_phase_and_run_again(
    pairs: Callable[[str], Pair], flavour: str, method: Method
) -> None:
    pair = pairs(flavour)
    kills = {
        Method.CLONE: ("copy", "start"),
        Method.DUMP: ("copy", "make views, code and accounts"),
        Method.BACKUP: ("back up", "prepare", "finish"),
    }[method]
    for phase in kills:
        with pair.process(method) as process:
            for line in process.stdout or ():
                if json.loads(line).get("progress", {}).get("phase") == phase:
                    break
            process.send_signal(signal.SIGKILL)
            said = process.communicate(timeout=90)[1]
        assert process.returncode == -signal.SIGKILL, said
        mark = str((MYSQL if pair.mysql else MARIADB).reseeding)
        if method is Method.DUMP:
            assert mark in pair.executed("a"), "half-made data is nobody's"
    report, _ = pair.reseed(method)
    assert report.quarantine_path is None
    pair.check_itself()
    pair.catch_up()


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_a_lost_data_directory(pairs: Callable[[str], Pair], flavour: str) -> None:
    pair = pairs(flavour)
    ways = [Method.CLONE] if pair.mysql else [Method.BACKUP, Method.DUMP]
    for method in ways:
        server = pair.cluster.servers["a"]
        server.kill()
        assert server.await_gone(20)
        shutil.rmtree(pair.cluster.nodes["a"].data_dir)
        pair.reseed(method)
        pair.check_itself()
        pair.catch_up()
        pair.check_other_way()


@pytest.mark.parametrize(("flavour", "method"), WAYS)
def test_the_donor_dies_meanwhile(
    pairs: Callable[[str], Pair], flavour: str, method: Method
) -> None:
    pair = pairs(flavour)
    donor = pair.cluster.servers["b"]

    class Killer(ListReporter):
        def progress(self, now: Progress) -> None:
            if now.phase in {"copy", "back up"} and donor.running():
                donor.kill()
            super().progress(now)

    with pytest.raises(MyhaError) as caught:
        pair.reseed(method, reporter=Killer())
    assert "\n" not in str(caught.value)
    assert donor.await_gone(20)
    pair.cluster.start_servers()
    assert pair.ask("a", "SELECT @@global.read_only") == [(1,)]
    pair.fence_a()
    pair.reseed(method)
    pair.catch_up()


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_refusals_change_nothing(
    pairs: Callable[[str], Pair], flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pairs(flavour)
    pair.diverge()
    before = pair.executed("a")

    with monkeypatch.context() as patch:
        patch.setattr(NodeHost, "disk", lambda _place, _path: (1 << 20, "/"))
        with pytest.raises(HealRefusedError, match=r"of disk on a, and .* are free"):
            plan_reseed(ReseedOrder(pair.config, "a", "b", {}, (Method.BACKUP, Method.CLONE)))

    drop_older_logs(partial(pair.ask, "a"))
    with pytest.raises(HealRefusedError, match="cannot be put into quarantine, and would be lost"):
        pair.reseed(Method.DUMP)
    assert pair.executed("a") == before
    assert pair.ask("a", "SELECT v FROM errant.t")

    report, reporter = pair.reseed(Method.DUMP, accept_loss=True)
    assert report.quarantine_path is None
    assert [text for kind, text, _ in reporter.events if kind == "loss"]
    pair.catch_up()

    pair.b("CREATE TABLE app.old (v INT) ENGINE = MyISAM")
    try:
        with pytest.raises(HealRefusedError, match=r"app\.old \(MyISAM\)"):
            pair.reseed(Method.DUMP)
    finally:
        pair.b("DROP TABLE app.old")

    if pair.mysql:
        pair.ask("a", "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF")
    else:
        pair.ask("a", "SET GLOBAL read_only = OFF")
    with pytest.raises(HealRefusedError, match="a takes writes; fence it first"):
        pair.reseed(Method.DUMP)


@pytest.mark.parametrize("flavour", ["mysql", "mariadb"])
def test_told_to_stop(pairs: Callable[[str], Pair], flavour: str) -> None:
    pair = pairs(flavour)
    reporter = ListReporter(cancel_when=lambda one: one.phase in {"copy", "back up"})
    method = Method.CLONE if pair.mysql else Method.BACKUP
    with pytest.raises(CancelledError):
        pair.reseed(method, reporter=reporter)
    assert pair.ask("a", "SELECT @@global.read_only") == [(1,)]
    leftovers = pair.cluster.nodes["a"].directory
    assert not (leftovers / f"data{NEW_SUFFIX}").exists()
    assert not (leftovers / f"data{OLD_SUFFIX}").exists()
    pair.reseed(method)
    pair.catch_up()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
def test_a_full_disk_on_the_node(
    pairs: Callable[[str], Pair], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pairs("mariadb")
    data = pair.cluster.nodes["a"].data_dir
    new = data.with_name(f"{data.name}{NEW_SUFFIX}")
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(small)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        before = pair.executed("a")

        make = NodeHost.make

        def diverted(host: NodeHost, path: Path) -> None:
            """The new directory comes to lie on the small file system."""
            make(host, path)
            subprocess.run(["mount", "--bind", str(small), str(path)], check=True)

        monkeypatch.setattr(NodeHost, "make", diverted)
        try:
            with pytest.raises(MyhaError, match=r"(?i)no space|mbstream failed"):
                pair.reseed(Method.BACKUP)
        finally:
            monkeypatch.undo()
            subprocess.run(["umount", str(new)], check=False)
        assert pair.executed("a") == before
        assert pair.ask("a", "SELECT @@global.read_only") == [(1,)]
    finally:
        subprocess.run(["umount", str(small)], check=False)
    pair.reseed(Method.BACKUP)
    assert not new.exists()
    pair.catch_up()


@pytest.mark.parametrize(
    ("flavour", "method"), [way for way in WAYS if way != ("mysql", Method.DUMP)]
)
def test_a_server_that_does_not_start_any_more(
    pairs: Callable[[str], Pair], flavour: str, method: Method
) -> None:
    """What it has of its own cannot be read: that has to be accepted, and then it is replaced."""
    pair = pairs(flavour)
    pair.diverge()
    data = pair.cluster.nodes["a"].data_dir
    shut_down(pair.cluster, "a")
    for path in (data / "ibdata1", data / "mysql.ibd"):
        if path.exists():
            path.write_bytes(b"ruined" * 1000)
    with pytest.raises(HealRefusedError, match="does not start, so its errant transactions"):
        pair.reseed(method)
    assert (data / "ibdata1").read_bytes().startswith(b"ruined")
    report, reporter = pair.reseed(method, accept_loss=True)
    assert report.quarantine_path is None
    assert [text for kind, text, _ in reporter.events if kind == "loss"]
    pair.catch_up()
    pair.check_itself()
    pair.check_closed_at_boot()


@contextmanager
def on_a_small_disk(pair: Pair, left_bytes: int) -> Iterator[None]:
    """The node's data directory is a file system of its own, with little room."""
    server, data = pair.cluster.servers["a"], pair.cluster.nodes["a"].data_dir
    aside = data.with_name("data-of-the-test")
    shut_down(pair.cluster, "a")
    used = sum(path.stat().st_blocks * 512 for path in data.rglob("*") if path.is_file())
    data.rename(aside)
    data.mkdir(mode=0o700)
    size = f"size={used + left_bytes},mode=700"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "none", str(data)], check=False
    ).returncode
    try:
        if mounted == 0:
            shutil.copytree(aside, data, dirs_exist_ok=True)
            server.start(60)
            yield
            shut_down(pair.cluster, "a")
        else:
            pytest.skip("no file system can be mounted here")
    finally:
        server.kill()
        server.await_gone(30)
        subprocess.run(["umount", "--lazy", str(data)], check=False)
        data.rmdir()
        aside.rename(data)
        server.start(60)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small file system")
@pytest.mark.parametrize(
    ("flavour", "method"), [way for way in WAYS if way[1] is not Method.BACKUP]
)
def test_a_disk_that_fills_up_during_the_copy(
    pairs: Callable[[str], Pair],
    flavour: str,
    method: Method,
) -> None:
    """Somebody else takes the room that was there when it was looked at."""
    pair = pairs(flavour)
    data = pair.cluster.nodes["a"].data_dir
    filler = data / "filler"

    class Filler(ListReporter):
        def progress(self, now: Progress) -> None:
            super().progress(now)
            if now.phase == "copy" and not filler.exists():
                with filler.open("wb", buffering=0) as file, suppress(OSError):
                    while file.write(bytes(1 << 20)):
                        pass

    with on_a_small_disk(pair, 400 << 20):
        with pytest.raises(MyhaError) as caught:
            pair.reseed(method, reporter=Filler())
        assert "\n" not in str(caught.value)
        assert re.search(r"(?i)space|full", str(caught.value)), caught.value
        if pair.cluster.servers["a"].running():  # or InnoDB has given up: nothing is open then
            assert pair.ask("a", "SELECT @@global.read_only") == [(1,)]
            assert pair.executed("a") != pair.executed("b")
        filler.unlink()
        pair.reseed(method)
        pair.catch_up()
        pair.check_itself()
    pair.reseed(method)
    pair.catch_up()


def test_a_row_larger_than_a_packet(pairs: Callable[[str], Pair]) -> None:
    pair = pairs("mysql")
    pair.b(
        "SET SESSION sql_log_bin = 0",
        "INSERT INTO app.keyless VALUES (REPEAT(0xab, 17000000)), (REPEAT(0x0a, 33554410)), ('x')",
    )
    pair.reseed(Method.DUMP)
    assert pair.checksums("a") == pair.checksums("b")
    pair.b("SET SESSION sql_log_bin = 0", "INSERT INTO app.keyless VALUES (REPEAT(0x1b, 40000000))")
    with pytest.raises(MyhaError, match="a row does not fit into max_allowed_packet"):
        pair.reseed(Method.DUMP)
    pair.b("SET SESSION sql_log_bin = 0", "DELETE FROM app.keyless WHERE LENGTH(v) > 5000000")
    pair.reseed(Method.DUMP)
    pair.catch_up()
