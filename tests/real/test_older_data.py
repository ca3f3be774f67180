"""A server comes back with older data than it had: a backup or a snapshot in their place."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.pair import Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real

TABLE = ("CREATE DATABASE app", "CREATE TABLE app.t (id INT PRIMARY KEY)")


@pytest.fixture
def pair(flavour: str) -> Iterator[Pair]:
    with running_pair(*TABLE, flavour=flavour) as pair:
        yield pair


def insert(pair: Pair, first: int, last: int) -> None:
    pair.write(*(f"INSERT INTO app.t VALUES ({one})" for one in range(first, last + 1)))


def snapshot(pair: Pair, node: str) -> Path:
    """A copy of its data as they are at one instant, taken while nobody acts on its silence."""
    files = pair.cluster.nodes[node]
    copy = files.data_dir.with_name(f"{node}-older")
    assert pair.myha("maintenance", "on").returncode == 0
    pid = int(files.pid_file.read_text())
    os.kill(pid, signal.SIGSTOP)
    try:
        shutil.copytree(files.data_dir, copy, ignore=shutil.ignore_patterns("*.sock*", "*.pid"))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert pair.myha("maintenance", "off").returncode == 0
    pair.await_healthy(node)
    return copy


def comes_back(pair: Pair, node: str, data: Path) -> None:
    """In the place of the data that it had, which are put aside."""
    files = pair.cluster.nodes[node]
    files.data_dir.rename(files.data_dir.with_name(f"{node}-newer"))
    data.rename(files.data_dir)
    pair.cluster.servers[node].start(120.0)


def counted(pair: Pair, *nodes: str) -> set[int]:
    return {pair.admin(node, "SELECT COUNT(*) FROM app.t")[0][0] for node in nodes}


def heal(pair: Pair, node: str) -> None:
    healed = pair.myha("heal", node, "--method", "reseed", "--accept-loss")
    assert healed.returncode == 0, healed.stderr


def await_looks(pair: Pair, node: str) -> None:
    """Until it was seen to have what it has now, and more beside (heartbeats, if nothing else)."""
    seen = set[str]()

    def three_more() -> bool:
        seen.add(pair.status()["nodes"][node]["executed"])
        return len(seen) > 3

    until(three_more, "three more looks at it")


def test_a_writer_that_was_alone_is_not_opened(pair: Pair) -> None:
    """Else what was acknowledged is gone in silence, and its GTIDs are given to other changes."""
    writer = pair.status()["writer"]
    (standby,) = {*pair.cluster.nodes} - {writer}
    data = snapshot(pair, writer)
    insert(pair, 1, 20)
    pair.cluster.servers[standby].kill()
    until(lambda: pair.status()["sync"] == "solo", "the writer is alone")
    insert(pair, 21, 40)
    await_looks(pair, writer)
    pair.cluster.servers[writer].kill()
    comes_back(pair, writer, data)
    pair.await_verdict("writer-older")
    pair.cluster.servers[standby].start(120.0)
    until(lambda: f"{standby} lacks" in pair.status()["refusals"][0]["reason"], "what it lacks")
    assert pair.routes("writer") == set()
    assert counted(pair, writer) == {0}
    refused = pair.myha("failover", "--to", writer)
    assert refused.returncode != 0
    assert "had" in refused.stderr
    opened = pair.myha("failover", "--to", writer, "--accept-loss")
    assert opened.returncode == 0, opened.stderr
    insert(pair, 101, 110)
    heal(pair, standby)
    pair.await_healthy(writer)
    assert counted(pair, writer, standby) == {10}


def test_a_former_writer_gets_all_that_it_wrote_itself_again(pair: Pair) -> None:
    """MySQL's receiver takes nothing of its own server's: such a standby is not kept."""
    writer = pair.status()["writer"]
    (standby,) = {*pair.cluster.nodes} - {writer}
    data = snapshot(pair, writer)
    insert(pair, 1, 20)
    pair.cluster.servers[writer].kill()
    until(lambda: pair.status()["writer"] == standby, "a failover")
    insert(pair, 21, 40)
    comes_back(pair, writer, data)
    if pair.cluster.state.flavour == "mysql":
        pair.await_verdict("standby-fenced")
        heal(pair, writer)
    pair.await_healthy(standby)
    until(lambda: counted(pair, writer, standby) == {40}, "both have all")
