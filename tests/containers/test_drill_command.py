"""`myha drill --containers`, as somebody types it: played, and nothing of it left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import docker

from myha.drill.containers import PROJECT
from myha.waiting import wait_until

BEGUN_DEADLINE_SECONDS = 120.0
ENDED_DEADLINE_SECONDS = 180.0


def begun(tmp_path: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        (sys.executable, "-m", "myha", "drill", *words, "--containers"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )


def left() -> list[str]:
    """What the engine has of a drill's topology, by name."""
    engine = docker.from_env()
    of_it = {"label": f"com.docker.compose.project={PROJECT}"}
    found = (
        *engine.containers.list(all=True, filters=of_it),
        *engine.networks.list(filters=of_it),
        *engine.volumes.list(filters=of_it),
    )
    return [str(one.name) for one in found]


def test_memory_runs_out_in_all_of_it_and_nothing_is_left(tmp_path: Path) -> None:
    report = tmp_path / "oom.json"
    words = ("oom", "--supervisors", "2", "--clients", "4", "--json", str(report))
    with begun(tmp_path, *words) as drill:
        said = drill.communicate()
    assert drill.returncode == 0, said
    (played,) = json.loads(report.read_text())["rounds"]
    assert (played["acknowledged_lost"], played["problems"]) == (0, [])
    assert played["writer_lost"]
    assert left() == []


def test_ctrl_c_removes_what_had_begun(tmp_path: Path) -> None:
    with begun(tmp_path, "crash") as drill:
        assert wait_until(lambda: bool(left()), BEGUN_DEADLINE_SECONDS, 0.2)
        drill.send_signal(signal.SIGINT)
        said = drill.communicate(timeout=ENDED_DEADLINE_SECONDS)
    assert drill.returncode == 130, said
    assert "myha: interrupted" in said[1]
    assert left() == []
