"""A diagnosis as a job of the daemon: why the applier of a node has stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from myha.config import load_ordered
from myha.operations.divergence.look import Divergence, names_for
from myha.progress import Reporter


def run(order: Mapping[str, Any], reporter: Reporter) -> dict[str, Any]:  # noqa: ARG001 - a look
    """Look at the order's `node`. The outcome, for `done`: `error` is None when there is none.

    Raises MyhaError when one of the servers cannot be asked.
    """
    config = load_ordered(order)
    with Divergence(config, names_for(config, str(order["node"]), None)) as found:
        found.find()
        error = found.error
    if error is None:
        return {"text": "its applier has no error any more", "error": None}
    return {"text": error.sentence, "error": {**error.as_json(), "lines": error.lines()}}
