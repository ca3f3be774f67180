"""`myha setup` on real servers of both flavours: from bare to a pair, again, and its refusals."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pymysql
import pytest

from myha.sandbox.cluster import Cluster
from myha.stores.local.lease import LocalLease
from myha.stores.local.record import LocalRecordStore
from tests.real.stopping import shut_down
from tests.waiting import until

pytestmark = pytest.mark.real

MakeCluster = Callable[..., Cluster]
BareServers = Callable[[str], Cluster]


def setup(cluster: Cluster, *options: str, config: Path | None = None) -> tuple[int, str]:
    """Run `myha setup`; its exit status and all that it said. Never a traceback."""
    done = subprocess.run(
        [*_argv(config or cluster.config_path), *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    for name in ("admin", "supervisor", "replication"):
        assert cluster.secret(name) not in said
    return done.returncode, said


def _argv(config: Path) -> list[str]:
    return [sys.executable, "-m", "myha", "--config", str(config), "setup"]


def connect(cluster: Cluster, name: str, user: str = "admin") -> pymysql.Connection[Any]:
    node = cluster.nodes[name]
    return pymysql.connect(
        host=node.host,
        port=node.port,
        user=user,
        password=cluster.secret(user),
        autocommit=True,
        read_timeout=30,
    )


def ask(cluster: Cluster, name: str, *statements: str, user: str = "admin") -> list[Any]:
    with closing(connect(cluster, name, user)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def both(cluster: Cluster, *statements: str) -> None:
    for name in cluster.nodes:
        ask(cluster, name, "SET SESSION sql_log_bin = 0", *statements)


def edited(cluster: Cluster, tmp_path: Path, *changes: tuple[str, str]) -> Path:
    """A configuration beside the cluster's own, with the same secrets, changed by regex."""
    text = cluster.config_path.read_text()
    for pattern, replacement in changes:
        text, found = re.subn(pattern, replacement, text, count=1, flags=re.DOTALL)
        assert found, pattern
    config = cluster.directory / f"{tmp_path.name}.toml"
    config.write_text(text)
    return config


def mysql(cluster: Cluster) -> bool:
    return cluster.state.flavour == "mysql"


def executed(cluster: Cluster, name: str) -> str:
    if mysql(cluster):
        return str(ask(cluster, name, "SELECT @@GLOBAL.gtid_executed")[0][0])
    return ",".join(sorted(ask(cluster, name, "SELECT @@GLOBAL.gtid_binlog_pos")[0][0].split(",")))


def replication(cluster: Cluster, name: str) -> dict[str, Any]:
    with closing(connect(cluster, name)) as connection:
        cursor = connection.cursor(pymysql.cursors.DictCursor)
        cursor.execute("SHOW REPLICA STATUS")
        row = cursor.fetchone() or {}
        return {key.replace("Slave_", "Replica_"): value for key, value in row.items()}


# --- the whole way ------------------------------------------------------------------------------


def test_from_bare_to_a_pair_and_again(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour)
    pair.start_servers()

    status, said = setup(pair, "--plan")
    assert status == 0, said
    assert "the plan" in said
    assert not ask(pair, "a", "SHOW DATABASES LIKE 'myha'"), "a plan changes nothing"
    assert not (pair.state_dir / "record.sqlite").exists()

    status, said = setup(pair)
    assert status == 2
    assert "--yes" in said
    assert not ask(pair, "a", "SHOW DATABASES LIKE 'myha'")

    old = [connect(pair, name, "app") for name in pair.nodes]
    status, said = setup(pair, "--yes")
    assert status == 0, said
    assert "a row written on a" in said
    assert "a row written on b" in said
    for name, connection in zip(pair.nodes, old, strict=True):
        assert f"{name}: these sessions began before" in said
        thread_id = connection.thread_id()  # type: ignore[no-untyped-call]
        assert f"{thread_id} (app@" in said
    _is_a_pair(pair)

    status, said = setup(pair, "--yes")
    assert status == 0, said
    assert "nothing to do" in said
    assert "proved from the writer to the standby only" in said

    status, said = setup(pair, "--kick-sessions", "--yes")
    assert status == 0, said
    assert "began before the new settings and may" not in said
    for connection in old:
        with pytest.raises(pymysql.MySQLError):
            connection.query("SELECT 1")
    status, said = setup(pair, "--kick-sessions")
    assert "nothing to do" in said

    _restarts_fenced(pair)
    status, said = setup(pair)
    assert status == 0, said
    assert "nothing to do" in said
    assert "not in service: a is closed for writes" in said


