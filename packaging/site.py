"""Pages of the site that are not in docs/: the commands, and files beside that folder."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

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
