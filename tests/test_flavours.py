"""What differs between the flavours is asked of their objects, and of nothing else."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, cast

import pytest

import myha
from myha.database.flavours import FLAVOURS, MARIADB, MYSQL, flavour_of
from myha.database.flavours.mysql import owned_gtids
from myha.database.session import Session
from myha.errors import ServerError

ROOT = Path(myha.__file__).parent
STARTS_SERVERS = {"sandbox"}  # whose programs have options of their own


def _names_in(node: ast.AST) -> set[str]:
    return {str(one.value) for one in ast.walk(node) if isinstance(one, ast.Constant)} & set(
        FLAVOURS
    )


def test_no_name_of_a_flavour_is_compared() -> None:
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] in STARTS_SERVERS:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                assert not _names_in(node), f"{path.relative_to(ROOT)}: {ast.unparse(node)}"


class Variables:
    """A session on a server that has these variables."""

    where = "10.0.0.1:3306"

    def __init__(self, *names: str) -> None:
        self._names = names

    def query(self, sql: str) -> list[tuple[str, Any]]:
        return [(name, "") for name in self._names if f"'{name}'" in sql]


def test_a_server_is_known_by_what_it_has() -> None:
    assert flavour_of(cast("Session", Variables("gtid_executed", "server_uuid"))) is MYSQL
    assert flavour_of(cast("Session", Variables("gtid_domain_id", "server_uid"))) is MARIADB
    with pytest.raises(ServerError, match=r"10\.0\.0\.1:3306"):
        flavour_of(cast("Session", Variables("server_id")))


def test_what_is_committing_is_read_with_and_without_tags() -> None:
    uuid = "11111111-2222-3333-4444-555555555555"
    assert str(owned_gtids("")) == ""
    assert str(owned_gtids(f"{uuid}:7#31:8#32#33")) == f"{uuid}:7-8"
    assert str(owned_gtids(f"{uuid}:tag:1#33")) == f"{uuid}:tag:1"