def _is_a_pair(pair: Cluster) -> None:
    store = LocalRecordStore(pair.state_dir)
    record = store.read()
    store.close()
    assert record is not None
    assert (record.epoch, record.writer, record.sync.value) == (1, "a", "solo")
    for _, node in record.nodes:
        assert node.membership.value == "member"
        assert node.boot_id
    until(lambda: executed(pair, "a") == executed(pair, "b"), "histories are equal")
    ask(pair, "a", "CREATE DATABASE IF NOT EXISTS app", user="app")
    ask(pair, "a", "CREATE TABLE app.t (id INT AUTO_INCREMENT PRIMARY KEY)", user="app")
    ids = [ask(pair, "a", "INSERT INTO app.t () VALUES ()", "SELECT LAST_INSERT_ID()", user="app")]
    assert ids[0][0][0] % 2 == 1
    with pytest.raises(pymysql.MySQLError, match="read.only"):
        ask(pair, "b", "CREATE DATABASE other", user="app")
    until(lambda: executed(pair, "a") == executed(pair, "b"), "the table has arrived")
    for name in pair.nodes:
        columns = ask(pair, name, "SHOW COLUMNS FROM myha.heartbeat")
        assert [row[0] for row in columns][:2] == ["ts", "server_id"]


def _restarts_fenced(pair: Cluster) -> None:
    for name in pair.servers:
        shut_down(pair, name)
    pair.start_servers()
    words = ("replica", "source") if mysql(pair) else ("slave", "master")
    for name in pair.nodes:
        values = ask(
            pair,
            name,
            f"SELECT @@read_only, @@rpl_semi_sync_{words[0]}_enabled, "
            f"@@rpl_semi_sync_{words[1]}_enabled, @@rpl_semi_sync_{words[1]}_wait_point, "
            "@@auto_increment_increment, @@auto_increment_offset",
        )[0]
        assert values == (1, 1, 0, "AFTER_SYNC", 2, {"a": 1, "b": 2}[name])
        if mysql(pair):
            assert ask(pair, name, "SELECT @@super_read_only")[0] == (1,)
        state = replication(pair, name)
        assert (state["Replica_IO_Running"], state["Replica_SQL_Running"]) == ("No", "No")
    # The receiver that starts now asks for semi-sync without anybody's help.
    ask(pair, "b", "START REPLICA")
    clients = f"SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_{words[1]}_clients'"
    until(lambda: ask(pair, "a", clients)[0][1] == "1", "a semi-sync replica is connected")
    ask(pair, "b", "STOP REPLICA")


def test_receiver_never_gives_up_and_beats_often(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour, mode="dual-writer")
    pair.start_servers()
    status, said = setup(pair, "--yes")
    assert status == 0, said
    for name, remainder in (("a", 1), ("b", 0)):
        ask(pair, name, "CREATE DATABASE IF NOT EXISTS app")
        until(lambda: executed(pair, "a") == executed(pair, "b"), "histories are equal")
        ask(pair, name, "CREATE TABLE IF NOT EXISTS app.t (id INT AUTO_INCREMENT PRIMARY KEY)")
        until(lambda: executed(pair, "a") == executed(pair, "b"), "histories are equal")
        made = ask(pair, name, "INSERT INTO app.t () VALUES ()", "SELECT MAX(id) FROM app.t")
        assert made[0][0] % 2 == remainder
    if mysql(pair):
        state = replication(pair, "b")
        assert (state["Connect_Retry"], state["Source_Retry_Count"]) == (1, 4294967295)
    pair.servers["a"].kill()
    until(lambda: replication(pair, "b")["Replica_IO_Running"] == "Connecting", "a is missed", 30)
    pair.start_servers()
    until(lambda: replication(pair, "b")["Replica_IO_Running"] == "Yes", "it is found again")


