"""The parts of the benchmark beside the drills, by name; each is a module of this package."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

Say = Callable[[str], None]

# In the order in which they are measured and reported.
PARTS = ("stores", "overhead", "rewind", "verify", "reseed", "conflicts")
# Reported where their numbers are there; too long to be measured with the rest.
REPORTED_ONLY = ("soak", "many")


class Part(Protocol):
    """What a part's module has."""

    def measure(self, flavour: str, say: Say) -> dict[str, Any]:
        """Measure, with servers of its own; takes minutes. Raises MyhaError."""

    def section(self, reports: list[dict[str, Any]]) -> str:
        """The part's section of RESULTS.md, from one report per flavour; Markdown."""


def part(name: str) -> Part:
    """The part of this name."""
    return cast("Part", importlib.import_module(f"benchmarks.{name}"))
