"""The daemon on real pairs of both flavours: what it decides, and what it says of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.real.pair import LIFTED, Pair, running_pair
from tests.real.stopping import shut_down
from tests.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """One pair for the module, whole at the beginning of each test."""
    app = ("CREATE DATABASE app", "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)")
    with running_pair(*app, flavour=request.param) as shared:
        yield shared


@pytest.fixture(autouse=True)
def whole(pair: Pair) -> None:
    pair.await_healthy()


def other(pair: Pair, node: str) -> str:
    return next(name for name in pair.cluster.nodes if name != node)


def standby_of(pair: Pair) -> str:
    return other(pair, pair.status()["writer"])


def test_status_and_explain_say_what_is_so(pair: Pair) -> None:
    done = pair.myha("status")
    assert done.returncode == 0, done.stderr
    assert "healthy" in done.stdout
    assert "armed" in done.stdout
    explained = pair.myha("explain")
    assert explained.returncode == 0
    assert "Both nodes are as they should be." in explained.stdout
    assert "nothing to do" in explained.stdout


def test_routing_is_one_writer_and_two_readers(pair: Pair) -> None:
    status = pair.status()
    assert pair.routes("writer") == {status["writer"]}
    assert until(lambda: pair.routes("reader") == set(pair.cluster.nodes), "both nodes read")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may let a process go first")
def test_the_supervisor_runs_ahead_of_all_else(pair: Pair) -> None:
    supervisor = pair.cluster.supervisor.pid()
    assert supervisor is not None
    assert os.getpriority(os.PRIO_PROCESS, supervisor) == -10
    server = pair.cluster.servers["a"].pid()
    assert server is not None
    assert os.getpriority(os.PRIO_PROCESS, server) == 0


def test_a_switchover_moves_the_writer_and_both_stay_whole(pair: Pair) -> None:
    writer, standby = pair.status()["writer"], standby_of(pair)
    pair.write("REPLACE INTO app.t VALUES (1, 'before')")
    prepared = "REPLACE INTO app.t VALUES (3, 'prepared')"
    for name in ("it", "its"):
        pair.write(f"XA START '{name}'", prepared, f"XA END '{name}'", f"XA PREPARE '{name}'")
        prepared = prepared.replace("3", "4")
    done = pair.myha("switchover")
    assert done.returncode == 0, done.stderr
    _end_prepared_on_closed(pair, writer)
    status = pair.await_healthy(writer=standby)
    assert status["nodes"][writer]["open"] is False
    pair.write("XA COMMIT 'it'", "REPLACE INTO app.t VALUES (2, 'after')")
    until(
        lambda: (
            pair.admin(writer, "SELECT v FROM app.t WHERE id IN (1, 2, 3) ORDER BY id")
            == [("before",), ("after",), ("prepared",)]
        ),
        "the old writer replicates from the new one",
    )
    if not is_mysql(pair):
        pair.write("XA ROLLBACK 'its'")
    until(lambda: not pair.admin(standby, "XA RECOVER"), "nothing is prepared any more")


def _end_prepared_on_closed(pair: Pair, node: str) -> None:
    """MySQL's super_read_only does not stop it, which docs/guarantees.md says."""
    closed = pair.connect(pair.cluster.nodes[node].port)
    with closed, closed.cursor() as cursor:
        if is_mysql(pair):
            cursor.execute("XA ROLLBACK 'its'")
        else:
            with pytest.raises(pymysql.MySQLError, match="read-only"):
                cursor.execute("XA ROLLBACK 'its'")


def test_a_standby_that_is_not_near_is_not_switched_to(pair: Pair) -> None:
    """Nothing is closed for it: a client goes on writing all the time."""
    writer = pair.status()["writer"]
    lock = pair.connect(pair.cluster.nodes[other(pair, writer)].port, "admin", read_timeout=60)
    with lock, lock.cursor() as cursor:
        cursor.execute("LOCK TABLES app.t READ")  # its applier waits behind it
        client = pair.connect(pair.cluster.writer_address[1])
        with client, client.cursor() as writes:
            writes.execute("REPLACE INTO app.t VALUES (71, 'behind')")
            last = pair.events()[-1]["id"]
            done = pair.myha("switchover", "--wait", "1")
            writes.execute("REPLACE INTO app.t VALUES (72, 'the same session')")
        assert done.returncode == 1
        assert "is too far behind" in done.stderr
        assert "nothing was changed" in done.stderr
        assert "to override: myha switchover --now" in done.stderr
        assert pair.status()["writer"] == writer
        assert [e["text"] for e in pair.events() if e["id"] > last and "close" in e["text"]] == []
        cursor.execute("UNLOCK TABLES")
    pair.await_healthy(writer)


