"""From two servers that were looked at to the keys of a configuration, and the questions. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from myha.config import join_address, split_address
from myha.core.policy import Durability, Mode
from myha.database import versions
from myha.errors import MyhaError
from myha.operations.discover.found import FoundServer
from myha.servers.wanted import INCREMENT

NAMES = ("a", "b")


@dataclass(frozen=True, slots=True)
class Known:
    """A key's value, and where it comes from, for a comment."""

    value: object
    origin: str


@dataclass(frozen=True, slots=True)
class Discovery:
    """`keys` by `table.name.key`; `notes` and `questions` are sentences."""

    keys: Mapping[str, Known]
    notes: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()  # lines for the tables of read replicas, commented out


@dataclass(slots=True)
class _Collected:
    keys: dict[str, Known] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)


def judge(first: FoundServer, second: FoundServer, admin_user: str) -> Discovery:
    """What the two servers tell. MyhaError with one sentence when they can be no pair."""
    for refusal in _refusals(first, second):
        raise MyhaError(refusal)
    made = _Collected()
    pair = tuple(zip(NAMES, (first, second), (second, first), strict=True))
    _mode(made, first, second)
    _durability(made, first, second)
    for name, one, peer in pair:
        _address(made, name, one, peer)
    _increments(made, first, second)
    _events(made, first, second)
    made.keys["accounts.admin_user"] = Known(admin_user, "the account that looked")
    for name, one, peer in pair:
        made.notes += _notes(name, one, peer)
    return Discovery(
        made.keys, tuple(made.notes), tuple(made.questions), tuple(_replicas(first, second))
    )


def _refusals(first: FoundServer, second: FoundServer) -> Iterator[str]:
    here, there = (join_address(one.host, one.port) for one in (first, second))
    if first.flavour is not second.flavour:
        yield (
            f"{here} is {first.flavour.title} and {there} is {second.flavour.title}: a pair needs "
            "two of one kind"
        )
    if first.server_id == second.server_id:
        yield (
            f"{here} and {there} have the same server id ({first.server_id}): it is one server at "
            "two addresses, or one of them needs another server_id in its option file"
        )
    if first.channel_to(second) is None and second.channel_to(first) is None:
        yield (
            f"{here} and {there} do not replicate from each other: --peer names the one that does; "
            "for servers that are to begin with that, `myha init` without --from"
        )
    for one, peer in ((first, second), (second, first)):
        others = [channel for channel in one.channels if channel is not one.channel_to(peer)]
        if others:
            sources = ", ".join(channel.source for channel in others)
            yield (
                f"{join_address(one.host, one.port)} replicates from a third server, {sources}: "
                "a pair has two; end that replication first"
            )
    for one in (first, second):
        if need := versions.too_old(one.flavour, one.version):
            yield (
                f"{join_address(one.host, one.port)}: version {one.version} is too old; upgrade it "
                f"to {need} or newer"
            )


def _mode(made: _Collected, first: FoundServer, second: FoundServer) -> None:
    writing = [n for n, one in zip(NAMES, (first, second), strict=True) if one.writes.count]
    opened = [n for n, one in zip(NAMES, (first, second), strict=True) if not one.on("read_only")]
    counts = f"{first.writes.count} and {second.writes.count} transactions while they were watched"
    if len(writing) == len(NAMES):
        made.keys["cluster.mode"] = Known(Mode.DUAL_WRITER.value, f"both took writes ({counts})")
        made.questions.append(
            "Do clients write on both nodes, or was that a program like pt-heartbeat? With clients "
            'on one node only: cluster.mode = "single-writer"'
        )
        return
    writer = writing[0] if writing else opened[0] if len(opened) == 1 else ""
    why = f"a and b took {counts}; open for writes: {' and '.join(opened) or 'none'}"
    made.keys["cluster.mode"] = Known(Mode.SINGLE_WRITER.value, why)
    if not writer:
        made.questions.append(
            "Which node is the writer? No writes were seen, and "
            + ("both are" if opened else "neither is")
            + " open for them. Setup takes the one that takes writes while it looks; else a, or "
            "failover.preferred"
        )
    elif len(opened) == len(NAMES):
        made.questions.append(
            f"Both nodes are open for writes, and {writer} took them. Setup closes the other one; "
            'if clients write on both at times: cluster.mode = "dual-writer"'
        )


