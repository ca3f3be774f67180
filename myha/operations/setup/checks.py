"""What forbids a set-up, and what the user should know: pure functions over two servers' facts.

A refusal stops setup before anything is changed; all of them are told at once, each as one line
that ends with the remedy. A warning is told and does not stop it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from myha.config import Config
from myha.core.record import Membership, Record
from myha.core.settings import is_on
from myha.database import versions
from myha.operations.setup import adoption
from myha.operations.setup.desired import pair_tls
from myha.operations.setup.facts import Facts
from myha.operations.setup.history import History, is_behind, judge_history
from myha.operations.setup.remarks import Remark
from myha.words import listed

OLD_SEMISYNC_PLUGINS = {"rpl_semi_sync_master", "rpl_semi_sync_slave"}
CLOCK_WARN_SECONDS = 1.0
DISK_WARN_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Findings:
    """As lines."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    history: History = History.SAME


@dataclass(frozen=True, slots=True)
class Remarks:
    """The same as values."""

    refusals: tuple[Remark, ...] = ()
    warnings: tuple[Remark, ...] = ()
    history: History = History.SAME


def check(
    config: Config,
    first: Facts,
    second: Facts,
    record: Record | None,
    replicas: frozenset[int] = frozenset(),
) -> Findings:
    """`remarks` as lines, each refusal once."""
    found = remarks(config, first, second, record, replicas)
    return Findings(
        tuple(dict.fromkeys(map(str, found.refusals))),
        tuple(map(str, found.warnings)),
        found.history,
    )


def remarks(
    config: Config,
    first: Facts,
    second: Facts,
    record: Record | None,
    replicas: frozenset[int] = frozenset(),
) -> Remarks:
    """Judge two servers that are to become, or already are, the pair.

    `replicas`: the server ids of the read replicas that the file names, as far as they answer.
    """
    pair = (first, second)
    refusals = [*_pair_refusals(first, second)]
    runs = record is None and replicates(config, first, second)
    for facts in pair:
        refusals += server_refusals(facts, runs=runs)
        refusals += _event_refusals(config, facts)
        refusals += _filter_refusals(facts)
    for facts, peer in (pair, pair[::-1]):
        refusals += _channel_refusals(config, facts, peer)
    if config.accounts.tls == "require" and not pair_tls(config, first, second):
        without = ", ".join(facts.node for facts in pair if not facts.tls)
        refusals.append(
            Remark(
                "tls-missing",
                without,
                'offers no TLS, but accounts.tls is "require"',
                "give the server a certificate, or say auto",
            )
        )
    if runs:
        refusals += adoption.refusals(config, first, second, replicas)
    refusals += _record_refusals(config, record)
    for facts in pair:
        refusals += _claim_refusals(facts, record)
    history, past = judge_history(config, first, second, record)
    refusals += past
    warnings = [*_warnings(pair, replicas), *_behind_warnings(history, pair)]
    return Remarks(tuple(refusals), tuple(warnings), history)


def _pair_refusals(first: Facts, second: Facts) -> Iterator[Remark]:
    names = f"{first.node} and {second.node}"
    if first.flavour is not second.flavour:
        yield Remark(
            "flavours-differ",
            names,
            f"one is {first.flavour.title} ({first.version}), the other "
            f"{second.flavour.title} ({second.version})",
            "a pair needs two of one kind",
        )
    elif versions.far_apart(first.version, second.version):
        yield Remark(
            "versions-far-apart",
            names,
            f"versions {first.version} and {second.version} are too far apart to replicate both "
            "ways",
            "upgrade the older one",
        )
    if first.server_uuid and first.server_uuid == second.server_uuid:
        if first.server_id == second.server_id:
            yield Remark(
                "same-server",
                names,
                f"server id and UUID are equal ({first.server_id}, {first.server_uuid})",
                "correct the addresses, or set server_id, remove auto.cnf of one and restart it",
                "this is one server under two addresses, or a copied data directory",
            )
        else:
            yield Remark(
                "same-uuid",
                names,
                f"the server UUIDs are equal ({first.server_uuid})",
                f"remove auto.cnf from that of {second.node} and restart it",
                "a copied data directory",
            )
    elif first.server_id == second.server_id:
        yield Remark(
            "same-server-id",
            names,
            f"the server ids are equal ({first.server_id})",
            f"set another server_id in the option file of {second.node} and restart it",
        )


def replicates(config: Config, first: Facts, second: Facts) -> bool:
    """Whether one of them has a channel to the other: setup adopts what runs."""
    return any(
        facts.channel_to(peer, config.nodes[peer.node].replication_address) is not None
        for facts, peer in ((first, second), (second, first))
    )


