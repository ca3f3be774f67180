"""Heals by the running daemon of a node that does not make it easy: images, logs, a full disk."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from myha.binlog import events
from tests.real.pair import LIFTED, Pair, running_pair
from tests.real.purging import drop_older_logs
from tests.real.stopping import shut_down
from tests.waiting import until

pytestmark = pytest.mark.real

FLAVOURS = [
    pytest.param(flavour, marks=pytest.mark.xdist_group(f"heal-bad-input-{flavour}"))
    for flavour in ("mysql", "mariadb")
]


@pytest.fixture(scope="module", params=FLAVOURS)
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """One pair for the module, whole at the beginning of each test."""
    with running_pair(
        "CREATE DATABASE app",
        "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v MEDIUMTEXT, w TEXT)",
        "INSERT INTO app.t VALUES (1, 'one', 'eins'), (2, 'two', 'zwei'), (3, 'three', 'drei')",
        flavour=request.param,
    ) as shared:
        yield shared


def is_mysql(pair: Pair) -> bool:
    return pair.cluster.state.flavour == "mysql"


def diverge(pair: Pair, *statements: str) -> str:
    """Leave the standby fenced by hand, with what these statements write there; its name."""
    status = pair.await_healthy()
    standby = next(name for name in pair.cluster.nodes if name != status["writer"])
    assert pair.myha("fence", standby, "--reason", "to diverge it").returncode == 0
    pair.await_verdict("standby-fenced")
    writable = LIFTED if is_mysql(pair) else "DO 0"
    pair.admin(standby, writable, *statements)
    return standby


def state(pair: Pair, node: str) -> Any:
    """What a heal that is refused must leave alone."""
    gtid = "@@gtid_executed" if is_mysql(pair) else "@@gtid_binlog_pos, @@gtid_slave_pos"
    return (
        pair.admin(node, "SELECT * FROM app.t ORDER BY id"),
        pair.admin(node, f"SELECT {gtid}"),
        pair.admin(node, "SELECT @@read_only"),
    )


def incidents(pair: Pair) -> set[str]:
    """The quarantine's directories, half written ones too."""
    root = quarantine(pair)
    return {path.name for path in root.iterdir()} if root.is_dir() else set()


def quarantine(pair: Pair) -> Path:
    return pair.cluster.state_dir / "quarantine"


def assert_refused(pair: Pair, node: str, why: str, *options: str) -> None:
    """The reason is told and on record, the node fenced, and nothing of it was touched."""
    before, kept = state(pair, node), incidents(pair)
    refused = pair.myha("heal", node, *options)
    assert refused.returncode == 1, refused.stdout
    assert "Traceback" not in refused.stderr
    status = pair.await_verdict("standby-fenced")
    entry = status["nodes"][node]
    assert why in entry["reason"], entry["reason"]
    assert why in refused.stderr, refused.stderr
    assert node not in pair.routes("reader")
    assert state(pair, node) == before
    assert incidents(pair) == kept


def assert_same(pair: Pair) -> None:
    def same() -> bool:
        one, other = (
            pair.admin(name, "SELECT * FROM app.t ORDER BY id") for name in pair.cluster.nodes
        )
        return one == other

    until(same, "both nodes hold the same")


def test_partial_images_and_purged_logs_are_refused_with_nothing_touched(pair: Pair) -> None:
    """What has no exact way back stays as it is, until somebody says that it may be lost."""
    standby = diverge(
        pair,
        "SET SESSION binlog_row_image = 'MINIMAL'",
        "UPDATE app.t SET v = 'errant' WHERE id = 2",
    )
    assert_refused(pair, standby, "partial row images", "--method", "rewind")
    assert_refused(pair, standby, "partial row images", "--method", "merge")
    drop_older_logs(partial(pair.admin, standby))
    assert_refused(pair, standby, "binary log", "--method", "rewind")
    assert_refused(pair, standby, "binary log", "--method", "reseed")
    assert pair.admin(standby, "SELECT v FROM app.t WHERE id = 2") == [("errant",)]
    done = pair.myha("heal", standby, "--method", "reseed", "--accept-loss")
    assert done.returncode == 0, done.stdout + done.stderr
    pair.await_healthy()
    assert_same(pair)
    assert pair.admin(standby, "SELECT v FROM app.t WHERE id = 2") == [("two",)]


def test_a_truncated_log_is_refused_with_nothing_touched(pair: Pair) -> None:
    """The end of a file is gone, as after a disk that lied about what it had written."""
    standby = diverge(
        pair,
        "UPDATE app.t SET v = 'errant' WHERE id = 1",
        "UPDATE app.t SET v = 'errant' WHERE id = 3",
        "FLUSH BINARY LOGS",
    )
    names = [row[0] for row in pair.admin(standby, "SHOW BINARY LOGS")]
    base = Path(pair.admin(standby, "SELECT @@log_bin_basename")[0][0])
    torn = base.with_name(names[-2])
    shut_down(pair.cluster, standby)
    os.truncate(torn, torn.stat().st_size - 60)
    pair.cluster.servers[standby].start(90)
    until(lambda: pair.status()["nodes"][standby]["contact"] == "answering", "it is back")
    for method in ("rewind", "merge", "reseed"):
        assert_refused(pair, standby, "binary log", "--method", method)
    assert pair.myha("heal", standby, "--method", "reseed", "--accept-loss").returncode == 0
    pair.await_healthy()
    assert_same(pair)


