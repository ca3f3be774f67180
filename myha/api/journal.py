"""Lines of a pair's journal as the API gives them: each with its severity."""

from __future__ import annotations

from typing import Any

from myha.config import Config
from myha.core.events import ALL, Wanted, kind_of, severity_of
from myha.stores.local.journal import read_journal

Line = dict[str, Any]


def lines_of(config: Config, limit: int, after: int = 0, wanted: Wanted = ALL) -> list[Line]:
    """The last `limit` of those wanted with an id above `after`, oldest first. Raises MyhaError."""
    lines = read_journal(config.cluster.state_dir, limit, after, wanted)
    return [{"severity": severity_of(kind_of(one["kind"]), one), **one} for one in lines]
