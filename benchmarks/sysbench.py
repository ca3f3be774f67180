"""sysbench as a load: its OLTP scripts, on tables of its own in a database that is there."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from myha.errors import MyhaError
from myha.sandbox import programs

TABLES = 2
ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Sysbench:
    """Where it writes, as whom, and with which of its scripts."""

    host: str
    port: int
    user: str
    password: str
    database: str
    script: str = "oltp_write_only"

    def prepare(self, deadline_seconds: float) -> None:
        """Make and fill its tables. Raises MyhaError."""
        process = self._start("prepare", 1, 0)
        output, _ = process.communicate(timeout=deadline_seconds)
        if process.returncode != 0:
            raise MyhaError(f"sysbench made no tables: {output.strip()[-300:]}")

    def run(self, threads: int, seconds: float) -> subprocess.Popen[str]:
        """Begin to write as fast as it goes; what it says at its end comes from `communicate`."""
        return self._start("run", threads, seconds)

    def _start(self, action: str, threads: int, seconds: float) -> subprocess.Popen[str]:
        program = programs.fetch("sysbench")
        script = self.script
        if program.prefix is not None:
            script = str(Path(program.prefix) / f"usr/share/sysbench/{script}.lua")
        command = [
            *program.argv,
            script,
            "--db-driver=mysql",
            f"--mysql-host={self.host}",
            f"--mysql-port={self.port}",
            f"--mysql-user={self.user}",
            f"--mysql-password={self.password}",
            f"--mysql-db={self.database}",
            f"--tables={TABLES}",
            f"--table-size={ROWS}",
            f"--threads={threads}",
            f"--time={seconds:.0f}",
            action,
        ]
        return subprocess.Popen(
            command,
            env={**os.environ, **program.environment()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def transactions_per_second(output: str) -> float:
    """From what it said at its end. Raises MyhaError when it did not come to that."""
    for line in output.splitlines():
        if line.strip().startswith("transactions:"):
            return float(line.split("(")[1].split()[0])
    raise MyhaError(f"sysbench did not run: {output.strip()[-300:]}")
