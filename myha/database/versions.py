"""Versions of servers, and all that is ever decided by comparing two.

Nothing of what a server can do is: a session finds that out by what the server has (`flavours/`).
What is left is whom setup refuses, and which servers a copy can be taken between.
"""

from __future__ import annotations

from myha.database.flavours.base import Flavour


def numbers(version: str) -> tuple[int, ...]:
    """`10.11.19-MariaDB` is (10, 11, 19)."""
    return tuple(
        int(part) for part in version.split("-", maxsplit=1)[0].split(".") if part.isdigit()
    )


def series(version: str) -> tuple[int, ...]:
    """The release series: `10.11.19-MariaDB` is of (10, 11)."""
    return numbers(version)[:2]


def too_old(flavour: Flavour, version: str) -> str:
    """What setup asks for where this is older; empty where it is not."""
    return "" if numbers(version) >= flavour.oldest else ".".join(map(str, flavour.oldest))


def far_apart(one: str, other: str) -> bool:
    """More than one major version: they do not replicate both ways."""
    first, second = numbers(one), numbers(other)
    return bool(first and second) and abs(first[0] - second[0]) > 1


def older(one: str, other: str) -> bool:
    """Of an older series, and so perhaps not able to read what the other writes."""
    return series(one) < series(other)


def can_clone(donor: str, recipient: str) -> bool:
    """MySQL's CLONE takes one series, and before 8.0.37 one version."""
    first, second = numbers(donor), numbers(recipient)
    if (8, 0) <= first < (8, 0, 37):
        return first == second
    return first[:2] == second[:2] and not (8, 0) <= second < (8, 0, 37)
