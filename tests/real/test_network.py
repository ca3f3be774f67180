"""A sandbox's hosts of its own: what is cut is silent, what is healed is whole, nothing is left."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from myha.errors import ConfigError
from myha.hosts.local import process_state
from myha.sandbox.cluster import Cluster
from myha.sandbox.network.faults import Cut, both_ways
from myha.sandbox.network.layout import CLIENTS, REPLICATION, Link
from myha.sandbox.network.network import Network
from tests.real.conftest import MakeCluster
from tests.real.network import need_network
from tests.waiting import until

pytestmark = pytest.mark.real

# Answers each line with the same line, on every address.
ECHO = """
import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer.allow_reuse_address = True
server = socketserver.ThreadingTCPServer(("0.0.0.0", int(sys.argv[1])), Echo)
print("ready", flush=True)
server.serve_forever()
"""
# Says what became of a connection, and of one more line on it for each line on standard input.
TALK = """
import socket, sys
try:
    connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), 0.7)
except TimeoutError:
    print("silence", flush=True)
    sys.exit()
connection.settimeout(0.7)
file = connection.makefile("rwb", buffering=0)
print("connected", flush=True)
for line in sys.stdin:
    file.write(line.encode())
    try:
        print(connection.recv(99).decode().strip(), flush=True)
    except TimeoutError:
        print("silence", flush=True)
