"""Processes that are signalled by a pid file, here and through a shell: no server is needed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from myha.errors import MyhaError
from myha.hosts.local import LocalHost
from myha.hosts.remote import RemoteHost
from myha.hosts.shell import Shell
from myha.waiting import wait_until

ASLEEP = "import time; time.sleep(120)"
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "server.pid"


@pytest.fixture
def start(pid_file: Path) -> Iterator[Start]:
    """Starts a process with this name among its words, and writes the pid file as a server does."""
    started = []

    def one(name: str = "mysqld") -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", ASLEEP, name])
        started.append(process)
        pid_file.write_text(f"{process.pid}\n")
        return process

    yield one
    for process in started:
        process.kill()
        process.wait()


def remote(pid_file: Path, *, machine: str = os.uname().nodename) -> RemoteHost:
    host = RemoteHost("node a", Shell("a"), start_command=("false",), ready=lambda: False)
    host.aim(str(pid_file), machine)
    return host


def test_a_server_elsewhere_is_frozen_thawed_and_killed(pid_file: Path, start: Start) -> None:
    process, host = start(), remote(pid_file)
    assert host.running()
    assert not host.frozen()
    host.freeze()
    assert host.frozen()
    host.thaw()
    assert not host.frozen()
    host.kill()
    assert process.wait(10) == -9
    assert host.await_gone(10)
    assert not host.running()


def test_a_server_elsewhere_is_ended_by_a_signal_or_by_its_command(
    pid_file: Path, start: Start
) -> None:
    first = start()
    reaper = threading.Thread(target=first.wait)  # as the service manager there does
    reaper.start()
    remote(pid_file).stop(10)
    reaper.join(10)
    assert first.returncode == -15

    second = start()
    command = ("sh", "-c", f"kill -INT {second.pid}")
    host = RemoteHost(
        "node a", Shell("a"), start_command=("false",), stop_command=command, ready=lambda: False
    )
    host.aim(str(pid_file), os.uname().nodename)
    reaper = threading.Thread(target=second.wait)
    reaper.start()
    host.stop(10)
    reaper.join(10)
    assert second.returncode != 0


def test_one_elsewhere_that_was_started_again_meanwhile_is_gone_all_the_same(
    pid_file: Path, start: Start
) -> None:
    first, host = start(), remote(pid_file)
    host.kill()
    first.wait(10)
    start("mariadbd")
    assert host.running()
    assert host.await_gone(10)


def test_one_here_that_was_started_again_meanwhile_is_gone_all_the_same(
    pid_file: Path, start: Start, tmp_path: Path
) -> None:
    first = start()
    host = LocalHost("node a", ("false",), pid_file=pid_file, log_file=tmp_path / "log")
    host.kill()
    first.wait(10)
    second = start()
    assert host.running()
    assert host.await_gone(10)
    host.stop(10)  # which is about the one that runs
    assert second.wait(10) == -15


def test_another_program_with_the_pid_of_a_server_is_left_alone(
    pid_file: Path, start: Start
) -> None:
    other, host = start("somebody-else"), remote(pid_file)
    assert not host.running()
    with pytest.raises(MyhaError, match="is another program"):
        host.kill()
    assert other.poll() is None


def test_a_server_that_is_not_there_is_told(pid_file: Path, start: Start) -> None:
    process, host = start(), remote(pid_file)
    process.kill()
    process.wait()
    with pytest.raises(MyhaError, match="not running"):
        host.freeze()
    pid_file.unlink()
    with pytest.raises(MyhaError, match="not running"):
        host.kill()


def test_a_shell_that_leads_elsewhere_hits_nothing(pid_file: Path, start: Start) -> None:
    process, host = start(), remote(pid_file, machine="elsewhere")
    with pytest.raises(MyhaError, match=r"calls its own elsewhere: correct nodes\.a\.shell"):
        host.kill()
    assert process.poll() is None


def test_a_command_that_fails_is_told_with_what_it_said(pid_file: Path) -> None:
    words = ("sh", "-c", "echo no such unit >&2; exit 5")
    host = RemoteHost("node a", Shell("a"), start_command=words, ready=lambda: False)
    host.aim(str(pid_file), os.uname().nodename)
    with pytest.raises(MyhaError, match="node a: start_command failed: no such unit"):
        host.start(10)


def test_a_start_waits_for_one_that_has_the_data_already(tmp_path: Path) -> None:
    """Somebody who was killed had begun to start it: the second process is refused its files."""
    program = tmp_path / "server"
    program.write_text(
        "#!/bin/sh\n"
        f"cd {tmp_path}\n"
        "mkdir held 2>/dev/null || { echo '[ERROR] Unable to lock ./data' >&2; exit 1; }\n"
        "while [ ! -e refused ]; do sleep 0.02; done\n"
        "echo $$ > pid; touch serves; exec sleep 60\n"
    )
    program.chmod(0o700)
    first = subprocess.Popen([program])
    assert wait_until((tmp_path / "held").exists, 30.0, 0.02)
    log = tmp_path / "log"
    host = LocalHost(
        "db1",
        (str(program),),
        pid_file=tmp_path / "pid",
        log_file=log,
        ready=(tmp_path / "serves").exists,
    )

    def refused() -> None:
        wait_until(lambda: log.exists() and "Unable to lock" in log.read_text(), 30.0, 0.02)
        (tmp_path / "refused").touch()

    threading.Thread(target=refused, daemon=True).start()
    try:
        host.start(30.0)
        assert host.pid() == first.pid
    finally:
        first.kill()
        first.wait()


def test_of_several_who_start_it_at_the_same_time_one_does(tmp_path: Path) -> None:
    """Two servers on one data directory ruin it: MySQL's do, in the first start after a clone."""
    program, starts = tmp_path / "server", tmp_path / "starts"
    program.write_text(f"#!/bin/sh\necho $$ >> {starts}\nexec sleep 60\n")
    program.chmod(0o700)
    hosts = [
        LocalHost("db1", (str(program),), pid_file=tmp_path / "pid", log_file=tmp_path / "log")
        for _ in range(8)
    ]
    together = threading.Barrier(len(hosts))

    def start(host: LocalHost) -> None:
        together.wait()
        host.start(30.0)

    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(start, hosts))
    try:
        assert wait_until(starts.exists, 30.0, 0.02)
        assert {host.pid() for host in hosts} == {int(starts.read_text())}
    finally:
        hosts[0].kill()
        assert hosts[0].await_gone(30.0)