def test_a_switchover_to_nowhere_is_refused_with_the_reason(pair: Pair) -> None:
    writer = pair.status()["writer"]
    done = pair.myha("switchover", "--to", writer)
    assert done.returncode == 1
    assert f"{writer} is the writer already" in done.stderr
    assert "no node 'zzz'" in pair.myha("switchover", "--to", "zzz").stderr


def test_a_failover_of_a_living_writer_is_refused(pair: Pair) -> None:
    done = pair.myha("failover")
    assert done.returncode == 1
    assert "myha switchover" in done.stderr


def test_a_damaged_relay_log_is_received_again(pair: Pair) -> None:
    standby = standby_of(pair)
    folder = pair.cluster.nodes[standby].data_dir
    assert pair.myha("maintenance", "on").returncode == 0
    try:
        pair.admin(standby, "STOP REPLICA SQL_THREAD")
        long = "x" * 200
        pair.write(*(f"REPLACE INTO app.t VALUES ({300 + it}, '{long}')" for it in range(40)))
        last = pair.admin(pair.status()["writer"], "SELECT COUNT(*) FROM app.t")
        received = [path for path in folder.glob("relay.*") if path.suffix != ".index"]
        relay_log = max(received)
        with relay_log.open("r+b") as file:
            file.seek(relay_log.stat().st_size - 4000)
            file.write(b"\xff" * 200)
    finally:
        assert pair.myha("maintenance", "off").returncode == 0
    pair.await_event("plan-done", "its relay log is damaged")
    pair.await_healthy()
    until(lambda: pair.admin(standby, "SELECT COUNT(*) FROM app.t") == last, "it has all")


def test_maintenance_observes_and_does_not_act(pair: Pair) -> None:
    standby = standby_of(pair)
    assert pair.myha("maintenance", "on").returncode == 0
    try:
        stop = "STOP REPLICA SQL_THREAD" if is_mysql(pair) else "STOP SLAVE SQL_THREAD"
        pair.admin(standby, stop)
        pair.await_verdict("replication-stopped")
        assert "maintenance" in pair.myha("explain").stdout
    finally:
        assert pair.myha("maintenance", "off").returncode == 0
    pair.await_healthy()


def is_mysql(pair: Pair) -> bool:
    return pair.cluster.state.flavour == "mysql"


def test_replication_that_was_stopped_by_hand_is_started(pair: Pair) -> None:
    standby = standby_of(pair)
    pair.admin(standby, "STOP REPLICA" if is_mysql(pair) else "STOP SLAVE")
    pair.await_event("plan-done", f"start replication on {standby}")
    pair.await_healthy()


def test_a_source_that_was_reset_is_set_up_again(pair: Pair) -> None:
    """RESET REPLICA ALL on the standby, then on the writer: the pair must not stay solo."""
    writer = pair.status()["writer"]
    mysql = pair.cluster.state.flavour == "mysql"
    word = "REPLICA" if mysql else "SLAVE"
    for node in (other(pair, writer), writer):
        pair.admin(node, f"STOP {word}", f"RESET {word} ALL")
        pair.await_event("plan-done", f"set up replication on {node} again")
        pair.await_healthy(writer)
        until(lambda: pair.status()["sync"] == "armed", "it is armed again")


def test_a_stranger_who_opens_the_standby_is_undone_and_reported(pair: Pair) -> None:
    standby = standby_of(pair)
    if is_mysql(pair):
        pair.admin(standby, "SET GLOBAL super_read_only = OFF", "SET GLOBAL read_only = OFF")
    else:
        pair.admin(standby, "SET GLOBAL read_only = OFF")
    pair.await_event("verdict", f"{standby} takes writes although it should not")
    until(lambda: not pair.status()["nodes"][standby]["open"], "it is closed again")
    pair.await_healthy()


