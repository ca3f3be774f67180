"""A person at a terminal: a shell of its own, keys that are typed into it, and what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from myha.sandbox.programs import Program
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
ROWS, COLUMNS = 50, 300  # nothing is cut for want of room
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?<>=]*[a-zA-Z]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()].|[=>])")
# What completion asks is answered by myha; whatever else is typed is only written down.
_PROGRAM = """#!/bin/sh
if [ -n "$_MYHA_COMPLETE" ] || [ "$1" = completion ]; then exec "{python}" -m myha "$@"; fi
echo "$@" >>"$HOME/typed"
"""


class Typed:
    """A shell that somebody types into."""

    def __init__(self, terminal: int, home: Path) -> None:
        self._terminal = terminal
        self._typed = home / "typed"
        self._shown = ""

    def keys(self, text: str) -> None:
        """Typed at once; what is shown is that of these keys from now on."""
        self.shown()
        self._shown = ""
        os.write(self._terminal, text.encode())

    def shown(self) -> str:
        """What it has shown since, without colours and movements."""
        while select.select([self._terminal], [], [], 0)[0]:
            try:
                more = os.read(self._terminal, 65536)
            except OSError:  # it has ended
                break
            self._shown += more.decode(errors="replace")
        return _CONTROL.sub("", self._shown)

    def await_shown(self, *texts: str) -> str:
        """All that is shown once these are among it."""
        until(lambda: all(text in self.shown() for text in texts), f"it shows {texts}")
        return self.shown()

    def carried_out(self) -> list[str]:
        """The words of every call of myha that was typed, a line each."""
        return self._typed.read_text().splitlines() if self._typed.exists() else []


@contextmanager
def typed(program: Program, home: Path, tables: str) -> Iterator[Typed]:
    """An interactive shell in a home of its own, with myha's completion as docs/terminal.md has it.

    `tables`: of the configuration that lies where it starts.
    """
    (home / "myha.toml").write_text(tables)
    myha = home / "bin" / "myha"
    myha.parent.mkdir()
    myha.write_text(_PROGRAM.format(python=sys.executable))
    myha.chmod(0o755)
    environment = {
        "PATH": f"{myha.parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "LANG": "C.UTF-8",
        "TERM": "xterm",
    }
    argv = _PREPARED[program.name](program, home, environment)
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(home)
        os.execve(argv[0], argv, environment)
    try:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        shell = Typed(terminal, home)
        shell.await_shown("ready> ")
        yield shell
    finally:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        os.close(terminal)
        os.waitpid(process, 0)


def _bash(program: Program, home: Path, _environment: dict[str, str]) -> list[str]:
    (home / ".bashrc").write_text("PS1='ready> '\neval \"$(myha completion bash)\"\n")
    return [*program.argv, "-i"]


def _zsh(program: Program, home: Path, _environment: dict[str, str]) -> list[str]:
    """One of Debian's in a folder is told where its own modules and functions are."""
    if program.prefix is not None:
        modules = next(program.prefix.glob("usr/lib/*/zsh/*"))
        functions = program.prefix / "usr" / "share" / "zsh" / "functions"
        folders = [one for one in functions.rglob("*") if one.is_dir()]
        places = f"module_path=({modules})\nfpath=({' '.join(map(str, folders))})\n"
        (home / ".zshenv").write_text(places)
    (home / ".zshrc").write_text(
        "PS1='ready> '\nautoload -Uz compinit && compinit -u -D\neval \"$(myha completion zsh)\"\n"
    )
    return [*program.argv, "-d", "-i"]  # without the machine's own start files


def _fish(program: Program, home: Path, environment: dict[str, str]) -> list[str]:
    """It looks for its functions beside /proc/self/exe, the loader: so here is a copy of that."""
    argv = [*program.argv]
    if program.prefix is not None:
        place = home / "prefix"
        (place / "bin").mkdir(parents=True)
        argv[0] = str(shutil.copy(argv[0], str(place / "bin" / "fish")))
        for name, there in (("share", "usr/share"), ("etc", "etc")):
            (place / name).symlink_to(program.prefix / there)
    # Else it reads all of the machine's manual pages, for completions of their commands.
    (home / ".local/share/fish/generated_completions").mkdir(parents=True)
    folder = home / ".config" / "fish"
    (folder / "completions").mkdir(parents=True)
    (folder / "config.fish").write_text("function fish_prompt; echo -n 'ready> '; end\n")
    printed = subprocess.run(
        [home / "bin" / "myha", "completion", "fish"],
        env=environment,
        check=True,
        timeout=120,
        capture_output=True,
    )
    (folder / "completions" / "myha.fish").write_bytes(printed.stdout)
    return [*argv, "-i"]


_PREPARED = {"bash": _bash, "zsh": _zsh, "fish": _fish}
