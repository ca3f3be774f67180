"""The process that answers HTTP, as `myha run` starts it: see `process`."""

from __future__ import annotations

import sys

from myha.hosts.priority import set_niceness

# Behind all that a failover needs, and no further: one that is far behind has its listeners hear of
# a failover late, on a saturated machine.
NICENESS = 1


def main() -> int:
    set_niceness(NICENESS)
    from myha.api.process import run  # noqa: PLC0415  # loading it takes longest

    return run()


if __name__ == "__main__":
    sys.exit(main())
