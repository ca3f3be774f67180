"""What became of an incident's transactions; beside its files, which never change.

The GTIDs that a merge brought to the writer. What a replay applied stands on the server itself.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

OUTCOME = "merged.json"


def note(directory: Path, merged: Sequence[str]) -> None:
    """Add to what is merged. Never raises: a full disk is no reason to call a merge failed."""
    with suppress(OSError):
        path = directory / f".{OUTCOME}"
        path.write_text(json.dumps(sorted({*read(directory), *merged}), indent=1) + "\n")
        path.chmod(0o600)
        path.replace(directory / OUTCOME)


def read(directory: Path) -> frozenset[str]:
    """The GTIDs of the transactions that are known to be merged; none where nothing is noted."""
    try:
        found = json.loads((directory / OUTCOME).read_text())
        return frozenset(map(str, found))
    except (OSError, ValueError, TypeError):
        return frozenset()
