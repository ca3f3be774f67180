"""What a user or the world does wrong to a running cluster: one clear line each, nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from myha.hosts.local import LocalHost, accepts_unix
from tests.real.conftest import need
from tests.real.pair import Pair, running_pair
from tests.waiting import until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    app = ("CREATE DATABASE app", "CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)")
    with running_pair(*app, flavour="mariadb") as shared:
        yield shared


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def run_with(pair: Pair, path: Path, old: str, new: str) -> subprocess.CompletedProcess[str]:
    """`myha run` with one thing in the configuration changed; the real daemon is not running."""
    text = pair.cluster.config_path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return subprocess.run(
        [sys.executable, "-m", "myha", "--config", str(path), "run"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def stopped(pair: Pair) -> Iterator[Pair]:
    """The pair without its supervisor; it is started again afterwards."""
    pair.await_healthy()
    pair.cluster.supervisor.stop(60)
    yield pair
    pair.cluster.start_supervisor()
    pair.await_healthy()


def test_a_wrong_password_ends_the_daemon_with_one_line(stopped: Pair) -> None:
    done = stopped.myha("run", MYHA_SUPERVISOR_PASSWORD="not the password")
    assert done.returncode == 1
    assert "access denied" in one_line(done.stderr)
    assert "not the password" not in done.stderr


def test_a_readable_password_file_is_refused(stopped: Pair) -> None:
    secret = stopped.cluster.directory / "secrets" / "supervisor"
    secret.chmod(0o644)
    try:
        done = stopped.myha("run")
    finally:
        secret.chmod(0o600)
    assert done.returncode == 2
    assert "chmod 600" in one_line(done.stderr)


def test_a_state_directory_on_a_read_only_disk_is_one_line(stopped: Pair, tmp_path: Path) -> None:
    place = tmp_path / "ro"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", str(place)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        (place / "state").mkdir()
        for file in stopped.cluster.state_dir.glob("record.sqlite*"):
            shutil.copy(file, place / "state")
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        config = stopped.cluster.directory / "ro.toml"
        old = f'"{stopped.cluster.state_dir}"'
        done = run_with(stopped, config, old, f'"{place}/state"')
    finally:
        subprocess.run(["umount", str(place)], check=True)
    assert done.returncode == 1
    line = one_line(done.stderr)
    assert f"{place}/state" in line
    assert "Read-only file system" in line or "permissions" in line


def test_a_state_directory_of_no_pair_is_one_line(stopped: Pair, tmp_path: Path) -> None:
    config = stopped.cluster.directory / "empty.toml"
    done = run_with(stopped, config, f'"{stopped.cluster.state_dir}"', f'"{tmp_path}/state"')
    assert done.returncode == 1
    assert "run `myha setup`" in one_line(done.stderr)


def test_no_configuration_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "myha", "status"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MYHA_CONFIG": str(tmp_path / "absent.toml")},
    )
    assert done.returncode == 2
    assert "myha init" in one_line(done.stderr)


def test_ctrl_c_ends_following_commands_without_a_traceback(pair: Pair) -> None:
    pair.await_healthy()
    ends = (["status", "--watch"], 0, ""), (["events", "--follow"], 130, "myha: interrupted")
    for words, status, told in ends:  # Ctrl-C is how one ends a live screen
        process = subprocess.Popen(
            [sys.executable, "-m", "myha", "--config", str(pair.cluster.config_path), *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status
        assert errors.strip() == told


def test_a_full_control_socket_client_disturbs_nobody(pair: Pair) -> None:
    """Somebody who connects and says nothing, or nonsense, takes nothing from the others."""
    silent = [socket.socket(socket.AF_UNIX) for _ in range(8)]
    try:
        for one in silent:
            one.connect(str(pair.control))
        silent[0].sendall(b"nonsense\n")
        assert b"not a JSON object" in silent[0].recv(4096)
        assert pair.status()["ok"]
    finally:
        for one in silent:
            one.close()


def test_an_unreachable_balancer_does_not_hold_up_a_failover(stopped: Pair, tmp_path: Path) -> None:
    """Two balancers: one hangs from before the crash; it is put right when it answers again."""
    pair = stopped
    cluster = pair.cluster
    text = cluster.config_path.read_text()
    second = cluster.run_dir / "second.sock"
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    cluster.config_path.write_text(
        f"{text}\n[balancers.lb2]\nkind = 'haproxy'\nsocket = '{second}'\n"
        f"writer_listen = '127.0.0.1:{ports[0]}'\nreader_listen = '127.0.0.1:{ports[1]}'\n"
    )
    rendered = pair.myha("balancer", "render", "lb2")
    assert rendered.returncode == 0, rendered.stderr
    config = tmp_path / "lb2.cfg"
    config.write_text(rendered.stdout)
    lb2 = LocalHost(
        "lb2",
        (*need("haproxy").argv, "-db", "-f", str(config)),
        pid_file=tmp_path / "lb2.pid",
        log_file=tmp_path / "lb2.log",
        ready=lambda: accepts_unix(second),
    )
    lb2.start(20)
    try:
        cluster.start_supervisor()
        pair.await_healthy()
        until(lambda: _routes(pair, "lb2") == _routes(pair, "lb1"), "both balancers route alike")
        lb2.freeze()
        writer = pair.status()["writer"]
        standby = next(name for name in cluster.nodes if name != writer)
        host = cluster.servers[writer]
        host.kill()
        done = pair.await_event("plan-done", f"fail over from {writer} to {standby}")
        began = pair.await_event("plan", f"fail over from {writer} to {standby}")
        # The hung one costs at most its deadline in each of the two steps that need balancers.
        assert done["at"] - began["at"] < 5
        assert pair.await_event("balancer-failed", "in lb2")
        pair.write("REPLACE INTO app.t VALUES (1, 'through the other')")
        lb2.thaw()
        until(
            lambda: ("writer", standby) in _routes(pair, "lb2"),
            "the second balancer is put right",
        )
        host.start(90)
        pair.await_healthy(writer=standby)
    finally:
        cluster.supervisor.stop(60)
        lb2.kill()
        cluster.config_path.write_text(text)


def _routes(pair: Pair, balancer: str) -> set[tuple[str, str]]:
    routes = pair.status()["balancers"][balancer]["routes"]
    return {(one["pool"], one["node"]) for one in routes if one["takes_traffic"]}


def test_a_failover_without_any_balancer(pair: Pair) -> None:
    pair.await_healthy()
    writer = pair.status()["writer"]
    standby = next(name for name in pair.cluster.nodes if name != writer)
    pair.cluster.haproxy.kill()
    until(lambda: not pair.cluster.haproxy.running(), "HAProxy is gone")
    host = pair.cluster.servers[writer]
    host.kill()
    until(lambda: pair.status()["nodes"][standby].get("open"), "the standby is open")
    pair.cluster.haproxy.start(20)
    until(lambda: pair.routes("writer") == {standby}, "HAProxy is told when it is back")
    host.start(90)
    pair.await_healthy(writer=standby)


def test_both_nodes_lost_and_back(pair: Pair) -> None:
    """The writer on record is opened again when it has been looked at, and nothing is lost."""
    pair.await_healthy()
    pair.write("REPLACE INTO app.t VALUES (2, 'before both died')")
    hosts = pair.cluster.servers
    for host in hosts.values():
        host.kill()
    until(lambda: pair.status()["verdict"] == "both-lost", "both are seen to be lost")
    starts = [threading.Thread(target=host.start, args=(90,)) for host in hosts.values()]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    writer = pair.await_healthy()["writer"]
    question, written = "SELECT v FROM app.t WHERE id = 2", [("before both died",)]
    assert pair.admin(writer, question) == written
    # Armed says that the standby has received it; its applier may still be at it.
    for node in hosts:
        until(partial(_is, pair, node, question, written), f"{node} has the row")


def _is(pair: Pair, node: str, question: str, answer: list[tuple[Any, ...]]) -> bool:
    return pair.admin(node, question) == answer
