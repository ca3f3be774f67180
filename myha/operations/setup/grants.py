"""Privileges of our two accounts: what sql/ says they need, and what a server shows."""

from __future__ import annotations

import re
from collections.abc import Iterable

from myha.operations.setup.facts import Flavour
from myha.servers import statements

_GRANT = re.compile(r"GRANT (.+) ON (\S+) TO ", re.IGNORECASE | re.DOTALL)


def parse_grants(lines: Iterable[str]) -> frozenset[tuple[str, str]]:
    """(privilege, object) of each GRANT statement, as SHOW GRANTS and our own files write them."""
    found: set[tuple[str, str]] = set()
    for line in lines:
        match = _GRANT.match(line)
        if match:
            target = match[2].replace("`", "")
            found |= {(word.strip().upper(), target) for word in match[1].split(",")}
    return frozenset(found)


def wanted_grants(flavour: Flavour, role: str) -> frozenset[tuple[str, str]]:
    """What the role `supervisor` or `replication` needs."""
    return parse_grants(statements.load(flavour.value, "setup_grants").all(f"grant_{role}"))
