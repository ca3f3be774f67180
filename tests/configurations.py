"""The least configuration of a pair, for tests that need one and none of its servers."""

from __future__ import annotations

from pathlib import Path

PAIR = """
[nodes.a]
host = "10.0.0.1"
[nodes.b]
host = "10.0.0.2"
[balancers.lb1]
socket = "/run/haproxy/admin.sock"
writer_listen = "127.0.0.1:3307"
reader_listen = "127.0.0.1:3308"
"""
NOBODY_THERE = """
[nodes.a]
host = "127.0.0.1"
port = 1
[nodes.b]
host = "127.0.0.1"
port = 2
[balancers.lb1]
socket = "127.0.0.1:3"
writer_listen = "127.0.0.1:4"
reader_listen = "127.0.0.1:5"
"""


def write_config(folder: Path, more: str = "", *, cluster: str = "", pair: str = PAIR) -> Path:
    """A `myha.toml` whose state is kept in the folder too; `more` are further tables.

    `cluster` is what else stands in that table. With `pair=NOBODY_THERE` whoever connects is
    refused at once.
    """
    path = folder / "myha.toml"
    path.write_text(f'[cluster]\nstate_dir = "{folder}"\n{cluster}\n{pair}\n{more}\n')
    return path


def write_secrets(
    folder: Path, accounts: tuple[str, ...] = ("admin", "supervisor", "replication")
) -> None:
    """The passwords, in the files in which they are looked for."""
    secrets = folder / "secrets"
    secrets.mkdir(mode=0o700)
    for name in accounts:
        (secrets / name).write_text(name)
        (secrets / name).chmod(0o600)
