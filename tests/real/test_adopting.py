"""`myha setup` on pairs that people made by hand and that serve meanwhile, and `myha release`.

One pair of each flavour goes all the way: made by file and position after the manual, refused for
what differs, adopted in pieces while clients write, supervised, given back, adopted again.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from myha.config import load
from myha.sandbox.cluster import Cluster
from myha.stores.factory import read_record
from tests.real import by_hand
from tests.real.by_hand import ask
from tests.waiting import until

pytestmark = pytest.mark.real

MakeCluster = Callable[..., Cluster]


def argv(pair: Cluster, *words: str) -> list[str]:
    return [sys.executable, "-m", "myha", "--config", str(pair.config_path), *words]


def myha(pair: Cluster, *words: str, **environment: str) -> tuple[int, str]:
    """Run a command; its exit status and all that it said. Never a traceback."""
    done = subprocess.run(
        argv(pair, *words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        env={**os.environ, **environment},
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    return done.returncode, said


def interrupted(pair: Cluster, *words: str, at: str) -> None:
    """Ctrl-C as soon as it says this."""
    process = subprocess.Popen(
        argv(pair, *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("[") and at in line:
            break
    assert at in said, said
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert "Traceback" not in rest
    assert process.returncode in {0, 130}, rest


def record(pair: Cluster) -> Any:
    return read_record(load(pair.config_path))


def nothing_was_lost(pair: Cluster, folder: Path) -> None:
    """Every acknowledged write is on both nodes, and they are equal."""
    told = by_hand.acknowledged(folder)
    until(lambda: told <= by_hand.rows(pair, "a") & by_hand.rows(pair, "b"), "all arrived")
    until(lambda: by_hand.rows(pair, "a") == by_hand.rows(pair, "b"), "they are equal")


def test_by_file_and_position(cluster: MakeCluster, flavour: str, tmp_path: Path) -> None:
    pair = cluster(flavour=flavour)
    mysql = flavour == "mysql"
    by_hand.options(pair, *(by_hand.MYSQL_BY_FILE if mysql else by_hand.MARIADB_BY_FILE))
    pair.start_servers()
    by_hand.make(pair, by_gtid=False, standby="a")
    if mysql:  # the other flavour goes without
        by_hand.wait_for_acknowledgements(pair, "b", "a")
    ask(
        pair,
        "b",
        "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)",
        "INSERT INTO app.t VALUES (1, 1)",
    )
    until(lambda: by_hand.has_rows(pair, "a", "t"), "it has arrived")
    ask(pair, "a", "SET SESSION sql_log_bin = 0", "UPDATE app.t SET v = 2")

    with by_hand.writing(pair, "b", tmp_path) as clients:
        _discovered(pair, tmp_path / "seen" / "myha.toml")
        status, said = myha(pair, "setup", "--dry-run")
        if mysql:
            assert status == 0, said
            assert (
                "they replicate already, and are taken over as they serve: b is the writer" in said
            )
            assert "b: set gtid_mode = ON_PERMISSIVE" in said
            assert ask(pair, "b", "SELECT @@GLOBAL.gtid_mode") == [("OFF",)]
            for step in ("gtid_mode = ON_PERMISSIVE", "by GTID from where"):
                interrupted(pair, "setup", "--yes", at=step)
            status, said = myha(pair, "setup", "--yes")
        assert status == 1
        assert "rows of app.t differ: setup does not choose" in said
        assert record(pair) is None

        status, said = myha(pair, "verify", "--tables", "app.t")
        assert status == 1
        assert "b: v = 1" in said
        assert "a: v = 2" in said
        status, said = myha(pair, "repair", "--from", "b", "--tables", "app.t", "--apply", "--yes")
        assert status == 0, said

        if not mysql:
            interrupted(pair, "setup", "--yes", at="by GTID from where")
            interrupted(pair, "setup", "--yes", at="change replication from")
        status, said = myha(pair, "setup", "--yes")
        assert status == 0, said
        assert record(pair).writer == "b"
        clients.await_acknowledged(20, by_hand.DEADLINE_SECONDS)
        seen = clients.stop()
    assert seen["errors"] == {}, "no client was ended or refused anything"
    nothing_was_lost(pair, tmp_path)
    assert ask(pair, "a", "SELECT v FROM app.t") == [(1,)]
    _and_back(pair, tmp_path / "back", mysql=mysql)


def _discovered(pair: Cluster, path: Path) -> None:
    """`init --from` the standby: its peer is found, and that it is the writer."""
    place = f"127.0.0.1:{pair.nodes['a'].port}"
    words = ("init", "--path", str(path), "--from", place, "--user", "admin")
    status, said = myha(pair, *words)
    assert status == 2
    assert "MYHA_ADMIN_PASSWORD" in said
    status, said = myha(pair, *words, MYHA_ADMIN_PASSWORD=pair.secret("admin"))
    assert status == 0, said
    assert pair.secret("admin") not in said
    assert "by file and position" in said
    seen = load(path)
    assert seen.cluster.mode.value == "single-writer"
    assert [seen.nodes[name].port for name in "ab"] == [pair.nodes[name].port for name in "ab"]
    assert re.search(r"a and b took 0 and [1-9]", path.read_text())
    assert {file.name for file in (path.parent / "secrets").iterdir()} == {
        "supervisor",
        "replication",
    }


def test_by_gtid_one_way_with_semi_sync(cluster: MakeCluster, flavour: str, tmp_path: Path) -> None:
    """The standby acknowledges the writer's commits, and nobody waits while its channel rests."""
    pair = cluster(flavour=flavour)
    pair.start_servers()
    by_hand.make(pair, by_gtid=True, one_way=True)
    by_hand.wait_for_acknowledgements(pair, "a", "b")
    status, said = myha(pair, "release", "--dry-run")
    assert status == 1
    assert "no record of a pair" in said
    with by_hand.writing(pair, "a", tmp_path) as clients:
        interrupted(pair, "setup", "--yes", at="auto_increment_increment = 2 now")
        # As if it had been cut short a moment later, while that channel rests.
        ask(pair, "b", "STOP REPLICA")
        clients.await_acknowledged(20, by_hand.DEADLINE_SECONDS / 2)
        status, said = myha(pair, "setup", "--yes")
        assert status == 0, said
        assert "b: start its replication from a, which is stopped" in said
        assert "a: replicate from b at" in said
        clients.await_acknowledged(20, by_hand.DEADLINE_SECONDS)
        status, said = myha(pair, "release", "--one-way", "--keep-accounts", "--yes")
        assert status == 0, said
        clients.await_acknowledged(20, by_hand.DEADLINE_SECONDS)
        seen = clients.stop()
    assert seen["errors"] == {}
    nothing_was_lost(pair, tmp_path)
    assert not ask(pair, "a", "SHOW REPLICA STATUS")
    assert ask(pair, "b", "SHOW REPLICA STATUS")
    assert ask(pair, "a", "SELECT 1 FROM mysql.user WHERE User = 'myha'")
    status, said = myha(pair, "setup", "--dry-run")
    assert status == 0, said


