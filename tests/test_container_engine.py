"""Where there can be no Docker engine for the container tests: one line, and an exit status."""

from __future__ import annotations

import os
import shutil

import pytest

from myha.errors import MyhaError
from myha.sandbox import programs
from tests.containers import engine


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "answers", lambda: False)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_only_root_can_start_one(
    no_engine: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert engine.main(["--check"]) == engine.CANNOT
    assert said(capsys).endswith("only root can start one: start it, or run this as root")


def test_a_machine_without_the_tool_for_namespaces_says_so(
    no_engine: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert engine.main(["true"]) == engine.CANNOT
    assert "no unshare (util-linux)" in said(capsys)


def test_an_engine_that_cannot_be_fetched_says_why(
    no_engine: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(name: str, _progress: object) -> None:
        raise MyhaError(f"no mirror has {name}")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda _name: "/bin/true")
    monkeypatch.setattr(engine, "_namespaces_are_permitted", lambda: True)
    monkeypatch.setattr(programs, "fetch", fetch)
    assert engine.main(["--check"]) == engine.CANNOT
    assert said(capsys).endswith("none can be fetched: no mirror has docker")


def test_one_that_runs_is_used_and_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    class ReplacedError(Exception):
        """The process has become another program."""

    def replace(_program: str, words: list[str]) -> None:
        raise ReplacedError(*words)

    monkeypatch.setattr(engine, "answers", lambda: True)
    monkeypatch.setattr(engine, "why_not", lambda: pytest.fail("asked to make one"))
    monkeypatch.setattr(engine, "_outside", lambda _words: pytest.fail("made one"))
    monkeypatch.setattr(os, "execvp", replace)
    with pytest.raises(ReplacedError) as replaced:
        engine.main(["docker", "ps"])
    assert replaced.value.args == ("docker", "ps")
