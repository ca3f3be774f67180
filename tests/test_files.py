"""Waiting, locks between processes, and files that are replaced whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from myha.files import locked, replacing
from myha.waiting import wait_until


def test_a_wait_gives_what_it_waited_for() -> None:
    answers = iter((None, "", "there"))
    assert wait_until(lambda: next(answers), 10.0, 0.001) == "there"


def test_a_wait_asks_once_at_least_and_ends_at_its_deadline() -> None:
    asked: list[float] = []
    began = time.monotonic()
    assert not wait_until(lambda: asked.append(time.monotonic()), 0.1, 10.0)
    assert len(asked) == 2
    assert asked[1] - began >= 0.1
    assert wait_until(lambda: True, 0.0, 10.0)


def test_a_wait_asks_less_often_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    answers = iter([False] * 5 + [True])
    assert wait_until(lambda: next(answers), 3600.0, 0.1, 0.3)
    assert pauses == pytest.approx([0.1, 0.15, 0.225, 0.3, 0.3])


def test_one_holds_a_lock_and_children_may_keep_it(tmp_path: Path) -> None:
    path = tmp_path / "one.lock"
    with locked(path) as descriptor:
        with pytest.raises(BlockingIOError), locked(path):
            pass
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(descriptor,)
        )
    with pytest.raises(BlockingIOError), locked(path, wait_seconds=0.1):
        pass
    with pytest.raises(BlockingIOError), locked(path, wait_seconds=60, stop=lambda: True):
        pass
    child.communicate(b"\n")
    with locked(path, wait_seconds=10):
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_can_be_locked(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(BlockingIOError), locked(tmp_path):
        pass


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as file:
        file.write(b"old")
    with pytest.raises(ZeroDivisionError), replacing(path) as file:
        file.write(b"new, and then")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    with replacing(path, 0o644) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]
