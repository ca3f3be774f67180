"""What every node of a pair has to look like: its settings and its replication channel. Pure.

A setting is kept `NOW_AND_AT_BOOT`, or only `AT_BOOT`: who is read-only, who waits for
acknowledgements and what replicates is the supervisor's to say while the server runs, and a server
that restarts behind its back must come up fenced.

This is the one list, with what `Flavour.settings` adds: `myha setup` makes it, and the supervisor
keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from myha.config import Config
from myha.core.settings import Setting
from myha.database.flavours import Flavour

INCREMENT = 2
ACKNOWLEDGING = frozenset({"rpl_semi_sync_replica_enabled", "rpl_semi_sync_slave_enabled"})
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


def net_timeout_seconds(config: Config) -> int:
    """How long a receiver waits for its silent source: many heartbeats, never MySQL's 60 s."""
    return max(10, int(4 * config.timing.heartbeat_period_seconds) + 1)


def settings(config: Config, node: str, flavour: Flavour, domain: int = 0) -> tuple[Setting, ...]:
    """Every setting of one node or read replica. `domain` is its GTID domain (MariaDB)."""
    own = flavour.settings(net_timeout_seconds(config), domain)
    if node in config.replicas:
        return (*_binlog(), _no_events(), *_never_acknowledging(own))
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


def _never_acknowledging(own: tuple[Setting, ...]) -> Iterator[Setting]:
    """A read replica's: the writer must wait for the standby, and for nobody else."""
    why = "the writer must not wait for a read replica"
    for one in own:
        yield replace(one, value="OFF", why=why) if one.variable in ACKNOWLEDGING else one


def _no_events() -> Setting:
    """On a read replica: its writer runs them."""
    return Setting("event_scheduler", "OFF", why="a read replica runs no events")


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
