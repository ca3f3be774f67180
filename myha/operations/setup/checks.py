"""What forbids a set-up, and what the user should know: pure functions over two servers' facts.

A refusal stops setup before anything is changed; all of them are told at once, each as one line
that ends with the remedy. A warning is told and does not stop it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from myha.config import Config
from myha.core.record import Membership, Record
from myha.database.schemas import SYSTEM_SCHEMAS
from myha.operations.setup.desired import pair_tls
from myha.operations.setup.facts import Facts, is_on

OLD_SEMISYNC_PLUGINS = {"rpl_semi_sync_master", "rpl_semi_sync_slave"}
CLOCK_WARN_SECONDS = 1.0
DISK_WARN_BYTES = 1 << 30
NAMES_SHOWN = 10
SEEDING = "drop its schemas on the wrong one, and setup copies the data there"


class History(Enum):
    """How the two servers' histories relate, as far as they may become a pair."""

    SAME = "both have executed the same transactions"
    FRESH = "both are new: their histories differ, and neither holds data"
    IN_FLIGHT = "replication between them brings what one still lacks"
    BEHIND = "one lacks only the latest of the other's transactions"
    SEED = "one holds data and the other none"
    ON_RECORD = "the pair is on record"


@dataclass(frozen=True, slots=True)
class Findings:
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    history: History = History.SAME


def check(
    config: Config,
    first: Facts,
    second: Facts,
    record: Record | None,
    replicas: frozenset[int] = frozenset(),
) -> Findings:
    """Judge two servers that are to become, or already are, the pair.

    `replicas`: the server ids of the read replicas that the file names, as far as they answer.
    """
    pair = (first, second)
    refusals = [*_pair_refusals(first, second)]
    for facts in pair:
        refusals += server_refusals(facts)
        refusals += _event_refusals(config, facts)
        refusals += _filter_refusals(facts)
    for facts, peer in (pair, pair[::-1]):
        refusals += _channel_refusals(config, facts, peer)
    if config.accounts.tls == "require" and not pair_tls(config, first, second):
        without = ", ".join(facts.node for facts in pair if not facts.tls)
        refusals.append(
            f'{without}: offers no TLS, but accounts.tls is "require"; '
            "give the server a certificate, or say auto"
        )
    refusals += _record_refusals(config, record)
    history, past = judge_history(config, first, second, record)
    refusals += past
    warnings = [*_warnings(pair, replicas), *_behind_warnings(history, pair)]
    return Findings(tuple(dict.fromkeys(refusals)), tuple(warnings), history)


def _pair_refusals(first: Facts, second: Facts) -> Iterator[str]:
    names = f"{first.node} and {second.node}"
    if first.flavour is not second.flavour:
        yield (
            f"{names}: one is {first.flavour.title} ({first.version}), the other "
            f"{second.flavour.title} ({second.version}); a pair needs two of one kind"
        )
    elif first.numbers and second.numbers and abs(first.numbers[0] - second.numbers[0]) > 1:
        yield (
            f"{names}: versions {first.version} and {second.version} are too far apart "
            "to replicate both ways; upgrade the older one"
        )
    if first.server_uuid and first.server_uuid == second.server_uuid:
        if first.server_id == second.server_id:
            yield (
                f"{names}: server id and UUID are equal ({first.server_id}, {first.server_uuid}): "
                "this is one server under two addresses, or a copied data directory; "
                "correct the addresses, or set server_id, remove auto.cnf of one and restart it"
            )
        else:
            yield (
                f"{names}: the server UUIDs are equal ({first.server_uuid}): a copied data "
                f"directory; remove auto.cnf from that of {second.node} and restart it"
            )
    elif first.server_id == second.server_id:
        yield (
            f"{names}: the server ids are equal ({first.server_id}); "
            f"set another server_id in the option file of {second.node} and restart it"
        )


def server_refusals(facts: Facts) -> Iterator[str]:
    """Why this server, whatever its role, cannot replicate as myha needs it."""
    node = facts.node
    oldest = facts.flavour.oldest
    if facts.numbers < oldest:
        need = ".".join(map(str, oldest))
        yield f"{node}: version {facts.version} is too old; upgrade it to {need} or newer"
    if facts.server_id == 0:
        yield f"{node}: server_id is 0; set it in the option file and restart the server"
    if not facts.on("log_bin"):
        yield (
            f"{node}: the binary log is off; put log_bin = binlog into its option file "
            "and restart it"
        )
    if not _is_on_where_known(facts, "gtid_mode", "enforce_gtid_consistency"):
        yield (
            f"{node}: GTIDs are off; put gtid_mode = ON and enforce_gtid_consistency = ON "
            "into its option file and restart it"
        )
    updates = facts.flavour.log_updates_variable
    if not facts.on(updates):
        yield f"{node}: {updates} is off; put {updates} = ON into its option file and restart it"
    if not _is_on_where_known(facts, "persisted_globals_load"):
        yield (
            f"{node}: persisted_globals_load is off, so it would forget at a restart what setup "
            "persists; remove that from its option file and restart it"
        )
    if facts.flavour.semisync_plugins and facts.plugins & OLD_SEMISYNC_PLUGINS:
        yield (
            f"{node}: the old semi-sync plugins are loaded; UNINSTALL PLUGIN rpl_semi_sync_master "
            "and rpl_semi_sync_slave, setup installs their successors"
        )


