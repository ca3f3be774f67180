"""The adapters of a configured pair: each server's flavour is found out by asking it."""

from __future__ import annotations

from collections.abc import Mapping

from myha.config import Config
from myha.core.policy import Durability
from myha.core.values import value
from myha.core.watchdog import Watchdog
from myha.database.connection import Endpoint, connect
from myha.database.flavours import flavour_of
from myha.database.session import Session
from myha.errors import MyhaError, ServerError, ServerGoneError, ServerSilentError
from myha.ports import FollowingServer, WatchedServer
from myha.servers.base import WAIT_FOREVER_MS, BaseServer, BeforeReplication, link
from myha.servers.claim import Claimant
from myha.servers.lease import ServerLease
from myha.servers.mariadb import MariaDBServer
from myha.servers.mysql import MySQLServer
from myha.servers.restoring import Following, Source
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


def _peer_source(config: Config, name: str) -> Source | None:
    return _source(config, next(other for other in config.nodes if other != name))


def _source(config: Config, name: str) -> Source | None:
    """A node as a source; None where the replication account's password is not to be had here."""
    node = config.nodes[name]
    try:
        account = config.accounts.replication()
    except MyhaError:
        return None
    return Source(
        host=node.replication_host,
        port=node.replication_port,
        account=account,
        heartbeat_seconds=config.timing.heartbeat_period_seconds,
        tls=config.accounts.tls != "off",
    )


def make_servers(
    config: Config,
    kind: type[BaseServer] | None = None,
    *,
    before_replication: BeforeReplication | None = None,
    claimant: Claimant | None = None,
) -> dict[str, WatchedServer]:
    """An adapter for each node, by name, linked so that each measures its lag by the other.

    Who changes something there gives its `claimant`.

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
            source=_peer_source(config, name),
            settings=settings(config, name, adapter.flavour),
            option_file=str(node.option_file or ""),
        )
        for name, node in config.nodes.items()
    }
    if claimant is not None:
        for server in servers.values():
            claimant.take_on(server)
    link(*servers.values())
    return dict(servers)


def make_leases(servers: Mapping[str, WatchedServer], watchdog: Watchdog) -> dict[str, ServerLease]:
    """For each node the lease by which its watchdog lets it stay open."""
    return {
        name: ServerLease(server, watchdog)
        for name, server in servers.items()
        if isinstance(server, BaseServer)
    }


@value(frozen=True, slots=True)
class FollowerServers:
    """The adapter of one read replica, and adapters of the pair's nodes for it alone.

    They share no connection with the supervisor of the pair: what hangs here hangs nothing there.
    """

    server: FollowingServer
    nodes: Mapping[str, WatchedServer]

    def disconnect(self) -> None:
        for one in (self.server, *self.nodes.values()):
            one.disconnect()


def make_followers(
    config: Config,
    pair: Mapping[str, WatchedServer] | None = None,
    kind: type[BaseServer] | None = None,
    *,
    before_replication: BeforeReplication | None = None,
    claimant: Claimant | None = None,
    delayed: bool = True,
) -> dict[str, FollowerServers]:
    """Adapters for each read replica, by name.

    `pair` are the adapters through which the heartbeat is written: a replica's lag is measured by
    their heartbeats. Without them its lag is not known. `delayed`: its `delay_seconds` counts.
    """
    adapter = adapter_of(config) if kind is None else kind
    made = {
        name: _follower(config, name, pair or {}, adapter, before_replication, delayed=delayed)
        for name in config.replicas
    }
    if claimant is not None:
        for one in made.values():
            for server in (one.server, *one.nodes.values()):
                assert isinstance(server, BaseServer)
                claimant.take_on(server)
    return made


def _follower(
    config: Config,
    name: str,
    pair: Mapping[str, WatchedServer],
    adapter: type[BaseServer],
    before_replication: BeforeReplication | None,
    *,
    delayed: bool,
) -> FollowerServers:
    replica = config.replicas[name]
    nodes = make_servers(config, adapter)
    sources = {node: source for node in config.nodes if (source := _source(config, node))}
    server = adapter(
        name,
        Endpoint(replica.host, replica.port),
        config.accounts.supervisor(),
        call_deadline_seconds=config.timing.call_deadline_seconds,
        tls=config.accounts.tls,
        before_replication=before_replication,
        settings=settings(config, name, adapter.flavour),
        option_file=str(replica.option_file or ""),
        following=Following(sources, replica.delay_seconds if delayed else 0),
    )
    for node, own in nodes.items():
        writes = pair.get(node, own)
        assert isinstance(own, BaseServer)
        assert isinstance(writes, BaseServer)
        server.sources[node] = (own, writes.own_heartbeats)
    return FollowerServers(server, nodes)
