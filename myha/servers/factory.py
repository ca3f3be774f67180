"""The adapters of a configured pair: each server's flavour is found out by asking it."""

from __future__ import annotations

from myha.config import Config
from myha.core.model import Durability
from myha.database.connection import Endpoint, connect
from myha.database.flavours import flavour_of
from myha.database.session import Session
from myha.errors import MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.ports import WatchedServer
from myha.servers.base import WAIT_FOREVER_MS, BaseServer, BeforeReplication, link
from myha.servers.mariadb import MariaDBServer
from myha.servers.mysql import MySQLServer
from myha.servers.restoring import Source
from myha.servers.wanted import settings

ADAPTERS: dict[str, type[BaseServer]] = {
    one.flavour.name: one for one in (MySQLServer, MariaDBServer)
}


def waiting_timeout_ms(config: Config) -> int:
    """How long a commit waits for an acknowledgement when waiting is enabled."""
    if config.cluster.durability is Durability.BOUNDED:
        return max(1, round(config.cluster.bounded_timeout_seconds * 1000))
    return WAIT_FOREVER_MS


def adapter_of(config: Config) -> type[BaseServer]:
    """The adapter for the pair, from whichever node answers first.

    Raises `ServerGoneError` when neither does and one may come yet, `MyhaError` when neither will.
    """
    account = config.accounts.supervisor()
    seconds = config.timing.call_deadline_seconds
    errors: list[str] = []
    may_come = False
    for name, node in config.nodes.items():
        try:
            connection = connect(
                Endpoint(node.host, node.port),
                account,
                connect_timeout_seconds=seconds,
                read_timeout_seconds=seconds,
                tls=config.accounts.tls,
            )
        except ServerError as error:
            errors.append(f"{name}: {error}")
            may_come = may_come or isinstance(error, ServerGoneError | ServerSilentError)
            continue
        with Session(connection, seconds) as session:
            return ADAPTERS[flavour_of(session).name]
    text = "no node answers which kind of server it is: " + "; ".join(errors)
    raise ServerGoneError(text) if may_come else MyhaError(text)


def _source(config: Config, name: str) -> Source | None:
    """The peer; None where the replication account's password is not to be had here."""
    peer = next(node for other, node in config.nodes.items() if other != name)
    try:
        account = config.accounts.replication()
    except MyhaError:
        return None
    return Source(
        host=peer.replication_host,
        port=peer.replication_port,
        account=account,
        heartbeat_seconds=config.timing.heartbeat_period_seconds,
        tls=config.accounts.tls != "off",
    )


def make_servers(
    config: Config,
    kind: type[BaseServer] | None = None,
    *,
    before_replication: BeforeReplication | None = None,
) -> dict[str, WatchedServer]:
    """An adapter for each node, by name, linked so that each measures its lag by the other.

    `before_replication` is called by `start_replication` first. Whoever starts replication of a
    pair that serves gives `undo.rewind.finish_rewind`.
    """
    adapter = adapter_of(config) if kind is None else kind
    servers = {
        name: adapter(
            name,
            Endpoint(node.host, node.port),
            config.accounts.supervisor(),
            call_deadline_seconds=config.timing.call_deadline_seconds,
            tls=config.accounts.tls,
            waiting_timeout_ms=waiting_timeout_ms(config),
            before_replication=before_replication,
            source=_source(config, name),
            settings=settings(config, name, adapter.flavour),
            option_file=str(node.option_file or ""),
        )
        for name, node in config.nodes.items()
    }
    link(*servers.values())
    return dict(servers)
