"""Imports point one way, and the core stays pure."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path

import pytest

import myha

ROOT = Path(myha.__file__).parent

# A package may import those below it here and those beside it, but never in a circle.
LEVELS = (
    {"__main__"},
    {"cli"},
    {"drill", "sim", "sandbox"},
    {"api"},
    {"supervisor"},
    {"job"},
    {"operations", "conflicts", "notify"},
    {"undo"},
    {"servers", "balancers", "stores", "hosts", "binlog", "naming"},
    {"progress", "permit", "database"},
    {"ports"},
    {"config"},
    {"core", "errors", "files", "interrupts", "loading", "waiting", "words"},
)
IMPURE = {
    "asyncio", "concurrent", "datetime", "http", "io", "logging", "multiprocessing", "os",
    "pathlib", "queue", "random", "secrets", "select", "selectors", "shutil", "signal", "socket",
    "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip

MODULES = sorted(ROOT.rglob("*.py"))
DOTTED = re.compile(r"myha(\.\w+)+")


def imported(path: Path) -> set[str]:
    """Every module named in an import, in functions and for types only too.

    A string that is a module's name counts as well: whoever has it imports that, or starts it.
    """
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and DOTTED.fullmatch(str(node.value)):
            found.add(str(node.value))
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text()))
    return found


def dotted(path: Path) -> str:
    """`myha.core.gtid`; a package's own name for its `__init__.py`."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {dotted(path): path for path in MODULES}


def _files_of(path: Path) -> set[str]:
    """The files that this one imports: of `from a.b import c` the module `a.b.c`, or else `a.b`."""
    named = imported(path)
    deeper = {one.rpartition(".")[0] for one in named if one in NAMES}
    return (named & NAMES.keys()) - deeper - {dotted(path)}


FILES = {name: _files_of(path) for name, path in NAMES.items()}


def siblings() -> dict[str, set[str]]:
    """The files and folders of each folder: which imports which, by themselves or deeper down."""
    graph: dict[str, set[str]] = {}
    for name, others in FILES.items():
        for other in others:
            mine, theirs = name.split("."), other.split(".")
            same = sum(
                1 for _ in takewhile(lambda two: two[0] == two[1], zip(mine, theirs, strict=False))
            )
            if same < min(len(mine), len(theirs)):
                here, there = (".".join(one[: same + 1]) for one in (mine, theirs))
                graph.setdefault(here, set()).add(there)
    return graph


def circles(graph: Mapping[str, set[str]]) -> set[frozenset[str]]:
    """The largest sets of nodes that reach each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        todo = [start]
        while todo:
            for following in graph.get(todo.pop(), set()) - seen:
                seen.add(following)
                todo.append(following)
        reach[start] = seen
    return {
        frozenset(other for other in reach[one] if one in reach.get(other, ()))
        for one in reach
        if one in reach[one]
    }


def test_circles_are_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set[str]()}
    assert circles(graph) == {frozenset({"b", "c"})}


def test_files_do_not_import_each_other_in_a_circle() -> None:
    assert circles(FILES) == set()


def test_neighbours_do_not_import_each_other_in_a_circle() -> None:
    """Packages of one level, the parts of a package, and so on down."""
    assert circles(siblings()) == set()


def test_every_package_has_its_level() -> None:
    assert {package(path) for path in MODULES} - {"__init__"} == set().union(*LEVELS)


def package(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def level(name: str) -> int | None:
    return next((i for i, names in enumerate(LEVELS) if name in names), None)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    own = package(path)
    mine = level(own)
    for module in imported(path):
        parts = module.split(".")
        if parts[0] != "myha" or len(parts) < 2 or mine is None:
            continue
        target = parts[1]
        theirs = level(target)
        if target == own or theirs is None:
            continue
        assert theirs >= mine, f"{path.relative_to(ROOT)} imports {module}, which is above it"


@pytest.mark.parametrize(
    "path", [one for one in MODULES if package(one) == "core"], ids=lambda path: path.name
)
def test_core_imports_the_standard_library_and_itself(path: Path) -> None:
    for module in imported(path):
        parts = module.split(".")
        if parts[0] == "myha":
            assert parts[1:2] == ["core"] or module == "myha", module
        else:
            assert parts[0] in sys.stdlib_module_names, module


@pytest.mark.parametrize(
    "path", [one for one in MODULES if package(one) == "core"], ids=lambda path: path.name
)
def test_core_has_no_clock_socket_thread_randomness_or_log(path: Path) -> None:
    assert not {module.split(".")[0] for module in imported(path)} & IMPURE
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not calls & {"open", "print", "input", "exec", "eval"}
