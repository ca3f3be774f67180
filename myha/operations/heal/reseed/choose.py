"""Which method serves for two servers as they are, how much it copies, whether there is room."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from myha.binlog.errors import HealRefusedError
from myha.operations.heal.reseed import backup, clone
from myha.operations.heal.reseed.dump import objects
from myha.operations.heal.reseed.order import Method, ReseedOrder, ReseedPlan
from myha.operations.heal.reseed.process import free_bytes, is_local_server, size_bytes
from myha.operations.heal.reseed.session import ReseedSession
from myha.operations.progress import amount
from myha.operations.setup.facts import Flavour

RESERVE_BYTES = 192 << 20  # logs, and what the server needs to start


def choose(order: ReseedOrder, donor: ReseedSession, node: ReseedSession | None) -> ReseedPlan:
    """The first of the ordered methods that fits; HealRefusedError with all reasons if none."""
    unfit: dict[Method, str] = {}
    for method in _of_flavour(order.methods, donor.flavour):
        why = _unfit(method, order, donor, node)
        if why is None:
            size, room = _size(method, donor), _room(method, order, node)
            if room is None or size + RESERVE_BYTES <= room:
                return ReseedPlan(method, size, room, unfit)
            why = (
                f"it needs {amount(size + RESERVE_BYTES, 'bytes')} of disk on {order.node}, and "
                f"{amount(room, 'bytes')} are free"
            )
        unfit[method] = why
    raise HealRefusedError(f"{order.node} cannot be reseeded: {_listed(unfit)}")


def _of_flavour(methods: tuple[Method, ...], flavour: Flavour) -> tuple[Method, ...]:
    """Without what is the other flavour's own, unless nothing else was asked for."""
    foreign = Method.BACKUP if flavour is Flavour.MYSQL else Method.CLONE
    return tuple(method for method in methods if method is not foreign) or methods


def _listed(unfit: Mapping[Method, str]) -> str:
    return "; ".join(f"{method}: {why}" for method, why in unfit.items())


def _unfit(
    method: Method, order: ReseedOrder, donor: ReseedSession, node: ReseedSession | None
) -> str | None:
    if method is Method.CLONE:
        if donor.flavour is not Flavour.MYSQL:
            return "MariaDB has none"
        return clone.unfit(donor, node.version if node is not None else None)
    if method is Method.BACKUP:
        if donor.flavour is not Flavour.MARIADB:
            return "it is of MariaDB"
        return backup.unfit(order.config, order.node, donor)
    return objects.unfit(donor)


def _size(method: Method, donor: ReseedSession) -> int:
    if method is Method.BACKUP:
        return _files_bytes(donor)
    if method is Method.CLONE:
        sql = "SELECT SUM(FILE_SIZE) AS b FROM information_schema.INNODB_TABLESPACES"
    else:
        sql = (
            "SELECT SUM(DATA_LENGTH + INDEX_LENGTH) AS b FROM information_schema.TABLES "
            f"WHERE TABLE_SCHEMA NOT IN {objects.SYSTEM}"
        )
    return int(donor.value(sql) or 0)


def _files_bytes(donor: ReseedSession) -> int:
    """The donor's directory without what is not copied: logs of any kind, temporary tables."""
    directory = Path(str(donor.value("SELECT @@GLOBAL.datadir")))
    logs = sum(
        one.stat().st_blocks * 512
        for pattern in ("ib_logfile*", "ibtmp*")
        for one in directory.glob(pattern)
    )
    for base in ("log_bin_basename", "relay_log_basename"):
        stem = Path(str(donor.value(f"SELECT @@GLOBAL.{base}") or "/"))
        if stem.parent == directory or stem.parent == Path(os.path.realpath(directory)):
            logs += sum(one.stat().st_blocks * 512 for one in directory.glob(f"{stem.name}.*"))
    return max(0, size_bytes(directory) - logs)


def _room(method: Method, order: ReseedOrder, node: ReseedSession | None) -> int | None:
    """Bytes that may be used on the node: free ones, and what its own data gives back."""
    configured = order.config.nodes[order.node].data_dir
    if node is None:
        return None if configured is None else free_bytes(configured)
    if not is_local_server(node):
        return None
    directory = Path(str(node.value("SELECT @@GLOBAL.datadir")))
    free = free_bytes(directory)
    return free if method is Method.BACKUP else free + _size(method, node)
