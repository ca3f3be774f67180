"""`python -m myha.sandbox.frozen FOLDER SECONDS`: a disk of a sandbox stalls as long as this runs.

It goes on when standard input ends, that is also when whoever started this dies, or after so many
seconds. Nobody who has written to a frozen disk can be killed, so this has to be certain.
"""

from __future__ import annotations

import select
import signal
import sys
from pathlib import Path

from myha.sandbox import disks


def main(folder: Path, seconds: float) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    try:
        disks.freeze(folder)
        sys.stdout.write("frozen\n")
        sys.stdout.flush()
        select.select([sys.stdin], [], [], seconds)
    finally:
        disks.thaw(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
