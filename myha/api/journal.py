"""Lines of a pair's journal, for the API."""

from __future__ import annotations

from myha.config import Config
from myha.core.events import ALL, Wanted
from myha.core.journal_line import Line
from myha.stores.local.journal import read_journal


def lines_of(config: Config, limit: int, after: int = 0, wanted: Wanted = ALL) -> list[Line]:
    """The last `limit` of those wanted with an id above `after`, oldest first. Raises MyhaError."""
    return read_journal(config.cluster.state_dir, limit, after, wanted)