# --- what the two servers have been through -----------------------------------------------------


def test_data_and_histories(cluster: MakeCluster, flavour: str) -> None:
    """One pair of servers through every relation that refuses, ending in one that is accepted."""
    pair = cluster(flavour=flavour)
    pair.start_servers()

    ask(pair, "a", "CREATE DATABASE shop")
    status, said = setup(pair, "--plan")
    assert status == 1
    assert "a: has the empty schema shop, which b lacks" in said

    ask(pair, "a", "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB")
    status, said = setup(pair, "--plan")
    assert status == 0
    assert "b: replace what it holds with the data of a" in said

    ask(pair, "b", "CREATE DATABASE shop")
    ask(pair, "b", "CREATE TABLE shop.t (id INT PRIMARY KEY, v INT) ENGINE=InnoDB")
    status, said = setup(pair, "--yes")
    assert status == 1
    for one, other in (("a", "b"), ("b", "a")):
        if mysql(pair):
            assert re.search(rf"{one}: holds \d+ transactions that {other} lacks", said), said
    assert "the histories differ" in said
    assert not ask(pair, "a", "SHOW DATABASES LIKE 'myha'"), "a refusal changes nothing"

    reset = "RESET BINARY LOGS AND GTIDS" if mysql(pair) else "RESET MASTER"
    both(
        pair,
        reset,
        "CREATE TABLE shop.keyless (v INT)",
        "CREATE TABLE shop.m (v INT) ENGINE=MyISAM",
    )
    ask(pair, "b", "SET SESSION sql_log_bin = 0", "INSERT INTO shop.t VALUES (1, 1)")
    status, said = setup(pair, "--plan")
    assert status == 1
    assert "the rows of shop.t differ" in said
    assert "tables without a primary key: shop.keyless, shop.m" in said
    assert "tables without transactions: shop.m (MyISAM)" in said

    ask(pair, "a", "SET SESSION sql_log_bin = 0", "INSERT INTO shop.t VALUES (1, 1)")
    ask(pair, "b", "SET SESSION sql_log_bin = 0", "ALTER TABLE shop.t ADD w INT")
    status, said = setup(pair, "--plan")
    assert status == 1
    assert "the columns of shop.t differ" in said

    ask(pair, "b", "SET SESSION sql_log_bin = 0", "ALTER TABLE shop.t DROP w")
    status, said = setup(pair, "--yes")
    assert status == 0, said
    ask(pair, "a", "UPDATE shop.t SET v = 2")
    until(lambda: ask(pair, "b", "SELECT v FROM shop.t")[0][0] == 2, "the update arrives")


