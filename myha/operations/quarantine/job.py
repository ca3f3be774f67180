"""Retention as a job of the daemon: a large quarantine on a slow disk keeps nobody waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from myha.config import load_ordered
from myha.operations.quarantine.retention import (
    described,
    kept_incidents,
    limits_of,
    remove,
    require_no_heal,
    to_remove,
)
from myha.progress import Reporter
from myha.undo.quarantine import FOLDER


def run(order: Mapping[str, Any], reporter: Reporter) -> str:  # noqa: ARG001  # short
    """Remove what the configuration says. Raises MyhaError: what is left goes the next time."""
    config = load_ordered(order)
    limits = limits_of(config)
    if limits is None:
        return "everything is kept"
    require_no_heal(config)
    root = config.cluster.state_dir / FOLDER
    going = to_remove(kept_incidents(root), limits, time.time())
    remove(root, going)
    return f"removed {described(going)}" if going else "nothing is old enough"
