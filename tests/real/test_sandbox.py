"""The sandbox on real servers: started, killed, frozen, side by side, and gone without a trace."""

import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pymysql
import pytest

from myha import config
from myha.errors import ConfigError, MyhaError
from myha.hosts import local
from myha.hosts.local import LocalHost, accepts_tcp, process_state
from myha.sandbox import registry
from myha.sandbox.cluster import Cluster
from tests.real.conftest import BareServers, MakeCluster
from tests.waiting import until

pytestmark = pytest.mark.real

DEADLINE_SECONDS = 90.0


def query(cluster: Cluster, node: str, sql: str, user: str = "admin") -> tuple[Any, ...]:
    files = cluster.nodes[node]
    connection = pymysql.connect(
        host=files.host,
        port=files.port,
        user=user,
        password=cluster.secret(user),
        connect_timeout=10,
        read_timeout=10,
        autocommit=True,
    )
    with closing(connection), connection.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def processes_of(directory: Path) -> list[int]:
    """Pids of all processes that name something in this directory on their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        state = process_state(int(folder.name)) if folder.name.isdigit() else None
        # Not our own test runner or a command that was merely told about the directory.
        if state and any(f"{directory}/" in word for word in state.command):
            found.append(int(folder.name))
    return found


def test_a_bare_server_is_ready_to_become_half_of_a_pair(
    bare_servers: BareServers, flavour: str
) -> None:
    pair = bare_servers(flavour)
    history = "@@global.gtid_executed" if flavour == "mysql" else "@@global.gtid_binlog_pos"
    for node in pair.nodes:
        row = query(
            pair,
            node,
            "SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@binlog_row_metadata,"
            f" {history}",
        )[0]
        assert row == (1, "ROW", "FULL", "FULL", "")
    ids = {query(pair, node, "SELECT @@server_id")[0] for node in pair.nodes}
    assert len(ids) == 2
    if flavour == "mysql":
        assert len({query(pair, node, "SELECT @@server_uuid")[0] for node in pair.nodes}) == 2
        assert query(pair, "a", "SELECT @@gtid_mode")[0] == ("ON",)
    else:
        assert len({query(pair, node, "SELECT @@gtid_domain_id")[0] for node in pair.nodes}) == 2


def test_only_the_accounts_with_passwords_are_there(
    bare_servers: BareServers, flavour: str
) -> None:
    pair = bare_servers(flavour)
    users = query(pair, "a", "SELECT user, host FROM mysql.user WHERE user NOT LIKE 'm%.%'")
    assert sorted(users) == [("admin", "127.0.0.1"), ("admin", "localhost"), ("app", "127.0.0.1")]
    with pytest.raises(pymysql.MySQLError):
        query(pair, "a", "SELECT * FROM mysql.user", user="app")
    for secret in (pair.directory / "secrets").iterdir():
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert not list(pair.directory.glob("*/first-start*"))
    assert not list(pair.directory.glob("*/conf.d/*"))


def test_its_configuration_is_one_that_myha_takes(bare_servers: BareServers) -> None:
    pair = bare_servers("mysql")
    loaded = config.load(pair.config_path)
    assert loaded.accounts.admin().password.get_secret_value() == pair.secret("admin")
    assert [node.port for node in loaded.nodes.values()] == [
        node.port for node in pair.nodes.values()
    ]
    assert loaded.nodes["a"].option_file == pair.nodes["a"].fragment


def test_kill_and_restart_keep_the_data(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour)
    pair.start_servers()
    query(pair, "a", "CREATE DATABASE app", user="app")
    query(pair, "a", "CREATE TABLE app.t (id INT PRIMARY KEY)", user="app")
    query(pair, "a", "INSERT INTO app.t VALUES (1)", user="app")
    host = pair.servers["a"]
    first = host.pid()
    host.kill()
    assert host.await_gone(DEADLINE_SECONDS)
    assert not accepts_tcp(pair.nodes["a"].host, pair.nodes["a"].port)
    # Another process, which knows it by its files only, starts it again.
    other = Cluster.open(pair.directory).servers["a"]
    other.start(DEADLINE_SECONDS)
    assert host.pid() == other.pid() != first
    assert query(pair, "a", "SELECT id FROM app.t", user="app") == ((1,),)
    host.stop(DEADLINE_SECONDS)
    assert not host.running()
    assert not other.running()


def test_the_option_file_fragment_is_read(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour)
    node = pair.nodes["a"]
    node.fragment.write_text("[mysqld]\nauto_increment_increment = 2\n")
    pair.start_servers()
    assert query(pair, "a", "SELECT @@global.auto_increment_increment") == ((2,),)
    assert query(pair, "b", "SELECT @@global.auto_increment_increment") == ((1,),)


def test_freeze_and_thaw(
    cluster: MakeCluster, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "ACCEPTS_SECONDS", 0.3)
    pair = cluster(flavour=flavour)
    pair.start_servers()
    host, node = pair.servers["b"], pair.nodes["b"]
    host.freeze()
    assert host.running()
    assert host.frozen()
    assert not accepts_tcp(node.host, node.port)
    assert [p.state for p in pair.status() if p.name == "node b"] == ["frozen"]
    host.thaw()
    until(lambda: accepts_tcp(node.host, node.port), "the thawed server answers")
    host.freeze()
    host.stop(DEADLINE_SECONDS)
    assert not host.running()


def test_a_start_that_fails_says_why_in_one_line(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour)
    pair.nodes["a"].fragment.write_text("[mysqld]\nno_such_option = 1\n")
    with pytest.raises(MyhaError, match=r"node a ended at its start.*no_such_option") as caught:
        pair.up(bare=True)
    assert "\n" not in str(caught.value)
    assert "taken down again" in str(caught.value)
    assert not pair.directory.exists()
    assert not processes_of(pair.directory)


def test_two_clusters_side_by_side(cluster: MakeCluster) -> None:
    first, second = cluster(flavour="mysql"), cluster(flavour="mariadb")
    assert not set(first.state.ports.values()) & set(second.state.ports.values())
    first.up(bare=True)
    second.up(bare=True)
    assert {p.state for p in first.status() if p.name != "supervisor"} == {"running"}
    assert set(registry.sandboxes()) >= {first.directory, second.directory}
    first.down()
    assert query(second, "a", "SELECT 1") == ((1,),)
    assert {p.state for p in second.status() if p.name != "supervisor"} == {"running"}
    assert first.directory not in registry.sandboxes()


def test_nothing_is_left_after_down(cluster: MakeCluster, tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 25)  # too long for a socket's path
    pair = cluster(flavour="mariadb", directory=directory)
    pair.up(bare=True)
    run_dir = pair.run_dir
    assert run_dir.is_dir()
    assert processes_of(directory)
    pair.nodes["a"].pid_file.unlink()  # a lost pid file does not save the process
    Cluster.open(directory).down()
    assert not directory.exists()
    assert not run_dir.exists()
    assert not processes_of(directory)
    assert directory not in registry.sandboxes()


def test_a_directory_with_files_in_it_is_refused(tmp_path: Path, cluster: MakeCluster) -> None:
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(ConfigError, match="not an empty directory"):
        cluster(flavour="mariadb", directory=tmp_path)
    assert (tmp_path / "mine").read_text() == "precious"
    with pytest.raises(ConfigError, match="holds no sandbox"):
        Cluster.open(tmp_path)


def test_two_writers_cannot_be_lossless() -> None:
    with pytest.raises(ConfigError, match="single-writer"):
        Cluster.create(flavour="mysql", mode="dual-writer", durability="lossless")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_in_up_leaves_nothing(
    number: signal.Signals, tmp_path: Path, bare_servers: BareServers
) -> None:
    bare_servers("mysql")  # the programs and the template are there: what follows is quick
    directory = tmp_path / "box"
    command = [sys.executable, "-m", "myha", "sandbox", "up", "--bare", "--dir", str(directory)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            until((directory / "a" / "server.pid").exists, "node a is being started")
            process.send_signal(number)
            output, _ = process.communicate(timeout=DEADLINE_SECONDS)
        finally:
            process.kill()
    assert process.returncode == 130
    assert output.splitlines()[-1] == "interrupted; the sandbox was taken down again"
    assert "Traceback" not in output
    assert not directory.exists()
    assert not processes_of(directory)


def test_up_down_and_status_as_commands(tmp_path: Path, bare_servers: BareServers) -> None:
    bare_servers("mariadb")
    directory = tmp_path / "box"

    def myha(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "myha", "sandbox", *words, "--dir", str(directory)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    up = myha("up", "--bare", "--flavour", "mariadb")
    assert up.returncode == 0, up.stderr
    assert f"myha --config {directory}/myha.toml" in up.stdout
    again = myha("up", "--bare", "--flavour", "mariadb")
    assert again.returncode == 2
    assert len(again.stderr.strip().splitlines()) == 1
    status = myha("status")
    assert status.stdout.count("running") == 3
    down = myha("down")
    assert down.returncode == 0, down.stderr
    assert not directory.exists()
    assert not processes_of(directory)
    assert myha("down").returncode == 2


def test_up_makes_a_whole_pair_that_takes_writes(cluster: MakeCluster, flavour: str) -> None:
    pair = cluster(flavour=flavour)
    pair.up()
    assert {p.name: p.state for p in pair.status()} == {
        "supervisor": "running",
        "haproxy": "running",
        "node a": "running",
        "node b": "running",
    }
    host, port = pair.writer_address

    def writes() -> bool:
        try:
            connection = pymysql.connect(
                host=host, port=port, user="app", password=pair.secret("app"), autocommit=True
            )
            with closing(connection), connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE IF NOT EXISTS app")
                cursor.execute("CREATE TABLE app.t (id INT PRIMARY KEY)")
        except pymysql.MySQLError:
            return False
        return True

    def arrived(node: str) -> bool:
        sql = "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'app'"
        return query(pair, node, sql) == ((1,),)

    until(writes, "a client writes through the balancer")
    for node in pair.nodes:
        until(lambda node=node: arrived(node), f"the write is on node {node}")  # type: ignore[misc]
    pair.down()
    assert not pair.directory.exists()
    assert not processes_of(pair.directory)


def test_a_recycled_pid_is_never_signalled(tmp_path: Path) -> None:
    pid_file = tmp_path / "server.pid"
    host = LocalHost("node x", ("/no/such/server",), pid_file=pid_file, log_file=tmp_path / "log")
    with subprocess.Popen(["sleep", "60"]) as stranger:
        try:
            pid_file.write_text(f"{stranger.pid}\n")
            long_ago = time.time() - 3600
            os.utime(pid_file, (long_ago, long_ago))
            assert not host.running()
            host.kill()
            host.stop(1)
            with pytest.raises(MyhaError, match="does not run"):
                host.freeze()
            assert stranger.poll() is None
            pid_file.write_text("1\n")  # as a server says in its container
            assert not host.running()
        finally:
            stranger.kill()
    with pytest.raises(MyhaError, match="cannot start node x"):
        host.start(1)


def test_a_process_is_known_by_its_command_line(tmp_path: Path) -> None:
    host = LocalHost(
        "sleeper",
        ("sleep", "60"),
        pid_file=tmp_path / "pid",
        log_file=tmp_path / "log",
    )
    host.start(DEADLINE_SECONDS)
    os.utime(host.pid_file, (0, 0))  # as if the clock had been set meanwhile
    # At once, but for the moment in which what starts it becomes it: that has no command line.
    until(host.running, "it is known")
    host.kill()
    assert host.await_gone(DEADLINE_SECONDS)
    pid = int(host.pid_file.read_text())
    ends = time.monotonic() + DEADLINE_SECONDS
    while process_state(pid) is not None:  # reaped: no zombie is left either
        assert not host.running()
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_the_lock_of_a_zombie_is_removed_and_that_of_a_live_process_is_kept(tmp_path: Path) -> None:
    lock = tmp_path / "server.sock.lock"
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            for killed in (False, True):
                if killed:
                    other.kill()  # and not waited for: a zombie until the end of this block
                    os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
                lock.write_text(f"{other.pid}\n")
                host = LocalHost(
                    "sleeper",
                    ("sleep", "60"),
                    pid_file=tmp_path / f"pid-{killed}",
                    log_file=tmp_path / "log",
                    lock_file=lock,
                )
                host.start(DEADLINE_SECONDS)
                try:
                    assert lock.exists() != killed
                finally:
                    host.kill()
                    assert host.await_gone(DEADLINE_SECONDS)
        finally:
            other.kill()
