"""The page's files: small, whole, and nothing in them that its own policy would refuse."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

PAGE = Path(str(resources.files("myha"))) / "page"
FILES = sorted(path for path in PAGE.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
STYLES = [path for path in FILES if path.suffix == ".css"]
INDEX = PAGE / "index.html"
LIMIT_BYTES = 200_000
KINDS = {".html", ".js", ".css", ".svg"}
# Ways in which a text could become an element or a script.
PARSES = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment"
    r"|\beval\(|new Function|setHTML|srcdoc\s*=|javascript:"
)
OUTSIDE = re.compile(r"\b(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.IGNORECASE)
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, which nobody opens


class Tags(HTMLParser):
    """All elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.inside = ""
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.inside, data))


TAGS = Tags(INDEX.read_text())


def test_all_files_together_are_small() -> None:
    assert sum(path.stat().st_size for path in FILES) < LIMIT_BYTES


def test_there_is_nothing_that_is_not_served() -> None:
    assert {path.suffix for path in FILES} <= KINDS


def test_the_document_has_no_script_style_or_handler_of_its_own() -> None:
    for tag, attributes in TAGS.found:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag != "style"
        if tag == "script":
            assert attributes["src"]
    assert not [text for tag, text in TAGS.texts if tag in ("script", "style")]


def test_whatever_the_document_names_is_there() -> None:
    named = [value for _, attributes in TAGS.found for name, value in attributes.items()
             if name in ("src", "href") and not value.startswith("#")]  # fmt: skip
    assert named
    assert [name for name in named if not (PAGE / name).is_file()] == []


def test_every_module_is_asked_for_at_once() -> None:
    """Else the browser learns of each one only from that which imports it: a round trip each."""
    loaded = {attributes.get("href") or attributes.get("src") for tag, attributes in TAGS.found
              if tag == "script" or attributes.get("rel") == "modulepreload"}  # fmt: skip
    assert loaded == {path.name for path in SCRIPTS}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_no_text_is_ever_parsed(path: Path) -> None:
    assert PARSES.findall(path.read_text()) == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_a_script_imports_is_there(path: Path) -> None:
    for name in re.findall(r"""\bfrom "([^"]+)";""", path.read_text()):
        assert (PAGE / name).is_file(), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_comes_from_elsewhere(path: Path) -> None:
    text = path.read_text().replace(NAMESPACE, "")
    assert OUTSIDE.findall(text) == []
    assert "@import" not in text


@pytest.mark.parametrize("path", STYLES, ids=lambda path: path.name)
def test_whoever_wants_no_motion_gets_none(path: Path) -> None:
    moves = re.search(r"\banimation:|\btransition:", path.read_text())
    assert not moves or "prefers-reduced-motion: reduce" in (PAGE / "base.css").read_text()


def test_parts_are_found_by_their_tests() -> None:
    assert len(SCRIPTS) > 10
    assert STYLES