def test_fence_and_unfence_by_hand(pair: Pair) -> None:
    standby = standby_of(pair)
    done = pair.myha("fence", standby, "--reason", "disk to be changed")
    assert done.returncode == 0, done.stderr
    status = pair.await_verdict("standby-fenced")
    assert "disk to be changed" in status["nodes"][standby]["reason"]
    until(lambda: standby not in pair.routes("reader"), "no reads on a fenced node")
    # Neither its restart nor the supervisor's brings it back.
    shut_down(pair.cluster, standby)
    pair.cluster.servers[standby].start(90)
    pair.cluster.supervisor.stop(60)
    pair.cluster.start_supervisor()
    pair.await_verdict("standby-fenced")
    assert standby not in pair.routes("reader")
    pair.write("REPLACE INTO app.t VALUES (3, 'solo')")
    assert pair.myha("unfence", standby).returncode == 0
    pair.await_healthy()
    assert pair.admin(standby, "SELECT v FROM app.t WHERE id = 3")[0][0] == "solo"


def test_the_writer_cannot_be_fenced_by_mistake(pair: Pair) -> None:
    done = pair.myha("fence", pair.status()["writer"])
    assert done.returncode == 1
    assert "would stop all writes" in done.stderr


def test_a_second_daemon_is_refused_by_name_of_the_first(pair: Pair) -> None:
    done = pair.myha("run")
    assert done.returncode == 1
    assert str(pair.status()["pid"]) in done.stderr
    assert done.stderr.count("\n") == 1


def test_haproxy_restarted_takes_no_traffic_until_told_and_is_told(pair: Pair) -> None:
    writer = pair.status()["writer"]
    before = pair.status()["balancers"]["lb1"]["boot_id"]
    pair.cluster.haproxy.kill()
    until(lambda: not pair.cluster.haproxy.running(), "HAProxy is gone")
    until(lambda: not pair.status()["balancers"]["lb1"]["answering"], "its loss is noticed")
    pair.cluster.haproxy.start(20)
    until(lambda: pair.status()["balancers"]["lb1"]["boot_id"] != before, "the restart is noticed")
    until(lambda: pair.routes("writer") == {writer}, "the right state is put back")


def receiver_state(pair: Pair, node: str) -> str:
    """As the server itself says it, in the words of `myha status`."""
    if is_mysql(pair):
        table = "performance_schema.replication_connection_status"
        (said,) = pair.admin(node, f"SELECT SERVICE_STATE FROM {table}")[0]
    else:
        (said,) = pair.admin(
            node,
            "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS"
            " WHERE VARIABLE_NAME = 'SLAVE_RUNNING'",
        )[0]
    return {"ON": "running", "CONNECTING": "connecting"}.get(said, "stopped")


def test_a_frozen_supervisor_is_told_from_one_that_works(pair: Pair) -> None:
    """Every command says within seconds that it does not answer; status shows its own look."""
    standby = standby_of(pair)
    pid = pair.cluster.supervisor.pid()
    pair.cluster.supervisor.freeze()
    try:
        seen = pair.myha("status")
        asked = pair.myha("switchover")
        data = json.loads(pair.myha("status", "--json").stdout)
        state = receiver_state(pair, standby)
    finally:
        pair.cluster.supervisor.thaw()
    assert seen.returncode == asked.returncode == 1
    assert f"(process {pid}, T (stopped)) does not answer within 2 s" in seen.stderr
    assert f"kill -CONT {pid}" in seen.stderr
    assert "From the record, and from what this command itself sees:" in seen.stdout
    assert "does not answer within 2 s; its last sign of life was" in asked.stderr
    # The look tells what is so, whatever the supervisor was doing when it froze.
    assert data["nodes"][standby]["receiver"]["state"] == state, pair.events()[-20:]
    assert data["sync"] in ("armed", "solo")
    assert not data["healthy"]


def test_the_supervisors_death_changes_nothing_for_clients(pair: Pair) -> None:
    writer = pair.status()["writer"]
    connection = pair.connect(pair.cluster.writer_address[1])
    with connection, connection.cursor() as cursor:
        pair.cluster.supervisor.kill()
        until(lambda: not pair.cluster.supervisor.running(), "the supervisor is gone")
        cursor.execute("REPLACE INTO app.t VALUES (4, 'headless')")
        pair.write("REPLACE INTO app.t VALUES (5, 'headless too')")
        done = pair.myha("status")
        assert done.returncode == 1
        assert "no supervisor is running here" in done.stderr
        pair.cluster.start_supervisor()
        cursor.execute("SELECT 1")
    pair.await_healthy(writer=writer)


