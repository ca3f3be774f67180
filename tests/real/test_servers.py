"""The server adapters against real pairs of both flavours, with the accounts that setup makes."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pymysql
import pytest
from pydantic import SecretStr

from myha import config as configuration
from myha.config import Account
from myha.core.node import ThreadState
from myha.database.codes import ACCESS_DENIED
from myha.database.connection import FOREIGN_PROTOCOL, Endpoint, connect
from myha.database.flavours import FLAVOURS
from myha.database.session import Deadline, WarmSession
from myha.errors import ServerError, ServerGoneError, ServerSilentError
from myha.sandbox.cluster import Cluster
from myha.servers.base import BaseServer
from myha.servers.closing import Client
from myha.servers.factory import make_servers
from myha.servers.watch import tcp_refused
from tests.real.conftest import need
from tests.real.relay import pass_on
from tests.waiting import until

pytestmark = pytest.mark.real

STEP_SECONDS = 20.0
SLEEPS = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'"


@dataclass
class Two:
    """A pair that is set up, without a daemon: `a` is open and `b` replicates from it."""

    cluster: Cluster
    a: BaseServer
    b: BaseServer
    rows: int = 0

    def connect(self, node: str, user: str = "app") -> Any:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.cluster.nodes[node].port,
            user=user,
            password=self.cluster.secret(user),
            autocommit=True,
            connect_timeout=20,
            read_timeout=20,
        )

    def run(self, node: str, *statements: str, user: str = "admin") -> list[tuple[Any, ...]]:
        connection = self.connect(node, user)
        with connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def insert(self, user: str = "app") -> str:
        """One row on a: "OK", or what the client got instead."""
        self.rows += 1
        try:
            self.run("a", f"INSERT INTO app.t VALUES ({self.rows}, 0)", user=user)
        except pymysql.MySQLError as error:
            return f"error {error.args[0]}"
        return "OK"

    def whole(self) -> None:
        """The state that each test starts from."""
        for server in (self.a, self.b):
            server.disable_waiting(STEP_SECONDS)
            server.start_replication(STEP_SECONDS)
        self.b.close_gently(0.2, STEP_SECONDS)
        self.a.open(STEP_SECONDS)
        assert self.b.await_executed(self.a.executed(), STEP_SECONDS)
        # Until the source has noticed, a receiver that was stopped counts as connected.
        until(lambda: self.a.look().semisync.source_clients == 1, "one semi-sync replica")


@pytest.fixture(scope="module", params=[*FLAVOURS])
def made(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    for name in (request.param, "haproxy"):
        need(name)
    cluster = Cluster.create(flavour=request.param)
    try:
        cluster.start_servers()
        cluster.setup()
        yield cluster
    finally:
        for server in cluster.servers.values():
            with contextlib.suppress(Exception):
                server.thaw()
        cluster.down()


@pytest.fixture
def two(made: Cluster) -> Iterator[Two]:
    made.start_servers()
    config = configuration.load(made.config_path)
    servers = cast(dict[str, BaseServer], make_servers(config))
    pair = Two(made, servers["a"], servers["b"])
    for server in servers.values():
        server.look()
    pair.whole()
    pair.run("a", "CREATE DATABASE IF NOT EXISTS app", "DROP TABLE IF EXISTS app.t")
    pair.run("a", "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v INT)")
    assert pair.b.await_executed(pair.a.executed(), STEP_SECONDS)
    yield pair
    for server in servers.values():
        server.leave_watch()
        server.disconnect()


def hangs_up(fd: int, timeout_seconds: float) -> bool:
    """Whether an idle connection does so within the time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN | select.POLLHUP | select.POLLRDHUP)
    return bool(poll.poll(timeout_seconds * 1000))


