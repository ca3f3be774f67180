"""Binary logs that are gone, as after `binlog_expire_logs_seconds`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.waiting import until

Run = Callable[[str], Any]


def drop_older_logs(run: Run) -> str:
    """All but a new one, on the server where `run` runs a statement. Returns the new one's name.

    A server leaves a log without a word that somebody still reads, or (MariaDB) that the last
    checkpoint is in.
    """
    run("FLUSH BINARY LOGS")
    last = str(run("SHOW BINARY LOGS")[-1][0])

    def gone() -> bool:
        run(f"PURGE BINARY LOGS TO '{last}'")
        return str(run("SHOW BINARY LOGS")[0][0]) == last

    until(gone, f"the binary logs before {last} are gone")
    return last
