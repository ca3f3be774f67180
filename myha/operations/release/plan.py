"""What makes an ordinary pair of a supervised one, as data: one step for each thing. Pure.

A step is wanted only where the servers show that it is not so yet; so a release that was stopped is
run again, and goes on. The record goes last: until then the two are a pair that a supervisor, or
`myha setup`, brings back in full.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from myha.config import Config
from myha.core.policy import Mode
from myha.core.settings import When
from myha.operations.setup.desired import channel, settings
from myha.operations.setup.facts import Facts
from myha.servers.restoring import RETRY_COUNT

FRAGMENT_HEAD = "# Written by `myha release`: what an ordinary replica keeps."


class Kind(Enum):
    STATEMENTS = "statements of sql/"
    FRAGMENT = "the option file fragment"
    SCHEMA = "the schema myha, on all servers"
    RECORD = "the record"


@dataclass(frozen=True, slots=True)
class Step:
    """One change on one node. `logged`: it goes into the binary log."""

    node: str
    sentence: str
    block: str = ""
    values: Mapping[str, object] = field(default_factory=dict)
    kind: Kind = Kind.STATEMENTS
    text: str = ""  # a file's content

    def __str__(self) -> str:
        return f"{self.node}: {self.sentence}"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user chose. `one_way`: the standby goes on replicating, the writer does not."""

    one_way: bool = False
    keep_accounts: bool = False


def plan(config: Config, found: Mapping[str, Facts], writer: str, wishes: Wishes) -> list[Step]:
    """Every step, in order. `found`: the servers that are given back, the replicas too."""
    steps: list[Step] = []
    ordered = sorted(found.values(), key=lambda facts: facts.node != writer)  # the writer first
    for facts in ordered:
        steps += _semi_sync(facts)
    for facts in ordered:
        steps += _at_boot(config, facts, found, writer)
    for facts in ordered:
        if facts.on("read_only") and facts.node == writer:
            steps.append(Step(facts.node, "open it for writes", "open"))
        if wishes.one_way and facts.node == writer and facts.channels:
            sentence = "end its replication from the other node (one way)"
            steps.append(Step(facts.node, sentence, "forget_replication"))
    if any(facts.our_columns for facts in found.values()):
        sentence = (
            "drop the schema myha (heartbeat, proofs, claim, watchdog), on all by replication"
        )
        steps.append(Step(writer, sentence, "drop_schema", kind=Kind.SCHEMA))
    if not wishes.keep_accounts:
        for facts in ordered:
            steps += _accounts(config, facts, writer, one_way=wishes.one_way)
    steps.append(
        Step(
            writer,
            "set the record aside: no supervisor acts on the pair from then on",
            kind=Kind.RECORD,
        )
    )
    return steps


def _semi_sync(facts: Facts) -> Iterator[Step]:
    flavour = facts.flavour
    if facts.on(f"rpl_semi_sync_{flavour.source_word}_enabled"):
        yield Step(facts.node, "let commits no longer wait for an acknowledgement", "stop_waiting")
    if facts.on(f"rpl_semi_sync_{flavour.replica_word}_enabled"):
        yield Step(facts.node, "ask for no semi-sync any more", "stop_acknowledging")


def stays_closed(config: Config, node: str, writer: str) -> bool:
    """Whether it is read-only in an ordinary pair: the standby with one writer, and replicas."""
    if node in config.replicas:
        return True
    return node != writer and config.cluster.mode is Mode.SINGLE_WRITER


def _at_boot(
    config: Config, facts: Facts, found: Mapping[str, Facts], writer: str
) -> Iterator[Step]:
    closed = stays_closed(config, facts.node, writer)
    if not facts.flavour.persists:
        text = fragment(config, facts, found, closed=closed)
        if facts.fragment != text and config.servers[facts.node].option_file is not None:
            how = "read-only" if closed else "open"
            sentence = f"let it start {how} and replicating: replace its option file fragment"
            yield Step(facts.node, sentence, kind=Kind.FRAGMENT, text=text)
        return
    if facts.persisted.keys() & RESET:
        sentence = f"let it replicate when it starts, without semi-sync: RESET PERSIST of {_RESET}"
        yield Step(facts.node, sentence, "let_boot_replicating")
    if not closed and facts.persisted.keys() & CLOSING:
        sentence = "let it start open for writes: RESET PERSIST of read_only, super_read_only"
        yield Step(facts.node, sentence, "let_boot_open")


