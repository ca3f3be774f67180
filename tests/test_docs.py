"""The docs say what the code does: commands, verdicts, and the README's own blocks."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from myha.cli.main import COMMANDS, cli
from myha.config import load
from myha.core.followers import verdicts
from myha.core.verdicts import TABLE

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()
OF_REPLICAS = (*verdicts.TABLE, verdicts.HEALTHY)


@pytest.mark.parametrize("verdict", TABLE, ids=lambda verdict: verdict.name)
def test_each_verdict_has_its_place_in_the_runbook(verdict) -> None:  # type: ignore[no-untyped-def]
    words = ("writer", "standby", "strays", "filters", "differences", "reset", "balancers")
    sentence = verdict.sentence.format(**{word: word.upper() for word in words})
    assert f"### {verdict.name}\n\n> {sentence}\n" in RUNBOOKS


def test_the_runbook_has_no_verdict_that_is_gone() -> None:
    names = re.findall(r"^### (\S+)$", RUNBOOKS, re.MULTILINE)
    assert names == [verdict.name for verdict in TABLE] + [one.name for one in OF_REPLICAS]


@pytest.mark.parametrize("verdict", OF_REPLICAS, ids=lambda verdict: verdict.name)
def test_each_verdict_about_a_replica_has_its_place(verdict) -> None:  # type: ignore[no-untyped-def]
    words = ("replica", "writer", "source", "reason", "differences", "balancers")
    sentence = verdict.sentence.format(**{word: word.upper() for word in words})
    assert f"### {verdict.name}\n\n> {sentence}\n" in RUNBOOKS


@pytest.mark.parametrize("verdict", [*TABLE, *OF_REPLICAS], ids=lambda verdict: verdict.name)
def test_each_runbook_says_what_myha_does_and_what_you_do(verdict) -> None:  # type: ignore[no-untyped-def]
    section = RUNBOOKS.split(f"\n### {verdict.name}\n")[1].split("\n#")[0]
    does = re.search(r"^- \*\*myha\*\* (.+)$", section, re.MULTILINE)
    assert does is not None
    assert re.search(r"^- \*\*You:\*\* .+$", section, re.MULTILINE)
    assert does[1].startswith("changes nothing") is (verdict.planner is None)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_and_is_in_the_readme(name: str) -> None:
    done = CliRunner().invoke(cli, [name, "--help"])
    assert done.exit_code == 0, done.output
    assert done.output.strip()
    assert f"myha {name}" in README or f"myha.toml {name}" in README


def _command(words: list[str]) -> tuple[click.Command, list[str]]:
    context = click.Context(cli)
    found: click.Command = cli
    while words and isinstance(found, click.Group) and not words[0].startswith("-"):
        inner = found.get_command(context, words[0])
        if inner is None:
            break
        found, words = inner, words[1:]
    return found, words


WITHOUT_A_PAIR = {
    *("run", "reload", "sandbox", "simulate", "completion"),
    *("api token add", "api token list", "api token remove"),
    *("drill history list", "drill history compare"),
    *("balancer await-script", "balancer check-script"),
}


def _commands(
    group: click.Group, words: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group) and name not in WITHOUT_A_PAIR:
            yield from _commands(command, (*words, name))
        else:
            yield " ".join((*words, name)), command


@pytest.mark.parametrize(("words", "command"), [*_commands(cli)])
def test_each_command_takes_the_name_of_a_pair(words: str, command: click.Command) -> None:
    takes = any("--pair" in param.opts for param in command.params)
    assert takes is (words not in WITHOUT_A_PAIR)


PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def _blocks(text: str) -> Iterator[str]:
    """The lines of code blocks, fenced or indented."""
    fenced = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip().removeprefix("$ ")


def _calls() -> list[str]:
    """Every call of the program in the docs, in a sentence or in a code block."""
    found: set[str] = set()
    for text in (page.read_text() for page in PAGES):
        found.update(re.findall(r"`(myha [a-z-][^`]*)`", text.replace("\n", " ")))
        for line in _blocks(text):
            match = re.match(r"(?:uv run )?(myha [a-z-].*?)(?:\s+#.*)?$", line)
            if match:
                found.add(match[1])
    return sorted(re.sub(r"^myha --config \S+ ", "myha ", call) for call in found)


@pytest.mark.parametrize("call", _calls())
def test_each_call_in_the_docs_is_one_that_the_program_knows(call: str) -> None:
    command, words = _command(call.split()[1:])
    assert command is not cli, call
    known = {option for param in command.params for option in param.opts}
    for word in words:
        option = word.strip("[]").split("=")[0].split("|")[0]
        if option.startswith("-"):
            assert option in known, f"{call}: {option}"


def test_the_readmes_two_commands_are_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    block = README.split("```console\n")[1].split("```")[0]
    for line in block.split("\n"):
        if line:
            assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


def _configurations(page: str) -> list[str]:
    """The indented blocks that are a whole configuration file."""
    text = (ROOT / "docs" / page).read_text()
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", text, re.MULTILINE)
    return [inspect.cleandoc(block) for block in blocks if "[cluster]" in block]


@pytest.mark.parametrize("number", [0, 1])
def test_the_installations_are_configurations(number: int, tmp_path: Path) -> None:
    found = _configurations("deployment.md")
    assert len(found) == 2
    path = tmp_path / "myha.toml"
    path.write_text(found[number])
    assert [*load(path).nodes] == ["a", "b"]


def test_links_in_the_docs_lead_somewhere() -> None:
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", path.read_text()):
            if not target.startswith("http"):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_nothing_names_the_place_it_was_made_at() -> None:
    files = [p for p in ROOT.rglob("*") if p.suffix in {".py", ".md", ".toml", ".sql", ".yaml"}]
    ours = [p for p in files if ".venv" not in p.parts and p.name != Path(__file__).name]
    for path in ours:
        text = path.read_text(errors="replace")
        assert "/work/main" not in text, path
        assert "../shared" not in text, path


def test_each_page_of_the_docs_is_in_the_sites_navigation() -> None:
    named = set(re.findall(r"[\w-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} <= named


def test_the_comparison_has_a_source_for_each_project() -> None:
    text = (ROOT / "docs" / "comparison.md").read_text()
    table, sources = text.split("## What each is")[1].split("## Sources")
    named = set(re.findall(r"\[(\d+)\]", table))
    assert named == set(re.findall(r"^(\d+)\. .*https?://", sources.replace("\n   ", " "), re.M))


def test_the_site_is_built_and_no_link_in_it_leads_nowhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    commands = (tmp_path / "commands.html").read_text()
    for words, _ in _commands(cli):
        assert f'id="myha-{words.replace(" ", "-")}"' in commands
    assert "UNSET" not in commands, "what click has where an option has no default"
    assert "<code>20.0</code>" in commands, "a default that there is"