def background(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    result: list[Any] = []
    thread = threading.Thread(target=lambda: result.append(call()), daemon=True)
    thread.start()
    return thread, result


def peer_server(pair: Two, name: str) -> BaseServer:
    """A second adapter, as another supervisor would have it."""
    config = configuration.load(pair.cluster.config_path)
    return cast(BaseServer, make_servers(config)[name])


def test_a_look_has_every_field(two: Two) -> None:
    two.run("a", "INSERT INTO app.t VALUES (1, 1)")
    assert two.b.await_executed(two.a.executed(), STEP_SECONDS)
    client = two.connect("b")
    a, b = two.a.look(), two.b.look()
    client.close()
    assert a.open
    assert not b.open
    assert (a.server_id, b.server_id) == (1, 2)
    assert a.server_uuid != b.server_uuid
    assert a.executed.count() > 0
    assert b.executed.contains(a.executed)
    assert b.applied
    assert b.receiver.state is ThreadState.RUNNING
    assert b.applier.state is ThreadState.RUNNING
    assert b.source == f"127.0.0.1:{two.cluster.nodes['a'].port}"
    assert b.sessions == 1
    assert b.lag_bytes is not None
    assert a.semisync.source_clients == 1
    assert b.semisync.replica_enabled
    assert not a.semisync.source_waits
    assert a.writes_stalled_seconds == 0.0


def test_progress_goes_on_with_heartbeats_and_stops_with_the_receiver(two: Two) -> None:
    first = two.b.look().progress
    until(lambda: two.b.look().progress != first, "a heartbeat", 5)
    two.b.stop_receiver(STEP_SECONDS)
    stopped = two.b.look()
    assert stopped.receiver.state is ThreadState.STOPPED
    assert stopped.applier.state is ThreadState.RUNNING
    two.run("a", "INSERT INTO app.t VALUES (1, 1)")
    assert two.b.look().progress == stopped.progress
    assert not two.b.await_executed(two.a.executed(), 0.3)


def test_received_is_known_and_applied_after_the_applier_was_stopped(two: Two) -> None:
    sql = "STOP REPLICA SQL_THREAD" if two.a.flavour.name == "mysql" else "STOP SLAVE SQL_THREAD"
    until(lambda: two.b.executed().contains(two.a.executed()), "all before is applied")
    two.run("b", sql)
    two.run("a", "INSERT INTO app.t VALUES (1, 1)", "INSERT INTO app.t VALUES (2, 1)")
    wanted = two.a.executed()
    look = until(
        lambda: (look := two.b.look()).received.contains(wanted) and look, "all is received"
    )
    assert not look.applied
    assert look.lag_transactions == 2
    assert look.applier.state is ThreadState.STOPPED
    two.b.stop_receiver(STEP_SECONDS)
    assert two.b.await_applied(STEP_SECONDS)
    assert two.b.look().applied


def test_an_applier_that_has_failed_is_reported_and_not_restarted(two: Two) -> None:
    two.run("b", "SET GLOBAL read_only = OFF")
    two.run("b", "SET SESSION sql_log_bin = 0", "INSERT INTO app.t VALUES (1, 1)")
    two.run("a", "INSERT INTO app.t VALUES (1, 2)")
    look = until(lambda: (look := two.b.look()).applier.errno and look, "an applier error", 10)
    assert look.applier.state is ThreadState.STOPPED
    assert "\n" not in look.applier.error
    with pytest.raises(ServerError, match="applier has failed"):
        two.b.await_applied(1.0)
    two.run("b", "SET SESSION sql_log_bin = 0", "DELETE FROM app.t WHERE id = 1")
    two.b.stop_replication(STEP_SECONDS)


HOLDS = {
    "a table": (("LOCK TABLES app.t READ",), "UPDATE app.t SET v = 2"),
    "all tables": (("FLUSH TABLES WITH READ LOCK",), "UPDATE app.t SET v = 2"),
    "a read table": (("BEGIN", "SELECT * FROM app.t"), "ALTER TABLE app.t ADD COLUMN w INT"),
    "a row": (("BEGIN", "SELECT * FROM app.t FOR UPDATE"), "UPDATE app.t SET v = 2"),
}


@pytest.mark.parametrize("held", HOLDS)
def test_whoever_holds_up_the_applier_is_ended(two: Two, held: str) -> None:
    """On MySQL nobody else is; MariaDB tells who waits for the lock on a name, not who has it."""
    lock, write = HOLDS[held]
    two.run("a", "INSERT INTO app.t VALUES (1, 1)")
    assert two.b.await_executed(two.a.executed(), STEP_SECONDS)
    if held == "a row" and two.cluster.state.flavour == "mysql":
        two.run("b", "SET GLOBAL super_read_only = OFF")
    reader, holder = two.connect("b"), two.connect("b", "admin")
    with reader, holder:
        for connection, statements in ((reader, ("SELECT 1",)), (holder, lock)):
            with connection.cursor() as cursor:
                for one in statements:
                    cursor.execute(one)
        assert two.b.end_holders(STEP_SECONDS) == ""
        two.run("a", write)
        said = until(lambda: two.b.end_holders(STEP_SECONDS), "the applier waits for it")
        assert f"admin@127.0.0.1 (connection {holder.thread_id()})" in said
        if two.cluster.state.flavour == "mysql" or held == "a row":
            assert f"(connection {reader.thread_id()})" not in said
            reader.ping(reconnect=False)
        assert two.b.await_applied(STEP_SECONDS)
        assert two.b.await_executed(two.a.executed(), STEP_SECONDS)


def test_closing_and_opening(two: Two) -> None:
    began = time.monotonic()
    two.a.close_gently(5.0, STEP_SECONDS)
    assert time.monotonic() - began < 5.0  # nobody holds it up
    assert not two.a.look().open
    with pytest.raises(ServerError, match="it has restarted since"):
        two.a.open(STEP_SECONDS, "another life")
    assert two.insert() == "error 1290"
    two.a.open(STEP_SECONDS, two.a.look().boot_id)
    assert two.insert() == "OK"
    two.a.open(STEP_SECONDS)  # again changes nothing
    assert two.a.look().open


def test_a_session_that_holds_up_closing_is_ended_after_the_grace(two: Two) -> None:
    blocker, bystander = two.connect("a"), two.connect("a")
    blocker.query("LOCK TABLES app.t WRITE")
    began = time.monotonic()
    two.a.close_gently(0.3, STEP_SECONDS)
    assert 0.25 < time.monotonic() - began < STEP_SECONDS
    assert not two.a.look().open
    with pytest.raises(pymysql.MySQLError):
        blocker.query("SELECT 1")
    if two.a.flavour.name == "mysql":  # MariaDB does not show who holds a lock
        bystander.query("SELECT 1")


def test_closing_while_a_commit_waits(two: Two) -> None:
    """The order is taken back: whoever waits for the standby is left to its acknowledgement."""
    two.a.enable_waiting(1, STEP_SECONDS)
    two.b.stop_receiver(STEP_SECONDS)
    thread, answer = background(two.insert)
    until(lambda: two.a.look().semisync.waiting_sessions == 1, "a commit that waits")
    with pytest.raises(ServerError, match="read-only did not come on|no answer within"):
        two.a.close_gently(0.1, 0.6)
    assert two.a.look().open
    two.b.start_replication(STEP_SECONDS)
    until(lambda: two.a.look().semisync.waiting_sessions == 0, "the commit has ended")
    assert two.a.look().open  # nothing of the closing came later
    thread.join(STEP_SECONDS)
    assert answer == ["OK"]


def test_an_idle_session_that_may_not_be_ended_does_not_hinder_a_fence(two: Two) -> None:
    idle = two.connect("a", "admin")
    if two.a.flavour.name == "mysql":
        idle.query("SET SESSION sql_log_bin = 0")
        idle.query("GRANT SYSTEM_USER ON *.* TO admin@'127.0.0.1'")
    two.a.fence(STEP_SECONDS)
    assert not two.a.look().open
    assert not two.a.look().offline


def test_a_fence_lets_no_client_hear_ok(two: Two) -> None:
    two.insert()
    two.a.enable_waiting(1, STEP_SECONDS)
    assert two.a.look().semisync.source_waits
    two.b.stop_receiver(STEP_SECONDS)
    waiting = [background(two.insert) for _ in range(3)]
    with pytest.raises(ServerSilentError):
        two.a.write_heartbeat(time.time(), 0.3)  # ours waits like any other
    until(lambda: two.a.look().sessions == 3, "three clients")
    until(lambda: two.a.look().semisync.waiting_sessions >= 1, "commits that wait")
    two.a.fence(STEP_SECONDS)
    for thread, _ in waiting:
        thread.join(STEP_SECONDS)
    assert [answer for _, answer in waiting] == [["error 2013"]] * 3
    look = two.a.look()
    assert not look.open
    assert not look.offline
    assert look.sessions == 0
    assert not look.semisync.source_enabled
    assert two.insert() == "error 1290"  # and clients may connect and read again
    two.a.fence(STEP_SECONDS)


def test_nobody_of_a_commit_group_hears_ok_when_it_is_fenced(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On MariaDB one thread waits for its whole group; to kill it first tells the others OK."""
    two.a.enable_waiting(1, STEP_SECONDS)
    two.b.stop_receiver(STEP_SECONDS)
    waiting = [background(two.insert) for _ in range(12)]
    states = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND INFO"
    until(lambda: two.run("a", f"{states} LIKE 'INSERT%'") == [(12,)], "twelve that commit")
    kill, clients = two.a._kill, two.a._clients

    def first_come_first(*arguments: Any) -> list[Client]:
        return sorted(clients(*arguments), key=lambda one: one.id)

    def over_a_slow_network(*arguments: Any) -> bool:
        done = kill(*arguments)
        time.sleep(0.05)  # long enough for what was let go to be answered
        return done

    monkeypatch.setattr(two.a, "_kill", over_a_slow_network)
    monkeypatch.setattr(two.a, "_clients", first_come_first)
    two.a.fence(STEP_SECONDS)
    for thread, _ in waiting:
        thread.join(STEP_SECONDS)
    assert [answer for _, answer in waiting] == [["error 2013"]] * 12


def test_commits_that_begin_while_a_fence_kills_hear_nothing_either(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits yet when the fence first looks; then all commit, and the first is killed."""
    two.a.enable_waiting(1, STEP_SECONDS)
    two.b.stop_receiver(STEP_SECONDS)
    holder = two.connect("a")
    idle = [two.connect("a") for _ in range(24)]
    for number, connection in enumerate(idle):
        connection.autocommit(False)
        connection.cursor().execute(f"INSERT INTO app.t VALUES ({number}, 0)")
    go, kill, clients = threading.Event(), two.a._kill, two.a._clients

    def hold() -> str:
        try:
            holder.cursor().execute("INSERT INTO app.t SELECT 999, SLEEP(10)")
        except pymysql.MySQLError as error:
            return f"error {error.args[0]}"
        return "OK"

    def commit(connection: Any) -> str:
        go.wait(STEP_SECONDS)
        try:
            connection.commit()
        except pymysql.MySQLError as error:
            return f"error {error.args[0]}"
        return "OK"

    def over_a_slow_network(session: WarmSession, client: Client) -> bool:
        if client.user:  # not a replica's connection
            go.set()
            time.sleep(0.05)  # long enough for the commits to begin
        return kill(session, client)

    answers = [background(hold)]
    until(lambda: two.run("a", SLEEPS) == [(1,)], "a statement that holds up read-only")
    answers += [background(lambda one=one: commit(one)) for one in idle]  # type: ignore[misc]
    monkeypatch.setattr(two.a, "_kill", over_a_slow_network)
    monkeypatch.setattr(
        two.a, "_clients", lambda *given: sorted(clients(*given), key=lambda one: one.id)
    )
    two.a.fence(STEP_SECONDS)
    go.set()
    for thread, _ in answers:
        thread.join(STEP_SECONDS)
    assert "OK" not in [answer for _, (answer,) in answers]
    assert not two.a.look().open


def test_clients_behind_an_applier_that_waits_hear_nothing_either(two: Two) -> None:
    """A writer that hung and was replaced goes on: its applier's commits wait like its clients'."""
    two.a.enable_waiting(1, STEP_SECONDS)
    two.b.stop_receiver(STEP_SECONDS)
    two.run("b", "SET GLOBAL read_only = OFF", "INSERT INTO app.t VALUES (1001, 1)")
    until(lambda: two.a.look().semisync.waiting_sessions == 1, "the applier's commit waits")
    waiting = [background(two.insert) for _ in range(3)]
    until(lambda: two.a.look().sessions == 3, "three clients")
    states = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = 'app' AND INFO"
    until(lambda: two.run("a", f"{states} LIKE 'INSERT%'") == [(3,)], "three that commit")
    two.a.fence(STEP_SECONDS)
    for thread, _ in waiting:
        thread.join(STEP_SECONDS)
    assert [answer for _, answer in waiting] == [["error 2013"]] * 3
    assert not two.a.look().open
    assert two.a.await_applied(STEP_SECONDS)


def test_administrators_hear_nothing_either(two: Two) -> None:
    if two.a.flavour.name == "mysql":
        two.run(
            "a", "SET SESSION sql_log_bin = 0", "REVOKE SYSTEM_USER ON *.* FROM admin@'127.0.0.1'"
        )
    two.a.enable_waiting(1, STEP_SECONDS)
    two.b.stop_receiver(STEP_SECONDS)
    thread, answer = background(lambda: two.insert("admin"))
    until(lambda: two.a.look().semisync.waiting_sessions == 1, "a commit that waits")
    two.a.fence(STEP_SECONDS)
    thread.join(STEP_SECONDS)
    assert answer == ["error 2013"]


class VanishingPort:
    """Leads to a port of this machine; when it has vanished it neither accepts nor refuses."""

    def __init__(self, port: int) -> None:
        self._server = socket.socket()
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(0)
        self.port: int = self._server.getsockname()[1]
        self._there, self._gone = threading.Event(), threading.Event()
        self._there.set()
        self._passed: list[socket.socket] = []
        self._waiting: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, args=(port,), daemon=True)
        self._thread.start()

    def _serve(self, port: int) -> None:
        while not self._gone.is_set():
            if not (self._there.wait(0.05) and select.select([self._server], [], [], 0.05)[0]):
                continue
            here, _ = self._server.accept()
            there = socket.create_connection(("127.0.0.1", port))
            self._passed += [here, there]
            for pair in ((here, there), (there, here)):
                threading.Thread(target=pass_on, args=pair, daemon=True).start()

    def vanish(self) -> None:
        """What is connected ends, and the kernel drops whoever comes after the first ones."""
        self._there.clear()
        self._waiting = [socket.socket() for _ in range(3)]
        for one in self._waiting:
            one.setblocking(False)
            one.connect_ex(self._server.getsockname())
        for one in self._passed:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        for one in self._waiting:
            one.close()
        self._there.set()

    def close(self) -> None:
        self._gone.set()
        self._thread.join(STEP_SECONDS)
        for one in (*self._waiting, *self._passed, self._server):
            one.close()


def test_a_receiver_that_tries_to_connect_takes_in_nothing_more_though_it_cannot_end(
    two: Two,
) -> None:
    """The source's address has vanished, and comes back after the receiver was stopped."""
    change = "REPLICATION SOURCE TO SOURCE" if two.a.flavour.name == "mysql" else "MASTER TO MASTER"
    two.b.stop_replication(STEP_SECONDS)
    with contextlib.closing(VanishingPort(two.cluster.nodes["a"].port)) as way:
        two.run("b", f"CHANGE {change}_PORT = {way.port}")
        two.b.start_replication(STEP_SECONDS)
        two.a.enable_waiting(1, STEP_SECONDS)
        way.vanish()
        until(lambda: receiver_state(two) is ThreadState.CONNECTING, "a receiver that connects")
        two.b.stop_receiver(STEP_SECONDS)
        assert receiver_state(two) is ThreadState.CONNECTING, "it was not waited for"
        thread, answer = background(two.insert)
        until(lambda: two.a.look().semisync.waiting_sessions == 1, "a commit that waits")
        way.come_back()
        until(lambda: receiver_state(two) is ThreadState.STOPPED, "the receiver's end")
        assert two.a.look().semisync.waiting_sessions == 1
        two.a.disable_waiting(STEP_SECONDS)
        thread.join(STEP_SECONDS)
        assert answer == ["OK"]
        two.b.stop_replication(STEP_SECONDS)
    two.b.restore_source(STEP_SECONDS, clears_filters=False)
    two.whole()


def receiver_state(two: Two) -> ThreadState:
    return two.b.look().receiver.state


def test_waiting_is_refused_without_a_semisync_replica(two: Two) -> None:
    two.b.stop_replication(STEP_SECONDS)
    two.insert()  # the source notices at the next event
    until(lambda: two.a.look().semisync.source_clients == 0, "no semi-sync replica", 10)
    with pytest.raises(ServerError, match="no semi-sync replica is connected"):
        two.a.enable_waiting(1, STEP_SECONDS)
    assert not two.a.look().semisync.source_enabled


def test_commits_that_do_not_end_are_reported_as_stalled(two: Two) -> None:
    two.a.enable_waiting(1, STEP_SECONDS)
    two.b.stop_receiver(STEP_SECONDS)
    thread, answer = background(two.insert)
    look = until(
        lambda: (look := two.a.look()).writes_stalled_seconds > 0.5 and look, "a stall", 10
    )
    assert look.stall_reason
    two.a.disable_waiting(STEP_SECONDS)
    thread.join(STEP_SECONDS)
    assert answer == ["OK"]
    assert two.a.look().writes_stalled_seconds == 0.0


def test_what_the_binary_log_grows_by_is_seen(two: Two) -> None:
    """A commit that goes on, however long it takes, is told by this from one on a full disk."""

    def written() -> int:
        with two.a._step(STEP_SECONDS) as session:
            return two.a._binlog_bytes(session)

    before = written()
    two.insert()
    assert written() > before


def test_commits_behind_a_lock_are_stalled_but_not_stuck_in_themselves(two: Two) -> None:
    """What a backup's lock holds up must not look like a disk that takes nothing."""
    holder = two.connect("a", "admin")
    holder.cursor().execute("FLUSH TABLES WITH READ LOCK")
    thread, answer = background(two.insert)
    look = until(
        lambda: (look := two.a.look()).writes_stalled_seconds > 0.5 and look, "a stall", 20
    )
    assert look.commits_stuck_seconds == 0
    holder.cursor().execute("UNLOCK TABLES")
    thread.join(STEP_SECONDS)
    assert answer == ["OK"]


def test_killing_clients_spares_ourselves_and_replication(two: Two) -> None:
    clients = [two.connect("a") for _ in range(3)]
    two.a.kill_clients(STEP_SECONDS)
    for client in clients:
        with pytest.raises(pymysql.MySQLError):
            client.query("SELECT 1")
    assert two.insert() == "OK"
    assert two.b.await_executed(two.a.executed(), STEP_SECONDS)
    assert two.b.look().receiver.state is ThreadState.RUNNING


def test_a_proof_is_there_when_read_back_and_refused_on_a_closed_node(two: Two) -> None:
    two.a.prove_write(41, STEP_SECONDS)
    two.a.prove_write(41, STEP_SECONDS)
    assert two.run("a", "SELECT node FROM myha.proof WHERE epoch = 41") == ([(two.a.name,)])
    two.a.close_gently(0.2, STEP_SECONDS)
    if two.a.flavour.name == "mysql":  # on MariaDB the supervisor may write under read_only
        with pytest.raises(ServerError):
            two.a.prove_write(42, STEP_SECONDS)


def test_lag_is_measured_by_heartbeats(two: Two) -> None:
    two.a.look()
    two.b.look()

    def beat_and_lag() -> float | None:
        two.a.write_heartbeat(time.time(), 1.0)
        return two.b.look().lag_seconds

    until(lambda: beat_and_lag() == 0.0, "no lag", 30)  # the table is found at a later look
    sql = "STOP REPLICA SQL_THREAD" if two.a.flavour.name == "mysql" else "STOP SLAVE SQL_THREAD"
    two.run("b", sql)
    began = time.monotonic()
    lag = until(lambda: ((lag := beat_and_lag()) or 0.0) > 0.4 and lag, "lag that grows", 10)
    assert lag <= time.monotonic() - began + 0.1
    assert two.b.await_applied(STEP_SECONDS)
    assert two.b.look().lag_seconds == 0.0


def test_the_boot_id_names_one_life_of_the_process(two: Two) -> None:
    first = two.b.look().boot_id
    two.b.leave_watch()
    assert two.b.look().boot_id == first  # over a reconnect
    other = peer_server(two, "b")
    time.sleep(1.1)  # the jitter of an uptime in seconds would show
    assert other.look().boot_id == first  # for another supervisor
    host = two.cluster.servers["b"]
    host.kill()
    until(lambda: not host.running(), "the process is gone")
    two.cluster.start_servers()
    again = until(lambda: looked(two.b), "an answer after the restart")
    assert again.boot_id != first
    assert not again.open
    assert again.receiver.state is ThreadState.STOPPED
    other.leave_watch()
    other.disconnect()


def looked(server: BaseServer) -> Any:
    with contextlib.suppress(ServerError):
        return server.look()
    return None


def test_a_crash_hangs_up_and_is_refused(two: Two) -> None:
    two.b.look()
    fd = two.b.hangup_fds()[0]
    assert not hangs_up(fd, 0.3)
    began = time.monotonic()
    two.cluster.servers["b"].kill()
    assert hangs_up(fd, 20.0)
    assert time.monotonic() - began < 5.0
    with pytest.raises(ServerGoneError):
        two.b.look()
    assert two.b.hangup_fds() == ()
    assert two.b.refuses()


def test_the_begin_of_a_shutdown_is_known_at_once(two: Two) -> None:
    """MySQL keeps idle connections for ten seconds then: what runs is ended first."""
    two.b.look()
    descriptors = two.b.hangup_fds()
    assert descriptors
    assert not any(hangs_up(fd, 0.1) for fd in descriptors)
    stop = threading.Thread(target=two.cluster.servers["b"].stop, args=(60.0,))
    stop.start()
    try:
        poll = select.poll()
        for fd in descriptors:
            poll.register(fd, select.POLLIN | select.POLLHUP)
        assert poll.poll(8000)  # well below the ten seconds, and far from a timed test
        with pytest.raises(ServerGoneError):
            two.b.look()
        assert two.b.refuses()
    finally:
        stop.join()


def test_a_hung_server_is_given_up_at_the_deadline_and_carries_out_nothing_later(two: Two) -> None:
    port = two.cluster.nodes["b"].port
    two.b.look()
    host = two.cluster.servers["b"]
    host.freeze()
    try:
        for call in (two.b.look, two.b.look, lambda: two.b.open(1.0), two.b.executed):
            began = time.monotonic()
            with pytest.raises(ServerSilentError):
                call()
            assert time.monotonic() - began < 10.0
        assert not two.b.refuses()
        assert tcp_refused("127.0.0.1", port, 1.0) is False
    finally:
        host.thaw()
    look = until(lambda: looked(two.b), "an answer after the thaw", 60)
    assert not look.open


def test_an_open_that_comes_too_late_is_ignored(two: Two) -> None:
    """The statement itself is tried, with a time that has passed on the server's clock."""
    with two.b._control.borrow(Deadline(1.0)) as session:
        two.b._run(session, "open", {"until": time.time() - 0.1})
    assert not two.b.look().open


def test_a_server_that_is_full_is_still_looked_at(two: Two) -> None:
    two.a.look()
    two.run("a", "SET GLOBAL max_connections = 20")
    clients = []
    try:
        with contextlib.suppress(pymysql.MySQLError):
            for _ in range(60):
                clients.append(two.connect("a"))
        assert two.a.look().sessions == len(clients)
        assert two.a.open(STEP_SECONDS) is None  # the session for steps is there, too
    finally:
        for client in clients:
            client.close()
        until(lambda: two.a.look().sessions == 0, "the clients are gone")
        two.run("a", "SET GLOBAL max_connections = 151")


def test_errors_are_one_line_and_tell_what_is_wrong(two: Two, tmp_path: Path) -> None:
    account = two.a.account
    port = two.cluster.nodes["a"].port

    def refusal(where: int, login: Any = account) -> ServerError:
        with pytest.raises(ServerError) as caught:
            connect(
                Endpoint("127.0.0.1", where),
                login,
                connect_timeout_seconds=0.5,
                read_timeout_seconds=0.5,
            )
        assert "\n" not in str(caught.value)
        assert "a wrong one" not in str(caught.value)
        return caught.value

    assert refusal(port, Account(account.user, SecretStr("a wrong one"))).code == ACCESS_DENIED
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        gone = refusal(closed.getsockname()[1])
    assert isinstance(gone, ServerGoneError)
    assert "refused" in str(gone)
    with foreign(b"SSH-2.0-OpenSSH_9.2\r\n") as where:
        assert refusal(where).code == FOREIGN_PROTOCOL
    with foreign(b"\x05\x00\x00\x00\x0b\x08\x05\x1a\x00") as where:  # the X protocol's notice
        assert refusal(where).code == FOREIGN_PROTOCOL
    with foreign(b"") as where:
        assert isinstance(refusal(where), ServerSilentError)


@contextlib.contextmanager
def foreign(greeting: bytes) -> Iterator[int]:
    """A port that says something else, or nothing, and then keeps the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                kept.append(connection)
                connection.sendall(greeting)

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("tls", ["off", "auto", "require"])
def test_tls(two: Two, tls: Any) -> None:
    # The supervisor's own account may be held to TLS by setup; the clients' is not.
    app = Account("app", SecretStr(two.cluster.secret("app")))
    session = WarmSession(two.a.endpoint, app, connect_timeout_seconds=2.0, tls=tls)
    status = "SHOW SESSION STATUS LIKE 'Ssl_cipher'"
    with two.connect("a") as client, client.cursor() as cursor:
        mysql = two.a.flavour.name == "mysql"
        # MariaDB before 11.4 has no certificate by default.
        offered = mysql or cursor.execute(
            "SHOW VARIABLES WHERE Variable_name='have_ssl' AND Value='YES'"
        )
    if tls == "require" and not offered:
        with pytest.raises(ServerError):
            session.query(status, deadline_seconds=2.0)
        return
    ((_, cipher),) = session.query(status, deadline_seconds=2.0)
    session.close()
    assert bool(cipher) == (tls != "off" and bool(offered))
