"""What every node of a pair has to look like: its settings and its replication channel. Pure.

A setting is kept `NOW_AND_AT_BOOT`, or only `AT_BOOT`: who is read-only, who waits for
acknowledgements and what replicates is the supervisor's to say while the server runs, and a server
that restarts behind its back must come up fenced.

This is the one list: `myha setup` makes what stands here, and the supervisor keeps it.
"""

from __future__ import annotations

from myha.config import Config
from myha.core.settings import Setting, When
from myha.database.statements import Flavour

INCREMENT = 2
# Settings that a session keeps from its beginning: who holds old ones is named by setup, or ended.
SESSION_SETTINGS = frozenset(
    {
        "auto_increment_increment",
        "auto_increment_offset",
        "binlog_format",
        "binlog_row_image",
        "gtid_domain_id",
    }
)
BOOT = When.AT_BOOT


def net_timeout_seconds(config: Config) -> int:
    """How long a receiver waits for its silent source: many heartbeats, never MySQL's 60 s."""
    return max(10, int(4 * config.timing.heartbeat_period_seconds) + 1)


def settings(config: Config, node: str, flavour: Flavour, domain: int = 0) -> tuple[Setting, ...]:
    """Every setting of one node. `domain` is its GTID domain (MariaDB)."""
    own = _mysql(config) if flavour == "mysql" else _mariadb(config, domain)
    return (*_increments(config, node), *_binlog(), _event_scheduler(config), *own)


def _increments(config: Config, node: str) -> tuple[Setting, ...]:
    offset = config.nodes[node].auto_increment_offset
    return (
        # Persisted whatever the default is: ids depend on them.
        Setting(
            "auto_increment_increment",
            str(INCREMENT),
            why="ids of two residue classes",
            always_persisted=True,
        ),
        Setting(
            "auto_increment_offset",
            str(offset),
            why="this node's residue class",
            always_persisted=True,
        ),
    )


def _binlog() -> tuple[Setting, ...]:
    return (
        Setting("binlog_format", "ROW", why="replicated rows, not statements", rests=True),
        Setting("binlog_row_image", "FULL", why="a heal needs whole row images"),
        Setting("binlog_row_metadata", "FULL", why="a heal needs the columns' names"),
    )


def _event_scheduler(config: Config) -> Setting:
    """On both nodes: what runs where is the events' own status, which follows the writer."""
    value = "ON" if config.cluster.event_scheduler else "OFF"
    why = "scheduled events run on the writer"
    # The supervisor switches it off for a moment: what it boots with must not depend on that.
    return Setting("event_scheduler", value, why=why, always_persisted=True)


def _mysql(config: Config) -> tuple[Setting, ...]:
    timeout = str(net_timeout_seconds(config))
    return (
        Setting("replica_net_timeout", timeout, why="notice a dead link", rests=True),
        Setting(
            "replica_parallel_workers", "16", why="few workers fall behind, and delay", rests=True
        ),
        Setting("replica_preserve_commit_order", "ON", why="a history without gaps", rests=True),
        Setting(
            "rpl_semi_sync_replica_enabled", "ON", why="acknowledge what is received", rests=True
        ),
        Setting(
            "rpl_semi_sync_source_wait_point", "AFTER_SYNC", why="no reads of what may be lost"
        ),
        Setting(
            "rpl_semi_sync_source_wait_no_replica",
            "ON",
            why="a commit goes on waiting",
            supervisors=True,  # it lets commits go on by this, see `disable_waiting`
        ),
        Setting("rpl_semi_sync_source_enabled", "OFF", BOOT, "only the supervisor arms a writer"),
        Setting("read_only", "ON", BOOT, "boot fenced"),
        Setting("super_read_only", "ON", BOOT, "boot fenced"),
        Setting("skip_replica_start", "ON", BOOT, "boot fenced: replicate once inspected"),
        Setting("relay_log_recovery", "ON", BOOT, "a crash may tear the relay log"),
    )


def _mariadb(config: Config, domain: int) -> tuple[Setting, ...]:
    timeout = str(net_timeout_seconds(config))
    return (
        Setting("gtid_domain_id", str(domain), why="each node's own history"),
        Setting("gtid_strict_mode", "ON", why="histories must not fork silently", rests=True),
        Setting("slave_net_timeout", timeout, why="notice a dead link", rests=True),
        Setting("rpl_semi_sync_slave_kill_conn_timeout", "1", why="a hung source delays no stop"),
        Setting(
            "slave_parallel_threads",
            "8",
            why="one applier thread falls behind",
            rests=True,
        ),
        Setting(
            "rpl_semi_sync_slave_enabled", "ON", why="acknowledge what is received", rests=True
        ),
        Setting(
            "rpl_semi_sync_master_wait_point", "AFTER_SYNC", why="no reads of what may be lost"
        ),
        Setting("rpl_semi_sync_master_wait_no_slave", "ON", why="a commit goes on waiting"),
        Setting("rpl_semi_sync_master_enabled", "OFF", BOOT, "only the supervisor arms a writer"),
        Setting("read_only", "ON", BOOT, "boot fenced"),
        Setting("skip_slave_start", "ON", BOOT, "boot fenced: replicate once inspected"),
        Setting("relay_log_recovery", "ON", BOOT, "a crash may tear the relay log"),
    )
