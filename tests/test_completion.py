"""What a shell is told when it completes; tests/real/test_shells.py types it into the shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from myha.cli.main import COMMANDS, cli

ROOT = Path(__file__).parent.parent
TABLES = """
[nodes.left]
host = "10.0.0.1"
[nodes.right]
host = "10.0.0.2"
[replicas.reports]
host = "10.0.0.3"
[balancers.lb1]
socket = "/run/haproxy.sock"
writer_listen = "127.0.0.1:3307"
reader_listen = "127.0.0.1:3308"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a configuration, and `myha` on the path."""
    (tmp_path / "myha.toml").write_text(TABLES)
    program = tmp_path / "bin" / "myha"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m myha "$@"\n')
    program.chmod(0o755)
    return tmp_path


def complete(home: Path, *words: str) -> list[str]:
    """As bash and fish ask for it; the last word is begun."""
    done = subprocess.run(
        [home / "bin" / "myha"],
        cwd=home,
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "_MYHA_COMPLETE": "fish_complete",
            "COMP_WORDS": " ".join(("myha", *words)),
            "COMP_CWORD": words[-1],
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition(",")[2].partition("\t")[0] for line in done.stdout.splitlines() if line]


def test_names_of_many_pairs(home: Path) -> None:
    shop = TABLES.replace("nodes.", "pairs.shop.nodes.").replace("[repl", "[pairs.shop.repl")
    other = '[pairs.wiki.nodes.w1]\nhost = "10.0.1.1"\n[pairs.wiki.nodes.w2]\nhost = "10.0.1.2"\n'
    text = shop.replace("[balancers.", "[pairs.shop.balancers.") + other
    (home / "myha.toml").write_text(text)
    assert complete(home, "status", "--pair", "") == ["shop", "wiki"]
    assert complete(home, "fence", "--pair", "wiki", "") == ["w1", "w2"]
    assert complete(home, "fence", "w") == ["w1", "w2"]
    named = home / "elsewhere.toml"
    named.write_text(TABLES)
    assert complete(home, "--config", str(named), "unfence", "re") == ["reports"]


def test_a_configuration_that_is_no_good_completes_nothing(home: Path) -> None:
    (home / "myha.toml").write_text("[nodes")
    assert complete(home, "fence", "") == []
    assert complete(home, "fe") == ["fence"]


def test_words_and_balancers(home: Path) -> None:
    assert complete(home, "maintenance", "o") == ["on", "off"]
    assert complete(home, "balancer", "render", "l") == ["lb1"]
    assert complete(home, "switchover", "--no") == ["--now"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_of_itself(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert COMMANDS[name][2] == command.get_short_help_str(limit=500)


def test_the_help_and_the_names_of_commands_load_no_command() -> None:
    """Each would bring its imports: seconds, where a shell waits for them at every key."""
    for words in (["--help"], ["st"]):
        script = (
            "import sys, os, atexit\n"
            "def told():\n"
            "    heavy = {'pydantic', 'rich', 'pymysql', 'urllib3'} & set(sys.modules)\n"
            "    loaded = [n for n in sys.modules if n.startswith('myha.cli.')]\n"
            "    sys.stderr.write(f'{sorted(heavy)} {sorted(loaded)}')\n"
            "atexit.register(told)\n"
            "from myha.cli.main import main\n"
            "main()\n"
        )
        asked = {"_MYHA_COMPLETE": "fish_complete", "COMP_WORDS": "myha st", "COMP_CWORD": "st"}
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                **(asked if words != ["--help"] else {}),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert done.stderr == "[] ['myha.cli.main']"
