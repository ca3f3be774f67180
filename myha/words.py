"""Texts as they stand in one sentence: a message on one line, some of many names."""

from __future__ import annotations

from collections.abc import Iterable

NAMES_SHOWN = 10
SHORT_CHARS = 200


def one_line(said: object) -> str:
    """What somebody else has said, an error for example, without its line breaks."""
    return " ".join(str(said).split())


def listed(names: Iterable[object], shown: int = NAMES_SHOWN) -> str:
    """Some of the names in their order, and how many more there are."""
    words = sorted(map(str, names))
    more = f" and {len(words) - shown} more" if len(words) > shown else ""
    return ", ".join(words[:shown]) + more


def counted(number: int, word: str) -> str:
    """So many of them, in words that are right for one too."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def shortened(text: str) -> str:
    """At most so many characters of it, and that there is more."""
    return text if len(text) <= SHORT_CHARS else f"{text[:SHORT_CHARS]}..."