def test_an_empty_server_is_seeded(cluster: MakeCluster, flavour: str) -> None:
    """From the one with data, which is written to meanwhile; the accounts come along."""
    pair = cluster(flavour=flavour)
    pair.start_servers()
    ask(
        pair,
        "b",
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id INT AUTO_INCREMENT PRIMARY KEY, v VARCHAR(100))",
        "INSERT INTO shop.t (v) SELECT TABLE_NAME FROM information_schema.TABLES",
        "CREATE USER 'x'@'%' IDENTIFIED BY 'Secret-1'",
    )
    ask(pair, "a", "CREATE USER 'y'@'%' IDENTIFIED BY 'Secret-1'")
    ends = threading.Event()

    def write() -> None:
        with closing(connect(pair, "b")) as connection, connection.cursor() as cursor:
            while not ends.is_set():
                # Once a is the writer, b is closed even for administrators on MySQL.
                with suppress(pymysql.MySQLError):
                    cursor.execute("INSERT INTO shop.t (v) VALUES ('meanwhile')")
                ends.wait(0.01)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    try:
        until(lambda: ask(pair, "b", "SELECT 1 FROM shop.t WHERE v = 'meanwhile'"), "it writes")
        status, said = setup(pair, "--yes")
    finally:
        ends.set()
        writer.join(20)
    assert status == 0, said
    assert "a: replace what it holds with the data of b" in said
    assert re.search(r"a: .* copied by (clone|mariabackup) in", said)
    until(lambda: executed(pair, "a") == executed(pair, "b"), "histories are equal")
    sums = [ask(pair, name, "CHECKSUM TABLE shop.t") for name in pair.nodes]
    assert sums[0] == sums[1]
    assert ask(pair, "a", "SELECT 1 FROM mysql.user WHERE User = 'x'")
    assert not ask(pair, "a", "SELECT 1 FROM mysql.user WHERE User = 'y'")
    ask(pair, "a", "INSERT INTO shop.t (v) VALUES ('from a')")
    until(lambda: ask(pair, "b", "SELECT 1 FROM shop.t WHERE v = 'from a'"), "it replicates")


def test_new_servers_with_histories_of_their_own(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour)
    pair.start_servers()
    ask(pair, "a", "CREATE USER 'x'@'%' IDENTIFIED BY 'Secret-1'")
    ask(pair, "b", "CREATE USER 'y'@'%' IDENTIFIED BY 'Secret-1'", "DROP USER 'y'@'%'")
    status, said = setup(pair, "--yes")
    assert status == 0, said
    assert "a: start its history over" in said
    assert "b: start its history over" in said
    assert "a: alone has the accounts x@%" in said
    until(lambda: executed(pair, "a") == executed(pair, "b"), "histories are equal")


# --- bad input ----------------------------------------------------------------------------------


@contextmanager
def listener(greeting: bytes) -> Iterator[int]:
    """A port that speaks something else: sends its greeting, and nothing more."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                kept.append(client)
                if greeting:
                    client.sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    for client in kept:
        client.close()


def _one_line_each(said: str, *lines: str) -> None:
    errors = [line for line in said.splitlines() if line.startswith("myha: ")]
    assert len(errors) == len(lines), said
    for error, wanted in zip(errors, lines, strict=True):
        assert re.search(wanted, error), error


def test_unreachable_and_foreign(bare_servers: BareServers, flavour: str, tmp_path: Path) -> None:
    pair = bare_servers(flavour)
    port_a, port_b = (rf"port = {pair.nodes[name].port}" for name in pair.nodes)

    with socket.create_server(("127.0.0.1", 0)) as reserved:
        closed = reserved.getsockname()[1]
    with listener(b"SSH-2.0-OpenSSH_9.2\r\n") as ssh:
        config = edited(pair, tmp_path, (port_a, f"port = {closed}"), (port_b, f"port = {ssh}"))
        status, said = setup(pair, "--plan", config=config)
    assert status == 1
    _one_line_each(said, rf"a: .*{closed}.*check nodes\.a\.host", rf"b: .*{ssh}.*protocol")

    with listener(b"") as silent:
        config = edited(pair, tmp_path, (port_a, f"port = {silent}"))
        status, said = setup(pair, "--plan", config=config)
    assert status == 1
    _one_line_each(said, rf"a: .*{silent}.*hung, or no database server.*check nodes\.a")

    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-password\n")
    wrong.chmod(0o600)
    config = edited(
        pair, tmp_path, (r"\[accounts\]", f'[accounts]\nadmin_password_file = "{wrong}"')
    )
    status, said = setup(pair, "--plan", config=config)
    assert status == 1
    _one_line_each(said, r"a: .*access denied.*'admin'", r"b: .*access denied.*'admin'")
    assert "not-the-password" not in said

    wrong.chmod(0o644)
    status, said = setup(pair, "--plan", config=config)
    assert status == 2
    _one_line_each(said, "chmod 600")

    # An account that is no administrator.
    shutil.copy(pair.directory / "secrets" / "app", wrong)
    wrong.chmod(0o600)
    config = edited(
        pair,
        tmp_path,
        (r'admin_user = "admin"', f'admin_user = "app"\nadmin_password_file = "{wrong}"'),
        (r'drill_user = "app"', 'drill_user = "other"'),
    )
    status, said = setup(pair, "--plan", config=config)
    assert status == 1
    _one_line_each(said, r"a: .*needs all privileges", r"b: .*needs all privileges")


def _with_options(pair: Cluster, name: str, *lines: str) -> None:
    """More lines for one node's option file; its last word counts."""
    extra = pair.nodes[name].fragment.parent / "zz-test.cnf"
    extra.write_text("\n".join(["[mysqld]", *lines, ""]))


