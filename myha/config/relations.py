"""How keys of myha.toml relate: contradictions between values that are each allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import get_args

from myha.config.accounts import Role
from myha.config.document import Config
from myha.config.tables import ServerConfig
from myha.config.values import NAME_PATTERN, Problem, split_address
from myha.core.policy import Durability, Mode
from myha.core.watchdog import LEAST_TOTAL_SECONDS, Watchdog

_DOMAIN = re.compile(r"(?=.{1,253}$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_COMMANDS = (
    "fence_command",
    "start_command",
    "stop_command",
    "shell",
    "init_command",
    "backup_command",
)


def relation_problems(config: Config) -> Iterator[Problem]:
    """Contradictions between values that are each allowed by themselves."""
    yield from _name_problems(config)
    yield from _node_problems(config)
    yield from _mode_problems(config)
    yield from _account_problems(config)
    yield from _balancer_problems(config)
    yield from _address_problems(config)
    yield from _dns_problems(config)
    yield from _timing_problems(config)
    yield from _watchdog_problems(config)
    yield from _store_problems(config)


def _store_problems(config: Config) -> Iterator[Problem]:
    if config.cluster.store == "etcd" and not config.etcd.endpoints:
        yield "etcd.endpoints", 'is empty; with cluster.store = "etcd" name the cluster\'s members'


def _name_problems(config: Config) -> Iterator[Problem]:
    if len(config.nodes) != 2:
        yield (
            "nodes",
            f"has {len(config.nodes)} nodes; a pair has exactly two, [nodes.a] and [nodes.b]",
        )
    if not config.balancers:
        yield "balancers", "names no balancer; add a table [balancers.NAME]"
    for table, names in (
        ("nodes", config.nodes),
        ("replicas", config.replicas),
        ("balancers", config.balancers),
        ("notify", config.notify),
        ("hooks", config.hooks),
    ):
        for name in names:
            if not NAME_PATTERN.fullmatch(name):
                yield (
                    f"{table}.{name}",
                    "is no valid name; use a lower-case letter, then up to 31 of a-z, 0-9, _ and -",
                )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", config.cluster.name):
        yield "cluster.name", "must be 1 to 64 letters, digits, _, . and -; choose another name"


def same_host(host: str) -> str:
    host = host.casefold()
    return "127.0.0.1" if host in {"localhost", "::1"} else host


def _node_problems(config: Config) -> Iterator[Problem]:
    for table, servers in (("nodes", config.nodes), ("replicas", config.replicas)):
        for name, server in servers.items():
            yield from _server_problems(f"{table}.{name}", server)
    if len(config.nodes) == 2:
        yield from _pair_problems(config)
    yield from _replica_problems(config)


def _server_problems(table: str, server: ServerConfig) -> Iterator[Problem]:
    yield from _process_problems(table, server)
    if server.init_command and not server.data_dir:
        yield f"{table}.init_command", "needs data_dir; name the directory that it makes"
    for key in _COMMANDS:
        if "" in getattr(server, key, ())[:1]:
            yield f"{table}.{key}", "begins with an empty word; name the program first"


def _replica_problems(config: Config) -> Iterator[Problem]:
    """What a replica must not have in common with a node or another replica."""
    taken = {
        (same_host(node.host), node.port): f"nodes.{name}" for name, node in config.nodes.items()
    }
    for name, replica in config.replicas.items():
        if name in config.nodes:
            yield f"replicas.{name}", "has the name of a node; choose another"
        address = (same_host(replica.host), replica.port)
        if address in taken:
            yield (
                f"replicas.{name}.host",
                f"is the same server as {taken[address]}; give each its own",
            )
        taken.setdefault(address, f"replicas.{name}")


def _process_problems(table: str, server: ServerConfig) -> Iterator[Problem]:
    """How the server is ended and started: by its process on this machine, or by two commands."""
    if server.container and server.pid_file:
        yield f"{table}.container", "does the work of pid_file; set one of the two"
        return
    if server.pid_file and not server.start_command:
        yield f"{table}.pid_file", "goes with start_command; set both, or neither"
    if server.start_command and not server.pid_file and not server.stop_command:
        yield (
            f"{table}.start_command",
            "goes with pid_file (a server on this machine) or stop_command; set one of them",
        )
    if server.stop_command and not server.start_command:
        yield f"{table}.stop_command", "goes with start_command; set both, or neither"
    if server.pid_file and server.stop_command:
        yield f"{table}.stop_command", "does the work of pid_file; set one of the two"
    if server.pid_file and server.shell:
        yield (
            f"{table}.shell",
            "is for a server on another machine, and pid_file for one on this; set stop_command "
            "in place of pid_file, or not shell",
        )
    if server.data_dir and not server.start_command:
        yield (
            f"{table}.data_dir",
            "needs start_command, with pid_file or stop_command; set them, or not it",
        )


def _pair_problems(config: Config) -> Iterator[Problem]:
    """What two nodes must not have in common."""
    (first, a), (second, b) = config.nodes.items()
    if (same_host(a.host), a.port) == (same_host(b.host), b.port):
        yield f"nodes.{second}.host", f"is the same server as nodes.{first}; give each node its own"
    elif (same_host(a.replication_host), a.replication_port) == (
        same_host(b.replication_host),
        b.replication_port,
    ):
        yield (
            f"nodes.{second}.replication_host",
            f"is the same address as that of nodes.{first}; a node must not replicate from itself",
        )
    if a.auto_increment_offset == b.auto_increment_offset:
        yield (
            f"nodes.{second}.auto_increment_offset",
            f"is the same as that of nodes.{first}; give one node 1 and the other 2",
        )


def _mode_problems(config: Config) -> Iterator[Problem]:
    dual = config.cluster.mode is Mode.DUAL_WRITER
    if dual and config.cluster.durability is Durability.LOSSLESS:
        yield (
            "cluster.durability",
            '"lossless" does not work with mode = "dual-writer"; '
            'set durability = "bounded" or "async"',
        )
    failover = config.failover
    if failover.preferred and failover.preferred not in config.nodes:
        names = ", ".join(config.nodes)
        yield "failover.preferred", f"{failover.preferred!r} is not a node; choose from {names}"
    if failover.auto_failback and not failover.preferred:
        yield "failover.auto_failback", "needs failover.preferred; name the node there"
    if failover.auto_failback and dual:
        yield "failover.auto_failback", 'has no meaning with mode = "dual-writer"; set it to false'


def _account_problems(config: Config) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for role in get_args(Role):
        key = f"{role}_user"
        user: str = getattr(config.accounts, key)
        if user in seen:
            yield f"accounts.{key}", f"is the same account as {seen[user]}; give each its own"
        seen.setdefault(user, key)


def _balancer_problems(config: Config) -> Iterator[Problem]:
    sockets: dict[str, str] = {}
    servers = {
        (same_host(server.host), server.port): f"{table}.{name}"
        for table, group in (("nodes", config.nodes), ("replicas", config.replicas))
        for name, server in group.items()
    }
    for name, balancer in config.balancers.items():
        if balancer.socket in sockets:
            yield (
                f"balancers.{name}.socket",
                f"is the same as that of balancers.{sockets[balancer.socket]}; give each its own",
            )
        sockets.setdefault(balancer.socket, name)
        if balancer.writer_listen == balancer.reader_listen:
            yield (
                f"balancers.{name}.reader_listen",
                "is the same as writer_listen; use another port",
            )
        for key in ("writer_listen", "reader_listen"):
            host, port = split_address(getattr(balancer, key))
            if (same_host(host), port) in servers:
                server = servers[same_host(host), port]
                yield f"balancers.{name}.{key}", f"is the address of {server}; use another port"


def _address_problems(config: Config) -> Iterator[Problem]:
    address, balancers = config.address, config.balancers
    if not address.ip:
        return
    if len(balancers) < 2:
        yield "address.ip", "needs two balancers or more to move between; add one, or empty it"
    yield from _place_problems(config)
    if address.preferred and address.preferred not in balancers:
        yield (
            "address.preferred",
            f"{address.preferred!r} is not a balancer; choose from {', '.join(balancers)}",
        )
    if address.auto_failback and not address.preferred:
        yield "address.auto_failback", "needs address.preferred; name the balancer there"
    if address.password_file and address.advert_seconds % 1:
        yield (
            "address.advert_seconds",
            "must be whole seconds with a password, which only VRRP 2 has; set it to 1, or do "
            "without password_file",
        )
    least = 3 * config.timing.look_interval_seconds
    if address.preference_seconds < least:
        yield (
            "address.preference_seconds",
            "is less than three times timing.look_interval_seconds, so a late look would move the "
            f"address; set it to {least:g} or more",
        )


def _place_problems(config: Config) -> Iterator[Problem]:
    """Each host needs an interface for it; one address has the same ports wherever it is."""
    address = config.address
    for name, balancer in config.balancers.items():
        table = f"balancers.{name}"
        if not balancer.interface:
            yield f"{table}.interface", "is needed for address.ip; name the network interface there"
        if address.transport == "unicast" and not balancer.host:
            yield (
                f"{table}.host",
                'is needed for address.transport = "unicast"; put its address here',
            )
        if balancer.host == address.host:
            yield f"{table}.host", "is address.ip, which moves; put its host's own address here"
    for key in ("writer_listen", "reader_listen"):
        ports = [split_address(getattr(one, key))[1] for one in config.balancers.values()]
        for name, port in zip(config.balancers, ports, strict=True):
            if port != ports[0]:
                yield (
                    f"balancers.{name}.{key}",
                    f"has another port than the first balancer's; address.ip needs {ports[0]} here",
                )


def _dns_problems(config: Config) -> Iterator[Problem]:
    given = config.dns
    if not given.server:
        return
    for key in ("zone", "name"):
        if not _DOMAIN.fullmatch(getattr(given, key)):
            yield f"dns.{key}", "must be a domain name, like db.example.com"
    zone, name = (text.casefold().rstrip(".") for text in (given.zone, given.name))
    if not name.endswith(f".{zone}") and name != zone:
        yield "dns.name", "is not in dns.zone; name one that is"
    if bool(given.key_file) != bool(given.key_name):
        yield "dns.key_name", "goes with dns.key_file; set both, or neither"
    for node, one in config.nodes.items():
        if not one.dns_address:
            yield f"nodes.{node}.dns_address", "is needed for dns.server; put an IP address there"


def _timing_problems(config: Config) -> Iterator[Problem]:
    timing, lag = config.timing, config.lag
    deadtime = timing.deadtime_seconds
    if deadtime < 2 * timing.heartbeat_period_seconds:
        yield (
            "timing.deadtime_seconds",
            "is less than twice heartbeat_period_seconds, so one late heartbeat looks like a loss; "
            f"set it to {2 * timing.heartbeat_period_seconds:g} or more",
        )
    if deadtime < 2 * timing.look_interval_seconds:
        yield (
            "timing.deadtime_seconds",
            "is less than twice look_interval_seconds, so one slow look would count as a loss; "
            f"set it to {2 * timing.look_interval_seconds:g} or more",
        )
    if timing.call_deadline_seconds > deadtime:
        yield (
            "timing.call_deadline_seconds",
            "is more than deadtime_seconds, so a hung server is noticed late; "
            f"set it to {deadtime:g} or less",
        )
    if lag.in_seconds > lag.out_seconds:
        yield (
            "lag.in_seconds",
            "is more than out_seconds, so a reader would go out and in at once; "
            f"set it to {lag.out_seconds:g} or less",
        )
    if timing.pulse_interval_seconds > lag.in_seconds:
        yield (
            "timing.pulse_interval_seconds",
            "is more than lag.in_seconds, so no reader would ever come back; "
            f"set it to {lag.in_seconds:g} or less",
        )


def _watchdog_problems(config: Config) -> Iterator[Problem]:
    key, seconds = "failover.watchdog_seconds", config.failover.watchdog_seconds
    if not seconds:
        return
    if config.cluster.mode is Mode.DUAL_WRITER:
        yield key, 'has no meaning with mode = "dual-writer"; set it to 0'
    if config.cluster.durability is Durability.LOSSLESS:
        yield (
            key,
            'has no meaning with durability = "lossless", where a writer acknowledges nothing '
            "without the standby; set it to 0",
        )
    if seconds < LEAST_TOTAL_SECONDS:
        yield (
            key,
            "is too short for a server to be certain of a silence; "
            f"set it to {LEAST_TOTAL_SECONDS} or more, or to 0",
        )
        return
    if not config.cluster.event_scheduler:
        yield key, "needs cluster.event_scheduler = true, since the watchdog is begun as an event"
    lease = Watchdog(seconds).lease_seconds
    if config.timing.call_deadline_seconds > lease / 2:
        yield (
            "timing.call_deadline_seconds",
            f"is more than half the {lease} s that a lease lasts with failover.watchdog_seconds = "
            f"{seconds:g}, so one slow answer would cost it; set it to {lease / 2:g} or less",
        )
