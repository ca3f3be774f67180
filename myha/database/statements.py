"""Named statements from the files under sql/: everything that changes a server stands there.

A file is about one subject. Its blocks begin with a line `-- name: stop_receiver`; a block is one
statement or several, each ended by a semicolon at the end of a line; one that begins with a line
`-- whole: begin_watchdog` is one statement with semicolons in it. Values are `%(name)s`
parameters, which the driver quotes; `{source}` and `{replica}` are words of a server's own variable
names.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

_NAME = re.compile(r"--\s*(name|whole):\s*([a-z][a-z0-9 _-]*?)\s*$")


def quoted(*names: str) -> str:
    """An identifier, or one with its qualifiers, in backquotes."""
    return ".".join("`" + name.replace("`", "``") + "`" for name in names)


class Statements:
    """The named statements of one file. `KeyError` for a name that is not in it."""

    def __init__(self, blocks: dict[str, tuple[str, ...]]) -> None:
        self._blocks = blocks

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._blocks))

    def all(self, name: str, **words: str) -> tuple[str, ...]:
        """The statements of a block, with `{word}`s filled in."""
        return tuple(_fill(statement, words) for statement in self._blocks[name])

    def one(self, name: str, **words: str) -> str:
        """The only statement of a block."""
        (statement,) = self._blocks[name]
        return _fill(statement, words)


@cache
def load(flavour: str, subject: str) -> Statements:
    """The statements of sql/<flavour>/<subject>.sql; ValueError when two have one name."""
    file = sql_folder().joinpath(flavour, f"{subject}.sql")
    return Statements(parse(file.read_text(encoding="utf-8")))


def sql_folder() -> Traversable:
    """sql/ inside the installed package, or beside it in a source tree."""
    installed = resources.files("myha").joinpath("sql")
    if installed.is_dir():
        return installed
    return Path(str(resources.files("myha"))).parent / "sql"


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """The blocks of one file; lines before the first name, and comments, are dropped."""
    blocks: dict[str, list[str]] = {}
    whole: set[str] = set()
    lines: list[str] | None = None
    for line in text.splitlines():
        found = _NAME.match(line)
        if found:
            kind, name = found.groups()
            if name in blocks:
                raise ValueError(f"two blocks are named {name}")
            lines = blocks.setdefault(name, [])
            if kind == "whole":
                whole.add(name)
        elif lines is not None and not line.lstrip().startswith("--"):
            lines.append(line)
    texts = {name: "\n".join(body) for name, body in blocks.items()}
    return {
        name: (text.strip().removesuffix(";"),) if name in whole else _split(text)
        for name, text in texts.items()
    }


def _split(body: str) -> tuple[str, ...]:
    parts = re.split(r";[ \t]*(?:\n|$)", body)
    return tuple(part.strip() for part in parts if part.strip())


def _fill(statement: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        statement = statement.replace("{" + word + "}", value)
    return statement
