"""A node's host as a reseed sees it: directories, room on the disk, and whose they are.

All of it is asked and done by scripts, on this machine as on any other one.
"""

from __future__ import annotations

import re
from pathlib import Path

from myha.config import Config
from myha.errors import ServerError
from myha.hosts.shell import DEADLINE_SECONDS, Shell, ShellError, load_script
from myha.operations.heal.reseed.session import ReseedSession

# Removing, handing over and measuring a large directory take their time.
LONG_SECONDS = 900.0
_NO_BINARY_LOG = 1381


class NodeHost:
    """The host of one node. Every method raises ShellError, a MyhaError, with one line."""

    def __init__(self, config: Config, name: str) -> None:
        words = config.servers[name].shell
        self.name = name
        self.is_local = not words
        self.where = "this machine" if self.is_local else f"the host of {name}"
        self.shell = Shell(name, words)

    def real(self, path: Path) -> Path:
        """The path without symbolic links on the way, whether it is there or not."""
        return Path(self.shell.run(load_script("real_path"), str(path)).removesuffix("\n"))

    def exists(self, path: Path) -> bool:
        return bool(self.shell.run('[ ! -e "$1" ] || echo yes', str(path)))

    def is_empty(self, path: Path) -> bool:
        """Whether nothing is there, or a directory with nothing in it."""
        return bool(self.shell.run(load_script("is_empty"), str(path)))

    def disk(self, path: Path, *, deadline_seconds: float = DEADLINE_SECONDS) -> tuple[int, str]:
        """Free bytes for this user where `path` is or would be, and where that disk is mounted."""
        script = load_script("disk_space")
        said = self.shell.run(script, str(path), deadline_seconds=deadline_seconds).strip()
        found = re.search(r"\s(-?\d+)\s+(?:\d+%|-)\s+(/.*)$", said)
        if found is None:
            raise ShellError(f"{self.name}: df does not show the free space at {path}: {said}")
        return max(0, int(found[1])) * 1024, found[2]

    def used_bytes(self, directory: Path, bases: tuple[str, ...]) -> int:
        """What a data directory takes without its logs; `bases` are those of binary logs."""
        said = self.shell.run(
            load_script("used_space"), str(directory), *bases, deadline_seconds=LONG_SECONDS
        )
        total, *logs = [int(line.split()[0]) for line in said.splitlines()] or [0]
        return max(0, total - sum(logs)) * 1024

    def read(self, *paths: Path) -> str:
        """The first of these files that is there; empty when none is."""
        return self.shell.run(load_script("first_of"), *map(str, paths))

    def make(self, path: Path) -> None:
        """A new directory for its owner alone."""
        self.shell.run('mkdir -m 700 "$1"', str(path))

    def move(self, path: Path, to: Path) -> None:
        self.shell.run(
            _directories('move "$1" "$2"'), str(path), str(to), deadline_seconds=LONG_SECONDS
        )

    def remove(self, path: Path) -> None:
        """Remove a directory with all that is in it; one that is not there is fine."""
        self.shell.run(_directories('remove "$1"'), str(path), deadline_seconds=LONG_SECONDS)

    def exchange(self, data: Path, new: Path, old: Path) -> None:
        """`new` takes the place of `data`, which becomes `old`; and belongs to the same user."""
        paths = map(str, (data, new, old))
        self.shell.run(_directories(load_script("exchange")), *paths, deadline_seconds=LONG_SECONDS)

    def clear_up(self, data: Path, new: Path, old: Path) -> None:
        """Remove what a run that died has left, and put `old` back if `data` is lost."""
        paths = map(str, (data, new, old))
        self.shell.run(_directories(load_script("clear_up")), *paths, deadline_seconds=LONG_SECONDS)

    def works_in(self, path: Path) -> bool:
        """Whether a process that can be seen has this working directory, as a server has."""
        return bool(self.shell.run(load_script("works_in"), str(path)))

    def is_home_of(self, session: ReseedSession) -> bool:
        """Whether the files of this very server are seen here, and may be read.

        An address proves nothing: a port may be forwarded, and two hosts look alike. The server's
        last binary log must be here, begun by a server with this id and no shorter than it says.
        """
        try:
            logs = session.query_named("SHOW BINARY LOGS")
        except ServerError as error:
            if error.code != _NO_BINARY_LOG:
                raise
            return False
        name = str(logs[-1]["Log_name"])
        first = session.query_named(f"SHOW BINLOG EVENTS IN '{name}' LIMIT 1")[0]
        base = Path(str(session.value("SELECT @@GLOBAL.log_bin_basename")))
        fields = self.shell.run(
            load_script("binary_log_header"), str(base.with_name(Path(name).name))
        ).split()
        if len(fields) != 5:
            return False
        number = int.from_bytes(bytes.fromhex("".join(fields[:4])), "little")
        return number == int(first["Server_id"]) and int(fields[4]) >= int(logs[-1]["File_size"])

    def find(self, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """How to start the first of these programs that is on PATH here; None when none is."""
        found = self.shell.run(load_script("find_program"), *names).strip()
        return (found,) if found else None

    def version(self, words: tuple[str, ...]) -> str:
        """What a program says to `--version`, or why it does not start."""
        return self.shell.run('"$@" --version 2>&1 || :', *words)


def _directories(text: str) -> str:
    """A script that may use the functions of directories.sh."""
    return load_script("directories") + text
