"""Which method serves for two servers as they are, how much it copies, whether there is room."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from myha.binlog.errors import HealRefusedError
from myha.database.flavours import Flavour
from myha.database.schemas import OF_SERVERS
from myha.hosts.shell import ShellError
from myha.operations.heal.reseed import backup_fit, clone
from myha.operations.heal.reseed.dump import objects
from myha.operations.heal.reseed.node_host import NodeHost
from myha.operations.heal.reseed.order import Method, ReseedOrder, ReseedPlan
from myha.operations.heal.reseed.session import ReseedSession
from myha.progress import amount

RESERVE_BYTES = 192 << 20  # logs, and what the server needs to start


def choose(order: ReseedOrder, donor: ReseedSession, node: ReseedSession | None) -> ReseedPlan:
    """The first of the ordered methods that fits; HealRefusedError with all reasons if none."""
    unfit: dict[Method, str] = {}
    for method in _of_flavour(order.methods, donor.flavour):
        why = _unfit(method, order, donor, node)
        if why is None:
            size, room = _size(method, order, donor), _room(method, order, node)
            if room is None or size + RESERVE_BYTES <= room:
                return ReseedPlan(method, size, unfit)
            why = (
                f"it needs {amount(size + RESERVE_BYTES, 'bytes')} of disk on {order.node}, and "
                f"{amount(room, 'bytes')} are free"
            )
        unfit[method] = why
    raise HealRefusedError(f"{order.node} cannot be reseeded: {_listed(unfit)}")


def _of_flavour(methods: tuple[Method, ...], flavour: Flavour) -> tuple[Method, ...]:
    """Without what is the other flavour's own, unless nothing else was asked for."""
    foreign = {
        *(() if flavour.clones else (Method.CLONE,)),
        *(() if flavour.backs_up else (Method.BACKUP,)),
    }
    return tuple(method for method in methods if method not in foreign) or methods


def _listed(unfit: Mapping[Method, str]) -> str:
    return "; ".join(f"{method}: {why}" for method, why in unfit.items())


def _unfit(
    method: Method, order: ReseedOrder, donor: ReseedSession, node: ReseedSession | None
) -> str | None:
    if method is Method.CLONE:
        if not donor.flavour.clones:
            return "MySQL only"
        return clone.unfit(donor, node.version if node is not None else None)
    if method is Method.BACKUP:
        if not donor.flavour.backs_up:
            return "MariaDB only"
        return backup_fit.unfit(order.config, order.node, donor, node)
    return objects.unfit(donor)


def _size(method: Method, order: ReseedOrder, session: ReseedSession) -> int:
    if method is Method.BACKUP:
        return _files_bytes(NodeHost(order.config, session.name), session)
    if method is Method.CLONE:
        sql = "SELECT SUM(FILE_SIZE) AS b FROM information_schema.INNODB_TABLESPACES"
    else:
        sql = (
            "SELECT SUM(DATA_LENGTH + INDEX_LENGTH) AS b FROM information_schema.TABLES "
            f"WHERE TABLE_SCHEMA NOT IN {OF_SERVERS}"
        )
    return int(session.value(sql) or 0)


def _files_bytes(host: NodeHost, session: ReseedSession) -> int:
    """The server's directory without what is not copied: logs of any kind, temporary tables."""
    row = session.query_named(
        "SELECT @@GLOBAL.datadir AS d, @@GLOBAL.log_bin_basename AS b,"
        " @@GLOBAL.relay_log_basename AS r"
    )[0]
    bases = tuple(str(row[name]) for name in "br" if row[name])
    return host.used_bytes(Path(str(row["d"])), bases)


def _room(method: Method, order: ReseedOrder, node: ReseedSession | None) -> int | None:
    """Bytes that may be used on the node: free ones, and what its own data gives back."""
    configured = order.config.servers[order.node].data_dir
    host = NodeHost(order.config, order.node)
    try:
        if node is None or method is Method.BACKUP:  # seen to be its host before this is asked
            return None if configured is None else host.disk(configured)[0]
        if not host.is_home_of(node):
            return None
        free = host.disk(Path(str(node.value("SELECT @@GLOBAL.datadir"))))[0]
    except ShellError:
        return None  # not to be seen from here
    return free + _size(method, order, node)