"""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    need_network()
    made = Network(tmp_path_factory.mktemp("network"), ("a", "b"), ("r1",), "stray")
    try:
        made.make()
        yield made
    finally:
        made.remove()
    assert made.namespaces.there() == []


@contextmanager
def running(words: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def says(process: subprocess.Popen[str], word: str) -> str:
    assert process.stdin is not None
    process.stdin.write(f"{word}\n")
    process.stdin.flush()
    return heard(process)


@contextmanager
def echo(network: Network, host: str, port: int = 3306) -> Iterator[None]:
    with running((*network.words(host), sys.executable, "-c", ECHO, str(port))) as server:
        assert heard(server) == "ready"
        yield


@contextmanager
def talk(
    network: Network, host: str, to: str, port: int = 3306, link: Link = CLIENTS
) -> Iterator[subprocess.Popen[str]]:
    address = network.address(to, link)
    with running((*network.words(host), sys.executable, "-c", TALK, address, str(port))) as client:
        yield client


def reaches(network: Network, host: str, to: str, port: int = 3306, link: Link = CLIENTS) -> bool:
    with talk(network, host, to, port, link) as client:
        return heard(client) == "connected"


def test_every_host_reaches_every_other_on_the_links_that_it_is_on(network: Network) -> None:
    with echo(network, "a"):
        assert reaches(network, "client", "a")
        assert reaches(network, "b", "a", link=REPLICATION)
        # Not on that link, so not there: the two links share nothing.
        with running(
            (*network.words("client"), sys.executable, "-c", TALK, "203.0.113.11", "3306")
        ) as client:
            assert heard(client) != "connected"


def test_a_cut_is_silent_for_open_connections_too_and_they_go_on_after_it(network: Network) -> None:
    with echo(network, "a"), talk(network, "client", "a") as client:
        assert heard(client) == "connected"
        assert says(client, "before") == "before"
        with network.faults.cutting(both_ways(["client"], ["a"])):
            assert network.faults.in_force()
            assert says(client, "during") == "silence"
            assert not reaches(network, "client", "a")
            assert reaches(network, "supervisor", "a")
        assert network.faults.in_force() == []
        # What was lost is sent again: the connection goes on where it was.
        answers = (says(client, "after") for _ in range(30))
        assert next(answer for answer in answers if answer != "silence") == "during"
        assert reaches(network, "client", "a")


def test_a_cut_may_be_of_one_direction_or_one_link_or_one_port(network: Network) -> None:
    with echo(network, "a"), echo(network, "a", 3307), talk(network, "b", "a") as client:
        assert heard(client) == "connected"
        with network.faults.cutting([Cut(("a",), ("b",), CLIENTS)]):
            assert says(client, "asked") == "silence"
            assert reaches(network, "b", "a", link=REPLICATION)
        with network.faults.cutting([Cut(("b",), ("a",), port=3307)]):
            assert not reaches(network, "b", "a", 3307)
            assert reaches(network, "b", "a", 3306)
        # The rules of one cut do not outlive it into the next.
        network.faults.cut([Cut(("b",), ("a",), port=3307)])
        network.faults.cut([Cut(("b",), ("r1",))])
        assert reaches(network, "b", "a", 3307)
        network.faults.heal()


def test_a_block_that_fails_heals_what_it_had_cut(network: Network) -> None:
    with pytest.raises(KeyboardInterrupt), network.faults.cutting(both_ways(["a"], ["b"])):
        raise KeyboardInterrupt
    assert network.faults.in_force() == []


def test_a_slow_link_holds_back_each_way_and_leaves_the_others_alone(network: Network) -> None:
    def answered_after(host: str) -> float:
        with talk(network, host, "a") as client:
            assert heard(client) == "connected"
            began = time.monotonic()
            answers = (says(client, "word") for _ in range(30))
            assert next(answer for answer in answers if answer != "silence") == "word"
            return time.monotonic() - began

    with echo(network, "a"):
        with network.slowed([("a", "b")], 0.1, 0.0, 1):
            assert answered_after("b") >= 0.2
            assert reaches(network, "client", "a")
        assert network.faults.in_force() == []
        assert answered_after("b") >= 0


def test_what_slows_a_link_down_ends_with_whoever_started_it(network: Network) -> None:
    script = (
        "import sys, time; from pathlib import Path;"
        "from myha.sandbox.network.network import Network;"
        "made = Network(Path(sys.argv[1]), ('a', 'b'), ('r1',), 'stray');"
        "block = made.slowed([('a', 'b')], 0.1, 0.0, 1);"
        "block.__enter__(); print('slow', flush=True);"
        "time.sleep(600)"
    )
    with running((sys.executable, "-c", script, str(network.directory))) as killed:
        assert heard(killed) == "slow"
        (relay,) = relays(killed.pid)
        killed.kill()
        until(lambda: (state := process_state(relay)) is None or not state.alive, "it has ended")
    # What it had cut is found and undone, as of any drill that was killed.
    assert network.faults.in_force()
    network.faults.heal()


def relays(parent: int) -> list[int]:
    """The processes that slow links down and were started by this one."""
    found = []
    for folder in Path("/proc").iterdir():
        state = process_state(int(folder.name)) if folder.name.isdigit() else None
        if state and "myha.sandbox.network.slow" in state.command:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            found += [int(folder.name)] if int(fields[1]) == parent else []
    return found


def test_two_networks_exist_side_by_side_and_each_removes_its_own(
    network: Network, tmp_path: Path
) -> None:
    other = Network(tmp_path, ("a", "b"), (), "stray")
    try:
        other.make()
        other.faults.cut(both_ways(["client"], ["a"]))
        with echo(network, "a"):
            assert reaches(network, "client", "a")
    finally:
        other.remove()
    assert other.namespaces.there() == []
    assert len(network.namespaces.there()) == len(network.hosts) + 1


def test_only_the_thread_that_enters_a_host_is_there_and_it_comes_back(network: Network) -> None:
    def here() -> str:
        return str(Path("/proc/thread-self/ns/net").readlink())

    seen: dict[str, str] = {}
    outside, entered, left = here(), threading.Event(), threading.Event()

    def visit() -> None:
        with network.inside("client"):
            seen["inside"] = here()
            child = threading.Thread(target=lambda: seen.update(child=here()))
            child.start()
            child.join()
            entered.set()
            left.wait(30)
        seen["after"] = here()

    visitor = threading.Thread(target=visit)
    visitor.start()
    assert entered.wait(30)
    assert here() == outside
    left.set()
    visitor.join()
    assert seen["inside"] == seen["child"] != outside
    assert seen["after"] == outside


def test_a_host_that_is_not_there_is_named(network: Network) -> None:
    with pytest.raises(ConfigError, match="no host 'c': choose from a, b, r1, stray, lb1"):
        network.words("c")


def sandbox(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "myha", "sandbox", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_killed_fault_is_seen_and_goes_with_the_sandbox(
    cluster: MakeCluster, tmp_path: Path
) -> None:
    need_network()
    made = cluster(network=True, directory=tmp_path / "sandbox")
    assert made.network is not None
    assert "fence_command" not in made.config_path.read_text()  # it would reach across every cut
    where = ("--dir", str(made.directory))
    done = sandbox("exec", *where, "--host", "lb2", "--", "ip", "-brief", "addr", "show", "eth0")
    assert "198.51.100.32/24" in done.stdout, done.stderr
    # As a drill leaves it that was killed: what another process cut is found, and undone.
    made.network.faults.cut(both_ways(["a"], ["b"]))
    assert "cut: iifname" in sandbox("status", *where).stdout
    assert sandbox("heal", *where).returncode == 0
    assert "cut: " not in sandbox("status", *where).stdout
    made.network.faults.cut(both_ways(["a"], ["b"]))
    assert sandbox("down", *where).returncode == 0
    assert made.network.namespaces.there() == []
    assert not made.directory.exists()


def test_without_a_network_there_are_no_hosts_to_run_on(cluster: MakeCluster) -> None:
    made: Cluster = cluster()
    done = sandbox("exec", "--dir", str(made.directory), "true")
    assert done.returncode == 2
    assert "has no hosts of its own" in done.stderr