def test_systemd_hears_that_it_lives_and_what_the_verdict_is(pair: Pair, tmp_path: Path) -> None:
    heard: list[str] = []

    def hears(line: str) -> bool:
        with contextlib.suppress(BlockingIOError):
            while True:
                heard.extend(systemd.recv(4096).decode().splitlines())
        return line in heard

    def awaits(line: str) -> None:
        heard.clear()
        until(lambda: hears(line), line)

    pair.cluster.supervisor.kill()
    until(lambda: not pair.cluster.supervisor.running(), "the supervisor is gone")
    words = [sys.executable, "-m", "myha", "--config", str(pair.cluster.config_path), "run"]
    told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "1000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(told["NOTIFY_SOCKET"])
        systemd.setblocking(False)
        with subprocess.Popen(
            words, env={**os.environ, **told}, stderr=subprocess.DEVNULL
        ) as service:
            try:
                awaits("READY=1")
                sentence = pair.await_healthy()["sentence"]
                until(lambda: hears(f"STATUS={sentence}"), sentence)
                awaits("WATCHDOG=1")
                assert pair.myha("reload").returncode == 0
                until(lambda: hears("RELOADING=1"), "the reload")
                until(lambda: hears("READY=1"), "its end")
                service.terminate()
                assert service.wait(120) == 0
                assert hears("STOPPING=1")
            finally:
                service.kill()
    pair.cluster.start_supervisor()
    pair.await_healthy()


def test_a_restarted_standby_is_looked_at_and_resumed(pair: Pair) -> None:
    standby = standby_of(pair)
    host = pair.cluster.servers[standby]
    host.kill()
    until(lambda: not host.running(), "the standby is gone")
    pair.await_event("plan-done", "go on without")
    pair.write("REPLACE INTO app.t VALUES (6, 'alone')")
    host.start(90)
    pair.await_event("plan-done", "resume replication between")
    pair.await_healthy()
    assert pair.admin(standby, "SELECT v FROM app.t WHERE id = 6")[0][0] == "alone"


def test_a_crash_of_the_writer_moves_it_and_the_old_one_comes_back(pair: Pair) -> None:
    writer, standby = pair.status()["writer"], standby_of(pair)
    pair.write("REPLACE INTO app.t VALUES (7, 'acknowledged')")
    host = pair.cluster.servers[writer]
    host.kill()
    pair.await_event("plan-done", f"fail over from {writer} to {standby}")
    assert pair.admin(standby, "SELECT v FROM app.t WHERE id = 7")[0][0] == "acknowledged"
    pair.write("REPLACE INTO app.t VALUES (8, 'after the crash')")
    host.start(90)
    pair.await_healthy(writer=standby)
    assert pair.admin(writer, "SELECT v FROM app.t WHERE id = 8")[0][0] == "after the crash"


def test_a_hung_writer_is_replaced_and_fenced_when_it_wakes(pair: Pair) -> None:
    writer, standby = pair.status()["writer"], standby_of(pair)
    host = pair.cluster.servers[writer]
    host.freeze()
    try:
        pair.await_event("plan-done", f"fail over from {writer} to {standby}", count=1)
        until(lambda: pair.status()["writer"] == standby, "the standby is the writer")
        pair.write("REPLACE INTO app.t VALUES (9, 'while it hung')")
    finally:
        host.thaw()
    until(lambda: not pair.status()["nodes"][writer]["open"], "the woken one is closed")
    pair.await_healthy(writer=standby)
    assert pair.admin(writer, "SELECT v FROM app.t WHERE id = 9")[0][0] == "while it hung"


def test_a_dropped_schema_is_made_again(pair: Pair) -> None:
    """By mistake, or since a restore lacked it: without it nothing could be armed any more."""
    writer = pair.status()["writer"]
    pair.admin(writer, "DROP DATABASE myha")
    pair.await_event("plan-done", f"recreate the schema myha on {writer}")
    pair.await_healthy(writer)
    until(
        lambda: pair.status()["nodes"][other(pair, writer)].get("lag_seconds") is not None,
        "the lag is known again",
    )
    assert pair.myha("switchover").returncode == 0
    pair.await_healthy(other(pair, writer))
    until(lambda: pair.status()["sync"] == "armed", "the new writer is armed")


