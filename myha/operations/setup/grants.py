"""Privileges of our two accounts: what sql/ says they need, and what a server shows."""

from __future__ import annotations

import re
from collections.abc import Iterable

from myha.database.flavours import Flavour

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


def wanted_grants(
    flavour: Flavour, role: str, known: frozenset[str]
) -> dict[str, frozenset[tuple[str, str]]]:
    """What the role `supervisor` or `replication` needs, by the block that grants it.

    `known` are the privileges that the server knows: what has another name on another version
    stands in numbered blocks, of which the first counts whose names are all known.
    """
    sql = flavour.statements("setup_grants")
    base = f"grant_{role}"
    wanted = {base: parse_grants(sql.all(base))}
    for block in (name for name in sql.names() if name.startswith(f"{base}_")):
        grants = parse_grants(sql.all(block))
        if {privilege for privilege, _ in grants} <= known:
            return {**wanted, block: grants}
    return wanted