def _and_back(pair: Cluster, folder: Path, *, mysql: bool) -> None:
    pair.start_haproxy()
    pair.start_supervisor()
    until(lambda: "healthy" in myha(pair, "status")[1], "the supervisor has it")
    status, said = myha(pair, "release", "--yes")
    assert status == 1
    assert "stop the supervisor" in said
    pair.supervisor.stop(20)
    with by_hand.writing(pair, "b", folder, first=11) as clients:
        status, said = myha(pair, "release", "--dry-run")
        assert status == 0, said
        assert "b: drop the schema myha" in said
        assert ask(pair, "b", "SHOW DATABASES LIKE 'myha'")
        interrupted(pair, "release", "--yes", at="drop the schema")
        status, said = myha(pair, "release", "--yes")
        assert status == 0, said
        assert record(pair) is None
        _is_ordinary(pair, mysql=mysql)
        clients.await_acknowledged(20, by_hand.DEADLINE_SECONDS)
        status, said = myha(pair, "setup", "--yes")
        assert status == 0, said
        assert record(pair).writer == "b"
        seen = clients.stop()
    assert seen["errors"] == {}
    nothing_was_lost(pair, folder)


def _is_ordinary(pair: Cluster, *, mysql: bool) -> None:
    words = ("source", "replica") if mysql else ("master", "slave")
    for name in pair.nodes:
        assert not ask(pair, name, "SHOW DATABASES LIKE 'myha'")
        assert not ask(pair, name, "SELECT 1 FROM mysql.user WHERE User = 'myha'")
        values = ask(
            pair,
            name,
            *(
                f"SELECT @@rpl_semi_sync_{words[0]}_enabled, @@rpl_semi_sync_{words[1]}_enabled, "
                "@@read_only",
            ),
        )
        assert values == [(0, 0, name == "a")]
    if mysql:
        query = (
            "SELECT VARIABLE_NAME FROM performance_schema.persisted_variables "
            "WHERE VARIABLE_NAME IN ('read_only', 'skip_replica_start') ORDER BY 1"
        )
        assert ask(pair, "b", query) == []
        assert ask(pair, "a", query) == [("read_only",)]
    else:
        assert "read_only = ON" in pair.nodes["a"].fragment.read_text()
        text = pair.nodes["b"].fragment.read_text()
        assert "read_only" not in text
        assert "skip_slave_start" not in text


