"""A server obeys the supervisor that took it over last, whatever an earlier one has in hand."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import pymysql
import pytest

from myha import config as configuration
from myha.config import Config
from myha.database.flavours import FLAVOURS
from myha.database.session import Deadline
from myha.errors import ClaimedError, ServerError, ServerGoneError, ServerSilentError
from myha.sandbox.cluster import Cluster
from myha.servers.base import BaseServer
from myha.servers.claim import Claim, Claimant, read_claim
from myha.servers.factory import make_servers
from tests.real.conftest import need
from tests.real.pair import Pair
from tests.waiting import until

pytestmark = pytest.mark.real

STEP_SECONDS = 20.0
Servers = dict[str, BaseServer]


@dataclass
class Claims:
    """A pair that is set up, without a daemon: `a` is open and `b` replicates from it."""

    pair: Pair
    config: Config
    made: list[BaseServer]

    def supervisor(self, term: int, store: str = "one", holder: str = "supervisor") -> Servers:
        """The adapters of one that has taken over in this term."""
        claimant = Claimant(Claim(store, term, f"{holder} {store} {term}"))
        servers = cast(Servers, make_servers(self.config, claimant=claimant))
        self.made += servers.values()
        return servers

    def claim(self, node: str) -> tuple[str, int]:
        rows = self.pair.admin(node, "SELECT store, term FROM myha.claim")
        return str(rows[0][0]), int(rows[0][1])

    def sessions(self, node: str, account: str = "myha") -> set[int]:
        rows = self.pair.admin(
            node,
            "SELECT ID FROM information_schema.PROCESSLIST"
            f" WHERE USER = '{account}' AND COMMAND NOT LIKE 'Binlog Dump%'",
        )
        return {int(number) for (number,) in rows}


@pytest.fixture(scope="module", params=[*FLAVOURS])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    for name in (request.param, "haproxy"):
        need(name)
    made = Cluster.create(flavour=request.param)
    try:
        made.start_servers()
        made.setup()
        pair = Pair(made)
        pair.admin("a", "CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)")
        yield made
    finally:
        made.down()


@pytest.fixture
def claims(cluster: Cluster) -> Iterator[Claims]:
    pair = Pair(cluster)
    found = Claims(pair, configuration.load(cluster.config_path), [])
    open_a, closed_b = cast(Servers, make_servers(found.config)).values()
    open_a.disable_waiting(STEP_SECONDS)
    for server in (open_a, closed_b):
        server.start_replication(STEP_SECONDS)
    closed_b.close_gently(0.2, STEP_SECONDS)
    open_a.open(STEP_SECONDS)
    assert closed_b.await_executed(open_a.executed(), STEP_SECONDS)
    until(lambda: open_a.look().semisync.source_clients == 1, "one semi-sync replica")
    for node, server in (("a", open_a), ("b", closed_b)):
        server.leave_watch()
        server.disconnect()
        with _unlogged(pair, node):
            pair.admin(node, "SET SESSION sql_log_bin = 0", "DELETE FROM myha.claim")
    yield found
    for server in found.made:
        server.leave_watch()
        server.disconnect()


def _mysql(pair: Pair) -> bool:
    return pair.cluster.state.flavour == "mysql"


@contextlib.contextmanager
def _unlogged(pair: Pair, node: str) -> Iterator[None]:
    """An administrator may write on the node meanwhile."""
    strict = _mysql(pair) and node == "b"
    if strict:
        pair.admin(node, "SET GLOBAL super_read_only = OFF")
    yield
    if strict:
        pair.admin(node, "SET GLOBAL super_read_only = ON")


def test_who_takes_over_later_is_obeyed_and_nobody_else(claims: Claims) -> None:
    before = {n: claims.pair.admin(n, _executed(claims))[0][0] for n in "ab"}
    earlier = claims.supervisor(5)
    for server in earlier.values():
        server.look()
        server.claim_now(STEP_SECONDS)
    earlier["a"].enable_waiting(1, STEP_SECONDS)
    later = claims.supervisor(6)
    for server in later.values():
        server.claim_now(STEP_SECONDS)
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("a", lambda: earlier["a"].disable_waiting(STEP_SECONDS)),
        ("a", lambda: earlier["a"].fence(STEP_SECONDS)),
        ("b", lambda: earlier["b"].open(STEP_SECONDS)),
        ("b", lambda: earlier["b"].stop_replication(STEP_SECONDS)),
    )
    for name, step in steps:
        with contextlib.suppress(ServerError):
            step()  # the connection that it had has been ended
        with pytest.raises(ClaimedError, match=f"{name} was taken over by a later .*one 6, term 6"):
            step()
    assert later["a"].semisync().source_waits
    assert not later["b"].look().open
    assert {n: claims.claim(n) for n in "ab"} == {"a": ("one", 6), "b": ("one", 6)}
    later["a"].disable_waiting(STEP_SECONDS)
    assert {n: claims.pair.admin(n, _executed(claims))[0][0] for n in "ab"} == before


def _executed(claims: Claims) -> str:
    mysql = _mysql(claims.pair)
    return f"SELECT @@GLOBAL.{'gtid_executed' if mysql else 'gtid_binlog_pos'}"


def test_what_an_earlier_one_has_in_the_server_is_over_when_it_is_claimed(claims: Claims) -> None:
    """A statement that waits there must not take effect later."""
    earlier, later = claims.supervisor(5)["a"], claims.supervisor(6)["a"]
    earlier.claim_now(STEP_SECONDS)
    session = earlier.new_session()
    session.send("SELECT SLEEP(600)", deadline_seconds=STEP_SECONDS)
    number = session.connection_id
    until(lambda: number in claims.sessions("a"), "the statement in the server")
    later.claim_now(STEP_SECONDS)
    assert number not in claims.sessions("a")
    session.close()


def test_no_step_of_an_earlier_one_succeeds_after_the_claim(claims: Claims) -> None:
    """It tries all the time, over connections that it has and over new ones."""
    earlier, later = claims.supervisor(5)["a"], claims.supervisor(6)["a"]
    earlier.claim_now(STEP_SECONDS)
    begun: list[float] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            at = time.monotonic()
            with contextlib.suppress(ServerError):
                earlier.disable_waiting(STEP_SECONDS)
                begun.append(at)

    threads = [threading.Thread(target=go_on, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(begun) > 20, "the earlier one at work")
    later.claim_now(STEP_SECONDS)
    claimed_at = time.monotonic()
    later.enable_waiting(1, STEP_SECONDS)
    for _ in range(50):
        assert later.semisync().source_waits
    over.set()
    for thread in threads:
        thread.join(STEP_SECONDS)
        assert not thread.is_alive()
    assert later.semisync().source_waits
    assert not [at for at in begun if at > claimed_at]
    later.disable_waiting(STEP_SECONDS)


def test_a_late_claim_changes_nothing(claims: Claims) -> None:
    """One that stood still between looking and writing."""
    later = claims.supervisor(6)["a"]
    later.claim_now(STEP_SECONDS)
    with later._control.fresh(Deadline(STEP_SECONDS)) as session:
        for store, term in (("one", 5), ("two", 9)):
            values = {"store": store, "term": term, "holder": "late", "account": "myha"}
            later._run(session, "write_claim", values)
            assert read_claim(session) == Claim("one", 6, "supervisor one 6", "myha")


def test_a_commit_that_waits_is_left_alone(claims: Claims) -> None:
    """To end one on MariaDB would tell others of its group OK."""
    pair = claims.pair
    earlier, later = claims.supervisor(5), claims.supervisor(6)
    earlier["a"].claim_now(STEP_SECONDS)
    earlier["a"].enable_waiting(1, STEP_SECONDS)
    earlier["b"].stop_receiver(STEP_SECONDS)
    with pytest.raises(ServerSilentError):
        earlier["a"].write_heartbeat(time.time(), 0.3)
    client = pair.connect(pair.cluster.nodes["a"].port)
    answered = threading.Event()

    def insert() -> None:
        with contextlib.suppress(pymysql.MySQLError), client, client.cursor() as cursor:
            cursor.execute("INSERT INTO app.t VALUES (1)")
            answered.set()

    thread = threading.Thread(target=insert, daemon=True)
    thread.start()
    until(lambda: _in_commit(pair, "app"), "the client's commit waiting")
    later["a"].claim_now(STEP_SECONDS)
    assert claims.claim("a") == ("one", 6)
    assert not answered.is_set()
    assert _in_commit(pair, "app")
    assert _in_commit(pair, "myha")
    later["b"].start_replication(STEP_SECONDS)
    thread.join(STEP_SECONDS)
    assert answered.is_set()


def _in_commit(pair: Pair, account: str) -> bool:
    return bool(
        pair.admin(
            "a",
            "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE REGEXP 'semi-sync|ommit'"
            f" AND USER = '{account}' AND COMMAND NOT LIKE 'Binlog Dump%'",
        )
    )


def test_ones_own_connections_stay(claims: Claims) -> None:
    """A node that comes back without a claim is taken while the watcher looks at it."""
    server = claims.supervisor(6)["a"]
    server.look()
    lives = server._watch.lives
    claims.pair.admin("a", "SET SESSION sql_log_bin = 0", "DROP TABLE myha.claim")
    server.disconnect()
    server.claim_now(STEP_SECONDS)
    server.look()
    assert server._watch.lives == lives
    assert claims.claim("a") == ("one", 6)


def test_of_two_with_copies_of_one_record_the_first_is_obeyed(claims: Claims) -> None:
    """In the same term, as both have counted it up."""
    first = claims.supervisor(6)["a"]
    first.claim_now(STEP_SECONDS)
    copy = claims.supervisor(6, holder="copy")["a"]
    with pytest.raises(ClaimedError, match="a supervisor with a copy of this record"):
        copy.claim_now(STEP_SECONDS)
    first.enable_waiting(1, STEP_SECONDS)
    first.disable_waiting(STEP_SECONDS)


@contextlib.contextmanager
def at_work(servers: Iterable[BaseServer]) -> Iterator[None]:
    """Each is looked at all the time, as by a supervisor."""
    ends = threading.Event()

    def look(server: BaseServer) -> None:
        while not ends.wait(0.2):
            server.look()

    threads = [threading.Thread(target=look, args=(one,)) for one in servers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()


def test_another_store_is_refused_until_setup_takes_the_nodes_over(claims: Claims) -> None:
    there = claims.supervisor(900, store="elsewhere")
    for server in there.values():
        server.claim_now(STEP_SECONDS)
    result = claims.pair.myha("run")
    assert result.returncode == 1
    assert "belongs to the supervisor of another store (supervisor elsewhere 900)" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert claims.claim("a") == ("elsewhere", 900)
    with at_work(there.values()):
        result = claims.pair.myha("setup", "--yes")
    assert result.returncode == 1
    acts = "the supervisor of another record acts on it (supervisor elsewhere 900)"
    assert result.stderr.count(acts) == 2, result.stderr
    assert claims.claim("a") == ("elsewhere", 900)
    for server in there.values():
        server.leave_watch()
        server.disconnect()
    result = claims.pair.myha("setup", "--yes")
    assert result.returncode == 0, result.stderr
    taken = "take it over from the supervisor of another store (supervisor elsewhere 900)"
    assert result.stdout.count(taken) >= 2
    assert claims.claim("a")[0] != "elsewhere"
    assert claims.claim("a") == claims.claim("b")
    here = claims.supervisor(2, store=claims.claim("a")[0])
    here["a"].claim_now(STEP_SECONDS)
    with pytest.raises(ClaimedError, match="a belongs to the supervisor of another store"):
        for _ in range(2):
            with contextlib.suppress(ServerGoneError):
                there["a"].fence(STEP_SECONDS)
