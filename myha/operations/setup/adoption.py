"""Two servers that replicate already: which one is the writer, and what forbids to take them. Pure.

What is adopted serves meanwhile. So the writer is who takes writes, whatever the file prefers, and
whatever cannot be told from the servers is refused with the question.
"""

from __future__ import annotations

from collections.abc import Iterator

from myha.config import Config
from myha.core.policy import Mode
from myha.operations.setup.desired import first_writer
from myha.operations.setup.facts import Facts
from myha.operations.setup.remarks import Remark
from myha.words import shortened


def serving_writer(config: Config, first: Facts, second: Facts) -> str:
    """The node that takes writes, as far as the servers tell; else as the file has it."""
    pair = (first, second)
    wanted = first_writer(config)
    if config.cluster.mode is Mode.DUAL_WRITER:
        return wanted
    writing = [facts.node for facts in pair if facts.own_writes]
    opened = [facts.node for facts in pair if not facts.on("read_only")]
    for found in (writing, opened):
        if len(found) == 1:
            return found[0]
    return wanted


def serving_as(config: Config, pair: tuple[Facts, Facts], writer: str) -> str:
    """Who takes writes now, and what becomes of that, for whoever is asked to agree."""
    if config.cluster.mode is Mode.DUAL_WRITER:
        return "both take writes"
    standby = next(facts for facts in pair if facts.node != writer)
    known = next(facts for facts in pair if facts.node == writer)
    why = f"{known.own_writes} transactions while setup looked"
    if not known.own_writes and not known.on("read_only"):
        why = "open, and idle while setup looked"
    elif not known.own_writes:
        why = "closed like the other one, and named first by the configuration"
    closed = "stays closed" if standby.on("read_only") else "is open too, and will be closed"
    text = f"{writer} is the writer ({why}), {standby.node} {closed}"
    preferred = config.failover.preferred
    if preferred and preferred != writer:
        text += f" (failover.preferred is {preferred}: `myha switchover` moves the role there)"
    return text


def refusals(
    config: Config, first: Facts, second: Facts, replicas: frozenset[int]
) -> Iterator[Remark]:
    """Why two servers that replicate cannot be taken as they are, each with the remedy.

    `replicas`: the server ids of the read replicas that the file names, as far as they answer.
    """
    yield from _two_writers(config, first, second)
    yield from _wrong_way(config, first, second)
    yield from _held_back(config, first, second)
    for facts, peer in ((first, second), (second, first)):
        yield from _broken(config, facts, peer)
        yield from _password(config, facts, peer)
        yield from _in_old_domain(config, facts, peer)
        if needs_gtids(facts):
            yield from _strangers(facts, replicas | {peer.server_id})


def _two_writers(config: Config, first: Facts, second: Facts) -> Iterator[Remark]:
    if config.cluster.mode is Mode.DUAL_WRITER or not (first.own_writes and second.own_writes):
        return
    yield Remark(
        "two-writers",
        f"{first.node} and {second.node}",
        f"both take writes ({first.own_writes} and {second.own_writes} transactions while setup "
        f'looked), and cluster.mode is "{config.cluster.mode}"',
        "let clients (and programs like pt-heartbeat) write on one of them only, or set "
        '"dual-writer"',
    )


def _wrong_way(config: Config, first: Facts, second: Facts) -> Iterator[Remark]:
    """One-way replication, and not from the node that takes the writes."""
    writer = serving_writer(config, first, second)
    known, standby = (first, second) if first.node == writer else (second, first)
    there = standby.channel_to(known, config.nodes[writer].replication_address)
    if there is None and known.own_writes:
        yield Remark(
            "wrong-way",
            standby.node,
            f"does not replicate from {writer}, which takes the writes, but {writer} from it",
            f"make that channel first, or let {standby.node} take the writes",
        )


def _held_back(config: Config, first: Facts, second: Facts) -> Iterator[Remark]:
    """What the standby has, and the writer would get if setup started its stopped replication.

    Perhaps a supervisor has stopped it, for these very transactions, and its record is lost.
    """
    if config.cluster.mode is Mode.DUAL_WRITER:
        return
    writer = serving_writer(config, first, second)
    known, standby = (first, second) if first.node == writer else (second, first)
    channel = known.channel_to(standby, config.nodes[standby.node].replication_address)
    if channel is None or channel.receiver == channel.applier == "ON":
        return
    extra = known.lacks(standby)
    if extra.is_empty():
        return
    shown = shortened(str(extra))
    yield Remark(
        "held-back",
        standby.node,
        f"holds {extra.count()} transactions that {writer} lacks ({shown}), and {writer}'s "
        "replication from it is stopped",
        f"if {writer} shall have them, START REPLICA there and run setup again; else see `myha "
        f"divergence show {standby.node} --writer {writer}`",
        "setup would start it, and nobody has said that they are wanted",
    )


def _broken(config: Config, facts: Facts, peer: Facts) -> Iterator[Remark]:
    channel = facts.channel_to(peer, config.nodes[peer.node].replication_address)
    if channel is not None and channel.applier == "OFF" and channel.error_code:
        yield Remark(
            "replication-broken",
            facts.node,
            f"has stopped to apply what {peer.node} writes: {channel.error}",
            "correct that and START REPLICA there: setup takes over what replicates",
        )


def _password(config: Config, facts: Facts, peer: Facts) -> Iterator[Remark]:
    """The account with which it replicates already, and perhaps others do."""
    user = config.accounts.replication_user
    channel = facts.channel_to(peer, config.nodes[peer.node].replication_address)
    login = peer.replication
    if channel is not None and channel.user == user and login.exists and not login.password_works:
        yield Remark(
            "other-password",
            peer.node,
            f"its account {user}, with which {facts.node} replicates, has another password than "
            "accounts.replication_password_file",
            "put the present one there, or name another accounts.replication_user, which setup "
            "then makes",
        )


def needs_gtids(facts: Facts) -> bool:
    """Whether its transactions have no GTIDs, or may have none (MySQL)."""
    wanted = ("gtid_mode", "enforce_gtid_consistency")
    return any(facts.variables.get(name, "ON").upper() != "ON" for name in wanted)


def _strangers(facts: Facts, known: frozenset[int]) -> Iterator[Remark]:
    others = ", ".join(str(number) for number in facts.replica_ids if number not in known)
    if others:
        yield Remark(
            "replicas-without-gtid",
            facts.node,
            f"further replicas (server ids {others}) replicate from it, and would stop at the "
            "first transaction with a GTID",
            "set enforce_gtid_consistency = ON and then gtid_mode = OFF_PERMISSIVE, ON_PERMISSIVE "
            "on each of them and on the pair, one value after the other on all servers, and then "
            "ON; or end their replication; and run setup again",
        )


def _in_old_domain(config: Config, facts: Facts, peer: Facts) -> Iterator[Remark]:
    """MariaDB with two writers: positions in one domain cannot tell two histories apart."""
    if not facts.flavour.has_domains or config.cluster.mode is not Mode.DUAL_WRITER:
        return
    others = facts.domains_written - {facts.domain}
    if facts.domain == peer.domain:
        yield Remark(
            "same-domain",
            facts.node,
            f"has the same gtid_domain_id as {peer.node} ({facts.domain}), and both take writes",
            f"SET GLOBAL gtid_domain_id = {facts.server_id} there, let its clients connect anew, "
            "and run setup when all of them have",
        )
    elif others:
        yield Remark(
            "old-domain",
            facts.node,
            f"sessions that began before the present gtid_domain_id ({facts.domain}) still write "
            f"in domain {', '.join(map(str, sorted(others)))}",
            "end them, and run setup again",
        )