def test_errant_transactions_of_a_returned_node_go_to_quarantine(pair: Pair) -> None:
    """What is written on a node that the pair has gone on without is undone, and kept."""
    writer, standby = pair.status()["writer"], standby_of(pair)
    pair.myha("fence", standby, "--reason", "to diverge it")
    pair.await_verdict("standby-fenced")
    pair.cluster.supervisor.stop(60)
    opened = ["SET GLOBAL read_only = OFF"]
    if is_mysql(pair):
        opened.insert(0, "SET GLOBAL super_read_only = OFF")
    pair.admin(standby, *opened, "INSERT INTO app.t VALUES (100, 'errant')")
    pair.admin(standby, "UPDATE app.t SET v = 'errant too' WHERE id = 9")
    pair.cluster.start_supervisor()
    until(lambda: not pair.status()["nodes"][standby].get("open", True), "it is closed again")
    assert pair.myha("unfence", standby).returncode == 0
    pair.await_event("job-done", "by rewind")
    pair.await_healthy(writer=writer)
    assert pair.admin(standby, "SELECT COUNT(*) FROM app.t WHERE id = 100")[0][0] == 0
    kept = "".join(
        path.read_text(errors="replace")
        for path in (pair.cluster.state_dir / "quarantine").rglob("*")
        if path.is_file() and path.suffix in (".json", ".sql")
    )
    assert "app" in kept
    checksums = [pair.admin(name, "CHECKSUM TABLE app.t") for name in pair.cluster.nodes]
    assert checksums[0] == checksums[1]


def test_writes_that_do_not_finish_are_noticed(pair: Pair) -> None:
    """A lock on the whole server: it answers, and no write ends."""
    writer = pair.status()["writer"]
    epoch = pair.status()["epoch"]
    holder = pair.connect(pair.cluster.nodes[writer].port, "admin")
    waiter = pair.connect(pair.cluster.writer_address[1], read_timeout=60)
    with contextlib.closing(holder), contextlib.closing(waiter):
        holder.cursor().execute("FLUSH TABLES WITH READ LOCK")
        thread = threading.Thread(
            target=waiter.cursor().execute, args=("REPLACE INTO app.t VALUES (11, 'late')",)
        )
        thread.start()
        pair.await_verdict("writes-stalled")
        assert "Writes on" in pair.myha("explain").stdout
        holder.cursor().execute("UNLOCK TABLES")
        thread.join(30)
        assert not thread.is_alive()
    assert pair.await_healthy(writer=writer)["epoch"] == epoch


def test_a_broken_applier_takes_no_reads_and_comes_back_when_it_is_mended(pair: Pair) -> None:
    writer, standby = pair.status()["writer"], standby_of(pair)
    pair.write("REPLACE INTO app.t VALUES (12, 'to go')")
    until(
        lambda: pair.admin(standby, "SELECT COUNT(*) FROM app.t WHERE id = 12")[0][0] == 1,
        "the row has arrived",
    )
    behind_its_back = ["SET SESSION sql_log_bin = 0", "DELETE FROM app.t WHERE id = 12"]
    if is_mysql(pair):
        behind_its_back.insert(0, LIFTED)
    pair.admin(standby, *behind_its_back)
    pair.write("UPDATE app.t SET v = 'gone' WHERE id = 12")
    status = pair.await_verdict("replication-broken")
    assert status["nodes"][standby]["applier"]["errno"] == 1032
    event = pair.await_event("replication-error", "'gone'")
    assert "app.t" in event["text"]
    status = pair.status()
    assert "sql_log_bin=0" in status["sentence"], "the verdict says which heal applies"
    assert f"`myha heal {standby} --method reseed`" in status["sentence"]
    assert "after:  id=12, v='gone'" in pair.myha("explain").stdout
    until(lambda: pair.routes("reader") == {writer}, "no reads on it")
    refused = pair.myha("switchover")
    assert refused.returncode == 1
    assert "does not replicate" in refused.stderr
    start = "START REPLICA SQL_THREAD" if is_mysql(pair) else "START SLAVE SQL_THREAD"
    mend = ["SET SESSION sql_log_bin = 0", "INSERT INTO app.t VALUES (12, 'to go')", start]
    if is_mysql(pair):  # which the supervisor may have switched on again by now
        mend = [LIFTED, *mend, "SET GLOBAL super_read_only = ON"]
    pair.admin(standby, *mend)
    pair.await_healthy(writer=writer)
    until(lambda: pair.status()["nodes"][standby]["failure"] is None, "the failure is forgotten")
    until(lambda: pair.routes("reader") == set(pair.cluster.nodes), "both read again")