def server_refusals(facts: Facts, *, runs: bool = False) -> Iterator[Remark]:
    """Why this server, whatever its role, cannot replicate as myha needs it.

    `runs`: it is of a pair that replicates; setup then switches GTIDs on without a restart.
    """
    node = facts.node
    if need := versions.too_old(facts.flavour, facts.version):
        wrong = f"version {facts.version} is too old"
        yield Remark("version-too-old", node, wrong, f"upgrade it to {need} or newer")
    if facts.server_id == 0:
        mend = "set it in the option file and restart the server"
        why = "replication refuses that"
        yield Remark("no-server-id", node, "server_id is 0", mend, why)
    if not facts.on("log_bin"):
        mend = "put log_bin = binlog into its option file and restart it"
        why = "nothing can replicate from it"
        yield Remark("no-binlog", node, "the binary log is off", mend, why)
    if not runs and not _is_on_where_known(facts, "gtid_mode", "enforce_gtid_consistency"):
        mend = (
            "put gtid_mode = ON and enforce_gtid_consistency = ON into its option file and "
            "restart it"
        )
        why = "nobody can tell which transactions it has"
        yield Remark("no-gtid", node, "GTIDs are off", mend, why)
    updates = facts.flavour.log_updates_variable
    if not facts.on(updates):
        mend = f"put {updates} = ON into its option file and restart it"
        why = "what it has replicated cannot be had from it"
        yield Remark("updates-not-logged", node, f"{updates} is off", mend, why)
    if not _is_on_where_known(facts, "persisted_globals_load"):
        yield Remark(
            "persisted-not-loaded",
            node,
            "persisted_globals_load is off, so it would forget at a restart what setup persists",
            "remove that from its option file and restart it",
        )
    if facts.flavour.semisync_plugins and facts.plugins & OLD_SEMISYNC_PLUGINS:
        yield Remark(
            "old-semisync-plugins",
            node,
            "the old semi-sync plugins are loaded",
            "UNINSTALL PLUGIN rpl_semi_sync_master and rpl_semi_sync_slave, setup installs their "
            "successors",
        )


def _is_on_where_known(facts: Facts, *variables: str) -> bool:
    return all(is_on(facts.variables.get(name, "ON")) for name in variables)


def _event_refusals(config: Config, facts: Facts) -> Iterator[Remark]:
    """Whether to start what has not run so far is not for us to say."""
    if not config.cluster.event_scheduler or facts.on("event_scheduler"):
        return
    scheduler = facts.variables.get("event_scheduler", "OFF").upper()
    if scheduler == "DISABLED":
        yield Remark(
            "events-disabled",
            facts.node,
            "event_scheduler is DISABLED, which only its option file can change",
            "put event_scheduler = ON there and restart it, or set cluster.event_scheduler = false",
        )
    elif facts.enabled_events:
        yield Remark(
            "events-asleep",
            facts.node,
            "its event scheduler is off, and switching it on would start "
            f"{listed(facts.enabled_events)}",
            "if that is wanted, SET GLOBAL event_scheduler = ON there, else set "
            "cluster.event_scheduler = false, or disable these events",
        )


def _filter_refusals(facts: Facts) -> Iterator[Remark]:
    """What a filter leaves out is named as executed all the same: the node would differ unseen."""
    if facts.filters:
        yield Remark(
            "filtered",
            facts.node,
            f"replicates with a filter ({listed(facts.filters)}), so its data would differ",
            "take replicate_... out of its option file and restart it, or clear the filter",
        )


def _channel_refusals(config: Config, facts: Facts, peer: Facts) -> Iterator[Remark]:
    wanted = config.nodes[peer.node].replication_address
    for channel in facts.channels:
        name = f" (channel {channel.name})" if channel.name else ""
        if channel.source != wanted and channel.source_server_id != peer.server_id:
            yield Remark(
                "foreign-source",
                facts.node,
                f"replicates from a third server, {channel.source}{name}",
                "end that with STOP REPLICA and RESET REPLICA ALL",
                "a pair has only two servers",
            )
        elif channel.name:
            yield Remark(
                "named-channel",
                facts.node,
                f"replicates from {peer.node} over the named channel {channel.name}",
                "end it with STOP REPLICA and RESET REPLICA ALL, setup makes an unnamed one",
            )


