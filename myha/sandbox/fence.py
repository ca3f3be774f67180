"""`python -m myha.sandbox.fence DIRECTORY NODE`: the fence_command of a sandbox's node.

Ends the server's process for certain, as a power switch would; exit status 0 only once it is gone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from myha.errors import MyhaError
from myha.sandbox.cluster import Cluster

GONE_DEADLINE_SECONDS = 10.0


def fence(directory: Path, node: str) -> None:
    """Raises `MyhaError` unless the process is gone."""
    host = Cluster.open(directory).servers[node]
    host.kill()
    if not host.await_gone(GONE_DEADLINE_SECONDS):
        raise MyhaError(f"node {node} (pid {host.pid()}) does not end after SIGKILL")


def main() -> None:
    directory, node = sys.argv[1:]
    try:
        fence(Path(directory), node)
    except MyhaError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
