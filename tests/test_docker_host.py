"""The host adapter for Docker containers, against a `docker` that is a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from myha.errors import MyhaError
from myha.hosts.docker import DockerHost

# It keeps one container's state in a file, as `PID RUNNING PAUSED`, and a line for each call.
DOCKER = """#!/bin/sh
echo "$*" >>"$0.calls"
read -r pid running paused <"$0.state"
case $1 in
    inspect) echo "$pid $running $paused" ;;
    kill | stop) echo "0 false false" >"$0.state" ;;
    start) echo "$((pid + 7)) true false" >"$0.state" ;;
    pause)
        if [ "$running" = false ]; then echo "Error: container db1 is not running" >&2; exit 1; fi
        echo "$pid true true" >"$0.state"
        ;;
    unpause) echo "$pid true false" >"$0.state" ;;
    info) echo 8589934592 ;;
    exec) printf 'VmRSS:\t300000 kB\nRssAnon:\t204800 kB\n' ;;
    events) cat "$0.events" ;;
esac
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    state(program, "41 true false")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return program


def state(docker: Path, text: str) -> None:
    docker.with_name("docker.state").write_text(f"{text}\n")


def calls(docker: Path) -> list[str]:
    lines = docker.with_name("docker.calls").read_text().splitlines()
    return [line for line in lines if not line.startswith("inspect")]


def host(docker: Path) -> DockerHost:
    def ready() -> bool:
        return docker.with_name("docker.state").read_text().split()[1:] == ["true", "false"]

    return DockerHost("node db1", "db1", ready=ready)


def test_a_container_is_killed_and_started_by_the_engine(docker: Path) -> None:
    db1 = host(docker)
    assert db1.running()
    db1.kill()
    assert db1.await_gone(1.0)
    assert not db1.running()
    db1.start(5.0)
    assert db1.running()
    assert calls(docker) == ["kill db1", "start db1"]


def test_one_that_the_engine_has_started_again_is_gone_all_the_same(docker: Path) -> None:
    db1 = host(docker)
    db1.kill()
    state(docker, "77 true false")
    assert db1.await_gone(1.0)


def test_one_that_is_still_there_is_not_gone(docker: Path) -> None:
    db1 = host(docker)
    db1.kill()
    state(docker, "41 true false")
    assert not db1.await_gone(0.1)


def test_one_that_does_not_run_is_not_killed_again(docker: Path) -> None:
    state(docker, "0 false false")
    host(docker).kill()
    assert not docker.with_name("docker.calls").read_text().count("kill")


def test_a_frozen_one_is_thawed_before_it_is_stopped(docker: Path) -> None:
    db1 = host(docker)
    db1.freeze()
    assert db1.frozen()
    assert db1.running()
    db1.stop(20.0)
    assert calls(docker) == ["pause db1", "unpause db1", "stop --time 20 db1"]


def test_memory_runs_out_at_what_the_server_has_and_a_little_more(docker: Path) -> None:
    """Its own, not the pages of its files, which the kernel would take back first."""
    db1 = host(docker)
    db1.run_out_of_memory(1 << 20)
    assert not db1.await_gone(0.1)
    state(docker, "0 false false")
    assert db1.await_gone(1.0)
    db1.give_memory_back()
    assert calls(docker) == [
        "exec db1 cat /proc/1/status",
        "update --memory 210763776 --memory-swap 210763776 db1",
        "exec --detach db1 tail /dev/zero",
        "info --format {{.MemTotal}}",
        "update --memory 8589934592 --memory-swap 8589934592 db1",
    ]


@pytest.mark.parametrize(("said", "ended"), [("oom\n", True), ("", False)])
def test_the_engine_says_whether_memory_had_run_out(docker: Path, said: str, ended: bool) -> None:
    docker.with_name("docker.events").write_text(said)
    assert host(docker).out_of_memory_since(1000.0) is ended
    (asked,) = calls(docker)
    assert asked.startswith("events --since 1000.000 --until ")
    assert asked.endswith("--filter container=db1 --filter event=oom")


def test_what_docker_refuses_is_told_in_one_line(docker: Path) -> None:
    state(docker, "0 false false")
    with pytest.raises(MyhaError, match=r"^node db1: docker pause failed: Error: container db1"):
        host(docker).freeze()


def test_a_machine_without_docker_says_so(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(MyhaError, match=r"^node db1: cannot run docker .*: install its command"):
        host(docker).running()