def test_servers_that_cannot_be_a_pair(cluster: MakeCluster, flavour: str) -> None:
    """No binlog, no GTID, equal ids, events that sleep, a filter: all of it is told at once."""
    pair = cluster(flavour=flavour)
    without_binlog = ["skip_log_bin", "log_slave_updates = OFF"]
    _with_options(pair, "a", *without_binlog, "server_id = 7", "event_scheduler = OFF")
    mysql_only = ["gtid_mode = OFF", "enforce_gtid_consistency = OFF"] if mysql(pair) else []
    filtered = "replicate_ignore_db = app"
    _with_options(pair, "b", "server_id = 7", "event_scheduler = DISABLED", filtered, *mysql_only)
    pair.start_servers()
    ask(
        pair, "a", "CREATE DATABASE app", "CREATE EVENT app.e ON SCHEDULE EVERY 1 DAY DO SET @a = 1"
    )
    status, said = setup(pair, "--yes")
    assert status == 1
    assert "the server ids are equal (7); set another server_id" in said
    assert "a: the binary log is off: nothing can replicate from it; put log_bin" in said
    assert "a: its event scheduler is off, and switching it on would start app.e; if" in said
    assert "b: event_scheduler is DISABLED" in said
    assert "b: replicates with a filter (replicate_ignore_db = app)" in said
    if mysql(pair):
        assert (
            "b: GTIDs are off: nobody can tell which transactions it has; put gtid_mode = ON"
            in said
        )
        assert "a: log_replica_updates is off" in said
    else:
        assert "a: log_slave_updates is off" in said
    assert not ask(pair, "a", "SHOW DATABASES LIKE 'myha'"), "a refusal changes nothing"


def test_a_third_server_in_the_ring(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour)
    pair.start_servers()
    if mysql(pair):
        ask(pair, "b", "CHANGE REPLICATION SOURCE TO SOURCE_HOST='127.0.0.1', SOURCE_PORT=1")
    else:
        ask(pair, "b", "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='x'")
    status, said = setup(pair, "--yes")
    assert status == 1
    _one_line_each(said, r"b: replicates from a third server, 127\.0\.0\.1:1: .*RESET REPLICA ALL")


# --- stopped half way ---------------------------------------------------------------------------


def test_goes_on_after_a_failure(cluster: MakeCluster, flavour: str, tmp_path: Path) -> None:
    pair = cluster(flavour=flavour)
    pair.start_servers()
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        closed = reserved.getsockname()[1]
    own = rf"(port = {pair.nodes['a'].port})"
    config = edited(pair, tmp_path, (own, rf"\1\nreplication_port = {closed}"))
    status, said = setup(pair, "--yes", config=config)
    assert status == 1
    _one_line_each(said, rf"b: does not replicate from a at 127\.0\.0\.1:{closed}: ")
    assert "run `myha setup` again, it goes on from here" in said
    assert not _recorded(pair)

    _set_channel_free(pair)
    status, said = setup(pair, "--yes")
    assert status == 0, said
    assert "make the table" not in said, "what was done is not done again"
    assert _recorded(pair)


def _set_channel_free(pair: Cluster) -> None:
    """What the refusal of a foreign source asks for: the wrong address was nobody's."""
    _, said = setup(pair, "--plan")
    if "third server" in said:
        ask(pair, "b", "STOP REPLICA", "RESET REPLICA ALL")