CLOSING = frozenset({"read_only", "super_read_only"})
RESET = frozenset(
    {
        "skip_replica_start",
        "rpl_semi_sync_source_enabled",
        "rpl_semi_sync_source_wait_point",
        "rpl_semi_sync_source_wait_no_replica",
        "rpl_semi_sync_replica_enabled",
    }
)
_RESET = "skip_replica_start, rpl_semi_sync_..."


def fragment(config: Config, facts: Facts, found: Mapping[str, Facts], *, closed: bool) -> str:
    """What stays of setup's fragment on MariaDB: nothing that closes it, stops it or waits."""
    lines = [FRAGMENT_HEAD, "[mariadb]"]
    lines += [f"{name} = {value}" for name, value in kept(config, facts, found).items()]
    lines += ["log_slave_updates = ON", f"master_retry_count = {RETRY_COUNT}"]
    if closed:
        lines.append("read_only = ON")
    return "\n".join(lines) + "\n"


def kept(config: Config, facts: Facts, found: Mapping[str, Facts]) -> dict[str, str]:
    """Settings that setup made and an ordinary pair is better off with: they stay."""
    peer = next((one for one in found.values() if one.node != facts.node), facts)
    return {
        one.variable: one.value
        for one in settings(config, facts, peer)
        if not one.variable.startswith("rpl_semi_sync")
        and (one.when is not When.AT_BOOT or one.variable == "relay_log_recovery")
    }


def _accounts(config: Config, facts: Facts, writer: str, *, one_way: bool) -> Iterator[Step]:
    accounts = config.accounts
    if facts.supervisor.exists:
        name = accounts.supervisor_user
        yield Step(facts.node, f"drop the account {name}", "drop_account", {"user": name})
    # The nodes go on replicating with the other one; nobody does from a standby that is one-way.
    if one_way and facts.node != writer and facts.replication.exists:
        name = accounts.replication_user
        yield Step(facts.node, f"drop the account {name}", "drop_account", {"user": name})


def left(config: Config, found: Mapping[str, Facts], writer: str, wishes: Wishes) -> list[str]:
    """What stays as myha made it, in sentences: nothing of it is in an ordinary pair's way."""
    lines = []
    for facts in found.values():
        names = ", ".join(sorted(kept(config, facts, found)))
        where = "persisted (RESET PERSIST forgets one)" if facts.flavour.persists else "set"
        lines.append(f"{facts.node}: these stay {where}: {names}")
        if not facts.flavour.persists and config.servers[facts.node].option_file is None:
            lines.append(
                f"{facts.node}: its option file has what setup had you install there: take out "
                "skip_slave_start and rpl_semi_sync_..., "
                + ("" if stays_closed(config, facts.node, writer) else "and read_only, ")
                + "or it does not serve after a restart"
            )
    for name in config.servers:
        if name not in found:
            lines.append(f"{name}: all, since it is left as it is")
    if len(found) > 1:
        peer = channel(config, *_two(found))
        lines.append(
            f"the channels stay as they are: by GTID, as {config.accounts.replication_user}, "
            f"heartbeat every {peer.heartbeat_seconds:g} s, retry every {peer.retry_seconds} s"
        )
    if wishes.keep_accounts:
        lines.append(f"the account {config.accounts.supervisor_user} stays (--keep-accounts)")
    if config.balancers:
        lines.append(
            "the balancers go on routing as they do now, and nobody takes a dead server out of them"
        )
    return lines


def _two(found: Mapping[str, Facts]) -> tuple[Facts, Facts]:
    first, second, *_ = found.values()
    return first, second
