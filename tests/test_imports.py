"""Imports point one way, and the core stays pure."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import myha

ROOT = Path(myha.__file__).parent

# A package may import what stands beside or below it here, and what everything may use.
LEVELS = (
    {"cli"},
    {"drill", "sim", "sandbox"},
    {"supervisor", "operations", "conflicts"},
    {"undo"},
    {"servers", "balancers", "stores", "hosts", "binlog"},
    {"database"},
    {"ports"},
    {"core"},
)
EVERYBODY = {"core", "errors", "config", "ports"}
IMPURE = {
    "asyncio", "concurrent", "datetime", "http", "io", "logging", "multiprocessing", "os",
    "pathlib", "queue", "random", "secrets", "select", "selectors", "shutil", "signal", "socket",
    "sqlite3", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip

MODULES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module named in an import, in functions too; those for types only do not count."""
    found: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(ast.parse(path.read_text()))
    return found


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
        if target == own or target in EVERYBODY or theirs is None:
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
