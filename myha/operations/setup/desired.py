"""What a set-up server has to look like: settings, option file fragment, channel. Pure.

A setting is kept `NOW_AND_AT_BOOT`, or only `AT_BOOT`: who is read-only, who waits for
acknowledgements and what replicates is the supervisor's to say while the server runs, and a server
that restarts behind its back must come up fenced.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from myha.config import Config
from myha.operations.setup.facts import Facts, Flavour
from myha.servers.base import CONNECT_RETRY_SECONDS, RETRY_COUNT

INCREMENT = 2
FRAGMENT_HEAD = "# Written by `myha setup`; changes made here are overwritten."


class When(Enum):
    NOW_AND_AT_BOOT = "now and at boot"
    AT_BOOT = "at boot"


@dataclass(frozen=True, slots=True)
class Setting:
    variable: str
    value: str
    when: When = When.NOW_AND_AT_BOOT
    why: str = ""


def net_timeout_seconds(config: Config) -> int:
    """How long a receiver waits for its silent source: many heartbeats, never MySQL's 60 s."""
    return max(10, int(4 * config.timing.heartbeat_period_seconds) + 1)


def settings(config: Config, facts: Facts, peer: Facts) -> tuple[Setting, ...]:
    """Every setting that setup makes on one server."""
    own = _mysql(config) if facts.flavour is Flavour.MYSQL else _mariadb(config, facts, peer)
    return (*_increments(config, facts.node), *_binlog(), *_events(config, facts), *own)


def _increments(config: Config, node: str) -> tuple[Setting, ...]:
    offset = config.nodes[node].auto_increment_offset
    return (
        Setting("auto_increment_increment", str(INCREMENT), why="ids of two residue classes"),
        Setting("auto_increment_offset", str(offset), why="this node's residue class"),
    )


def _binlog() -> tuple[Setting, ...]:
    return (
        Setting("binlog_format", "ROW", why="replicated rows, not statements"),
        Setting("binlog_row_image", "FULL", why="a heal needs whole row images"),
        Setting("binlog_row_metadata", "FULL", why="a heal needs the columns' names"),
    )


def _events(config: Config, facts: Facts) -> tuple[Setting, ...]:
    """On both nodes: what runs where is the events' own status, which follows the writer."""
    wanted = config.cluster.event_scheduler
    if not wanted and facts.variables.get("event_scheduler", "").upper() == "DISABLED":
        return ()  # it is off, and cannot be set while the server runs
    value = "ON" if wanted else "OFF"
    return (Setting("event_scheduler", value, why="scheduled events run on the writer"),)


def _mysql(config: Config) -> tuple[Setting, ...]:
    boot = When.AT_BOOT
    return (
        Setting("replica_net_timeout", str(net_timeout_seconds(config)), why="notice a dead link"),
        Setting("replica_parallel_workers", "16", why="few workers fall behind, and delay"),
        Setting("replica_preserve_commit_order", "ON", why="a history without gaps"),
        Setting("rpl_semi_sync_replica_enabled", "ON", why="acknowledge what is received"),
        Setting(
            "rpl_semi_sync_source_wait_point", "AFTER_SYNC", why="no reads of what may be lost"
        ),
        Setting("rpl_semi_sync_source_wait_no_replica", "ON", why="a commit goes on waiting"),
        Setting("rpl_semi_sync_source_enabled", "OFF", boot, "only the supervisor arms a writer"),
        Setting("read_only", "ON", boot, "boot fenced"),
        Setting("super_read_only", "ON", boot, "boot fenced"),
        Setting("skip_replica_start", "ON", boot, "boot fenced: replicate once inspected"),
        Setting("relay_log_recovery", "ON", boot, "a crash may tear the relay log"),
    )


def _mariadb(config: Config, facts: Facts, peer: Facts) -> tuple[Setting, ...]:
    boot = When.AT_BOOT
    return (
        Setting("gtid_domain_id", str(domain_id(facts, peer)), why="each node's own history"),
        Setting("gtid_strict_mode", "ON", why="histories must not fork silently"),
        Setting("slave_net_timeout", str(net_timeout_seconds(config)), why="notice a dead link"),
        Setting("rpl_semi_sync_slave_kill_conn_timeout", "1", why="a hung source delays no stop"),
        Setting("slave_parallel_threads", "8", why="one applier thread falls behind"),
        Setting("rpl_semi_sync_slave_enabled", "ON", why="acknowledge what is received"),
        Setting(
            "rpl_semi_sync_master_wait_point", "AFTER_SYNC", why="no reads of what may be lost"
        ),
        Setting("rpl_semi_sync_master_wait_no_slave", "ON", why="a commit goes on waiting"),
        Setting("rpl_semi_sync_master_enabled", "OFF", boot, "only the supervisor arms a writer"),
        Setting("read_only", "ON", boot, "boot fenced"),
        Setting("skip_slave_start", "ON", boot, "boot fenced: replicate once inspected"),
        Setting("relay_log_recovery", "ON", boot, "a crash may tear the relay log"),
    )


def domain_id(facts: Facts, peer: Facts) -> int:
    """A GTID domain of the node's own: the one that it has if it differs, else its server id."""
    own = int(facts.variables.get("gtid_domain_id", "0"))
    other = int(peer.variables.get("gtid_domain_id", "0"))
    return own if own not in {0, other} else facts.server_id


def fragment(config: Config, facts: Facts, peer: Facts) -> str:
    """The option file fragment that makes the settings permanent on MariaDB."""
    lines = [
        FRAGMENT_HEAD,
        f"# Node {facts.node} of {config.cluster.name}.",
        "[mariadb]",
        *(f"{s.variable} = {s.value}" for s in settings(config, facts, peer)),
        "log_slave_updates = ON",
        f"master_retry_count = {RETRY_COUNT}",
    ]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class WantedChannel:
    """The one replication channel of a node."""

    host: str
    port: int
    source: str
    user: str
    tls: bool
    heartbeat_seconds: float
    retry_seconds: int = CONNECT_RETRY_SECONDS


def channel(config: Config, facts: Facts, peer: Facts) -> WantedChannel:
    node = config.nodes[peer.node]
    return WantedChannel(
        host=node.replication_host,
        port=node.replication_port,
        source=node.replication_address,
        user=config.accounts.replication_user,
        tls=pair_tls(config, facts, peer),
        heartbeat_seconds=config.timing.heartbeat_period_seconds,
    )


def pair_tls(config: Config, facts: Facts, peer: Facts) -> bool:
    """Whether the nodes talk TLS to each other: both offer it and it is not switched off."""
    return config.accounts.tls != "off" and facts.tls and peer.tls


def first_writer(config: Config) -> str:
    return config.failover.preferred or config.names[0]
