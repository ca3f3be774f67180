"""The database servers of a sandbox: data directory templates, option files, how each is started.

A server comes up bare: binlog, GTID and crash-safe settings, an administrator and an application
account. What makes two of them a pair is left to `myha setup`.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from myha.database.statements import load
from myha.errors import MissingProgramError, MyhaError
from myha.files import replacing
from myha.hosts.commands import output_of
from myha.hosts.local import LocalHost, accepts_tcp
from myha.progress import Tell
from myha.sandbox.programs import Program, cache_dir, cache_lock

ADMIN_USER = "admin"
APP_USER = "app"
INITIALISE_DEADLINE_SECONDS = 180.0
COPY_DEADLINE_SECONDS = 120.0

# What mariadb-install-db feeds to a bootstrapping server; each has an older name too.
_MARIADB_SCRIPTS = (
    ("mariadb_system_tables.sql", "mysql_system_tables.sql"),
    ("mariadb_performance_tables.sql", "mysql_performance_tables.sql"),
    ("mariadb_system_tables_data.sql", "mysql_system_tables_data.sql"),
    ("fill_help_tables.sql",),
    ("maria_add_gis_sp_bootstrap.sql",),
    ("mariadb_sys_schema.sql", "mysql_sys_schema.sql"),
)

_COMMON_OPTIONS = {
    "log_bin": "binlog",
    "relay_log": "relay",
    "relay_log_recovery": "ON",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_buffer_pool_size": "64M",
    "skip_name_resolve": "ON",
}
_FLAVOUR_OPTIONS: dict[str, dict[str, str]] = {
    "mysql": {
        "gtid_mode": "ON",
        "enforce_gtid_consistency": "ON",
        "log_replica_updates": "ON",
        "performance_schema": "ON",
        "mysqlx": "OFF",
        "secure_file_priv": "NULL",
        # Off, its default on small machines, all commits stop for 100 ms a few times a minute.
        "loose_innodb_log_writer_threads": "ON",
    },
    "mariadb": {"gtid_strict_mode": "ON", "log_slave_updates": "ON", "binlog_format": "ROW"},
}


Reached: TypeAlias = Callable[[Callable[[], bool]], Callable[[], bool]]


@dataclass(frozen=True)
class NodeFiles:
    """Where one server of a sandbox keeps what, and how it is reached."""

    name: str
    flavour: str
    program: Program
    directory: Path
    socket: Path
    port: int
    server_id: int
    host: str = "127.0.0.1"
    replication_host: str = ""  # where its peer reaches it, if not there
    launcher: tuple[str, ...] = ()  # what its command line begins with, where it has its own host
    reached: Reached = field(default=lambda check: check)  # a check, made where it can be reached

    @property
    def bind(self) -> str:
        return "*" if self.launcher else self.host

    @property
    def client_hosts(self) -> str:
        """From where its accounts may log in."""
        return "%" if self.launcher else self.host

    @property
    def data_dir(self) -> Path:
        return self.directory / "data"

    @property
    def option_file(self) -> Path:
        return self.directory / "server.cnf"

    @property
    def fragment(self) -> Path:
        """Where `myha setup` installs its options; the server reads this folder last."""
        return self.directory / "conf.d" / "myha.cnf"

    @property
    def pid_file(self) -> Path:
        return self.directory / "server.pid"

    @property
    def log_file(self) -> Path:
        return self.directory / "server.log"

    @property
    def argv(self) -> tuple[str, ...]:
        return (*self.program.argv, f"--defaults-file={self.option_file}")

    def local_host(self) -> LocalHost:
        """The handle that starts, stops, kills and freezes this server."""
        return LocalHost(
            f"node {self.name}",
            self.argv,
            pid_file=self.pid_file,
            log_file=self.log_file,
            ready=self.reached(lambda: accepts_tcp(self.host, self.port)),
            launcher=self.launcher,
            lock_file=self.socket.with_name(f"{self.socket.name}.lock"),
        )


def write_option_file(node: NodeFiles) -> None:
    """Write the server's option file; it ends by including the folder of the fragment."""
    options = {
        "server_id": str(node.server_id),
        "bind_address": node.bind,
        "port": str(node.port),
        "socket": str(node.socket),
        "datadir": str(node.data_dir),
        "pid_file": str(node.pid_file),
        "tmpdir": str(node.directory / "tmp"),
        **_program_options(node.program),
        **_COMMON_OPTIONS,
        **_FLAVOUR_OPTIONS[node.flavour],
    }
    if node.flavour == "mariadb":
        options["gtid_domain_id"] = str(node.server_id)
    for folder in (node.fragment.parent, node.directory / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# Node {node.name} of a myha sandbox; `myha setup` adds {node.fragment}.",
        "[mysqld]",
    ]
    lines += [f"{key} = {value}" for key, value in options.items()]
    lines += ["", f"!includedir {node.fragment.parent}", ""]
    node.option_file.write_text("\n".join(lines))


def _program_options(program: Program) -> dict[str, str]:
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


def make_data_dir(node: NodeFiles, admin_password: str, app_password: str, progress: Tell) -> None:
    """Copy the template into the node's data directory and arrange for its accounts.

    The accounts are made by the server itself at its first start, without binlog, from a file that
    `finish_first_start` removes again.
    """
    template = data_template(node.flavour, node.program, progress)
    if node.data_dir.exists():
        shutil.rmtree(node.data_dir)
    _run(
        ("cp", "-a", "--reflink=auto", str(template), str(node.data_dir)),
        "copy a data directory",
        deadline_seconds=COPY_DEADLINE_SECONDS,
    )
    accounts, fragment = _first_start_files(node)
    write_private(accounts, _account_script(node, admin_password, app_password))
    fragment.write_text(f"[mysqld]\ninit_file = {accounts}\n")


