"""What forbids a read replica, and how its data relates to the pair's: pure functions of facts."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from myha.config import Config
from myha.core.gtid import GtidSet
from myha.database import versions
from myha.operations.setup.checks import server_refusals
from myha.operations.setup.desired import pair_tls
from myha.operations.setup.facts import Facts


class Beginning(Enum):
    """How a replica that is not on record yet comes to the pair's data."""

    FOLLOWS = "its data is the pair's: it goes on from where it is"
    AFRESH = "neither it nor the pair holds data: it begins with the pair's history"
    SEEDED = "it holds no data: the supervisor copies the writer's"


def refusals(
    config: Config, facts: Facts, writer: Facts, others: tuple[Facts, ...], *, known: bool
) -> Iterator[str]:
    """Why this server cannot be a replica of the pair. `others`: the further servers seen.

    `known`: it is on record, so whom it replicates from is the supervisor's to put right.
    """
    name = facts.node
    yield from map(str, server_refusals(facts))
    if facts.flavour is not writer.flavour:
        yield (
            f"{name}: is {facts.flavour.title}, the pair {writer.flavour.title}; "
            "a replica has to be of the same kind"
        )
    elif versions.older(facts.version, writer.version):
        yield (
            f"{name}: version {facts.version} is older than the pair's {writer.version}; "
            "upgrade it first: an older replica may not understand what a newer writer sends"
        )
    for other in (writer, *others):
        if facts.server_uuid and facts.server_uuid == other.server_uuid:
            yield (
                f"{name}: has the server UUID of {other.node}: it is that server under another "
                "address, or a copied data directory; correct the address, or remove auto.cnf and "
                "restart it"
            )
        elif facts.server_id == other.server_id:
            yield (
                f"{name}: has the server id of {other.node} ({facts.server_id}); set another "
                "server_id in its option file and restart it"
            )
    if config.accounts.tls == "require" and not pair_tls(config, facts, writer):
        yield (
            f'{name}: offers no TLS, but accounts.tls is "require"; give the server a certificate, '
            "or say auto"
        )
    if not known:
        yield from _foreign_channels(config, facts)


def _foreign_channels(config: Config, facts: Facts) -> Iterator[str]:
    ours = {node.replication_address for node in config.nodes.values()}
    for channel in facts.channels:
        if channel.name or channel.source not in ours:
            yield (
                f"{facts.node}: replicates from {channel.source}, which is not of the pair; end "
                "that with STOP REPLICA and RESET REPLICA ALL"
            )


def beginning(facts: Facts, writer: Facts, purged: GtidSet) -> tuple[Beginning | None, list[str]]:
    """How a new replica begins, or why it cannot. `purged`: what the writer's logs lack."""
    if not facts.has_data:
        whole = not writer.has_data and purged.is_empty()
        return (Beginning.AFRESH if whole else Beginning.SEEDED), []
    extra = facts.executed.minus(writer.executed_later)
    drop = "drop its schemas, and the supervisor copies the writer's data there"
    if facts.executed.is_empty() or not extra.is_empty():
        why = (
            f"{extra.count()} transactions that {writer.node} lacks"
            if not extra.is_empty()
            else "data without a GTID position"
        )
        return None, [
            f"{facts.node}: holds {why}: its data is not the pair's; {drop}, or restore a backup "
            f"of {writer.node} with its GTID position"
        ]
    if not facts.executed.contains(purged):
        return None, [
            f"{facts.node}: is too far behind: {writer.node} has purged binary logs that it still "
            f"needs; {drop}"
        ]
    return Beginning.FOLLOWS, []
