"""Pages of the site that are not in docs/: the commands, and files beside that folder."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.structure.files import File, Files

from myha.cli.main import cli

ROOT = Path(__file__).parent.parent
BESIDE = {
    "../benchmarks/RESULTS.md": "benchmarks.md",
    "../CHANGELOG.md": "changelog.md",
    "../README.md": "index.md",
}
COMMANDS = """# Commands

Every command with its options, as `--help` says them.

::: mkdocs-click
    :module: myha.cli.main
    :command: cli
    :prog_name: myha
    :depth: 1
    :style: table
"""


def on_files(files: Files, config: Any) -> Files:
    for source, name in BESIDE.items():
        text = (ROOT / source.removeprefix("../")).read_text(encoding="utf-8")
        files.append(
            File.generated(config, name, content=_from_docs(text, posixpath.dirname(source)))
        )
    files.append(File.generated(config, "commands.md", content=COMMANDS))
    return files


def on_startup(**_: Any) -> None:
    """Where an option has no default click has a mark since 8.3, which mkdocs-click prints as it
    is. What click says of it to programs is what a reader wants to know."""
    for command in _commands(cli):
        for one in command.get_params(click.Context(command)):  # `--help` too
            one.default = one.to_info_dict()["default"]


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from _commands(found)


def on_page_markdown(markdown: str, **_: Any) -> str:
    for target, name in BESIDE.items():
        markdown = markdown.replace(f"]({target}", f"]({name}")
    return markdown


def _from_docs(text: str, folder: str) -> str:
    """Links of a file in that folder, as a page in docs/ would have them."""

    def moved(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, match[1]))
        return f"]({BESIDE.get(target, target.removeprefix('../docs/'))}"

    return re.sub(r"\]\((?!https?:|#)([^)#]+)", moved, text)
