"""Threshold ranges of monitoring plugins.

As the Monitoring Plugins Development Guidelines have them ("Threshold and Ranges"): `10` is 0 to
10, `10:` is 10 and above, `~:10` is 10 and below, `10:20` is between them, each with its ends. A
value outside raises the alert; with `@` in front, one inside.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import click

_NUMBER = r"-?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"(@?)(?:(~|{_NUMBER})?:)?({_NUMBER})?")


@dataclass(frozen=True, slots=True)
class Range:
    """`text` is as it was given, for performance data."""

    text: str
    start: float = 0.0
    end: float = math.inf
    inside: bool = False

    def alerts(self, value: float) -> bool:
        return (self.start <= value <= self.end) is self.inside


def parse_range(text: str) -> Range:
    """Raises ValueError with what is wrong."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or not text.strip("@ "):
        raise ValueError(f"{text!r} is no range; write 10, 10:, ~:10, 10:20 or @10:20")
    start = -math.inf if match[2] == "~" else float(match[2] or 0)
    end = math.inf if match[3] is None else float(match[3])
    if start > end:
        raise ValueError(f"{text!r}: the range ends before it begins")
    return Range(text.strip(), start, end, inside=bool(match[1]))


class RangeType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """A click option's value."""

    name = "range"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Range:
        if isinstance(value, Range):
            return value
        try:
            return parse_range(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
