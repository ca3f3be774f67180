"""The process that answers HTTP, as `myha run` starts it: see `process`."""

from __future__ import annotations

import sys

from myha.hosts.priority import set_niceness

NICENESS = 5  # behind everything that has to do with a failover, its own start too


def main() -> int:
    set_niceness(NICENESS)
    from myha.api.process import run  # noqa: PLC0415  # loading it takes longest

    return run()


if __name__ == "__main__":
    sys.exit(main())