def last_log(pair: Pair, node: str) -> Path:
    """The binary log that the server writes to now."""
    base = Path(pair.admin(node, "SELECT @@log_bin_basename")[0][0])
    return base.with_name(pair.admin(node, "SHOW BINARY LOGS")[-1][0])


def kill_while_it_writes(pair: Pair, node: str) -> None:
    """SIGKILL, and at the end of the binary log the beginning of an event that got no further.

    The kernel gives up a write at the end of a page when the process is killed under it, which on
    a busy disk is not rare, and cannot be brought about at will.
    """
    log = last_log(pair, node)
    server_id = pair.admin(node, "SELECT @@server_id")[0][0]
    host = pair.cluster.servers[node]
    host.kill()
    assert host.await_gone(30)
    gtid = 33 if is_mysql(pair) else 162
    size, place = 44, log.stat().st_size
    with log.open("ab") as file:
        file.write(events.HEADER.pack(int(time.time()), gtid, server_id, size, place + size, 0))


def test_a_log_torn_by_a_crash_is_read_to_its_whole_end(pair: Pair) -> None:
    """What the crash cut off was never committed; what was stands before it, and behind it."""
    standby = diverge(pair, "UPDATE app.t SET v = 'errant' WHERE id = 1")
    kill_while_it_writes(pair, standby)
    pair.cluster.servers[standby].start(90)
    writable = LIFTED if is_mysql(pair) else "DO 0"
    pair.admin(standby, writable, "UPDATE app.t SET v = 'errant too' WHERE id = 2")
    until(lambda: pair.status()["nodes"][standby]["contact"] == "answering", "it is back")
    shown = pair.myha("divergence", "show", standby)
    assert "errant too" in shown.stdout, shown.stdout + shown.stderr
    before = incidents(pair)
    done = pair.myha("heal", standby, "--method", "rewind")
    assert done.returncode == 0, done.stdout + done.stderr
    pair.await_healthy()
    assert_same(pair)
    assert pair.admin(standby, "SELECT v FROM app.t WHERE id < 3") == [("one",), ("two",)]
    (incident,) = incidents(pair) - before
    listed = pair.myha("quarantine", "show", incident)
    assert "2 transactions" in listed.stdout, listed.stdout


def test_replication_goes_on_behind_a_log_torn_by_a_crash(pair: Pair) -> None:
    """The writer dies alone and returns; the standby had still to get what it wrote before."""
    writer = pair.await_healthy()["writer"]
    standby = next(name for name in pair.cluster.nodes if name != writer)
    assert pair.myha("maintenance", "on").returncode == 0
    try:
        if is_mysql(pair):
            stop, alone = "STOP REPLICA IO_THREAD", "SET GLOBAL rpl_semi_sync_source_enabled = OFF"
        else:
            stop, alone = "STOP SLAVE IO_THREAD", "SET GLOBAL rpl_semi_sync_master_enabled = OFF"
        pair.admin(standby, stop)
        pair.admin(writer, alone, "UPDATE app.t SET w = 'before the crash' WHERE id = 3")
        kill_while_it_writes(pair, writer)
        pair.cluster.servers[writer].start(90)
    finally:
        assert pair.myha("maintenance", "off").returncode == 0
    pair.await_healthy(writer)
    pair.write("UPDATE app.t SET v = 'after it' WHERE id = 3")
    assert_same(pair)
    row = pair.admin(standby, "SELECT v, w FROM app.t WHERE id = 3")
    assert row == [("after it", "before the crash")]
    pair.write("UPDATE app.t SET v = 'three', w = 'drei' WHERE id = 3")


@contextmanager
def full_disk(place: Path) -> Iterator[None]:
    """A disk of its own, with next to no room."""
    place.mkdir(mode=0o700, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "none", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_in_the_quarantine_undoes_nothing_and_is_tried_again(pair: Pair) -> None:
    standby = diverge(pair, "UPDATE app.t SET v = REPEAT('errant', 20000) WHERE id = 3")
    before = state(pair, standby)[:2]
    with full_disk(quarantine(pair)):
        assert pair.myha("heal", standby, "--method", "rewind", "--no-wait").returncode == 0
        failed = pair.await_event("job-failed", f"heal of {standby} by rewind")
        assert "cannot write the quarantine" in failed["text"]
        assert "No space left" in failed["text"]
        assert state(pair, standby)[:2] == before
        assert standby not in pair.routes("reader")
    # There is room again, and nobody has to say so.
    pair.await_healthy()
    assert_same(pair)
    kept = [path.read_text() for path in quarantine(pair).glob("*/rows.jsonl")]
    assert any((b"errant" * 20000).hex() in one for one in kept)
