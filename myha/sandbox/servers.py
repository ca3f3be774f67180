"""The database servers of a sandbox: data directory templates, option files, how each is started.

A server comes up bare: binlog, GTID and crash-safe settings, an administrator and an application
account. What makes two of them a pair is left to `myha setup`.
"""

import os
import shutil
from pathlib import Path

from myha.database.statements import load
from myha.errors import MyhaError
from myha.files import write_private
from myha.progress import Tell
from myha.sandbox.node_files import NodeFiles
from myha.sandbox.programs import Program, cache_dir, cache_lock
from myha.sandbox.server_kinds import KINDS, program_options, run

ADMIN_USER = "admin"
APP_USER = "app"
COPY_DEADLINE_SECONDS = 120.0

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
        **program_options(node.program),
        **_COMMON_OPTIONS,
        **KINDS[node.flavour].options(node.server_id),
    }
    for folder in (node.fragment.parent, node.directory / "tmp"):
        folder.mkdir(parents=True, exist_ok=True)
    lines = [
        f"# Node {node.name} of a myha sandbox; `myha setup` adds {node.fragment}.",
        "[mysqld]",
    ]
    lines += [f"{key} = {value}" for key, value in options.items()]
    lines += ["", f"!includedir {node.fragment.parent}", ""]
    node.option_file.write_text("\n".join(lines))


def make_data_dir(node: NodeFiles, admin_password: str, app_password: str, progress: Tell) -> None:
    """Copy the template into the node's data directory and arrange for its accounts.

    The accounts are made by the server itself at its first start, without binlog, from a file that
    `finish_first_start` removes again.
    """
    template = data_template(node.flavour, node.program, progress)
    if node.data_dir.exists():
        shutil.rmtree(node.data_dir)
    run(
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
    run(
        ("cp", "-a", "--reflink=auto", f"{template}/.", str(node.data_dir)),
        "copy a data directory",
        deadline_seconds=COPY_DEADLINE_SECONDS,
    )
    KINDS[node.flavour].make_accounts(node, _account_script(node, admin_password, app_password))


def finish_first_start(node: NodeFiles) -> None:
    """Forget the first start's file of accounts once the server has read it."""
    for path in _first_start_files(node):
        path.unlink(missing_ok=True)


def _first_start_files(node: NodeFiles) -> tuple[Path, Path]:
    return node.directory / "first-start.sql", node.fragment.parent / "first-start.cnf"


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
            KINDS[flavour].initialise(program, fresh)
            fresh.rename(template)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        return template