def _recorded(pair: Cluster) -> bool:
    return (pair.state_dir / "record.sqlite").exists() and _read(pair) is not None


def _read(pair: Cluster) -> object:
    store = LocalRecordStore(pair.state_dir)
    try:
        return store.read()
    finally:
        store.close()


def test_interrupted_anywhere(cluster: MakeCluster) -> None:
    pair = cluster(flavour="mysql")
    pair.start_servers()
    for lines in (50, 55, 60, 75, 90):
        process = subprocess.Popen(
            [*_argv(pair.config_path), "--yes"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        for _ in range(lines):
            if not process.stdout.readline():
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors
        assert process.returncode in {0, 130}, errors
    status, said = setup(pair, "--yes")
    assert status == 0, said
    _is_a_pair(pair)


def test_leaves_a_running_supervisor_alone(cluster: MakeCluster, tmp_path: Path) -> None:
    pair = cluster(flavour="mariadb")
    pair.start_servers()
    assert setup(pair, "--yes")[0] == 0
    lock = LocalLease(pair.state_dir)
    lock.acquire()
    try:
        status, said = setup(pair, "--yes")
        assert status == 0, said
        assert "nothing to do" in said
        ask(pair, "a", "SET GLOBAL auto_increment_increment = 1")
        status, said = setup(pair, "--yes")
        assert status == 1
        _one_line_each(said, "setup changes nothing while a supervisor runs")
        assert ask(pair, "a", "SELECT @@GLOBAL.auto_increment_increment")[0][0] == 1
    finally:
        lock.release()
    ports = [node.port for node in pair.nodes.values()]
    changes = zip((*ports, 0), (0, ports[0], ports[1]), strict=True)
    exchanged = edited(
        pair, tmp_path, *((rf"\nport = {old}\n", f"\nport = {new}\n") for old, new in changes)
    )
    status, said = setup(pair, "--yes", config=exchanged)
    assert status == 1
    _one_line_each(said, "leads to the server that is . on record: correct the addresses")
    status, said = setup(pair, "--yes")
    assert status == 0, said
    assert "[1/2] a: set auto_increment_increment = 2" in said
    assert ask(pair, "a", "SELECT @@GLOBAL.auto_increment_increment")[0][0] == 2


def test_fragment_by_hand(cluster: MakeCluster, tmp_path: Path) -> None:
    """MariaDB without option_file: shown until a look sees that the server has read it."""
    pair = cluster(flavour="mariadb")
    pair.start_servers()
    config = edited(pair, tmp_path, (r"option_file[^\n]*\n", ""), (r"option_file[^\n]*\n", ""))
    status, said = setup(pair, "--yes", config=config)
    assert status == 0, said
    for name in pair.nodes:
        assert f"warning: {name}: install the option file fragment" in said
        shown = said.rpartition(f"option file fragment of {name}, for you to install")[2]
        lines = [line[4:] for line in shown.splitlines()[1:] if line.startswith("    ")]
        end = lines.index("master_retry_count = 4294967295") + 1
        pair.nodes[name].fragment.write_text("\n".join(lines[:end]) + "\n")
    status, said = setup(pair, config=config)
    assert "nothing to do" in said
    assert "warning: a: install the option file fragment" in said
    _restarts_fenced(pair)
    status, said = setup(pair, config=config)
    assert status == 0
    assert "warning" not in said


def test_state_directory_that_cannot_be(
    bare_servers: BareServers, flavour: str, tmp_path: Path
) -> None:
    pair = bare_servers(flavour)
    (tmp_path / "file").write_text("")
    config = edited(
        pair, tmp_path, (r'state_dir = "[^"]*"', f'state_dir = "{tmp_path}/file/state"')
    )
    status, said = setup(pair, "--yes", config=config)
    assert status == 1
    _one_line_each(said, "the state directory")
    assert not ask(pair, "a", "SHOW DATABASES LIKE 'myha'"), "a refusal changes nothing"
