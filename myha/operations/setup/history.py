"""What two servers have been through: whether they may become a pair as they are. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum

from myha.config import Config
from myha.core.record import Record
from myha.database.schemas import SYSTEM_SCHEMAS
from myha.operations.setup.facts import Facts
from myha.operations.setup.remarks import Remark
from myha.words import listed, shortened

SEEDING = "drop its schemas on the wrong one, and setup copies the data there"


class History(Enum):
    """How the two servers' histories relate, as far as they may become a pair."""

    SAME = "both have executed the same transactions"
    FRESH = "both are new: their histories differ, and neither holds data"
    IN_FLIGHT = "replication between them brings what one still lacks"
    BEHIND = "one lacks only the latest of the other's transactions"
    SEED = "one holds data and the other none"
    ON_RECORD = "the pair is on record"


def judge_history(
    config: Config, first: Facts, second: Facts, record: Record | None
) -> tuple[History, list[Remark]]:
    """How the histories relate, with the refusals that follow from that."""
    if first.flavour is not second.flavour:
        return History.SAME, []
    if record is not None:
        return History.ON_RECORD, []
    linked = {
        facts.node: facts.channel_to(peer, config.nodes[peer.node].replication_address) is not None
        for facts, peer in ((first, second), (second, first))
    }
    refusals = [*_errant(first, second, linked), *_errant(second, first, linked)]
    if any(linked.values()):
        return History.IN_FLIGHT, refusals
    if not first.has_data and not second.has_data:
        return _judge_fresh(first, second)
    for full, empty in ((first, second), (second, first)):
        if full.has_data and not empty.has_data:
            return History.SEED, []
    tables = list(_different_tables(first, second))
    if not tables and any(is_behind(one, peer) for one, peer in ((first, second), (second, first))):
        return History.BEHIND, []
    return History.SAME, [*refusals, *tables]


def is_behind(facts: Facts, peer: Facts) -> bool:
    """Made from a backup of its peer, with its position: replication brings what came since."""
    lacking = facts.lacks(peer)
    return (
        not facts.executed.is_empty()
        and peer.lacks(facts).is_empty()
        and not lacking.is_empty()
        and facts.executed.contains(peer.executed.minus(lacking))
    )


def _errant(facts: Facts, peer: Facts, linked: dict[str, bool]) -> Iterator[Remark]:
    """What `facts` holds and its peer lacks, unless the peer is replicating it."""
    if linked[peer.node] or not (facts.has_data or peer.has_data):
        return
    extra = peer.lacks(facts)
    if extra.is_empty():
        return
    yield Remark(
        "errant",
        facts.node,
        f"holds {extra.count()} transactions that {peer.node} lacks ({shortened(str(extra))})",
        f"decide which node is right ({SEEDING})",
        "the histories differ",
    )


def _judge_fresh(first: Facts, second: Facts) -> tuple[History, list[Remark]]:
    refusals = []
    for facts, peer in ((first, second), (second, first)):
        only = sorted(facts.schemas - peer.schemas - SYSTEM_SCHEMAS)
        if only:
            wrong = f"has the empty schema {', '.join(only)}, which {peer.node} lacks"
            mend = "drop it, or create it on both"
            refusals.append(Remark("schemas-differ", facts.node, wrong, mend))
    same = first.executed == second.executed
    return (History.SAME if same else History.FRESH), refusals


def _different_tables(first: Facts, second: Facts) -> Iterator[Remark]:
    names = f"{first.node} and {second.node}"
    ours = {str(table): table for table in first.tables}
    theirs = {str(table): table for table in second.tables}
    for facts, only in (
        (first, ours.keys() - theirs.keys()),
        (second, theirs.keys() - ours.keys()),
    ):
        if only:
            yield Remark(
                "tables-differ",
                facts.node,
                f"alone has the tables {listed(only)}",
                f"decide which node is right ({SEEDING})",
                "the data differ",
            )
    shapes = [
        name for name in ours.keys() & theirs.keys() if ours[name].shape != theirs[name].shape
    ]
    if shapes:
        wrong = f"the columns of {listed(shapes)} differ"
        yield Remark("tables-differ", names, wrong, f"decide which node is right ({SEEDING})")
    if first.objects != second.objects:
        yield Remark(
            "objects-differ",
            names,
            f"have {first.objects} and {second.objects} views, routines, triggers and events",
            f"decide which node is right ({SEEDING})",
        )