def test_what_is_killed_while_it_starts_a_server_leaves_none_that_nobody_knows(
    tmp_path: Path,
) -> None:
    pid_file, began = tmp_path / "pid", tmp_path / "began"
    program = tmp_path / "server"
    program.write_text(f"#!{sys.executable}\nopen({str(began)!r}, 'w').close()\n{ASLEEP}\n")
    program.chmod(0o700)
    killed = f"""
import os, signal
from pathlib import Path
from unittest import mock
from myha.hosts.local import LocalHost
pid_file, log_file = Path({str(pid_file)!r}), Path({str(tmp_path / "log")!r})
host = LocalHost("db1", ({str(program)!r},), pid_file=pid_file, log_file=log_file)
with mock.patch("myha.hosts.local.replacing", lambda *_: os.kill(os.getpid(), signal.SIGKILL)):
    host.start(30.0)
"""
    done = subprocess.run([sys.executable, "-c", killed], check=False)
    assert done.returncode == -signal.SIGKILL
    host = LocalHost("db1", (str(program),), pid_file=pid_file, log_file=tmp_path / "log")
    assert not host.running()
    host.start(30.0)
    try:
        assert wait_until(began.exists, 30.0, 0.02)
        assert processes_of(program) == [host.pid()]
    finally:
        host.kill()
        assert host.await_gone(30.0)


def processes_of(program: Path) -> list[int | None]:
    """Those whose command line names it, as they are or as they will be."""
    found: list[int | None] = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(program).encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found