def test_two_writers_that_have_crossed_already(cluster: MakeCluster, flavour: str) -> None:
    """Both took an update of one row at the same time, and each has the other's since."""
    pair = cluster(flavour=flavour, mode="dual-writer")
    mysql = flavour == "mysql"
    if mysql:
        by_hand.options(pair, *by_hand.MYSQL_BY_FILE)
    pair.start_servers()
    by_hand.make(pair, by_gtid=not mysql)
    ask(pair, "b", "SET GLOBAL read_only = OFF")
    _filtered(pair, "b")
    table = "CREATE TABLE app.t (id INT PRIMARY KEY, v INT)"
    ask(pair, "a", table, "INSERT INTO app.t VALUES (1, 1)")
    until(lambda: by_hand.has_rows(pair, "b", "t"), "it has arrived")
    what = "REPLICA" if mysql else "SLAVE"
    for name in "ab":
        ask(pair, name, f"STOP {what}")
    for name, value in (("a", 10), ("b", 20)):
        ask(pair, name, f"UPDATE app.t SET v = {value}")
    for name in "ab":
        ask(pair, name, f"START {what}")

    def crossed() -> bool:
        return [ask(pair, name, "SELECT v FROM app.t") for name in "ab"] == [[(20,)], [(10,)]]

    until(crossed, "each has the other's")
    status, said = myha(pair, "setup", "--yes")
    assert status == 1
    assert "rows of app.t differ: setup does not choose" in said
    assert record(pair) is None
    status, said = myha(pair, "repair", "--from", "a", "--tables", "app.t", "--apply", "--yes")
    assert status == 0, said
    status, said = myha(pair, "setup", "--yes")
    assert status == 0, said
    assert record(pair).writer in {"a", "b"}
    for name in "ab":
        assert ask(pair, name, "SELECT v FROM app.t") == [(20,)]
    offsets = [ask(pair, name, "SELECT @@GLOBAL.auto_increment_offset")[0][0] for name in "ab"]
    assert offsets == [1, 2]
    _left_out(pair)


def _left_out(pair: Cluster) -> None:
    """Released while a node does not replicate, and has what the other one lacks."""
    a, b = ("a", "b") if record(pair).writer == "a" else ("b", "a")
    what = "REPLICA" if pair.state.flavour == "mysql" else "SLAVE"
    for name in "ab":
        ask(pair, name, f"STOP {what}")
    ask(pair, b, "INSERT INTO app.t VALUES (7, 7)")
    ask(pair, a, f"START {what} IO_THREAD")
    status, said = myha(pair, "release", "--yes")
    assert status == 1
    assert f"{b}: does not replicate" in said
    assert "--force" in said
    status, said = myha(pair, "release", "--force", "--yes")
    assert status == 0, said
    assert f"{b} is left as it is" in said
    assert record(pair) is None
    assert not ask(pair, a, f"SHOW {what} STATUS"), "what the other one has goes nowhere"
    assert not ask(pair, a, "SHOW DATABASES LIKE 'myha'")
    assert not ask(pair, a, "SELECT 1 FROM app.t WHERE id = 7")
    assert ask(pair, b, "SELECT 1 FROM mysql.user WHERE User = 'myha'")
    assert ask(pair, b, "SHOW DATABASES LIKE 'myha'")
    status, said = myha(pair, "setup", "--yes")
    assert status == 1
    assert f"{b}: holds" in said
    assert f"that {a} lacks" in said
    assert not ask(pair, a, "SELECT 1 FROM app.t WHERE id = 7")


def _filtered(pair: Cluster, name: str) -> None:
    """With a filter that somebody has set while it runs, as for a noisy schema: refused by name."""
    what = "REPLICA" if pair.state.flavour == "mysql" else "SLAVE"
    for value, status in (("noise", 1), ("", 0)):
        change = f"SET GLOBAL replicate_ignore_db = '{value}'"
        if what == "REPLICA":
            change = f"CHANGE REPLICATION FILTER REPLICATE_IGNORE_DB = ({value})"
        ask(pair, name, f"STOP {what}", change, f"START {what}")
        ended, said = myha(pair, "setup", "--dry-run")
        assert ended == status, said
        assert ("noise" in said) is bool(value), said
