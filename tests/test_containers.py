"""Whether a topology of `compose/` would come up, against a `docker` that is a script."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import myha
from myha.errors import MyhaError
from myha.sandbox.containers import Containers

# Each answer is a file beside it; without that file it fails.
DOCKER = """#!/bin/sh
cat "$0.$1" 2>/dev/null || { echo "Error: no $1" >&2; exit 1; }
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine with all images, as root."""
    program = tmp_path / "docker"
    program.write_text(DOCKER)
    program.chmod(0o755)
    images = ("myha-mysql", "myha-haproxy", "myha-supervisor", "own/keepalived:2", "myha-etcd")
    answers = {
        "compose": "v2\n",
        "version": "20.10\n",
        "image": "".join(f"{one if ':' in one else f'{one}:latest'}\n" for one in images),
        "ps": "",
    }
    for name, text in answers.items():
        program.with_name(f"docker.{name}").write_text(text)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return program


def topology(tmp_path: Path, flavour: str = "mysql", *, full: bool = False) -> Containers:
    return Containers(tmp_path / "compose", "t", flavour, full=full)


def test_one_that_would_come_up_is_not_refused(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert docker.exists()
    topology(tmp_path).check()
    monkeypatch.setenv("MYHA_KEEPALIVED_IMAGE", "own/keepalived:2")
    topology(tmp_path, full=True).check()


def test_an_image_that_is_not_here_is_named_with_the_remedy(docker: Path, tmp_path: Path) -> None:
    assert docker.exists()
    with pytest.raises(MyhaError, match=r"^the image myha-mariadb is not here: build it with"):
        topology(tmp_path, "mariadb").check()


def test_no_engine_and_no_rights_are_said(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.with_name("docker.version").unlink()
    with pytest.raises(MyhaError, match=r"^no Docker engine with compose answers here: "):
        topology(tmp_path).check()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MyhaError, match="run this as root"):
        topology(tmp_path).check()


def test_what_a_killed_one_has_left_is_told_with_how_to_remove_it(
    docker: Path, tmp_path: Path
) -> None:
    docker.with_name("docker.ps").write_text("1f\n")
    with pytest.raises(MyhaError, match="docker compose -p t down -v"):
        topology(tmp_path).check()


def test_a_myha_without_its_source_tree_says_so(
    docker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert docker.exists()
    monkeypatch.setattr(myha, "__file__", str(tmp_path / "myha" / "__init__.py"))
    with pytest.raises(MyhaError, match="source tree"):
        topology(tmp_path).check()