def _record_refusals(config: Config, record: Record | None) -> Iterator[Remark]:
    if record is None:
        return
    where, known = str(config.cluster.state_dir), {name for name, _ in record.nodes}
    if known != set(config.names):
        yield Remark(
            "record-of-others",
            where,
            f"the record there is of the nodes {', '.join(sorted(known))}, not of "
            f"{', '.join(config.names)}",
            "name another cluster.state_dir",
        )
        return
    if record.pair not in ("", config.cluster.name):
        yield Remark(
            "record-of-others",
            where,
            f"the record there is of the pair {record.pair}, not of {config.cluster.name}",
            "name another cluster.state_dir, or the pair as on record",
        )
    for name, entry in record.nodes:
        if entry.membership is Membership.FENCED:
            yield Remark(
                "fenced",
                name,
                f"is fenced on record ({entry.reason})",
                "see `myha explain`, and run setup once it has been healed",
            )


def _claim_refusals(facts: Facts, record: Record | None) -> Iterator[Remark]:
    """Setup takes a node over from a supervisor that is gone; one that acts would be robbed."""
    store = record.store if record is not None else ""
    if facts.claim is None or facts.claim[0] == store or not facts.claimant_lives:
        return
    yield Remark(
        "supervised-elsewhere",
        facts.node,
        f"the supervisor of another record acts on it ({facts.claim[1]})",
        "use the configuration of that one, or stop it first",
        "setup would take the server away from it",
    )


# --- what the user should know -----------------------------------------------------------------


def _warnings(pair: tuple[Facts, Facts], replicas: frozenset[int]) -> Iterator[Remark]:
    first, second = pair
    names = f"{first.node} and {second.node}"
    if first.version != second.version:
        yield Remark(
            "versions-differ",
            names,
            f"run {first.version} and {second.version}",
            "upgrade the older one",
            "replication from the newer to the older is not always possible",
        )
    apart = abs(first.clock_ahead_seconds - second.clock_ahead_seconds)
    doubt = first.clock_doubt_seconds + second.clock_doubt_seconds
    if apart > CLOCK_WARN_SECONDS + doubt:
        wrong = f"the clocks are {apart:.1f} s apart"
        why = "what is said of times is wrong by that much, and so is what NOW() gives clients"
        yield Remark("clocks-apart", names, wrong, "run an NTP client on both", why)
    for facts, peer in (pair, pair[::-1]):
        yield from server_warnings(facts, replicas | {peer.server_id})
        only = sorted(facts.accounts - peer.accounts)
        if only:
            yield Remark(
                "accounts-differ",
                facts.node,
                f"alone has the accounts {listed(only)}",
                "create them there too",
                f"who uses them cannot log in at {peer.node}",
            )


def _behind_warnings(history: History, pair: tuple[Facts, Facts]) -> Iterator[Remark]:
    if history is not History.BEHIND:
        return
    behind, ahead = pair if is_behind(*pair) else pair[::-1]
    yield Remark(
        "behind",
        behind.node,
        f"lacks {behind.lacks(ahead).count()} transactions of {ahead.node}, which replication will "
        "bring",
        "`myha verify` does it afterwards",
        "the rows are not compared now",
    )


def server_warnings(facts: Facts, known: frozenset[int]) -> Iterator[Remark]:
    """What to know of one server. `known`: the server ids that may replicate from it."""
    node = facts.node
    keyless = [table for table in facts.tables if not table.has_key]
    if keyless:
        yield Remark(
            "no-primary-key",
            node,
            f"tables without a primary key: {listed(keyless)}",
            "add one",
            "applying their changes is slow and a heal cannot undo them",
        )
    unsafe = [table for table in facts.tables if not table.transactional]
    if unsafe:
        named = listed(f"{table} ({table.engine})" for table in unsafe)
        wrong = f"tables without transactions: {named}"
        yield Remark("not-transactional", node, wrong, "use InnoDB", "a crash may tear them")
    if facts.disk_free_bytes is not None and facts.disk_free_bytes < DISK_WARN_BYTES:
        wrong = f"only {facts.disk_free_bytes >> 20} MiB of disk are free"
        yield Remark("disk-low", node, wrong, "make room", "a full disk stops its writes")
    for variable, why in (
        ("sync_binlog", "a crash of the machine may lose acknowledged transactions"),
        ("innodb_flush_log_at_trx_commit", "a crash of the machine may lose transactions"),
    ):
        value = facts.variables.get(variable, "1")
        if value != "1":
            yield Remark("not-durable", node, f"{variable} is {value}", "set it to 1", why)
    others = ", ".join(str(number) for number in facts.replica_ids if number not in known)
    if others:
        wrong = f"further replicas (server ids {others}) replicate from it"
        yield Remark("further-replicas", node, wrong, follows="myha ignores them")