def test_a_standby_that_follows_a_stranger_is_fenced(pair: Pair) -> None:
    writer, standby = pair.status()["writer"], standby_of(pair)
    port = pair.cluster.nodes[writer].port
    if is_mysql(pair):
        stop, start = "STOP REPLICA", "START REPLICA"
        change = "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = {}"
    else:
        stop, start = "STOP SLAVE", "START SLAVE"
        change = "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}"
    pair.myha("maintenance", "on")
    pair.admin(standby, stop, change.format(1), start)
    pair.myha("maintenance", "off")
    status = pair.await_verdict("standby-fenced")
    assert "127.0.0.1:1, which is not its peer" in status["nodes"][standby]["reason"]
    assert standby not in pair.routes("reader")
    pair.admin(standby, stop, change.format(port))
    assert pair.myha("unfence", standby).returncode == 0
    pair.await_healthy(writer=writer)


def test_too_many_connections_is_not_death(pair: Pair) -> None:
    writer = pair.status()["writer"]
    epoch = pair.status()["epoch"]
    old = pair.admin(writer, "SELECT @@GLOBAL.max_connections")[0][0]
    connections: list[Any] = []
    try:
        pair.admin(writer, "SET GLOBAL max_connections = 20")
        with contextlib.suppress(pymysql.MySQLError):
            for _ in range(40):
                connections.append(pair.connect(pair.cluster.nodes[writer].port))
        assert len(connections) >= 5
        until(lambda: pair.status()["nodes"][writer]["contact_seconds"] > 2, "looks go on", 30)
        status = pair.status()
        assert status["epoch"] == epoch
        assert status["nodes"][writer]["contact"] in ("answering", "full")
    finally:
        for connection in connections:
            connection.close()
        until(lambda: _set_connections(pair, writer, old), "room again")


def _set_connections(pair: Pair, node: str, limit: int) -> bool:
    try:
        pair.admin(node, f"SET GLOBAL max_connections = {limit}")
    except pymysql.MySQLError:
        return False
    return True


def test_sigterm_in_the_middle_of_a_switchover_leaves_a_whole_pair(pair: Pair) -> None:
    """It finishes or undoes; either way one node is open and the next supervisor finds it well."""
    writer = pair.status()["writer"]
    blocker = pair.connect(pair.cluster.nodes[writer].port)
    with contextlib.closing(blocker), blocker.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("REPLACE INTO app.t VALUES (10, 'in the way')")
        asking = subprocess.Popen(
            [sys.executable, "-m", "myha", "--config", str(pair.cluster.config_path), "switchover"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        pair.await_event("plan", "switch over", count=1)
        os.kill(pair.status()["pid"], signal.SIGTERM)
        until(lambda: not pair.cluster.supervisor.running(), "the supervisor has ended", 60)
        asking.wait(timeout=30)
    open_nodes = [
        name
        for name in pair.cluster.nodes
        if pair.admin(name, "SELECT @@GLOBAL.read_only")[0][0] in (0, "0", "OFF")
    ]
    assert len(open_nodes) == 1
    pair.cluster.start_supervisor()
    pair.await_healthy(writer=open_nodes[0])


def test_an_edited_configuration_is_noticed_and_not_used(pair: Pair) -> None:
    path = pair.cluster.config_path
    text = path.read_text()
    try:
        path.write_text(text + "\n# edited\n")
        pair.await_event("config", "has changed")
        assert pair.status()["config_changed"] is True
    finally:
        path.write_text(text)
    until(lambda: pair.status()["config_changed"] is False, "the old file is the used one")


def test_the_log_and_the_journal_name_the_pair_and_hold_no_password(pair: Pair) -> None:
    log = (pair.cluster.directory / "supervisor.log").read_text()
    assert "Z sandbox supervisor     started, process " in log
    assert {line["pair"] for line in pair.events()} == {"sandbox"}
    journal = str(pair.events())
    for name in ("supervisor", "replication", "admin", "app"):
        secret = pair.cluster.secret(name)
        assert secret not in log
        assert secret not in journal
