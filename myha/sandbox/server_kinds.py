"""What differs by flavour in the servers of a sandbox: options, and how their data are made."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from myha.errors import MissingProgramError, MyhaError
from myha.files import write_private
from myha.hosts.commands import output_of
from myha.sandbox.node_files import NodeFiles
from myha.sandbox.programs import Program

INITIALISE_DEADLINE_SECONDS = 180.0

# What mariadb-install-db feeds to a bootstrapping server; each has an older name too.
_MARIADB_SCRIPTS = (
    ("mariadb_system_tables.sql", "mysql_system_tables.sql"),
    ("mariadb_performance_tables.sql", "mysql_performance_tables.sql"),
    ("mariadb_system_tables_data.sql", "mysql_system_tables_data.sql"),
    ("fill_help_tables.sql",),
    ("maria_add_gis_sp_bootstrap.sql",),
    ("mariadb_sys_schema.sql", "mysql_sys_schema.sql"),
)

# What MySQL counts of memory and errors for each thread, and keeps of past statements of all:
# nobody reads it here, and it takes a fifth of a start's CPU time and 160 MiB of a server.
_UNREAD = {
    "performance_schema_max_memory_classes": "0",
    "performance_schema_error_size": "0",
    "performance_schema_digests_size": "0",
    "performance_schema_events_waits_history_long_size": "0",
    "performance_schema_events_stages_history_long_size": "0",
    "performance_schema_events_statements_history_long_size": "0",
    "performance_schema_events_transactions_history_long_size": "0",
}


class ServerKind(ABC):
    """One flavour's servers. What fails raises MyhaError."""

    stands_faketime: ClassVar[bool]  # it serves with libfaketime loaded
    own_options: ClassVar[Mapping[str, str]]  # of the option file, beside those that all have
    numbered_options: ClassVar[tuple[str, ...]] = ()  # whose value is the server's id

    def options(self, server_id: int) -> dict[str, str]:
        """Of the option file, beside those that all have."""
        return {**self.own_options, **dict.fromkeys(self.numbered_options, str(server_id))}

    @abstractmethod
    def initialise(self, program: Program, data_dir: Path) -> None:
        """An empty data directory, of which every copy becomes a server of its own."""

    @abstractmethod
    def make_accounts(self, node: NodeFiles, script: str) -> None:
        """The accounts of a data directory whose server does not run: it does not afterwards."""


class MysqlKind(ServerKind):
    stands_faketime = False
    own_options: ClassVar[Mapping[str, str]] = {
        "gtid_mode": "ON",
        "enforce_gtid_consistency": "ON",
        "log_replica_updates": "ON",
        "performance_schema": "ON",
        **_UNREAD,
        "mysqlx": "OFF",
        "secure_file_priv": "NULL",
        # Off, its default on small machines, all commits stop for 100 ms a few times a minute.
        "loose_innodb_log_writer_threads": "ON",
    }

    def initialise(self, program: Program, data_dir: Path) -> None:
        run(
            (
                *program.argv,
                "--no-defaults",
                "--initialize-insecure",
                "--loose-innodb-redo-log-capacity=8M",  # a small template; a server grows its own
                *_arguments(program, data_dir),
            ),
            "initialise a MySQL data directory",
        )
        # The server's UUID: every copy makes its own.
        (data_dir / "auto.cnf").unlink(missing_ok=True)

    def make_accounts(self, node: NodeFiles, script: str) -> None:
        """It makes them only in a server that runs: one that nobody can reach, ended at once."""
        accounts = node.directory / "accounts.sql"
        write_private(accounts, f"{script}SHUTDOWN;\n")
        try:
            run(
                (
                    *node.argv,
                    "--skip-networking",
                    "--skip-log-bin",
                    f"--init-file={accounts}",
                    f"--socket={node.directory}/accounts.sock",
                    f"--pid-file={node.directory}/accounts.pid",
                ),
                "make the accounts",
            )
        finally:
            accounts.unlink(missing_ok=True)


class MariadbKind(ServerKind):
    stands_faketime = True
    own_options: ClassVar[Mapping[str, str]] = {
        "gtid_strict_mode": "ON",
        "log_slave_updates": "ON",
        "binlog_format": "ROW",
    }
    numbered_options = ("gtid_domain_id",)

    def initialise(self, program: Program, data_dir: Path) -> None:
        text = ["create database if not exists mysql;", "use mysql;", "SET @auth_root_socket=NULL;"]
        for script in _system_tables(program):
            lines = script.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            text += [line for line in lines if "@current_hostname" not in line]
        run(
            (
                *program.argv,
                "--no-defaults",
                "--bootstrap",
                "--log-warnings=0",
                "--enforce-storage-engine=",
                "--max-allowed-packet=8M",
                "--net-buffer-length=16K",
                *_arguments(program, data_dir),
            ),
            "initialise a MariaDB data directory",
            stdin="\n".join(text) + "\n",
        )

    def make_accounts(self, node: NodeFiles, script: str) -> None:
        run(
            (*node.argv, "--bootstrap", "--log-warnings=0", "--skip-log-bin"),
            "make the accounts",
            stdin=f"FLUSH PRIVILEGES;\n{script}",
        )


KINDS: Mapping[str, ServerKind] = {"mysql": MysqlKind(), "mariadb": MariadbKind()}


def _system_tables(program: Program) -> list[Path]:
    """The scripts that make them. MissingProgramError where one is not there."""
    share = program.share_dir
    found: list[Path] = []
    for names in _MARIADB_SCRIPTS:
        paths = [share / name for name in names] if share is not None else []
        script = next((path for path in paths if path.is_file()), None)
        if script is None:
            raise MissingProgramError(
                f"{program.argv[-1]} lacks its system table scripts ({share}):"
                " install MariaDB's server package as a whole"
            )
        found.append(script)
    return found


def program_options(program: Program) -> dict[str, str]:
    """What a program needs that was built for another place than the one it lies in."""
    options = {"user": "root"} if os.geteuid() == 0 else {}
    if program.prefix is not None:
        options["basedir"] = str(program.prefix / "usr")
        if program.plugin_dir is not None:
            options["plugin_dir"] = str(program.plugin_dir)
        if program.share_dir is not None:
            options["lc_messages_dir"] = str(program.share_dir)
            options["character_sets_dir"] = str(program.share_dir / "charsets")
    return options


def _arguments(program: Program, data_dir: Path) -> tuple[str, ...]:
    options = {**program_options(program), "datadir": str(data_dir)}
    return tuple(f"--{key}={value}" for key, value in options.items())


def run(
    argv: tuple[str, ...],
    what: str,
    *,
    stdin: str = "",
    deadline_seconds: float = INITIALISE_DEADLINE_SECONDS,
) -> None:
    """Run a program to its end. Raises MyhaError with `what` could not be done."""
    try:
        output_of("it", argv, deadline_seconds, given=stdin)
    except MyhaError as error:
        raise MyhaError(f"cannot {what}: {error}") from None
