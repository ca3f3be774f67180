"""A single real server without any set-up, for tests of what lies below the sandbox's clusters."""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from myha.sandbox import programs
from myha.sandbox.programs import Program
from myha.sandbox.servers import data_template

START_DEADLINE_SECONDS = 60.0
_COMMON = (
    "--bind-address=127.0.0.1",
    "--log-bin=binlog",
    "--binlog-format=ROW",
    "--binlog-row-metadata=FULL",
    "--innodb-buffer-pool-size=64M",
    "--secure-file-priv=",
    "--read-only=OFF",
)
_MYSQL = ("--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF", "--skip-replica-start")
_MARIADB = ("--log-slave-updates=ON", "--gtid-strict-mode=ON", "--skip-slave-start")


@dataclass
class BareServer:
    """A running server; `root` without a password over TCP."""

    flavour: str
    version: str
    server_id: int
    port: int
    process: subprocess.Popen[bytes]

    def connect(self, **options: Any) -> "pymysql.Connection[Any]":
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", autocommit=True, **options
        )

    def run(self, *statements: str) -> tuple[tuple[Any, ...], ...]:
        """Each statement in one session; the last one's rows."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return tuple(cursor.fetchall())
        finally:
            connection.close()

    def value(self, *statements: str) -> Any:
        return self.run(*statements)[0][0]


@contextmanager
def bare_server(flavour: str, server_id: int = 1, *options: str) -> Iterator[BareServer]:
    """Start a server in a directory of its own; end it and remove the directory afterwards."""
    program = programs.fetch(flavour)
    directory = Path(tempfile.mkdtemp(prefix="myha-bare-"))
    process: subprocess.Popen[bytes] | None = None
    try:
        data = directory / "data"
        _initialise(program, flavour, data)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        own = _MYSQL if flavour == "mysql" else (*_MARIADB, f"--gtid-domain-id={server_id}")
        command = [*program.argv, "--no-defaults", *_paths(program, data), *_COMMON, *own, *options]
        command += [f"--port={port}", f"--server-id={server_id}", "--user=root"]
        command += [f"--socket={directory}/s.sock", f"--pid-file={directory}/pid"]
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        server = BareServer(flavour, program.version, server_id, port, process)
        _await_answer(server, directory / "log")
        yield server
    finally:
        if process is not None:
            process.kill()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _paths(program: Program, data: Path) -> list[str]:
    # A server that starts removes what it takes for its own leavings in its folder for such.
    temporary = data.parent / "tmp"
    temporary.mkdir(exist_ok=True)
    paths = [f"--datadir={data}", f"--tmpdir={temporary}"]
    if program.share_dir is not None:
        paths.append(f"--lc-messages-dir={program.share_dir}")
    if program.plugin_dir is not None:
        paths.append(f"--plugin-dir={program.plugin_dir}")
    return paths


def _initialise(program: Program, flavour: str, data: Path) -> None:
    # A copy is made in a tenth of the time.
    shutil.copytree(data_template(flavour, program, lambda _text: None), data)
    if flavour == "mysql":
        return
    common = [*program.argv, "--no-defaults", *_paths(program, data), "--user=root"]
    root = (
        "USE mysql;\nDELETE FROM global_priv;\nFLUSH PRIVILEGES;\n"
        "CREATE USER root@'127.0.0.1', root@localhost;\n"
        "GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;\n"
        "GRANT ALL ON *.* TO root@localhost WITH GRANT OPTION;\n"
    )
    subprocess.run(
        [*common, "--bootstrap", "--log-warnings=0", "--enforce-storage-engine="],
        input=root.encode(),
        check=True,
        capture_output=True,
    )


def _await_answer(server: BareServer, log: Path) -> None:
    ends = time.monotonic() + START_DEADLINE_SECONDS
    while time.monotonic() < ends and server.process.poll() is None:
        with suppress(pymysql.Error):
            server.connect().close()
            return
        time.sleep(0.05)
    raise AssertionError(
        f"{server.flavour} did not start: {log.read_text(errors='replace')[-800:]}"
    )