def _is_on_where_known(facts: Facts, *variables: str) -> bool:
    return all(is_on(facts.variables.get(name, "ON")) for name in variables)


def _event_refusals(config: Config, facts: Facts) -> Iterator[str]:
    """Whether to start what has not run so far is not for us to say."""
    if not config.cluster.event_scheduler or facts.on("event_scheduler"):
        return
    scheduler = facts.variables.get("event_scheduler", "OFF").upper()
    if scheduler == "DISABLED":
        yield (
            f"{facts.node}: event_scheduler is DISABLED, which only its option file can change: "
            "put event_scheduler = ON there and restart it, or set cluster.event_scheduler = false"
        )
    elif facts.enabled_events:
        yield (
            f"{facts.node}: its event scheduler is off, and switching it on would start "
            f"{_listed(facts.enabled_events)}: if that is wanted, SET GLOBAL event_scheduler = ON "
            "there, else set cluster.event_scheduler = false, or disable these events"
        )


def _filter_refusals(facts: Facts) -> Iterator[str]:
    """What a filter leaves out is named as executed all the same: the node would differ unseen."""
    if facts.filters:
        yield (
            f"{facts.node}: replicates with a filter ({_listed(facts.filters)}), so its data would "
            "differ; take replicate_... out of its option file and restart it, or clear the filter"
        )


def _channel_refusals(config: Config, facts: Facts, peer: Facts) -> Iterator[str]:
    wanted = config.nodes[peer.node].replication_address
    for channel in facts.channels:
        name = f" (channel {channel.name})" if channel.name else ""
        if channel.source != wanted and channel.source_server_id != peer.server_id:
            yield (
                f"{facts.node}: replicates from a third server, {channel.source}{name}; a pair has "
                "only two servers: end that with STOP REPLICA and RESET REPLICA ALL"
            )
        elif channel.name:
            yield (
                f"{facts.node}: replicates from {peer.node} over the named channel {channel.name}; "
                "end it with STOP REPLICA and RESET REPLICA ALL, setup makes an unnamed one"
            )


def _record_refusals(config: Config, record: Record | None) -> Iterator[str]:
    if record is None:
        return
    known = {name for name, _ in record.nodes}
    if known != set(config.names):
        yield (
            f"{config.cluster.state_dir}: the record there is of the nodes "
            f"{', '.join(sorted(known))}, not of {', '.join(config.names)}; "
            "name another cluster.state_dir"
        )
        return
    if record.pair not in ("", config.cluster.name):
        yield (
            f"{config.cluster.state_dir}: the record there is of the pair {record.pair}, not of "
            f"{config.cluster.name}; name another cluster.state_dir, or the pair as on record"
        )
    for name, entry in record.nodes:
        if entry.membership is Membership.FENCED:
            yield (
                f"{name}: is fenced on record ({entry.reason}); see `myha explain`, and run setup "
                "once it has been healed"
            )


# --- what the two have been through ------------------------------------------------------------


