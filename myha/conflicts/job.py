"""The reader of conflicts as a job of the daemon: one order in, progress and events out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myha.config import load_ordered
from myha.conflicts.watch import Watch
from myha.progress import Reporter


def run(order: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:
    """Watch until cancelled, or for `order["seconds"]`; returns every count, and a `text`.

    `order["config"]` names the configuration file; `order["since"]` a GTID set or position to
    begin behind, else it begins behind what both nodes have. Raises ConfigError for a wrong file,
    MyhaError for servers that are no pair; a server that is away is waited for.
    """
    since = str(order.get("since") or "")
    watch = Watch(load_ordered(order), reporter, since=since)
    seconds = order.get("seconds")
    watch.run(None if seconds is None else float(seconds))
    return {"text": watch.summary(), **watch.metrics()}