def _durability(made: _Collected, first: FoundServer, second: FoundServer) -> None:
    waiting = [n for n, one in zip(NAMES, (first, second), strict=True) if one.waits]
    found = f"semi-sync is on on {' and '.join(waiting)}" if waiting else "semi-sync is off"
    dual = made.keys["cluster.mode"].value == Mode.DUAL_WRITER.value
    value = Durability.BOUNDED if dual else Durability.LOSSLESS
    made.keys["cluster.durability"] = Known(value.value, f"{found}; this is the default")
    if not waiting:
        made.questions.append(
            "May each commit wait for the standby (a network round trip, and its disk's flush)? "
            'Commits do not wait now; cluster.durability = "async" keeps it so, and loses the '
            "latest writes with the writer"
        )


def _address(made: _Collected, name: str, one: FoundServer, peer: FoundServer) -> None:
    made.keys[f"nodes.{name}.host"] = Known(one.host, "as it was reached from here")
    made.keys[f"nodes.{name}.port"] = Known(one.port, "as it was reached from here")
    channel = peer.channel_to(one)
    if channel is None:
        return
    host, port = split_address(channel.source)
    if host != one.host:
        origin = "the address at which the other node replicates from it"
        made.keys[f"nodes.{name}.replication_host"] = Known(host, origin)
    if port != one.port:
        origin = "the port at which the other node replicates from it"
        made.keys[f"nodes.{name}.replication_port"] = Known(port, origin)


def _increments(made: _Collected, first: FoundServer, second: FoundServer) -> None:
    steps = [one.variables.get("auto_increment_increment", "1") for one in (first, second)]
    offsets = [one.variables.get("auto_increment_offset", "1") for one in (first, second)]
    right = steps == [str(INCREMENT)] * 2 and sorted(offsets) == ["1", "2"]
    found = f"every {steps[0]} from {offsets[0]} on a, every {steps[1]} from {offsets[1]} on b"
    for name, offset in zip(NAMES, offsets if right else ("1", "2"), strict=True):
        origin = found if right else f"{found}; setup sets every {INCREMENT} from this"
        made.keys[f"nodes.{name}.auto_increment_offset"] = Known(int(offset), origin)


def _events(made: _Collected, first: FoundServer, second: FoundServer) -> None:
    runs = [one.variables.get("event_scheduler", "OFF").upper() for one in (first, second)]
    origin = f"event_scheduler is {runs[0]} on a and {runs[1]} on b"
    made.keys["cluster.event_scheduler"] = Known("ON" in runs, origin)


def _notes(name: str, one: FoundServer, peer: FoundServer) -> Iterator[str]:
    where = f"{name} ({join_address(one.host, one.port)})"
    yield f"{where}: {one.flavour.title} {one.version}, server id {one.server_id}"
    channel = one.channel_to(peer)
    if channel is None:
        yield f"{where}: does not replicate from the other node; setup makes that channel"
    else:
        way = "GTID" if channel.by_gtid else "file and position (setup changes that to GTID)"
        state = f"receiver {channel.receiver}, applier {channel.applier}"
        named = f" on the channel {channel.name}" if channel.name else ""
        yield f"{where}: replicates as {channel.user}{named} by {way}; {state}"
        if channel.error:
            yield f"{where}: replication says: {channel.error}"
        if channel.name:
            yield f"{where}: setup refuses a named channel; it says what to do"
    if one.filters:
        yield f"{where}: has replication filters, which setup refuses: {', '.join(one.filters)}"
    for variable in ("sync_binlog", "innodb_flush_log_at_trx_commit"):
        value = one.variables.get(variable, "1")
        if value != "1":
            yield f"{where}: {variable} is {value}: a power cut may lose what was acknowledged"


def _replicas(first: FoundServer, second: FoundServer) -> Iterator[str]:
    ids = {first.server_id, second.server_id}
    number = 0
    for name, one in zip(NAMES, (first, second), strict=True):
        for replica in one.replicas:
            if replica.server_id in ids:
                continue
            ids.add(replica.server_id)
            number += 1
            yield f"# Replicates from {name} with server id {replica.server_id}."
            yield "# Shall it be a read replica of the pair? Setup then makes it follow the writer."
            yield f"# [replicas.r{number}]"
            told = replica.host or "..."
            unknown = "" if replica.host else "  (it has set no report_host)"
            yield f'# host = "{told}"{unknown}'
            yield f"# port = {replica.port or 3306}"
