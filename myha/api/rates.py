"""How many transactions a node has executed, from the text of its GTID set."""

from __future__ import annotations

import re

_UUID_CHARS = 36
_MYSQL_INTERVAL = re.compile(r":(\d+)(?:-(\d+))?(?=[:,]|$)")
_MARIADB_PIECE = re.compile(r"(\d+)(?:\.\.(\d+))?")


def transactions(executed: str) -> int:
    """Of either flavour, as `myha status` writes it. It only has to grow by one with each."""
    return sum(_of_origin(part) for part in executed.split(","))


def _of_origin(part: str) -> int:
    if len(part) >= _UUID_CHARS and part[8] == "-":
        return sum(
            int(last or first) - int(first) + 1 for first, last in _MYSQL_INTERVAL.findall(part)
        )
    numbers = part.split("-", 2)[2] if part.count("-") >= 2 else ""
    total = 0
    for piece in numbers.split(":"):
        if found := _MARIADB_PIECE.fullmatch(piece):
            first, last = found.groups()
            total += int(first) if last is None else int(last) - int(first) + 1
    return total