def judge_history(
    config: Config, first: Facts, second: Facts, record: Record | None
) -> tuple[History, list[str]]:
    """How the histories relate, with the refusals that follow from that."""
    if first.flavour is not second.flavour:
        return History.SAME, []
    if record is not None:
        return History.ON_RECORD, []
    linked = {
        facts.node: facts.channel_from(config.nodes[peer.node].replication_address) is not None
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
    if not tables and any(
        _is_behind(one, peer) for one, peer in ((first, second), (second, first))
    ):
        return History.BEHIND, []
    return History.SAME, [*refusals, *tables]


def _is_behind(facts: Facts, peer: Facts) -> bool:
    """Made from a backup of its peer, with its position: replication brings what came since."""
    lacking = facts.lacks(peer)
    return (
        not facts.executed.is_empty()
        and peer.lacks(facts).is_empty()
        and not lacking.is_empty()
        and facts.executed.contains(peer.executed.minus(lacking))
    )


def _errant(facts: Facts, peer: Facts, linked: dict[str, bool]) -> Iterator[str]:
    """What `facts` holds and its peer lacks, unless the peer is replicating it."""
    if linked[peer.node] or not (facts.has_data or peer.has_data):
        return
    extra = peer.lacks(facts)
    if extra.is_empty():
        return
    shown = str(extra) if len(str(extra)) <= 200 else f"{str(extra)[:200]}..."
    yield (
        f"{facts.node}: holds {extra.count()} transactions that {peer.node} lacks ({shown}): the "
        f"histories differ; decide which node is right ({SEEDING})"
    )


def _judge_fresh(first: Facts, second: Facts) -> tuple[History, list[str]]:
    refusals = []
    for facts, peer in ((first, second), (second, first)):
        only = sorted(facts.schemas - peer.schemas - SYSTEM_SCHEMAS)
        if only:
            refusals.append(
                f"{facts.node}: has the empty schema {', '.join(only)}, which {peer.node} lacks; "
                "drop it, or create it on both"
            )
    same = first.executed == second.executed
    return (History.SAME if same else History.FRESH), refusals


def _different_tables(first: Facts, second: Facts) -> Iterator[str]:
    ours = {str(table): table for table in first.tables}
    theirs = {str(table): table for table in second.tables}
    for facts, only in (
        (first, ours.keys() - theirs.keys()),
        (second, theirs.keys() - ours.keys()),
    ):
        if only:
            yield (
                f"{facts.node}: alone has the tables {_listed(only)}: the data differ; "
                f"decide which node is right ({SEEDING})"
            )
    shapes = [
        name for name in ours.keys() & theirs.keys() if ours[name].shape != theirs[name].shape
    ]
    if shapes:
        yield (
            f"{first.node} and {second.node}: the columns of {_listed(shapes)} differ; "
            f"decide which node is right ({SEEDING})"
        )
    if first.objects != second.objects:
        yield (
            f"{first.node} and {second.node}: have {first.objects} and {second.objects} views, "
            f"routines, triggers and events; decide which node is right ({SEEDING})"
        )


def _listed(names: object) -> str:
    words = sorted(str(name) for name in names)  # type: ignore[attr-defined]
    more = f" and {len(words) - NAMES_SHOWN} more" if len(words) > NAMES_SHOWN else ""
    return ", ".join(words[:NAMES_SHOWN]) + more


# --- what the user should know -----------------------------------------------------------------


def _warnings(pair: tuple[Facts, Facts], replicas: frozenset[int]) -> Iterator[str]:
    first, second = pair
    if first.version != second.version:
        yield (
            f"{first.node} and {second.node}: run {first.version} and {second.version}; "
            "replication from the newer to the older is not always possible"
        )
    apart = abs(first.clock_ahead_seconds - second.clock_ahead_seconds)
    doubt = first.clock_doubt_seconds + second.clock_doubt_seconds
    if apart > CLOCK_WARN_SECONDS + doubt:
        yield (
            f"{first.node} and {second.node}: the clocks are {apart:.1f} s apart; "
            "run an NTP client on both"
        )
    for facts, peer in (pair, pair[::-1]):
        yield from _server_warnings(facts, replicas | {peer.server_id})
        only = sorted(facts.accounts - peer.accounts)
        if only:
            yield (
                f"{facts.node}: alone has the accounts {_listed(only)}; "
                f"who uses them cannot log in at {peer.node}: create them there too"
            )


def _behind_warnings(history: History, pair: tuple[Facts, Facts]) -> Iterator[str]:
    if history is not History.BEHIND:
        return
    behind, ahead = pair if _is_behind(*pair) else pair[::-1]
    yield (
        f"{behind.node}: lacks {behind.lacks(ahead).count()} transactions of {ahead.node}, which "
        "replication will bring; the rows are not compared now: `myha verify` does it afterwards"
    )


def _server_warnings(facts: Facts, known: frozenset[int]) -> Iterator[str]:
    node = facts.node
    keyless = [table for table in facts.tables if not table.has_key]
    if keyless:
        yield (
            f"{node}: tables without a primary key: {_listed(keyless)}; applying their changes is "
            "slow and a heal cannot undo them: add one"
        )
    unsafe = [table for table in facts.tables if not table.transactional]
    if unsafe:
        named = _listed(f"{table} ({table.engine})" for table in unsafe)
        yield f"{node}: tables without transactions: {named}; a crash may tear them: use InnoDB"
    if facts.disk_free_bytes is not None and facts.disk_free_bytes < DISK_WARN_BYTES:
        yield f"{node}: only {facts.disk_free_bytes >> 20} MiB of disk are free; make room"
    for variable, why in (
        ("sync_binlog", "a crash of the machine may lose acknowledged transactions"),
        ("innodb_flush_log_at_trx_commit", "a crash of the machine may lose transactions"),
    ):
        value = facts.variables.get(variable, "1")
        if value != "1":
            yield f"{node}: {variable} is {value}: {why}; set it to 1"
    others = ", ".join(str(number) for number in facts.replica_ids if number not in known)
    if others:
        yield f"{node}: further replicas (server ids {others}) replicate from it; myha ignores them"