def _account_script(node: NodeFiles, admin_password: str, app_password: str) -> str:
    """The statements that make the accounts, one a line, as a server's init_file takes them."""
    # No driver quotes these: they are of A-Z, a-z, 0-9, - and _.
    values = {
        "admin_password": f"'{admin_password}'",
        "app_password": f"'{app_password}'",
        "hosts": f"'{node.client_hosts}'",
    }
    script = load(node.flavour, "sandbox_accounts")
    statements = [text % values for text in script.all("create accounts")]
    return "".join(f"{' '.join(statement.split())};\n" for statement in statements)


def remake_data_dir(node: NodeFiles, admin_password: str, app_password: str) -> None:
    """A new data directory, accounts included, for a node that has been set up before.

    Unlike `make_data_dir` it is complete when this returns: whoever starts the server next knows
    nothing of a sandbox. Raises MyhaError; a directory with anything in it is left alone.
    """
    if node.data_dir.exists() and any(node.data_dir.iterdir()):
        raise MyhaError(f"{node.data_dir} is not empty: move it away first")
    template = data_template(node.flavour, node.program, lambda _text: None)
    node.data_dir.mkdir(mode=0o700, exist_ok=True)
    _run(
        ("cp", "-a", "--reflink=auto", f"{template}/.", str(node.data_dir)),
        "copy a data directory",
        deadline_seconds=COPY_DEADLINE_SECONDS,
    )
    script = _account_script(node, admin_password, app_password)
    if node.flavour == "mariadb":
        _run(
            (*node.argv, "--bootstrap", "--log-warnings=0", "--skip-log-bin"),
            "make the accounts",
            stdin=f"FLUSH PRIVILEGES;\n{script}",
        )
        return
    # MySQL makes accounts only in a server that runs: one that nobody can reach, ended at once.
    accounts = node.directory / "accounts.sql"
    write_private(accounts, f"{script}SHUTDOWN;\n")
    try:
        _run(
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


def finish_first_start(node: NodeFiles) -> None:
    """Forget the first start's file of accounts once the server has read it."""
    for path in _first_start_files(node):
        path.unlink(missing_ok=True)


def _first_start_files(node: NodeFiles) -> tuple[Path, Path]:
    return node.directory / "first-start.sql", node.fragment.parent / "first-start.cnf"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(text.encode())


def data_template(flavour: str, program: Program, progress: Tell) -> Path:
    """An initialised data directory of this very program, made once and kept in the cache."""
    folder = cache_dir() / "templates"
    with cache_lock(folder, progress):
        template = folder / f"{flavour}-{program.version}"
        if template.is_dir():
            return template
        progress(f"initialising a {flavour} {program.version} data directory")
        for left in folder.glob(".new-*"):
            shutil.rmtree(left, ignore_errors=True)
        fresh = folder / f".new-{flavour}-{os.getpid()}"
        fresh.mkdir(mode=0o700)
        try:
            _INITIALISE[flavour](program, fresh)
            fresh.rename(template)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return template


def _options(program: Program, data_dir: Path) -> tuple[str, ...]:
    options = {**_program_options(program), "datadir": str(data_dir)}
    return tuple(f"--{key}={value}" for key, value in options.items())


def _initialise_mysql(program: Program, data_dir: Path) -> None:
    _run(
        (
            *program.argv,
            "--no-defaults",
            "--initialize-insecure",
            "--loose-innodb-redo-log-capacity=8M",  # a small template; a server grows its own
            *_options(program, data_dir),
        ),
        "initialise a MySQL data directory",
    )
    (data_dir / "auto.cnf").unlink(missing_ok=True)  # the server's UUID: every copy makes its own


def _initialise_mariadb(program: Program, data_dir: Path) -> None:
    share = program.share_dir
    scripts = [
        next((share / name for name in names if (share / name).is_file()), None)
        for names in _MARIADB_SCRIPTS
        if share is not None
    ]
    if not scripts or None in scripts:
        raise MissingProgramError(
            f"{program.argv[-1]} lacks its system table scripts ({share}):"
            " install MariaDB's server package as a whole"
        )
    text = ["create database if not exists mysql;", "use mysql;", "SET @auth_root_socket=NULL;"]
    for script in scripts:
        if script is not None:
            lines = script.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
            text += [line for line in lines if "@current_hostname" not in line]
    _run(
        (
            *program.argv,
            "--no-defaults",
            "--bootstrap",
            "--log-warnings=0",
            "--enforce-storage-engine=",
            "--max-allowed-packet=8M",
            "--net-buffer-length=16K",
            *_options(program, data_dir),
        ),
        "initialise a MariaDB data directory",
        stdin="\n".join(text) + "\n",
    )


_INITIALISE: dict[str, Callable[[Program, Path], None]] = {
    "mysql": _initialise_mysql,
    "mariadb": _initialise_mariadb,
}


def _run(
    argv: tuple[str, ...],
    what: str,
    *,
    stdin: str = "",
    deadline_seconds: float = INITIALISE_DEADLINE_SECONDS,
) -> None:
    try:
        output_of("it", argv, deadline_seconds, given=stdin)
    except MyhaError as error:
        raise MyhaError(f"cannot {what}: {error}") from None
