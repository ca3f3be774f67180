"""Whether mariabackup serves for two servers as they are, and how it is called on a node's host."""

from __future__ import annotations

import re
from pathlib import Path

from myha.config import Config
from myha.database import versions
from myha.hosts.shell import ShellError
from myha.operations.heal.reseed.node_host import NodeHost
from myha.operations.heal.reseed.session import ReseedSession

_NAMES = ("mariadb-backup", "mariabackup")


def backup_words(config: Config, host: NodeHost) -> tuple[str, ...] | None:
    """How mariabackup is called on a node's host: as configured, else from PATH; None: it is not.

    What is configured for one node goes for both where they are on one host.
    """
    own = config.servers[host.name]
    words = [own.backup_command]
    words += [node.backup_command for node in config.servers.values() if node.shell == own.shell]
    return next(filter(None, words), None) or host.find(_NAMES)


def unfit(
    config: Config, name: str, donor: ReseedSession, node: ReseedSession | None
) -> str | None:
    """Why mariabackup does not serve here, None when it does. Changes nothing."""
    configured = config.servers[name].data_dir
    if configured is None:
        return f"{config.table_of(name)}.data_dir is not set"
    here, there = NodeHost(config, name), NodeHost(config, donor.name)
    one_host = config.servers[name].shell == config.servers[donor.name].shell
    try:
        return (
            _directory_unfit(config, here, donor, node)
            or _program_unfit(config, here, donor.version)
            or (None if one_host else _program_unfit(config, there, donor.version))
            or _not_at_home(config, there, donor)
        )
    except ShellError as error:
        return str(error)


def _directory_unfit(
    config: Config, host: NodeHost, donor: ReseedSession, node: ReseedSession | None
) -> str | None:
    configured = config.servers[host.name].data_dir
    assert configured is not None
    data = host.real(configured)
    if host.disk(data)[1] == str(data):
        return f"{data} is a mount point, so it cannot be replaced"
    server = donor if node is None else node
    used = Path(str(server.value("SELECT @@GLOBAL.datadir")))
    is_same = used in (configured, data) or host.real(used) == data
    if node is not None:
        if not is_same:
            key = f"{config.table_of(node.name)}.data_dir"
            return f"{key} is {data}, but the server uses {used}"
        return _not_at_home(config, host, node)
    # No server to compare with; but two hosts that were mixed up are told by the donor's.
    if is_same and host.is_home_of(donor):
        return f"{data} on {host.where} is the data directory of {donor.name}"
    return None


def _program_unfit(config: Config, host: NodeHost, server_version: str) -> str | None:
    words = backup_words(config, host)
    if words is None:
        return f"mariabackup is not on PATH of {host.where}"
    said = host.version(words)
    found = re.search(r"(\d+\.\d+\.\d+)-MariaDB", said)
    if found is None:
        return f"{words[-1]} does not start on {host.where}"
    if versions.series(found[1]) != versions.series(server_version):
        return f"mariabackup on {host.where} is version {found[1]}, the server {server_version}"
    return None


def _not_at_home(config: Config, host: NodeHost, session: ReseedSession) -> str | None:
    if host.is_home_of(session):
        return None
    key = f"{config.table_of(host.name)}.shell"
    if host.is_local:
        return f"{session.name} runs on another machine (then set {key}) or as another user"
    return f"the binary logs of {session.name} cannot be found or read through {key}"
